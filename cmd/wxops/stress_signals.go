package main

import (
	"context"
	"errors"
	"time"

	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/naming"
	"github.com/wxops/wxops/stress"
	"github.com/wxops/wxops/stress/signal"
)

// openSignals opens every signal there is: one set for the windows, one for the guards.
func (t *shiftTest) openSignals(ctx context.Context) error {
	if t.flags.metrics == "" && t.flags.latency+t.flags.queueWait+t.flags.backlog != "" {
		return cli.Usagef("a metric is named without --metrics").WithHint("add --metrics http://HOST:PORT/metrics")
	}
	// Requests in flight swing within a window: the statistics are read 20
	// times in it. A guard wants the instant.
	if err := t.openSet(ctx, &t.sources, t.registry, 50*time.Millisecond); err != nil {
		return err
	}
	t.notes = nil // the second set finds the same
	if err := t.openSet(ctx, &t.guards, t.guardRegistry, 0); err != nil {
		return err
	}
	if len(t.sources) == 0 {
		return cli.Usagef("no signal tells how %s is doing", t.target.ID()).
			WithHint("pass --metrics http://%s/metrics, or run wxops on the host of the instance", t.target.Address)
	}
	return nil
}

func (t *shiftTest) openSet(ctx context.Context, to *[]stress.Source, registry naming.Registry, every time.Duration) error {
	bound, _ := t.config.Objective.Latency()
	if t.flags.metrics != "" {
		m, err := signal.OpenMetrics(ctx, signal.MetricsOptions{
			URL: t.flags.metrics, Bound: bound.Bound,
			Latency: t.flags.latency, QueueWait: t.flags.queueWait, Backlog: t.flags.backlog, Instant: every == 0,
		})
		if err != nil {
			return metricsError(t.flags.metrics, err)
		}
		*to = append(*to, m)
	}
	var requests func() float64
	r, err := signal.OpenRegistry(ctx, registry, signal.RegistryOptions{
		Service: t.target.Service, Instance: t.target.Name, Every: every,
	})
	switch {
	case err == nil:
		// Sockets tell response times of every request, a balancer a sliding mean:
		// its statistics come last.
		defer func() { *to = append(*to, r) }()
		requests = r.Requests
	case errors.Is(err, naming.ErrNoStats):
		t.notes = append(t.notes, "registry: it has no statistics")
	default:
		return namesError("read the statistics of "+t.flags.names, t.flags.names, err)
	}
	if t.flags.metrics != "" && t.flags.pid == 0 {
		return nil // the instance tells more of itself than its sockets do
	}
	return t.openLocal(ctx, to, requests, every == 0)
}

// localPace is how often the sockets of the instance are looked at. A look
// takes about 50 us, and response times are no finer than the time between two.
const localPace = 20 * time.Millisecond

// openLocal adds sockets and process where the instance runs on this host.
// requests counts the requests of the instance, nil if nobody does.
func (t *shiftTest) openLocal(ctx context.Context, to *[]stress.Source, requests func() float64, instant bool) error {
	bound, _ := t.config.Objective.Latency()
	process, err := signal.OpenProcess(ctx, signal.ProcessOptions{Address: t.target.Address, PID: t.flags.pid})
	if err != nil {
		if t.flags.pid != 0 {
			return cli.Failf("watch process %d", t.flags.pid).WithCause(err).
				WithHint("--pid takes a running process of this user (root may watch any); without --pid it is found by the address of %s", t.target.ID())
		}
		t.notes = append(t.notes, "process: "+err.Error())
	} else {
		*to = append(*to, process)
	}
	sockets, err := signal.OpenSockets(ctx, signal.SocketsOptions{
		Address: t.target.Address, PID: t.flags.pid, Every: localPace, Requests: requests, Bound: bound.Bound, Instant: instant,
	})
	if err != nil {
		t.notes = append(t.notes, "sockets: "+err.Error())
		return nil
	}
	*to = append(*to, sockets)
	return nil
}

func metricsError(url string, err error) error {
	var m *signal.MetricError
	if errors.As(err, &m) {
		return cli.Usagef("--metrics %s", url).WithCause(err).WithHint("name it with --latency-metric, --queue-wait-metric or --backlog-metric")
	}
	if errors.Is(err, signal.ErrURL) {
		return cli.Usagef("--metrics %q %s", url, signal.ErrURL).WithHint("--metrics http://HOST:PORT/metrics")
	}
	return cli.Failf("read --metrics %s", url).WithCause(err).WithHint("curl %s should print Prometheus text", url)
}
