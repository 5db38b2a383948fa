package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/shirou/gopsutil/v3/mem"
	"github.com/spf13/cobra"

	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
	"github.com/wxops/wxops/naming"
)

// kindDoctor is what doctor found.
var kindDoctor = doc.Kind{Name: "doctor", Version: 1, Title: "What works on a machine", Data: diagnosis{}}

// diagnosis is the data of wxops/doctor/v1.
type diagnosis struct {
	Checks []finding `json:"checks" doc:"in a fixed order"`
	Demo   bool      `json:"demo_can_run" doc:"whether all is there that wxops stress demo needs"`
}

type finding struct {
	Check    string `json:"check"`
	Result   string `json:"result" doc:"ok, missing, or pending for what a test has left"`
	Found    string `json:"found" doc:"what is there, or why it is not"`
	NeededBy string `json:"needed_by" doc:"commands that need it"`
	Hint     string `json:"hint,omitempty" doc:"how to get it; unless the result is ok"`
}

// A check is one thing that wxops may need from the machine.
type check struct {
	name  string
	needs string // which command needs it
	run   func(context.Context) (found string, err error)
	hint  string
	fatal bool // the demo cannot run without it
}

func newDoctor(s *cli.IO) *cobra.Command {
	var names string
	var output cli.Output
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what works on this machine, and what is missing for which command",
		Long: `doctor looks at the machine and changes nothing. A missing part is no failure:
the line names the command that would need it and how to get it. With --names
(or WXOPS_NAMES) it also reads that registry.

Exit codes: 1 even "wxops stress demo" cannot run here.`,
		Example: `  wxops doctor
  wxops doctor --names haproxy:unix:/run/haproxy.sock
  wxops doctor -o json > machine.json
  wxops doctor && wxops stress demo`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := output.Check(); err != nil {
				return err
			}
			d := diagnose(cmd.Context(), checks(s, names))
			document, err := doc.Marshal(kindDoctor, toolVersion(), time.Now(), nil, nil, d)
			if err != nil {
				return err
			}
			if err := output.Print(s.Out, document, d.table); err != nil {
				return err
			}
			if !d.Demo {
				return cli.Exit(cli.ExitNo)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&names, "names", "", "`URL` of a registry to read: "+namesForms)
	output.AddFlag(cmd, "table", "json", "yaml")
	return cmd
}

// checks lists what doctor looks at; the registry only if names is its address.
func checks(s *cli.IO, names string) []check {
	all := []check{
		{"loopback", "stress demo", checkLoopback, "bring the interface lo up", true},
		{"state folder", "stress", func(context.Context) (string, error) { return checkState(s) }, "set XDG_STATE_HOME to a folder you may write to", true},
		{"restored", "stress shift", func(context.Context) (string, error) { return checkJournals(s) }, "wxops stress restore puts back what a test has left", false},
		{"terminal", "live screens", func(context.Context) (string, error) { return checkTerminal(s) }, "output is plain lines; --plain asks for the same", false},
		{"cores and memory", "stress, slice", checkMachine, "", false},
		{"sock_diag", "stress shift", checkSockets, "needs Linux; with --metrics URL nothing else is needed", false},
		{"cgroup", "slice", checkCgroup, "needs Linux with cgroup v1 or v2 mounted", false},
		{"haproxy", "stress shift", checkHAProxy, "apt-get install haproxy, for tests of one on this machine", false},
	}
	if names != "" {
		all = append(all, check{"registry", "stress shift", func(ctx context.Context) (string, error) { return checkRegistry(ctx, names) }, "wxops names ls --names '" + names + "' tells more", false})
	}
	return all
}

// diagnose carries out the checks one after the other.
func diagnose(ctx context.Context, checks []check) diagnosis {
	d := diagnosis{Checks: []finding{}, Demo: true}
	for _, c := range checks {
		found, err := c.run(ctx)
		f := finding{Check: c.name, Result: "ok", Found: found, NeededBy: c.needs}
		if err != nil {
			f.Result, f.Found, f.Hint = "missing", err.Error(), c.hint
			if errors.Is(err, errLeft) {
				f.Result = "pending"
			}
			d.Demo = d.Demo && !c.fatal
		}
		d.Checks = append(d.Checks, f)
	}
	return d
}

