package demo

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/wxops/wxops/internal/realpart"
	"github.com/wxops/wxops/naming/haproxy"
	"github.com/wxops/wxops/stress"
	"github.com/wxops/wxops/stress/signal"
)

// behindHAProxy starts three instances, the first with weight of 256, behind a
// real HAProxy; extra are lines of the backend.
func behindHAProxy(t *testing.T, law Law, bound time.Duration, weight int, extra ...string) (*HAProxy, *haproxy.Registry, []*Instance) {
	t.Helper()
	realpart.Binary(t, "haproxy", "apt-get install haproxy")
	var targets []Target
	var instances []*Instance
	for i, name := range []string{"a", "b", "c"} {
		in, err := StartInstance(name, law, bound, uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = in.Close() })
		instances = append(instances, in)
		targets = append(targets, Target{Name: name, Addr: in.Addr(), Weight: []int{weight, (256 - weight) / 2, (256 - weight) / 2}[i]})
	}
	proxy, err := StartHAProxy(t.Context(), t.TempDir(), "checkout", targets, extra...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	registry, err := haproxy.Open(t.Context(), haproxy.Config{Network: "unix", Address: proxy.Socket})
	if err != nil {
		t.Fatal(err)
	}
	return proxy, registry, instances
}

// Oracles: the ledger and the counters of the instance itself.
func TestRegistryStatisticsOfARealHAProxy(t *testing.T) {
	const bound = 150 * time.Millisecond
	proxy, registry, instances := behindHAProxy(t, Law{Workers: 8, Service: 20 * time.Millisecond, CV: 1, Queue: 200}, bound, 128)
	source, err := signal.OpenRegistry(t.Context(), registry, signal.RegistryOptions{Service: "checkout", Instance: "a", Every: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := signal.OpenMetrics(t.Context(), signal.MetricsOptions{URL: instances[0].MetricsURL(), Bound: bound.Seconds()})
	if err != nil {
		t.Fatal(err)
	}
	outside := stress.NewMeter(time.Now(), time.Minute, time.Now, source)
	inside := stress.NewMeter(time.Now(), time.Minute, time.Now, metrics)
	defer outside.Close()
	defer inside.Close()
	window := func(m *stress.Meter) stress.Sample {
		s, _, err := m.Window(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	users := Users{URL: proxy.URL(), Rate: 500}
	users.Run(t.Context(), 500) // the sliding means of HAProxy begin
	window(outside)
	window(inside)
	users.Seed = 1
	report := users.Run(t.Context(), 1500)
	got, want := window(outside), window(inside)
	slack := 1 + 20*report.Lag.Seconds() // a machine that stands still delays what HAProxy sees
	for _, c := range []struct {
		what      string
		got, want float64
		within    float64
	}{
		{"requests", got.Offered * got.Window.Seconds(), 750, 3},
		{"requests of the service", got.Total * got.Window.Seconds(), 1500, 0.5},
		{"share", got.Share, 0.5, 0.002},
		{"throughput", got.Throughput * got.Window.Seconds(), want.Throughput * want.Window.Seconds(), 3},
		{"errors", got.ErrorRatio, 0, 0.001},
		{"backlog in the registry", got.Backlog, 0, 3 * slack},
	} {
		if !(math.Abs(c.got-c.want) <= c.within) {
			t.Errorf("%s: %.4g, want %.4g ± %.2g (machine stood still for %v)", c.what, c.got, c.want, c.within, report.Lag)
		}
	}
	// HAProxy stands between the law of the instance and what users see.
	var seen, n float64
	for _, v := range report.Visits {
		if v.Instance == "a" {
			seen += v.Response.Seconds()
			n++
		}
	}
	if low, high := 0.8*want.Mean, 1.2*seen/n+0.002; got.Mean < low || got.Mean > high {
		t.Errorf("mean response time %.1f ms, want %.1f to %.1f", 1e3*got.Mean, 1e3*low, 1e3*high)
	}
}

// With maxconn a saturated server hands its requests to its peers: its own
// queue stays 0, and the share it lacks tells what its slots allow.
func TestShareThatSpillsAtMaxconnIsSeen(t *testing.T) {
	// Half of 400/s is 200/s for an instance that may hold 2 requests of 20
	// ms: at most 100/s, so half of its share goes to its peers.
	proxy, registry, _ := behindHAProxy(t, Law{Workers: 8, Service: 20 * time.Millisecond, CV: 1, Queue: 200}, time.Second, 128, "default-server maxconn 2")
	for _, peer := range []string{"b", "c"} {
		if err := proxy.Command(t.Context(), "set maxconn server checkout/"+peer+" 100"); err != nil {
			t.Fatal(err)
		}
	}
	source, err := signal.OpenRegistry(t.Context(), registry, signal.RegistryOptions{Service: "checkout", Instance: "a", Every: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan Report)
	go func() { done <- Users{URL: proxy.URL(), Rate: 400}.Run(ctx, 1200) }()
	for source.Requests() < 50 {
		if _, err := source.Read(ctx); err != nil {
			t.Fatal(err)
		}
	}
	<-done
	r, err := source.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := r.Sample
	if s.Slots != 2 || s.Share > 0.4 || s.Backlog != 0 {
		t.Errorf("slots %v, share %.3f, backlog %.1f", s.Slots, s.Share, s.Backlog)
	}
}
