package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/naming"
)

// newRestore is "names restore" and "stress restore": one command under both
// names, because one looks for it in both places.
func newRestore(s *cli.IO, path string) *cobra.Command {
	var movedTo string
	var output cli.Output
	cmd := &cobra.Command{
		Use:   "restore [JOURNAL]",
		Short: "Put back what tests that died have left",
		Long: `restore looks for journals of tests whose process is dead and puts the weights
back to what they were. It is idempotent, and leaves alone what somebody else
has changed meanwhile. The watchdog of a test does the same by itself within
milliseconds, so there is rarely anything to do. With JOURNAL only that one is
restored, and --moved-to says where its registry is now.

Exit codes: 0 nothing is left to do; 1 a weight was left alone, because somebody
else changed it; 2 wrong usage, or the file is no journal; 3 a registry could
not be reached.`,
		Example: "  " + path + "\n  " + path + " && echo all weights are back\n  " + path + " checkout-f888f51a309c.json \\\n      --moved-to haproxy:unix:/run/new.sock",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := output.Check(); err != nil {
				return err
			}
			if len(args) > 0 {
				return restoreOne(cmd.Context(), s, output, args[0], movedTo)
			}
			if movedTo != "" {
				return cli.Usagef("--moved-to %s without a journal", movedTo).WithHint("%s JOURNAL --moved-to %s", path, movedTo)
			}
			dir, err := stateDir(s)
			if err != nil {
				return cli.Failf("find the state folder").WithCause(err).WithHint("set XDG_STATE_HOME to a folder you may write to")
			}
			found, err := naming.RestoreAll(cmd.Context(), dir, openRegistry)
			if err != nil {
				return cli.Failf("restore").WithCause(err)
			}
			if len(found) == 0 && output.Format == "table" {
				_, err := fmt.Fprintln(s.Out, "nothing to restore: no test has left anything")
				return err
			}
			return printLeftovers(s, output, path, found)
		},
	}
	output.AddFlag(cmd, "table", "json", "yaml")
	cmd.Flags().StringVar(&movedTo, "moved-to", "", "`URL` where the registry of JOURNAL is now, as in --names")
	return cmd
}

// restoreOne replays one journal, given by its path or by its name in the state
// folder. movedTo is where its registry is now, "" if it is where it was.
func restoreOne(ctx context.Context, s *cli.IO, output cli.Output, journal, movedTo string) error {
	if !strings.ContainsRune(journal, filepath.Separator) {
		dir, err := stateDir(s)
		if err != nil {
			return cli.Failf("find the state folder").WithCause(err).WithHint("set XDG_STATE_HOME to a folder you may write to")
		}
		journal = filepath.Join(dir, "shifts", journal)
	}
	open := openRegistry
	if movedTo != "" {
		open = func(ctx context.Context, _ string) (naming.Registry, error) { return openNames(ctx, movedTo) }
	}
	report, err := naming.RestoreFile(ctx, journal, open)
	var shown *cli.Error
	var unread *fs.PathError
	switch {
	case errors.As(err, &shown):
		return err
	case errors.Is(err, naming.ErrJournal):
		return cli.Usagef("restore from %s", journal).WithCause(err).WithHint("wxops stress restore looks for journals by itself")
	case errors.As(err, &unread) && unread.Path == journal:
		return cli.Unreadable(journal, unread).WithHint("wxops stress restore looks for journals by itself")
	}
	return printLeftovers(s, output, "wxops stress restore", []naming.Leftover{{Journal: journal, Report: report, Err: err}})
}

// printLeftovers prints what became of each journal. A weight that was left
// alone is exit code 1, a journal that could not be replayed 3.
func printLeftovers(s *cli.IO, output cli.Output, path string, found []naming.Leftover) error {
	code := cli.ExitOK
	records := []weightRecord{}
	for _, l := range found {
		service := weightRecord{Registry: l.Report.Registry, Service: l.Report.Service}
		var busy *naming.BusyError
		switch {
		case errors.As(l.Err, &busy):
			service.Service, service.Outcome, service.Reason = busy.Service, weightRunning, fmt.Sprintf("process %d", busy.PID)
			records = append(records, service)
			continue
		case l.Err != nil:
			code = cli.ExitFailed
			fmt.Fprintf(s.Err, "error: restore from %s\ncause: %v\nhint:  has it moved? %s %s --moved-to URL\n", l.Journal, l.Err, path, filepath.Base(l.Journal))
			service.Outcome, service.Reason = weightFailed, fmt.Sprintf("restore from %s: %v", l.Journal, l.Err)
			records = append(records, service)
			continue
		}
		add := func(instance, outcome string, before, after, base *int, reason string) {
			r := service
			r.Instance, r.Outcome, r.Before, r.After, r.Base, r.Reason = r.Service+"/"+instance, outcome, before, after, base, reason
			records = append(records, r)
		}
		for _, c := range l.Report.Restored {
			add(c.Instance, weightRestored, toInt(c.From), toInt(c.To), toInt(c.To), "")
		}
		for _, name := range l.Report.Already {
			add(name, weightAtBase, nil, nil, nil, "")
		}
		for _, left := range l.Report.Left {
			if code == cli.ExitOK {
				code = cli.ExitNo
			}
			add(left.Instance, weightLeft, toInt(left.Found), toInt(left.Found), toInt(left.Base), left.Reason)
		}
	}
	if err := printWeights(s, output, records); err != nil {
		return err
	}
	return cli.Exit(code)
}
