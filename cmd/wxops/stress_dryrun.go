package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
	"github.com/wxops/wxops/stress"
)

// kindDryRun is what stress shift --dry-run prints.
var kindDryRun = doc.Kind{Name: "dry-run", Version: 1, Title: "What a stress test would do, without doing it", Data: dryRunDocument{}}

// dryRunDocument is the data of wxops/dry-run/v1.
type dryRunDocument struct {
	Registry  string         `json:"registry" doc:"canonical address of the registry"`
	Service   string         `json:"service"`
	Instance  string         `json:"instance" doc:"service/instance, the one under test"`
	SLO       string         `json:"slo" doc:"the objective"`
	Instances []dryRunMember `json:"instances" doc:"of the service, as the registry has them"`
	Signals   []dryRunSignal `json:"signals" doc:"those that were read"`
	Missing   []string       `json:"missing_signals" doc:"those that cannot be read, and why"`
	Balance   string         `json:"balance" doc:"how requests are dealt out: turn, chance or unknown"`
	Rule      string         `json:"balance_rule" doc:"the same in the registry's own words, as leastconn; empty if it does not tell"`

	Offered  *float64 `json:"offered_per_second" doc:"requests that reach the instance now; null if no signal tells"`
	Share    float64  `json:"share_ratio" doc:"share of the requests of the service by its weight"`
	MaxShare float64  `json:"max_share_ratio" doc:"highest share that the test would give it"`
	Reach    *float64 `json:"reach_per_second" doc:"about what the highest share would bring; null if no signal tells the rate"`
	Limit    float64  `json:"max_seconds" doc:"the test would end after this"`

	Ready  bool   `json:"ready" doc:"whether the test would begin"`
	Reason string `json:"reason" doc:"why it would not, else empty"`
}

type dryRunMember struct {
	Instance string  `json:"instance" doc:"service/instance"`
	Weight   int     `json:"weight" doc:"relative share of requests"`
	Share    float64 `json:"share_ratio" doc:"weight over the sum of the weights of the service"`
	Health   string  `json:"health" doc:"no check, up, down, drain or maint"`
	Address  string  `json:"address" doc:"host:port, or the path of a socket"`
}

type dryRunSignal struct {
	Name string  `json:"name" doc:"metrics, registry, sockets or process"`
	Age  float64 `json:"age_seconds" doc:"of its latest data"`
}

// dryRun reads one window and says what a test would do. It fails where the
// test would not begin.
func (t *shiftTest) dryRun(ctx context.Context, s *cli.IO) error {
	sample, states, err := readOnce(ctx, t.sources)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return cli.Failf("read the signals of %s", t.target.ID()).WithCause(err)
	}
	d := t.describe(sample, states)
	document, err := doc.Marshal(kindDryRun, toolVersion(), time.Now(), nil, nil, d)
	if err == nil {
		err = t.flags.output.Print(s.Out, document, d.table)
	}
	if err != nil {
		return err
	}
	if !d.Ready {
		return cli.Failf("stress %s", d.Instance).WithCause(errors.New("the test would not begin: " + d.Reason)).
			WithHint("send requests through the balancer, then repeat the dry run")
	}
	return nil
}

// readOnce reads a window of a second.
func readOnce(ctx context.Context, sources []stress.Source) (s stress.Sample, states []stress.SignalState, err error) {
	meter := stress.NewMeter(time.Now(), 2*time.Second, time.Now, sources...)
	if s, states, err = meter.Window(ctx); err != nil {
		return s, states, err
	}
	wait := time.NewTimer(time.Second)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
		return s, states, ctx.Err()
	}
	return meter.Window(ctx)
}

// describe says what the test would do.
func (t *shiftTest) describe(sample stress.Sample, states []stress.SignalState) dryRunDocument {
	sum := 0.0
	for _, in := range t.of {
		sum += float64(in.Weight)
	}
	d := dryRunDocument{
		Registry: t.registry.Address(), Service: t.target.Service, Instance: t.target.ID(), SLO: t.flags.slo, Missing: append([]string{}, t.notes...),
		Balance: string(t.config.Balance), Rule: t.rule, Share: float64(t.target.Weight) / sum, MaxShare: t.flags.maxShare,
		Limit: t.config.MaxDuration.Seconds(), Instances: []dryRunMember{}, Signals: []dryRunSignal{},
	}
	if d.Balance == string(stress.BalanceUnknown) {
		d.Balance = "unknown"
	}
	if d.MaxShare == 0 {
		d.MaxShare = min(1, 2*d.Share)
	}
	for _, in := range t.of {
		d.Instances = append(d.Instances, dryRunMember{
			Instance: in.ID(), Weight: int(in.Weight), Share: float64(in.Weight) / sum, Health: string(in.Health), Address: in.Address,
		})
	}
	for _, state := range states {
		d.Signals = append(d.Signals, dryRunSignal{Name: state.Name, Age: state.Age.Seconds()})
	}
	rate := sample.Offered
	if math.IsNaN(rate) {
		rate = sample.Throughput
	}
	if !math.IsNaN(rate) {
		reach := rate * d.MaxShare / d.Share
		d.Offered, d.Reach = &rate, &reach
	}
	switch {
	case math.IsNaN(rate):
		d.Reason = "no signal tells the rate of requests at " + d.Instance
	case !(rate > 0):
		d.Reason = "no traffic reaches " + d.Instance
	default:
		d.Ready = true
	}
	return d
}

// table says the document to people.
func (d dryRunDocument) table() *cli.Table {
	t := cli.NewTable("INSTANCE", ">WEIGHT", ">SHARE", "HEALTH", "ADDRESS")
	for _, in := range d.Instances {
		name := in.Instance
		if name == d.Instance {
			name += " *"
		}
		t.Row(name, in.Weight, fmt.Sprintf("%.1f %%", 100*in.Share), in.Health, in.Address)
	}
	for _, signal := range d.Signals {
		t.Note("signal %s: fresh", signal.Name)
	}
	for _, missing := range d.Missing {
		t.Note("no signal %s", missing)
	}
	switch d.Balance {
	case string(stress.BalanceTurn):
		t.Note("requests are dealt out in turn")
	case string(stress.BalanceChance):
		t.Note("requests are dealt out by chance")
	default:
		t.Note("how requests are dealt out is not known; it will be judged from their counts")
	}
	if d.Rule == leastConn {
		t.Note("%s", leastConnNote)
	}
	if d.Ready {
		t.Note("now: %.0f req/s reach %s", *d.Offered, d.Instance)
		t.Note("would raise its share from %.1f %% to at most %.1f %%, about %.0f req/s, for at most %s",
			100*d.Share, 100*d.MaxShare, *d.Reach, time.Duration(d.Limit*float64(time.Second)))
	}
	t.Note("dry run: no weight was written")
	return t
}
