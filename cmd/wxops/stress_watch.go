package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
	"github.com/wxops/wxops/internal/tui"
	"github.com/wxops/wxops/stress"
)

// watchRun carries out a test and shows it meanwhile: on a live screen where
// there is a terminal, else as one line per step and decision.
func watchRun(ctx context.Context, s *cli.IO, title string, r *stress.Runner, plain bool) (capacity.Curve, error) {
	ended, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	shown := make(chan error, 1)
	if s.Terminal() && !plain {
		w, h := s.Size()
		screen := tui.Screen{Title: title, Snapshot: r.Snapshot, Command: r.Command, Abort: r.Abort, Color: s.Color(), ASCII: !s.UTF8(), Width: w, Height: h}
		go func() { shown <- screen.Run(ended, s.In, s.Out) }()
	} else {
		go func() { shown <- writeLines(ended, s, r.Snapshot) }()
	}
	curve, err := r.Run(ctx)
	end()
	if e := <-shown; e != nil {
		fmt.Fprintf(s.Err, "warning: the screen failed: %v\n", e)
	}
	return curve, err
}

// writeLines writes a line per step and decision to standard error until ctx ends.
func writeLines(ctx context.Context, s *cli.IO, snapshot func() stress.Snapshot) error {
	var plain tui.Plain
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for done := false; !done; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			done = true // once more, for the last lines
		}
		for _, line := range plain.Lines(snapshot()) {
			if _, err := fmt.Fprintln(s.Err, line); err != nil {
				return err
			}
		}
	}
	return nil
}

// printCurve prints the result of a stress test, a person gets its summary, and returns the
// exit code of its verdict.
func printCurve(s *cli.IO, c capacity.Curve, warnings []string, f shiftFlags, ending tui.Ending) error {
	document, err := doc.Marshal(kindCurve, toolVersion(), time.Now(), nil, warnings, c)
	if err != nil {
		return err
	}
	if f.output.Format == "table" {
		if err := f.output.Save(document); err != nil {
			return err
		}
		ending.Width = s.Columns()
		_, err = fmt.Fprintln(s.Out, strings.Join(tui.Summary(c, ending), "\n"))
		for _, warning := range warnings {
			fmt.Fprintf(s.Err, "note: %s\n", warning)
		}
	} else {
		err = f.output.Print(s.Out, document, nil)
	}
	if err != nil {
		return err
	}
	return cli.Exit(exitOf(c.Verdict))
}

// exitOf returns the exit code of a verdict.
func exitOf(v capacity.Verdict) int {
	switch v {
	case capacity.VerdictOK, capacity.VerdictNoKnee:
		return cli.ExitOK
	case capacity.VerdictMetastable:
		return cli.ExitNo
	case capacity.VerdictInterrupted:
		return cli.ExitInterrupted
	}
	return cli.ExitGuarded
}
