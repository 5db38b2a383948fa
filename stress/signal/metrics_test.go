package signal_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/wxops/wxops/stress"
	"github.com/wxops/wxops/stress/demo"
	"github.com/wxops/wxops/stress/signal"
)

// page is an endpoint whose text the test changes; clock moves by one second
// with every scrape.
type page struct {
	*httptest.Server
	text  string
	clock time.Time
}

func newPage(t *testing.T, text string) *page {
	p := &page{text: text, clock: time.Unix(0, 0)}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, p.text) }))
	t.Cleanup(p.Close)
	return p
}

func (p *page) open(t *testing.T, o signal.MetricsOptions) *signal.Metrics {
	t.Helper()
	o.URL, o.Now = p.URL+"/metrics", func() time.Time { return p.clock }
	m, err := signal.OpenMetrics(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// window scrapes text one second later.
func (p *page) window(t *testing.T, m *signal.Metrics, text string) stress.Sample {
	t.Helper()
	p.text, p.clock = text, p.clock.Add(time.Second)
	r, err := m.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r.Sample
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-9*max(1, math.Abs(want))) && !(math.IsNaN(got) && math.IsNaN(want)) {
		t.Errorf("%s: got %g, want %g", what, got, want)
	}
}

func histogramText(name, labels string, le []string, cumulative []int, sum float64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# TYPE %s histogram\n", name)
	for i := range le {
		fmt.Fprintf(&b, "%s_bucket{%sle=%q} %d\n", name, labels, le[i], cumulative[i])
	}
	lone := ""
	if labels != "" {
		lone = "{" + strings.TrimSuffix(labels, ",") + "}"
	}
	fmt.Fprintf(&b, "%s_sum%s %g\n%s_count%s %d\n", name, lone, sum, name, lone, cumulative[len(cumulative)-1])
	return b.String()
}

func TestHistogramIsDifferencedIntoAWindow(t *testing.T) {
	le := []string{"0.01", "0.1", "1", "+Inf"}
	text := func(c []int, sum float64, bad, busy, cpu int) string {
		return histogramText("shop_http_request_duration_seconds", `code="200",`, le, c, sum) +
			histogramText("shop_http_request_duration_seconds", `code="200",handler="/metrics",`, le, []int{bad * 7, bad * 7, bad * 7, bad * 7}, 0)[len("# TYPE shop_http_request_duration_seconds histogram\n"):] +
			fmt.Sprintf("# TYPE http_requests_total counter\nhttp_requests_total{code=\"503\"} %d\nhttp_requests_total{code=\"500\"} 1\n", bad) +
			fmt.Sprintf("# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total %d.5\n", cpu) +
			fmt.Sprintf("# TYPE queue gauge\nqueue %d\n", busy)
	}
	p := newPage(t, text([]int{50, 80, 100, 100}, 7, 3, 2, 1))
	m := p.open(t, signal.MetricsOptions{Bound: 0.1, Backlog: "queue"})
	first := p.window(t, m, p.text)
	near(t, "first window", first.Window.Seconds(), 0)
	near(t, "first throughput", first.Throughput, math.NaN())

	s := p.window(t, m, text([]int{90, 170, 199, 200}, 12, 8, 6, 3))
	near(t, "throughput", s.Throughput, 100)
	near(t, "offered", s.Offered, 100+5+4) // served, refused, more in the queue; those in flight say nothing while some wait
	near(t, "errors", s.ErrorRatio, 5.0/105)
	near(t, "rejects", s.Rejects, 5.0/105)
	near(t, "mean", s.Mean, 0.05)
	near(t, "cpu", s.CPU, 2)
	near(t, "backlog", s.Backlog, 4)
	near(t, "slow", s.SlowRatio, 0.10)
	// 40 in (0, 10 ms], 50 in (10, 100 ms], 9 in (100 ms, 1 s], 1 above.
	near(t, "p50", s.P50, 0.01*math.Pow(10, 10.0/50))
	near(t, "p99", s.P99, 1)
	if len(s.Buckets) != 4 || s.Buckets[1].Count != 50 {
		t.Errorf("buckets %v", s.Buckets)
	}
}

func TestInstantBacklogIsThatOfTheGauge(t *testing.T) {
	text := func(n, waiting, busy int) string {
		return histogramText("http_request_duration_seconds", "", []string{"1", "+Inf"}, []int{n, n}, 1) +
			histogramText("wait_seconds", "", []string{"1", "+Inf"}, []int{n, n}, float64(n)) +
			fmt.Sprintf("# TYPE queue gauge\nqueue %d\n# TYPE http_requests_in_flight gauge\nhttp_requests_in_flight %d\n", waiting, busy)
	}
	p := newPage(t, text(1, 0, 3))
	m := p.open(t, signal.MetricsOptions{Backlog: "queue", QueueWait: "wait_seconds", Instant: true})
	p.window(t, m, p.text)
	s := p.window(t, m, text(11, 0, 5))
	near(t, "offered: done and more in flight", s.Offered, 12)
	near(t, "backlog", s.Backlog, 0)
	s = p.window(t, m, text(21, 6, 8))
	near(t, "offered: done and more waiting", s.Offered, 16)
	near(t, "backlog", s.Backlog, 6)
}

func TestRestartOfTheInstanceIsNoNegativeWindow(t *testing.T) {
	le := []string{"0.01", "0.1", "+Inf"}
	p := newPage(t, histogramText("http_request_duration_seconds", "", le, []int{900, 1000, 1000}, 9))
	m := p.open(t, signal.MetricsOptions{Bound: 0.1})
	p.window(t, m, p.text)
	s := p.window(t, m, histogramText("http_request_duration_seconds", "", le, []int{30, 40, 40}, 0.8))
	near(t, "throughput", s.Throughput, 40)
	near(t, "mean", s.Mean, 0.02)
	near(t, "slow", s.SlowRatio, 0)
}

func TestNewSeriesCountsFromZero(t *testing.T) {
	le := []string{"0.01", "+Inf"}
	old := histogramText("http_request_duration_seconds", `code="200",`, le, []int{10, 10}, 0.1)
	p := newPage(t, old)
	m := p.open(t, signal.MetricsOptions{})
	p.window(t, m, old)
	s := p.window(t, m, histogramText("http_request_duration_seconds", `code="200",`, le, []int{20, 20}, 0.2)+
		strings.Join(strings.Split(histogramText("http_request_duration_seconds", `code="500",`, le, []int{5, 10}, 9), "\n")[1:], "\n"))
	near(t, "throughput", s.Throughput, 10)
	near(t, "errors", s.ErrorRatio, 0.5)
	near(t, "mean of those served", s.Mean, 0.01)
}

func TestUnitsAreReadFromNames(t *testing.T) {
	p := newPage(t, histogramText("http_server_duration_milliseconds", `http_status_code="200",`, []string{"10", "100", "+Inf"}, []int{0, 0, 0}, 0))
	m := p.open(t, signal.MetricsOptions{Bound: 0.1})
	p.window(t, m, p.text)
	s := p.window(t, m, histogramText("http_server_duration_milliseconds", `http_status_code="200",`, []string{"10", "100", "+Inf"}, []int{5, 10, 10}, 300))
	near(t, "mean", s.Mean, 0.03)
	near(t, "p50", s.P50, 0.01)
	near(t, "slow", s.SlowRatio, 0)
}

func TestSummaryAndQueueWait(t *testing.T) {
	text := func(n int) string {
		return fmt.Sprintf(`# TYPE grpc_server_handling_seconds summary
grpc_server_handling_seconds{grpc_code="OK",quantile="0.5"} 0.02
grpc_server_handling_seconds{grpc_code="OK",quantile="0.99"} 0.08
grpc_server_handling_seconds_sum{grpc_code="OK"} %g
grpc_server_handling_seconds_count{grpc_code="OK"} %d
grpc_server_handling_seconds_sum{grpc_code="Unavailable"} 0
grpc_server_handling_seconds_count{grpc_code="Unavailable"} %d
# TYPE wait_ms summary
wait_ms_sum %d
wait_ms_count %d
`, 0.03*float64(n), n, n/10, 5*n, n)
	}
	p := newPage(t, text(100))
	m := p.open(t, signal.MetricsOptions{Bound: 0.1, QueueWait: "wait_ms"})
	p.window(t, m, p.text)
	s := p.window(t, m, text(200))
	near(t, "throughput", s.Throughput, 100)
	near(t, "mean", s.Mean, 0.03)
	near(t, "p50", s.P50, 0.02)
	near(t, "p99", s.P99, 0.08)
	near(t, "slow", s.SlowRatio, math.NaN())
	near(t, "wait", s.QueueWait, 0.005)
	near(t, "backlog by Little's law", s.Backlog, 0.5)
	near(t, "rejects", s.Rejects, 10.0/110)
}

func TestCachedEndpointIsNotFresh(t *testing.T) {
	text := func(n int) string {
		return histogramText("http_request_duration_seconds", "", []string{"1", "+Inf"}, []int{n, n}, 1)
	}
	p := newPage(t, text(1))
	m := p.open(t, signal.MetricsOptions{})
	p.window(t, m, text(1))
	near(t, "offered without traffic", p.window(t, m, text(1)).Offered, 0)
	near(t, "offered", p.window(t, m, text(5)).Offered, 4)
	p.clock = p.clock.Add(time.Second)
	if _, err := m.Read(t.Context()); !errors.Is(err, signal.ErrUnchanged) {
		t.Errorf("got %v, want %v", err, signal.ErrUnchanged)
	}
	near(t, "offered over the two windows", p.window(t, m, text(9)).Offered, 2)
}

func TestUnusableEndpointsAreRefused(t *testing.T) {
	good := histogramText("http_request_duration_seconds", "", []string{"0.1", "+Inf"}, []int{1, 1}, 1)
	for name, c := range map[string]struct {
		text string
		o    signal.MetricsOptions
		want string
	}{
		"no such metric":   {good, signal.MetricsOptions{Latency: "http_request_duration"}, `metric "http_request_duration": no such histogram or summary; nearest names: http_request_duration_seconds`},
		"wrong type":       {good + "# TYPE q counter\nq 1\n# TYPE queue gauge\nqueue 1\n", signal.MetricsOptions{Backlog: "q"}, `metric "q": is a counter, not a gauge; nearest names: queue`},
		"nothing by name":  {"# TYPE foo histogram\nfoo_bucket{le=\"1\"} 1\nfoo_sum 1\nfoo_count 1\n", signal.MetricsOptions{}, "no latency histogram with a conventional name; nearest names: foo"},
		"ambiguous":        {strings.ReplaceAll(good, "http", "a_http") + strings.ReplaceAll(good, "http", "b_http"), signal.MetricsOptions{}, "several latency histograms; nearest names: a_http_request_duration_seconds, b_http_request_duration_seconds"},
		"too coarse":       {good, signal.MetricsOptions{Bound: 0.2}, "its highest bucket ends at 0.1 s, below the 0.2 s of the objective"},
		"empty summary":    {"# TYPE http_server_requests_seconds summary\nhttp_server_requests_seconds_count 1\nhttp_server_requests_seconds_sum 1\n", signal.MetricsOptions{}, "a summary without quantiles"},
		"not the format":   {"<html>", signal.MetricsOptions{}, "not in the Prometheus text format"},
		"missing wait":     {good, signal.MetricsOptions{QueueWait: "w"}, `metric "w": no such histogram or summary`},
		"missing backlog":  {good + "# TYPE http_backlog gauge\nhttp_backlog 1\n", signal.MetricsOptions{Backlog: "backlog"}, `metric "backlog": no such gauge; nearest names: http_backlog`},
		"not a URL":        {good, signal.MetricsOptions{URL: "localhost:9100"}, "is not an http or https URL"},
		"nothing listens":  {good, signal.MetricsOptions{URL: "http://127.0.0.1:1/metrics"}, "connection refused"},
		"answers with 404": {good, signal.MetricsOptions{URL: "404"}, "404 Not Found"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPage(t, c.text)
			switch c.o.URL {
			case "":
				c.o.URL = p.URL
			case "404":
				server := httptest.NewServer(http.NotFoundHandler())
				defer server.Close()
				c.o.URL = server.URL
			}
			_, err := signal.OpenMetrics(t.Context(), c.o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// The oracle is the ledger of the instance itself.
func TestMetricsOfARealInstance(t *testing.T) {
	const bound = 60 * time.Millisecond
	in, err := demo.StartInstance("s/a", demo.Law{Workers: 4, Service: 10 * time.Millisecond, CV: 1, Queue: 40, CPUShare: 0.5}, bound, 7)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	m, err := signal.OpenMetrics(t.Context(), signal.MetricsOptions{URL: in.MetricsURL(), Bound: bound.Seconds(), QueueWait: "http_queue_wait_seconds", Backlog: "http_backlog"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	meter := stress.NewMeter(time.Now(), 2*time.Second, time.Now, m)
	if _, _, err := meter.Window(t.Context()); err != nil {
		t.Fatal(err)
	}
	from := time.Now()
	visits := demo.Users{URL: "http://" + in.Addr() + "/", Rate: 300, Seed: 1}.Run(t.Context(), 900).Visits
	s, states, err := meter.Window(t.Context())
	if err != nil || len(visits) != 900 {
		t.Fatal(err, len(visits))
	}
	tally := in.Tally(from, time.Now(), bound)
	near(t, "requests", s.Offered*s.Window.Seconds(), float64(tally.Requests))
	near(t, "slow", s.SlowRatio, float64(tally.Slow)/float64(tally.Requests-tally.Refused))
	if busy := s.Throughput * (s.Mean - s.QueueWait); math.Abs(s.CPU/(0.5*busy)-1) > 0.02 {
		t.Errorf("CPU %.3f cores, want half of the %.3f busy workers within 2 %%", s.CPU, busy)
	}
	if s.Backlog < 0 || s.CPULimit != 4 || states[0].Name != "metrics" || states[0].Stale {
		t.Errorf("sample %+v, states %+v", s, states)
	}
}

func TestSilentEndpointBecomesStale(t *testing.T) {
	in, err := demo.StartInstance("s/a", demo.Law{Workers: 1, Service: time.Millisecond}, time.Second, 1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := signal.OpenMetrics(t.Context(), signal.MetricsOptions{URL: in.MetricsURL()})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	clock := time.Now()
	meter := stress.NewMeter(clock, 2*time.Second, func() time.Time { return clock }, m)
	if _, _, err := meter.Window(t.Context()); err != nil {
		t.Fatal(err)
	}
	in.Close()
	clock = clock.Add(time.Second)
	if _, states, err := meter.Window(t.Context()); err != nil || states[0].Stale {
		t.Fatalf("one missing window: %v, %+v", err, states)
	}
	clock = clock.Add(2 * time.Second)
	_, states, err := meter.Window(t.Context())
	var stale *stress.StaleError
	if !errors.As(err, &stale) || stale.Source != "metrics" || !states[0].Stale {
		t.Errorf("got %v, %+v; want a StaleError of metrics", err, states)
	}
}

func TestHungEndpointEndsWithTheContext(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(hang)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := signal.OpenMetrics(ctx, signal.MetricsOptions{URL: server.URL}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want deadline exceeded", err)
	}
}
