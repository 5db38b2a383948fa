package demo

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"time"
)

// Names of the metrics of an instance that no convention covers.
const (
	QueueWaitMetric = "http_queue_wait_seconds"
	BacklogMetric   = "http_backlog"
)

// metrics are the counters behind /metrics.
type metrics struct {
	bounds   []float64 // seconds, ascending
	response []uint64  // requests served per bucket, one more than bounds
	wait     []uint64
	sum      float64 // seconds of response
	waitSum  float64
	served   uint64
	refused  uint64
}

// newMetrics takes 16 bucket bounds a decade from 1 ms to 10 s, and the
// bound of the objective among them.
func newMetrics(bound time.Duration) metrics {
	const perDecade = 16
	var bounds []float64
	for i := 0; i <= 4*perDecade; i++ {
		b := 0.001 * math.Pow(10, float64(i)/perDecade)
		bounds = append(bounds, math.Round(b*1e5)/1e5)
	}
	if b := bound.Seconds(); b > 0 {
		i := sort.SearchFloat64s(bounds, b)
		if i == len(bounds) || bounds[i] != b {
			bounds = append(bounds[:i], append([]float64{b}, bounds[i:]...)...)
		}
	}
	return metrics{bounds: bounds, response: make([]uint64, len(bounds)+1), wait: make([]uint64, len(bounds)+1)}
}

func (m *metrics) observe(response, wait time.Duration) {
	r, w := response.Seconds(), wait.Seconds()
	m.response[sort.SearchFloat64s(m.bounds, r)]++
	m.wait[sort.SearchFloat64s(m.bounds, w)]++
	m.sum += r
	m.waitSum += w
	m.served++
}

// text writes the metrics in the Prometheus text format 0.0.4.
func (m *metrics) text(waiting, busy int, cpu float64, law Law) []byte {
	b := make([]byte, 0, 1<<13)
	add := func(format string, args ...any) { b = fmt.Appendf(b, format+"\n", args...) }
	histogram := func(name, label string, counts []uint64, sum float64) {
		var total uint64
		lead := label
		if label != "" {
			lead += ","
		}
		for i, c := range counts {
			total += c
			le := "+Inf"
			if i < len(m.bounds) {
				le = strconv.FormatFloat(m.bounds[i], 'g', -1, 64)
			}
			add(`%s_bucket{%sle="%s"} %d`, name, lead, le, total)
		}
		if label != "" {
			label = "{" + label + "}"
		}
		add("%s_sum%s %g", name, label, sum)
		add("%s_count%s %d", name, label, total)
	}
	add("# HELP http_request_duration_seconds From arrival to the end of service.")
	add("# TYPE http_request_duration_seconds histogram")
	histogram("http_request_duration_seconds", `code="200"`, m.response, m.sum)
	add("# HELP http_requests_total Requests answered.")
	add("# TYPE http_requests_total counter")
	add(`http_requests_total{code="200"} %d`, m.served)
	add(`http_requests_total{code="503"} %d`, m.refused)
	add("# HELP http_queue_wait_seconds From arrival to the start of service.")
	add("# TYPE http_queue_wait_seconds histogram")
	histogram("http_queue_wait_seconds", "", m.wait, m.waitSum)
	add("# HELP http_backlog Requests accepted and not yet started.")
	add("# TYPE http_backlog gauge")
	add("http_backlog %d", waiting)
	add("# HELP http_requests_in_flight Requests started and not finished.")
	add("# TYPE http_requests_in_flight gauge")
	add("http_requests_in_flight %d", busy)
	add("# HELP process_cpu_seconds_total CPU time of this instance.")
	add("# TYPE process_cpu_seconds_total counter")
	add("process_cpu_seconds_total %g", cpu)
	add("# HELP go_sched_gomaxprocs_threads Cores this instance may use.")
	add("# TYPE go_sched_gomaxprocs_threads gauge")
	add("go_sched_gomaxprocs_threads %g", law.cores())
	return b
}

// cores returns how many cores the metrics say the instance may use: enough
// that CPU is never what limits it unless CPUShare is 1.
func (l Law) cores() float64 { return float64(l.Workers) }
