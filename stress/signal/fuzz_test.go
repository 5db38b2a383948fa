package signal

import (
	"math"
	"testing"
	"time"
)

// Whatever an endpoint answers, two scrapes of it give an error or a sample
// without negative or infinite quantities.
func FuzzMetrics(f *testing.F) {
	f.Add("# TYPE http_request_duration_seconds histogram\nhttp_request_duration_seconds_bucket{le=\"1\"} 1\nhttp_request_duration_seconds_bucket{le=\"+Inf\"} 1\nhttp_request_duration_seconds_sum 1\nhttp_request_duration_seconds_count 1\n",
		"# TYPE http_request_duration_seconds histogram\nhttp_request_duration_seconds_bucket{le=\"1\"} 2\nhttp_request_duration_seconds_bucket{le=\"+Inf\"} 9\nhttp_request_duration_seconds_sum 8\nhttp_request_duration_seconds_count 9\n")
	f.Add("# TYPE http_request_duration_seconds summary\nhttp_request_duration_seconds{quantile=\"0.99\"} NaN\n", "")
	f.Add("# TYPE http_request_duration_seconds histogram\nhttp_request_duration_seconds_bucket{le=\"NaN\"} 1\n", "# TYPE queue gauge\nqueue -1\n")
	f.Fuzz(func(t *testing.T, before, after string) {
		m := &Metrics{o: MetricsOptions{URL: "http://x/metrics", Bound: 0.1}, path: "/metrics"}
		families, err := parse([]byte(before))
		if err != nil || m.resolve(families) != nil {
			return
		}
		m.before, m.at = m.collect(families), time.Unix(1, 0)
		if families, err = parse([]byte(after)); err != nil {
			return
		}
		s := plausible(m.sample(m.collect(families), time.Unix(2, 0)))
		for name, v := range map[string]float64{
			"offered": s.Offered, "throughput": s.Throughput, "slow": s.SlowRatio, "p50": s.P50, "p99": s.P99, "mean": s.Mean,
			"errors": s.ErrorRatio, "rejects": s.Rejects, "cpu": s.CPU, "backlog": s.Backlog, "queue wait": s.QueueWait,
		} {
			if v < 0 || math.IsInf(v, 0) {
				t.Errorf("%s is %g", name, v)
			}
		}
	})
}
