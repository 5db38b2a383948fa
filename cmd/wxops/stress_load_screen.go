package main

import (
	"context"
	"fmt"
	"time"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/tui"
	"github.com/wxops/wxops/stress/load"
)

// showLoad prepares o for a run that is shown: on a live screen where there is
// a terminal, with plain as a line for each interval on standard error, else
// not at all. The function it returns shows the run of g; what that returns
// ends the showing.
func showLoad(s *cli.IO, o *load.Options, terms []capacity.Term, plain bool) func(*load.Generator) (end func()) {
	if plain {
		o.OnInterval = func(i load.Interval) { fmt.Fprintln(s.Err, tui.LoadLine(i)) }
	}
	if plain || !s.Terminal() || s.Quiet() {
		return func(*load.Generator) func() { return func() {} }
	}
	w, h := s.Size()
	screen := &tui.LoadScreen{
		Title: "wxops stress load", Thresholds: terms, Limit: runLimit(o),
		Color: s.Color(), ASCII: !s.UTF8(), Width: w, Height: h,
	}
	if len(o.Targets) > 0 {
		screen.Target = o.Targets[0].Origin() + o.Targets[0].URL.Path
	}
	o.OnInterval = screen.Interval
	return func(g *load.Generator) func() {
		ctx, cancel := context.WithCancel(context.Background())
		shown := make(chan error, 1)
		go func() { shown <- screen.Run(ctx, g, s.In, s.Out) }()
		return func() {
			cancel()
			if err := <-shown; err != nil {
				fmt.Fprintf(s.Err, "warning: the screen failed: %v\n", err)
			}
		}
	}
}

// runLimit is how long the run will last, 0 if the number of requests ends it.
func runLimit(o *load.Options) time.Duration {
	if o.Requests > 0 {
		return 0
	}
	if len(o.Stages) > 0 {
		_, d := load.Total(o.Stages)
		return d
	}
	return o.Duration
}
