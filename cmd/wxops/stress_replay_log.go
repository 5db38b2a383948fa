package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/stress"
)

func newStressReplayLog(s *cli.IO) *cobra.Command {
	return &cobra.Command{
		Use:   "replay-log RUNLOG",
		Short: "Recompute every decision of a test from its run log",
		Long: `replay-log gives the samples of a run log ("-" for standard input) to a new
controller and compares each decision with the recorded one, bit for bit.

Exit codes: 0 every decision is the same; 1 one differs; 2 this is no run log; 3
it cannot be read.`,
		Example: `  wxops stress replay-log run.jsonl
  wxops stress replay-log "$(ls ~/.local/state/wxops/runs/*.jsonl | tail -1)"
  wxops stress replay-log - < run.jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			in := s.In
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return cli.Unreadable(args[0], err)
				}
				defer f.Close()
				in = f
			}
			r, err := stress.Replay(in)
			switch {
			case errors.Is(err, stress.ErrReplay):
				return &cli.Error{Code: cli.ExitNo, What: "the log and the controller disagree", Cause: err, Hint: "was the log written by another wxops? wxops version"}
			case err != nil:
				return cli.Usagef("run log %q cannot be replayed", args[0]).WithCause(err).
					WithHint("it takes a whole log of a stress test; those of names weight and drain hold writes alone")
			}
			_, err = fmt.Fprintf(s.Out, "%s recomputed, all equal\n", count(r.Decisions, "decision"))
			if r.Last.Reason != "" && err == nil {
				_, err = fmt.Fprintf(s.Out, "the last: %s\n", r.Last.Reason)
			}
			return err
		},
	}
}
