package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/tui"
	"github.com/wxops/wxops/naming"
	"github.com/wxops/wxops/stress"
)

// shiftFlags are the flags of stress shift, and what stress demo fills in.
type shiftFlags struct {
	names         string
	slo           string
	metrics       string
	latency       string
	queueWait     string
	backlog       string
	pid           int
	maxShare      float64
	maxSeconds    float64
	errorBudget   string
	dryRun, plain bool
	output        cli.Output
	balance       stress.Balance // of the router of the demo; a registry that balances tells it itself
}

func newStressShift(s *cli.IO) *cobra.Command {
	var f shiftFlags
	cmd := &cobra.Command{
		Use:   "shift SERVICE/INSTANCE --names URL --slo OBJECTIVE",
		Short: "Find the capacity of one instance on live traffic, by raising its weight",
		Long: `shift raises the weight of one instance in the name service, step by step, so
that more of the service's real traffic flows to it. It fits a performance model
to what it sees, stops before users are hurt, and puts every weight back,
whatever happens: a watchdog process restores them when wxops dies.

Where the numbers come from, best first: --metrics URL, the instance's own
Prometheus endpoint; the statistics of the registry (HAProxy); sockets and
process, when the instance runs on this host.

Exit codes: 0 capacity found, or traffic too small to find it (verdict no-knee);
1 the service is metastable; 2 wrong usage; 3 it could not be done; 4 a guard
stopped the test; 130 interrupted.`,
		Example: `  wxops stress shift checkout/a --names haproxy:unix:/run/haproxy.sock \
      --slo 'p99<50ms,errors<0.1%' --metrics http://10.0.0.7:9100/metrics
  wxops stress shift checkout/a --names file:names.yaml --slo 'p99<50ms' \
      --metrics http://127.0.0.1:9100/metrics --dry-run
  WXOPS_NAMES=haproxy:tcp:127.0.0.1:9999 wxops stress shift checkout/a \
      --slo 'p99<50ms' --plain -o json --out curve.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runStressShift(cmd.Context(), s, args[0], f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.names, "names", "", "`URL` of the registry: "+namesForms)
	fl.StringVar(&f.slo, "slo", "", "`OBJECTIVE` that the instance must keep, as 'p99<50ms,errors<0.1%'")
	fl.StringVar(&f.metrics, "metrics", "", "`URL` of the instance's Prometheus text endpoint")
	fl.StringVar(&f.latency, "latency-metric", "", "`NAME` of the response-time histogram there (default found by conventional names)")
	fl.StringVar(&f.queueWait, "queue-wait-metric", "", "`NAME` of a queue-wait summary or histogram there, in seconds")
	fl.StringVar(&f.backlog, "backlog-metric", "", "`NAME` of a gauge there of requests accepted and not yet started")
	fl.IntVar(&f.pid, "pid", 0, "`PID` of the instance (default found by its address)")
	fl.Float64Var(&f.maxShare, "max-share", 0, "highest share of the service's requests, 0..1 (default twice the base share)")
	fl.Float64Var(&f.maxSeconds, "max-seconds", 60, "end the test after so many `SECONDS`")
	fl.StringVar(&f.errorBudget, "error-budget", "0.5%", "`SHARE` of requests that may miss the objective or fail")
	fl.BoolVar(&f.dryRun, "dry-run", false, "check everything and say what would be done; write no weight")
	fl.BoolVar(&f.plain, "plain", false, "one line per step and decision on standard error, no live screen")
	f.output.AddFileFlag(cmd)
	f.output.AddFlag(cmd, "table", "json", "yaml")
	return cmd
}

// parseConfig turns the flags into the configuration of the controller.
func (f shiftFlags) parseConfig() (stress.Config, error) {
	if f.slo == "" {
		return stress.Config{}, cli.Usagef("--slo is missing: what must the instance keep?").WithHint("--slo 'p99<50ms,errors<0.1%%'")
	}
	objective, err := capacity.ParseObjective(f.slo)
	if err != nil {
		return stress.Config{}, cli.Usagef("--slo %q", f.slo).WithCause(err).WithHint("--slo 'p99<50ms,errors<0.1%%'")
	}
	budget, err := capacity.ParseRatio(f.errorBudget)
	if err != nil {
		return stress.Config{}, cli.Usagef("--error-budget %q", f.errorBudget).WithCause(err).WithHint("--error-budget 0.5%%")
	}
	if !(f.maxShare >= 0 && f.maxShare <= 1) {
		return stress.Config{}, cli.Usagef("--max-share %v is outside [0, 1]", f.maxShare).WithHint("it is the share of the service's requests that may go to the instance, as --max-share 0.6")
	}
	if !(f.maxSeconds >= 5 && f.maxSeconds <= 3600) {
		return stress.Config{}, cli.Usagef("--max-seconds %v is outside [5, 3600]", f.maxSeconds).WithHint("--max-seconds 60")
	}
	if f.pid < 0 {
		return stress.Config{}, cli.Usagef("--pid %d is no process", f.pid).WithHint("--pid takes the number that pidof or ps shows")
	}
	c := stress.Config{
		Objective: objective, ErrorBudget: budget, Balance: f.balance,
		MaxDuration: time.Duration(f.maxSeconds * float64(time.Second)),
	}
	if err := c.Check(); err != nil {
		return stress.Config{}, cli.Usagef("--slo %q", f.slo).WithCause(err).WithHint("--slo 'p99<50ms,errors<0.1%%'")
	}
	return c, nil
}

func runStressShift(ctx context.Context, s *cli.IO, id string, f shiftFlags) error {
	if err := f.output.Check(); err != nil {
		return err
	}
	curve, warnings, err := shiftCurve(ctx, s, "wxops stress shift "+id, id, f)
	if err != nil || f.dryRun {
		return err
	}
	return printCurve(s, curve, warnings, f, tui.Ending{Next: nextAfter(curve)})
}

// nextAfter returns the command that makes sense after a test.
func nextAfter(c capacity.Curve) string {
	before, after := c.Test.WeightBefore, c.Test.WeightAfter
	switch {
	case before != nil && after != nil && *before != *after:
		return "wxops stress restore puts the weights back, unless the watchdog has"
	case c.Verdict == capacity.VerdictNoKnee:
		return "repeat at the daily peak, or raise --max-share or --max-seconds"
	case c.Verdict == capacity.VerdictOK:
		return "wxops stress shift " + c.Instance + " ... --out curve.json keeps the document"
	}
	return "wxops names ls shows the weights and health of " + c.Service
}

// shiftCurve carries out a whole test of one instance: flags, registry,
// signals, weight change, screen. It returns the curve and what is to be known
// before it is trusted. With --dry-run it prints what it would do and changes
// nothing.
func shiftCurve(ctx context.Context, s *cli.IO, title, id string, f shiftFlags) (none capacity.Curve, warnings []string, err error) {
	t := &shiftTest{flags: f}
	defer t.close()
	if err := t.prepare(ctx, id); err != nil {
		return none, nil, err
	}
	if f.dryRun {
		return none, nil, t.dryRun(ctx, s)
	}
	shift, lever, err := t.begin(ctx, s)
	if err != nil {
		return none, nil, err
	}
	defer shift.Restore(context.WithoutCancel(ctx)) // idempotent: the run has done it, unless it never began
	runner := stress.NewRunner(stress.Options{
		Instance: id, Config: t.config, Lever: lever, Sources: t.sources, Guards: t.guards, Log: shiftLog{shift},
		Healthy: func(ctx context.Context) error { return shiftHealthy(ctx, shift, t.guardRegistry) },
	})
	curve, err := watchRun(ctx, s, title, runner, f.plain)
	curve.Service = t.target.Service
	switch {
	case errors.Is(err, stress.ErrUnfit):
		return none, nil, cli.Failf("stress %s", id).WithCause(err).WithHint("nothing was changed; add --dry-run to see what the signals say")
	case errors.Is(err, context.Canceled) && curve.Verdict == "":
		return none, nil, cli.Exit(cli.ExitInterrupted) // by a key or a signal, before anything was changed
	case err != nil && curve.Verdict == "":
		return none, nil, err
	case err != nil:
		// The document tells how the test ended; the watchdog goes on restoring.
		fmt.Fprintf(s.Err, "error: the weights of %s are not back\ncause: %v\nhint:  the watchdog goes on; wxops stress restore does the same\n", t.target.Service, err)
	default:
		restored, _ := shift.Restore(ctx) // the report of the restore that the run has made
		warnings = leftWeights(t.target.Service, restored)
	}
	if t.rule == leastConn {
		warnings = append(warnings, leastConnNote)
	}
	return curve, warnings, nil
}

// leftWeights names the weights that a restore did not touch, because somebody
// else had changed them.
func leftWeights(service string, restored naming.Report) (warnings []string) {
	for _, left := range restored.Left {
		warnings = append(warnings, fmt.Sprintf("%s/%s was left at weight %d, it was %d before: %s", service, left.Instance, left.Found, left.Base, left.Reason))
	}
	return warnings
}

// A shiftTest is what a test needs: prepare finds it and changes nothing, begin
// makes the test real.
type shiftTest struct {
	flags  shiftFlags
	config stress.Config

	registry, guardRegistry naming.Registry   // guards have a connection of their own
	of                      []naming.Instance // the instances of the service
	target                  naming.Instance   // the one of them to be tested
	rule                    string            // by which the registry deals out requests, in its words

	sources, guards []stress.Source
	notes           []string // signals that are missing, and why
}

// prepare finds all that the test of an instance needs, and opens it.
func (t *shiftTest) prepare(ctx context.Context, id string) (err error) {
	names := t.flags.names
	if t.config, err = t.flags.parseConfig(); err != nil {
		return err
	}
	service, instance, err := naming.ParseID(id)
	if err != nil {
		return cli.Usagef("%s", err).WithHint("wxops names ls --names '%s' lists the instances", names)
	}
	if t.registry, err = openNames(ctx, names); err != nil {
		return err
	}
	if t.guardRegistry, err = openNames(ctx, names); err != nil {
		return err
	}
	all, err := t.registry.List(ctx)
	if err != nil {
		return namesError("list "+names, names, err)
	}
	of, at, err := naming.Find(all, service, instance)
	if err != nil {
		return namesError("find "+id, names, err)
	}
	if err := naming.Fit(of, at); err != nil { // before anything is opened; Begin looks again under its lock
		return namesError("test "+id, names, err)
	}
	t.of, t.target = of, of[at]
	if b, ok := t.registry.(naming.Balancer); ok {
		if t.rule, err = b.Balance(ctx, service); err != nil {
			return namesError("ask how "+service+" is balanced", names, err)
		}
		t.config.Balance = balanceOf(t.rule)
	}
	return t.openSignals(ctx)
}

// begin journals the weights and takes the lease. The shift it returns must be
// restored.
func (t *shiftTest) begin(ctx context.Context, s *cli.IO) (*naming.Shift, *stress.ShiftLever, error) {
	o, err := shiftOptions(s)
	if err != nil {
		return nil, nil, err
	}
	shift, err := naming.Begin(ctx, t.registry, t.target.Service, t.target.Name, o)
	if err != nil {
		return nil, nil, namesError("begin the test of "+t.target.ID(), t.flags.names, err)
	}
	lever := stress.NewShiftLever(shift, t.target.Name, t.flags.maxShare)
	if lever.Most() <= shift.BaseShare() {
		defer shift.Restore(context.WithoutCancel(ctx)) // nothing was written; lock and journal go
		return nil, nil, cli.Usagef("--max-share %.3g is not above the share that %s has now, %.3g", t.flags.maxShare, t.target.ID(), shift.BaseShare()).
			WithHint("--max-share %.2g", min(1, 2*shift.BaseShare()))
	}
	return shift, lever, nil
}

// close closes whatever was opened.
func (t *shiftTest) close() {
	for _, source := range append(t.sources, t.guards...) {
		_ = source.Close() // nothing is lost with a source
	}
	for _, registry := range []naming.Registry{t.registry, t.guardRegistry} {
		if registry != nil {
			_ = registry.Close() // nor with a connection
		}
	}
}

// leastConn is HAProxy's word for giving a request to the least loaded instance.
const leastConn = "leastconn"

// leastConnNote is what a capacity behind leastconn means; docs/operations.md
// has the figures.
const leastConnNote = "leastconn gives requests to peers while this instance has a queue: the capacity holds while they have room, and is less when all are at it at once"

// balanceOf reads HAProxy's word for how requests are dealt out.
func balanceOf(rule string) stress.Balance {
	switch name, _, _ := strings.Cut(rule, "("); strings.TrimSpace(name) {
	case "roundrobin", "static-rr":
		return stress.BalanceTurn
	case "source", "uri", "url_param", "hdr", "rdp-cookie", "hash":
		return stress.BalanceChance
	}
	return stress.BalanceUnknown // leastconn, first, random of two: by load
}

// shiftLog appends what the controller sees and decides to the run log of the
// weight change.
type shiftLog struct{ shift *naming.Shift }

func (l shiftLog) Write(line []byte) (int, error) {
	return len(line), l.shift.Log("controller", jsonLine(line))
}

// jsonLine is JSON as it stands.
type jsonLine []byte

func (l jsonLine) MarshalJSON() ([]byte, error) { return l, nil }

// shiftHealthy says which instance with a weight cannot take requests, or whose
// weight somebody else has changed.
func shiftHealthy(ctx context.Context, shift *naming.Shift, registry naming.Registry) error {
	of, err := shift.Look(ctx, registry)
	if err != nil {
		return err
	}
	for _, in := range of {
		if in.Weight > 0 && !in.Health.OK() {
			return fmt.Errorf("%s is %s", in.ID(), in.Condition())
		}
	}
	return nil
}
