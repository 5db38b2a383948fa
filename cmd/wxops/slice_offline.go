package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/cgroupctl"
	"github.com/wxops/wxops/internal/cli"
)

func (f *sliceFlags) offline() *cobra.Command {
	c := &cobra.Command{
		Use:   "offline",
		Short: "Let offline work have what online slices leave",
		Example: `  wxops slice offline run -f slices.yaml
  wxops slice offline run -f slices.yaml -- make -C /srv/report
  wxops slice offline status -f slices.yaml`,
		RunE: cli.RequireSubcommand,
		Args: cobra.ArbitraryArgs,
	}
	c.AddCommand(f.offlineRun(), f.offlineStatus())
	return c
}

func (f *sliceFlags) offlineRun() *cobra.Command {
	var logFile string
	c := &cobra.Command{
		Use:   "run [-- CMD [ARG...]]",
		Short: "Steer offline work, or with a command queue and run one job",
		Long: `run without a command is the controller: five times a second it measures what
online slices use and limits offline work to what is left below the target of
the window. Stop it at any time: offline work keeps the lowest weight.

run with a command waits until the window admits jobs, runs the command in the
offline slice and reports what it got; the exit status is the command's.`,
		Example: `  wxops slice offline run -f slices.yaml
  wxops slice offline run -f slices.yaml -- ./train --epochs 3
  wxops slice offline run -f slices.yaml --log jobs.jsonl -- make report`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && cmd.ArgsLenAtDash() != 0 {
				return cli.Usagef("the command of a job stands behind --").WithHint("wxops slice offline run -f %s -- %s", f.file, strings.Join(args, " "))
			}
			tree, err := f.tree()
			if err != nil {
				return err
			}
			if len(args) > 0 {
				return f.job(cmd.Context(), tree, args, logFile)
			}
			err = tree.RunOffline(cmd.Context(), func(e cgroupctl.Event) { f.sayOffline(e) })
			if err == nil {
				return cmd.Context().Err() // it only ever ends when it is told to
			}
			return sliceError(f.file, err)
		},
	}
	c.Flags().StringVar(&logFile, "log", "", "append a line of JSON for each job to this `FILE`")
	return c
}

// sayOffline prints one line for a change of the controller's mind.
func (f *sliceFlags) sayOffline(e cgroupctl.Event) {
	state := "limit " + coresOrNone(e.LimitCores)
	if e.Freeze {
		state = "frozen"
	}
	line := fmt.Sprintf("%s %s %s %s, target %.2f cores: %s", e.At.UTC().Format(time.RFC3339), dash(e.Window), e.Rule, state, e.TargetCores, e.Reason)
	if len(e.Killed) > 0 {
		line += fmt.Sprintf("; killed PID %d", e.Killed[0])
	}
	if e.Err != nil {
		line += "; " + e.Err.Error()
	}
	fmt.Fprintln(f.s.Out, line)
}

// jobRecord is one line of the job log.
type jobRecord struct {
	Command     []string  `json:"command"`
	Queued      time.Time `json:"queued"`
	WaitSeconds float64   `json:"wait_seconds"`
	RunSeconds  float64   `json:"run_seconds"`
	CPUSeconds  float64   `json:"cpu_seconds"`
	CPUCores    float64   `json:"cpu_cores"`
	Exit        int       `json:"exit"`
}

