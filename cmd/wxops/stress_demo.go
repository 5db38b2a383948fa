package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/tui"
	"github.com/wxops/wxops/stress"
	"github.com/wxops/wxops/stress/demo"
)

func newStressDemo(s *cli.IO) *cobra.Command {
	var f shiftFlags
	var seed uint64
	var metastable bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See an online stress test in 20 seconds, with nothing to install",
		Long: `demo starts a small fleet inside this process: users, a weighted router, three
instances with bounded queues, and a name registry in a temporary folder. Then
it does with it what "wxops stress shift" does with yours, and shows the truth,
which is known here by construction, beside what the test found.

Everything speaks HTTP on 127.0.0.1. Left behind are the run log, which "wxops
stress replay-log" reads, and its lock. Exit codes are those of "stress shift".`,
		Example: `  wxops stress demo
  wxops stress demo --seed 7 --plain
  wxops stress demo --metastable
  wxops stress demo --plain -o json > curve.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runStressDemo(cmd.Context(), s, demo.Choose(seed, metastable), f)
		},
	}
	fl := cmd.Flags()
	fl.Uint64Var(&seed, "seed", 1, "which fleet: other seeds are other services")
	fl.BoolVar(&metastable, "metastable", false, "a service that slows down as its backlog grows")
	fl.BoolVar(&f.plain, "plain", false, "one line per step and decision on standard error, no live screen")
	f.output.AddFileFlag(cmd)
	f.output.AddFlag(cmd, "table", "json", "yaml")
	return cmd
}

// demoLimit ends the fleet whatever happens: a test takes about 20 s.
const demoLimit = 2 * time.Minute

func runStressDemo(ctx context.Context, s *cli.IO, service demo.Service, f shiftFlags) (err error) {
	if err := f.output.Check(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "wxops-demo-")
	if err != nil {
		return cli.Failf("make a folder for the demo").WithCause(err).WithHint("set TMPDIR to a folder you may write to")
	}
	defer func() {
		if e := os.RemoveAll(dir); err == nil && e != nil {
			err = cli.Failf("remove the folder of the demo").WithCause(e)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, demoLimit)
	defer cancel()
	fleet, err := demo.StartFleet(ctx, dir, service)
	if err != nil {
		return cli.Failf("start the demo").WithCause(err).WithHint("wxops doctor says what is missing")
	}
	defer func() {
		if _, e := fleet.Close(); err == nil && e != nil {
			err = cli.Failf("stop the demo").WithCause(e)
		}
	}()
	introduceDemo(s, service, fleet.Instances[0].Name())
	// The first second of the users is no ordinary traffic: connections are
	// opened, and the first requests of all workers end together.
	warm := time.NewTimer(1500 * time.Millisecond)
	select {
	case <-warm.C:
	case <-ctx.Done():
		warm.Stop()
		return ctx.Err()
	}
	f.names = "file:" + fleet.Names
	f.slo = service.Objective()
	f.metrics = fleet.Instances[0].MetricsURL()
	f.queueWait, f.backlog = demo.QueueWaitMetric, demo.BacklogMetric
	f.balance = stress.BalanceTurn
	f.maxSeconds, f.errorBudget = 60, "0.5%"
	curve, warnings, err := shiftCurve(ctx, s, "wxops stress demo", fleet.Instances[0].Name(), f)
	if err != nil {
		return err
	}
	curve.Mode = "demo"
	// A second of one core: after the test, so that it takes none from it.
	if s.Terminal() && !s.Quiet() {
		fmt.Fprintln(s.Err, "working out the truth by brute force ...")
	}
	curve.Truth = &capacity.Truth{PerSecond: service.Truth()}
	next := "wxops stress shift SERVICE/INSTANCE --names URL --slo 'p99<50ms' --dry-run"
	if curve.Verdict == capacity.VerdictGuard { // the fleet is sound: something took this machine's CPU
		next = "wxops stress demo # once more when this machine does nothing else"
	}
	return printCurve(s, curve, warnings, f, tui.Ending{Next: next, ByCPU: byCPUAlone(curve, service.Law)})
}

// introduceDemo says to people what they are about to see; the screen, which
// begins two seconds later, has no room for it.
func introduceDemo(s *cli.IO, service demo.Service, instance string) {
	if s.Quiet() {
		return
	}
	fmt.Fprintf(s.Err, `In this process run a service of 3 instances with %d workers each, a router that
deals requests out by weight, and users who send %.0f requests a second. How many
of them can %s carry with %s? The test raises its weight until it
knows, and puts it back. It takes about 20 s: 2 s until all users are there, 4 s
of ordinary traffic, then the rate rises.
`, service.Law.Workers, service.Rate, instance, service.Objective())
}

// byCPUAlone returns what a capacity by the CPU alone would have been: the
// rate at the ordinary load, scaled until all cores of the slice are busy. It
// is 0 where no CPU was measured.
func byCPUAlone(c capacity.Curve, law demo.Law) float64 {
	for _, p := range c.Points {
		if p.CPU != nil && *p.CPU > 0 && p.Throughput > 0 {
			return p.Throughput * float64(law.Workers) / *p.CPU
		}
	}
	return 0
}
