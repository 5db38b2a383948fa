package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
	"github.com/wxops/wxops/stress/load"
)

// findMax looks for the capacity and prints its curve, also of a search that
// could not succeed: exit 1 when no rate keeps the objective, 3 when nothing
// could be sent.
func findMax(ctx context.Context, s *cli.IO, out *cli.Output, o load.Options, f *loadFlags) error {
	if f.slo == "" {
		return cli.Usagef("--find-max needs an objective").WithHint("--slo 'p99<50ms,errors<0.1%%'")
	}
	objective, err := capacity.ParseObjective(f.slo)
	if err != nil {
		return cli.Usagef("--slo: %s", err).WithHint("--slo 'p99<50ms,errors<0.1%%'")
	}
	if _, ok := objective.Latency(); !ok {
		return cli.Usagef("--slo %q bounds no quantile of the response time", f.slo).WithHint("--slo 'p99<50ms'")
	}
	if len(o.Stages) > 0 {
		return cli.Usagef("--find-max chooses the rate; --rate, --ramp and --stages cannot be given with it")
	}
	search := load.Search{Objective: objective, Limit: o.Duration, MaxRate: f.maxRate}
	if !s.Quiet() {
		search.OnStep = func(at time.Duration, text string) { fmt.Fprintf(s.Err, "%4.0fs  %s\n", at.Seconds(), text) }
	}
	c, ended := load.FindMax(ctx, o, search)
	if c.Verdict == "" {
		return startError(ended, o)
	}
	c.Service = o.Targets[0].Origin()
	b, err := doc.Marshal(kindCurve, toolVersion(), time.Now(), nil, nil, c)
	if err != nil {
		return err
	}
	if err := out.Print(s.Out, b, func() *cli.Table { return findMaxTable(&c) }); err != nil {
		return err
	}
	var unsent *load.NothingSent
	switch {
	case errors.As(ended, &unsent):
		return nothingSent(unsent.Cause, o)
	case errors.Is(ended, load.ErrMissed):
		return cli.Exit(cli.ExitNo)
	}
	return cli.Exit(exitOf(c.Verdict))
}

func findMaxTable(c *capacity.Curve) *cli.Table {
	t := cli.NewTable(">OFFERED", ">THROUGHPUT", ">P50", ">P99", ">WAIT", ">SECONDS")
	for _, p := range c.Points {
		t.Row(perSecond(p.Offered), perSecond(p.Throughput), shown(p.P50), shown(p.P99), shown(p.QueueWait), fmt.Sprintf("%.1f", p.Seconds))
	}
	if k := c.Capacity; k.Found {
		t.Note("capacity: %s req/s (95 %%: %s to %s) with %s", perSecond(*k.PerSecond), perSecond(*k.Low), perSecond(*k.High), c.SLO)
	} else if k.Low != nil {
		t.Note("capacity: not found; %s req/s were held with %s", perSecond(*k.Low), c.SLO)
	}
	t.Note("test: %.0f s, %s, %.2f %% of them missed the objective or failed", c.Test.Seconds, count(int(c.Test.Requests), "request"), 100*c.Test.ViolationRatio)
	t.Note("verdict: %s: %s", c.Verdict, c.Reason)
	return t
}
