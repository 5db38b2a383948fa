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
	"github.com/wxops/wxops/stress/signal"
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
	switch c.Verdict {
	case capacity.VerdictNoKnee:
		return "repeat at the daily peak, or raise --max-share or --max-seconds"
	case capacity.VerdictOK:
		return "wxops stress shift " + c.Instance + " ... --out curve.json keeps the document"
	}
	return "wxops names ls shows the weights and health of " + c.Service
}

// shiftCurve carries out a whole test of one instance: flags, registry,
// signals, weight change, screen. It returns the curve and what is to be known
// before it is trusted. With --dry-run it prints what it would do and changes
// nothing.
func shiftCurve(ctx context.Context, s *cli.IO, title, id string, f shiftFlags) (none capacity.Curve, warnings []string, err error) {
	config, err := f.parseConfig()
	if err != nil {
		return none, nil, err
	}
	service, instance, err := naming.ParseID(id)
	if err != nil {
		return none, nil, cli.Usagef("%s", err).WithHint("wxops names ls --names '%s' lists the instances", f.names)
	}
	registry, err := openNames(ctx, f.names)
	if err != nil {
		return none, nil, err
	}
	defer registry.Close()
	guardRegistry, err := openNames(ctx, f.names) // guards have a connection of their own
	if err != nil {
		return none, nil, err
	}
	defer guardRegistry.Close()

	all, err := registry.List(ctx)
	if err != nil {
		return none, nil, namesError("list "+f.names, f.names, err)
	}
	of, at, err := naming.Find(all, service, instance)
	if err != nil {
		return none, nil, namesError("find "+id, f.names, err)
	}
	if err := naming.Fit(of, at); err != nil { // before anything is opened; Begin looks again under its lock
		return none, nil, namesError("test "+id, f.names, err)
	}
	rule := ""
	if b, ok := registry.(naming.Balancer); ok {
		if rule, err = b.Balance(ctx, service); err != nil {
			return none, nil, namesError("ask how "+service+" is balanced", f.names, err)
		}
		config.Balance = balanceOf(rule)
	}
	p := probes{flags: f, config: config, target: of[at], rule: rule}
	defer p.close()
	if err := p.open(ctx, registry, guardRegistry); err != nil {
		return none, nil, err
	}
	if f.dryRun {
		return none, nil, dryRun(ctx, s, registry.Address(), of, at, p)
	}

	o, err := shiftOptions(s)
	if err != nil {
		return none, nil, err
	}
	shift, err := naming.Begin(ctx, registry, service, instance, o)
	if err != nil {
		return none, nil, namesError("begin the test of "+id, f.names, err)
	}
	defer shift.Restore(context.WithoutCancel(ctx)) // idempotent: the run has done it, unless it never began
	lever := stress.NewShiftLever(shift, instance, f.maxShare)
	if lever.Most() <= shift.BaseShare() {
		return none, nil, cli.Usagef("--max-share %.3g is not above the share that %s has now, %.3g", f.maxShare, id, shift.BaseShare()).
			WithHint("--max-share %.2g", min(1, 2*shift.BaseShare()))
	}
	runner := stress.NewRunner(stress.Options{
		Instance: id, Config: config, Lever: lever, Sources: p.sources, Guards: p.guards, Log: shiftLog{shift},
		Healthy: func(ctx context.Context) error { return shiftHealthy(ctx, shift, guardRegistry) },
	})
	curve, err := watchRun(ctx, s, title, runner, f.plain)
	curve.Service = service
	switch {
	case errors.Is(err, stress.ErrUnfit):
		return none, nil, cli.Failf("stress %s", id).WithCause(err).WithHint("nothing was changed; add --dry-run to see what the signals say")
	case err != nil && curve.Verdict == "":
		return none, nil, err
	case err != nil:
		// The document tells how the test ended; the watchdog goes on restoring.
		fmt.Fprintf(s.Err, "error: %v\nhint:  the watchdog goes on; wxops stress restore does the same\n", err)
	}
	if err == nil {
		rep, _ := shift.Restore(ctx) // the report of the restore that the run has made
		for _, left := range rep.Left {
			warnings = append(warnings, fmt.Sprintf("%s/%s was left at weight %d, it was %d before: %s", service, left.Instance, left.Found, left.Base, left.Reason))
		}
	}
	if rule == leastConn {
		warnings = append(warnings, leastConnNote)
	}
	return curve, warnings, nil
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

// probes are the signals of one test.
type probes struct {
	flags           shiftFlags
	config          stress.Config
	target          naming.Instance
	rule            string // by which the registry deals out requests, in its words
	sources, guards []stress.Source
	notes           []string // signals that are missing, and why
}

// open opens every signal there is: one set for the windows, one for the guards.
func (p *probes) open(ctx context.Context, registry, guardRegistry naming.Registry) error {
	if p.flags.metrics == "" && p.flags.latency+p.flags.queueWait+p.flags.backlog != "" {
		return cli.Usagef("a metric is named without --metrics").WithHint("add --metrics http://HOST:PORT/metrics")
	}
	// Requests in flight swing within a window: the statistics are read 20
	// times in it. A guard wants the instant.
	if err := p.openSet(ctx, &p.sources, registry, 50*time.Millisecond); err != nil {
		return err
	}
	p.notes = nil // the second set finds the same
	if err := p.openSet(ctx, &p.guards, guardRegistry, 0); err != nil {
		return err
	}
	if len(p.sources) == 0 {
		return cli.Usagef("no signal tells how %s is doing", p.target.ID()).
			WithHint("pass --metrics http://%s/metrics, or run wxops on the host of the instance", p.target.Address)
	}
	return nil
}

func (p *probes) openSet(ctx context.Context, to *[]stress.Source, registry naming.Registry, every time.Duration) error {
	bound, _ := p.config.Objective.Latency()
	if p.flags.metrics != "" {
		m, err := signal.OpenMetrics(ctx, signal.MetricsOptions{
			URL: p.flags.metrics, Bound: bound.Bound,
			Latency: p.flags.latency, QueueWait: p.flags.queueWait, Backlog: p.flags.backlog, Instant: every == 0,
		})
		if err != nil {
			return metricsError(p.flags.metrics, err)
		}
		*to = append(*to, m)
	}
	var requests func() float64
	r, err := signal.OpenRegistry(ctx, registry, signal.RegistryOptions{
		Service: p.target.Service, Instance: p.target.Name, Every: every,
	})
	switch {
	case err == nil:
		// Sockets tell response times of every request, a balancer a sliding mean:
		// its statistics come last.
		defer func() { *to = append(*to, r) }()
		requests = r.Requests
	case errors.Is(err, naming.ErrNoStats):
		p.notes = append(p.notes, "registry: it has no statistics")
	default:
		return namesError("read the statistics of "+p.flags.names, p.flags.names, err)
	}
	if p.flags.metrics != "" && p.flags.pid == 0 {
		return nil // the instance tells more of itself than its sockets do
	}
	return p.openLocal(ctx, to, requests, every == 0)
}

// localPace is how often the sockets of the instance are looked at. A look
// takes about 50 us, and response times are no finer than the time between two.
const localPace = 20 * time.Millisecond

// openLocal adds sockets and process where the instance runs on this host.
// requests counts the requests of the instance, nil if nobody does.
func (p *probes) openLocal(ctx context.Context, to *[]stress.Source, requests func() float64, instant bool) error {
	bound, _ := p.config.Objective.Latency()
	process, err := signal.OpenProcess(ctx, signal.ProcessOptions{Address: p.target.Address, PID: p.flags.pid})
	if err != nil {
		if p.flags.pid != 0 {
			return cli.Failf("watch process %d", p.flags.pid).WithCause(err).
				WithHint("--pid takes a running process of this user (root may watch any); without --pid it is found by the address of %s", p.target.ID())
		}
		p.notes = append(p.notes, "process: "+err.Error())
	} else {
		*to = append(*to, process)
	}
	sockets, err := signal.OpenSockets(ctx, signal.SocketsOptions{
		Address: p.target.Address, PID: p.flags.pid, Every: localPace, Requests: requests, Bound: bound.Bound, Instant: instant,
	})
	if err != nil {
		p.notes = append(p.notes, "sockets: "+err.Error())
		return nil
	}
	*to = append(*to, sockets)
	return nil
}

func (p *probes) close() {
	for _, source := range append(p.sources, p.guards...) {
		_ = source.Close() // nothing is lost with a source
	}
}

func metricsError(url string, err error) error {
	var m *signal.MetricError
	if errors.As(err, &m) {
		return cli.Usagef("--metrics %s", url).WithCause(err).WithHint("name it with --latency-metric, --queue-wait-metric or --backlog-metric")
	}
	return cli.Failf("read --metrics %s", url).WithCause(err).WithHint("curl %s should print Prometheus text", url)
}
