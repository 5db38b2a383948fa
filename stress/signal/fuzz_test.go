package signal_test

import (
	"math"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/wxops/wxops/stress/signal"
)

// Whatever an endpoint answers, two scrapes of it give an error or a sample
// without negative or infinite quantities.
func FuzzMetrics(f *testing.F) {
	f.Add("# TYPE http_request_duration_seconds histogram\nhttp_request_duration_seconds_bucket{le=\"1\"} 1\nhttp_request_duration_seconds_bucket{le=\"+Inf\"} 1\nhttp_request_duration_seconds_sum 1\nhttp_request_duration_seconds_count 1\n",
		"# TYPE http_request_duration_seconds histogram\nhttp_request_duration_seconds_bucket{le=\"1\"} 2\nhttp_request_duration_seconds_bucket{le=\"+Inf\"} 9\nhttp_request_duration_seconds_sum 8\nhttp_request_duration_seconds_count 9\n")
	f.Add("# TYPE http_request_duration_seconds summary\nhttp_request_duration_seconds{quantile=\"0.99\"} NaN\n", "")
	f.Add("{\"a\":1}", "# TYPE queue gauge\nqueue -1\n")
	var text string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }))
	f.Cleanup(server.Close)
	f.Fuzz(func(t *testing.T, before, after string) {
		text = before
		m, err := signal.OpenMetrics(t.Context(), signal.MetricsOptions{URL: server.URL, Bound: 0.1})
		if err != nil {
			return
		}
		defer m.Close()
		for _, text = range []string{before, after} {
			r, err := m.Read(t.Context())
			if err != nil {
				continue
			}
			s := r.Sample
			for name, v := range map[string]float64{
				"offered": s.Offered, "throughput": s.Throughput, "slow": s.SlowRatio, "p50": s.P50, "p99": s.P99, "mean": s.Mean,
				"errors": s.ErrorRatio, "rejects": s.Rejects, "cpu": s.CPU, "backlog": s.Backlog, "queue wait": s.QueueWait,
			} {
				if v < 0 || math.IsInf(v, 0) {
					t.Errorf("%s is %g", name, v)
				}
			}
		}
	})
}