func (d diagnosis) table() *cli.Table {
	t := cli.NewTable("CHECK", "RESULT", "FOUND", "NEEDED BY")
	for _, f := range d.Checks {
		t.Row(f.Check, f.Result, f.Found, f.NeededBy)
		if f.Hint != "" {
			t.Note("hint: %s: %s", f.Check, f.Hint)
		}
	}
	return t
}

func checkLoopback(context.Context) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return "127.0.0.1 accepts listeners", nil
}

// stateRoom is about what the journal and the run log of a test take.
const stateRoom = 256 << 10

func checkState(s *cli.IO) (string, error) {
	dir, err := stateDir(s)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(make([]byte, stateRoom)) // a full disk takes empty files
	return dir + " is writable", errors.Join(err, f.Close())
}

// errLeft says that weights are not, or not yet, as they were.
var errLeft = errors.New("journals of tests, running or dead")

// checkJournals looks for what a test that died with its watchdog has left.
func checkJournals(s *cli.IO) (string, error) {
	dir, err := stateDir(s)
	if err != nil {
		return "", err
	}
	left, err := filepath.Glob(filepath.Join(dir, "shifts", "*.json"))
	if err != nil {
		return "", err
	}
	switch len(left) {
	case 0:
		return "no test has left a weight", nil
	case 1:
		return "", fmt.Errorf("%w: %s", errLeft, left[0])
	}
	return "", fmt.Errorf("%w: %d in %s", errLeft, len(left), filepath.Join(dir, "shifts"))
}

// checkRegistry reads a registry and counts what it lists.
func checkRegistry(ctx context.Context, names string) (string, error) {
	reg, err := openRegistry(ctx, names)
	if err != nil {
		return "", err
	}
	defer reg.Close()
	all, err := reg.List(ctx)
	if err != nil {
		return "", err
	}
	services, fit := 0, 0
	for i, in := range all {
		if i == 0 || all[i-1].Service != in.Service {
			services++
		}
		if of, at, err := naming.Find(all, in.Service, in.Name); err == nil && naming.Fit(of, at) == nil {
			fit++
		}
	}
	return fmt.Sprintf("%s, %s (%d testable)", count(services, "service"), count(len(all), "instance"), fit), nil
}

func checkTerminal(s *cli.IO) (string, error) {
	if !s.Terminal() {
		return "", fmt.Errorf("standard output is no terminal")
	}
	w, h := s.Size()
	return fmt.Sprintf("%dx%d", w, h), nil
}

func checkMachine(context.Context) (string, error) {
	m, err := mem.VirtualMemory()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, %.1f GiB", count(runtime.NumCPU(), "core"), float64(m.Total)/(1<<30)), nil
}

func checkSockets(context.Context) (string, error) {
	if _, err := os.Stat("/proc/net/tcp"); err != nil {
		return "", fmt.Errorf("no socket table on %s", runtime.GOOS)
	}
	return "socket table readable", nil
}

func checkCgroup(context.Context) (string, error) {
	for _, probe := range []struct{ path, layout string }{
		{"/sys/fs/cgroup/cgroup.controllers", "cgroup v2"},
		{"/sys/fs/cgroup/unified/cgroup.controllers", "cgroup v1 with v2 beside it (hybrid)"},
		{"/sys/fs/cgroup/cpu", "cgroup v1"},
	} {
		if _, err := os.Stat(probe.path); err == nil {
			return probe.layout, nil
		}
	}
	return "", fmt.Errorf("no cgroup tree in /sys/fs/cgroup")
}

func checkHAProxy(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "haproxy", "-v").Output()
	if err != nil {
		return "", fmt.Errorf("not on the PATH")
	}
	var release string
	if _, err := fmt.Sscanf(string(out), "HAProxy version %s", &release); err != nil {
		return "", fmt.Errorf("haproxy -v names no version")
	}
	return "version " + release, nil
}

// stateDir is where journals, locks and run logs lie: $XDG_STATE_HOME/wxops,
// by default ~/.local/state/wxops.
func stateDir(s *cli.IO) (string, error) {
	if dir := s.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "wxops"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no home folder: %w", err)
	}
	return filepath.Join(home, ".local", "state", "wxops"), nil
}