func (f *sliceFlags) job(ctx context.Context, tree *cgroupctl.Tree, args []string, logFile string) error {
	if f.file == "-" {
		return cli.Usagef("a job cannot take its slices from standard input").WithHint("name the file with -f")
	}
	r := jobRecord{Command: args, Queued: time.Now().UTC().Truncate(time.Second)}
	queued := time.Now()
	told := false
	err := sliceTicker(ctx, time.Second, 0, func() error {
		s, err := tree.OfflineStatus()
		if err != nil {
			return err
		}
		if s.AdmitsJobs && !s.Frozen {
			return errAdmitted
		}
		if !told {
			told = true
			fmt.Fprintf(f.s.Err, "queued: %s\n", whyQueued(s))
		}
		return nil
	})
	if !errors.Is(err, errAdmitted) {
		return sliceError(f.file, err)
	}
	self, err := os.Executable()
	if err != nil {
		return cli.Failf("find the program itself").WithCause(err)
	}
	status, err := tree.OfflineStatus()
	if err != nil {
		return sliceError(f.file, err)
	}
	begin := time.Now()
	c := exec.CommandContext(ctx, self, append([]string{"slice", "run", "-f", f.file, status.Name, "--"}, args...)...)
	c.Stdin, c.Stdout, c.Stderr = f.s.In, f.s.Out, f.s.Err
	err = c.Run()
	if c.ProcessState == nil {
		return cli.Failf("start %s", args[0]).WithCause(err)
	}
	r.WaitSeconds, r.RunSeconds = begin.Sub(queued).Seconds(), time.Since(begin).Seconds()
	r.CPUSeconds = (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds()
	r.CPUCores = r.CPUSeconds / max(r.RunSeconds, 1e-3)
	r.Exit = exitStatus(c.ProcessState)
	fmt.Fprintf(f.s.Err, "job %s: waited %.1f s, ran %.1f s, got %.2f s of CPU (%.2f cores), exit %d\n", args[0], r.WaitSeconds, r.RunSeconds, r.CPUSeconds, r.CPUCores, r.Exit)
	if logFile != "" {
		if err := appendLine(logFile, r); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return cli.Exit(r.Exit)
}

// whyQueued says what a job waits for, and until when where that is known.
func whyQueued(s *cgroupctl.OfflineStatus) string {
	switch {
	case s.AdmitsJobs:
		return "offline work is frozen"
	case s.AdmitsFrom != nil:
		return fmt.Sprintf("window %s admits no job now; the next may begin at %s", dash(s.Window), clock(*s.AdmitsFrom))
	}
	return fmt.Sprintf("window %s admits no jobs, and none of the next two days does", dash(s.Window))
}

var errAdmitted = errors.New("admitted")

// exitStatus is the status as a shell gives it: 128 and the signal for a kill.
func exitStatus(p *os.ProcessState) int {
	if code := p.ExitCode(); code >= 0 {
		return code
	}
	return 128 + deathSignal(p)
}

func appendLine(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return cli.Failf("write the job log %q", path).WithCause(err)
	}
	_, err = file.Write(append(b, '\n'))
	return errors.Join(err, file.Close())
}

func (f *sliceFlags) offlineStatus() *cobra.Command {
	return f.tells(&cobra.Command{
		Use:   "status",
		Short: "Show the window, the limit and the use of offline work",
		Example: `  wxops slice offline status -f slices.yaml
  wxops slice offline status -f slices.yaml -o json
  wxops slice offline status -f slices.yaml -o yaml`,
		Args: cobra.NoArgs,
	}, false, func(_ *cobra.Command, tree *cgroupctl.Tree, _ []string) (*sheet, error) {
		s, err := tree.OfflineStatus()
		if err != nil {
			return nil, err
		}
		return &sheet{kind: kindOffline, created: time.Now(), data: s, table: func() *cli.Table {
			until := "-"
			if s.Until != nil {
				until = clock(*s.Until)
			}
			controller := s.Controller
			if s.PID != 0 {
				controller = fmt.Sprintf("%s (PID %d)", s.Controller, s.PID)
			}
			return cli.NewTable("WHAT", "VALUE").
				Row("window", dash(s.Window)).Row("rule", s.Rule).Row("until", until).Row("admits jobs", yesNo(s.AdmitsJobs)).
				Row("controller", controller).Row("cpu limit", coresOrNone(s.LimitCores)).Row("cpu used", fmt.Sprintf("%.2f s", s.CPUSeconds)).
				Row("memory used", mebi(s.MemoryBytes)).Row("processes", s.Processes).Row("frozen", yesNo(s.Frozen))
		}}, nil
	})
}

// clock is a moment for people, with the zone that the windows are meant in.
func clock(t time.Time) string { return t.Format("2006-01-02 15:04 MST") }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
