package capacity

// A Curve is the measured performance model of one instance: the data of the
// document wxops/curve/v1. Every stress test writes one; sizing reads it.
type Curve struct {
	Service  string   `json:"service" doc:"the service"`
	Instance string   `json:"instance" doc:"service/instance"`
	Version  string   `json:"version" doc:"version of the service, empty if unknown"`
	Mode     string   `json:"mode" doc:"shift, load, replay or demo"`
	SLO      string   `json:"slo" doc:"the objective, as p99<50ms,errors<0.1%"`
	Points   []Point  `json:"points" doc:"measured windows in ascending order of offered load"`
	Model    Model    `json:"model" doc:"the fitted performance model"`
	Capacity Capacity `json:"capacity" doc:"highest throughput that meets the objective"`
	Test     Test     `json:"test" doc:"what the test did"`
	Truth    *Truth   `json:"truth,omitempty" doc:"the capacity known by construction; demo only"`
	Verdict  Verdict  `json:"verdict" doc:"ok, guard, metastable, client-limited, no-knee or interrupted"`
	Reason   string   `json:"reason" doc:"why the test ended so, in words"`
}

// A Point is one level of load; a quantity that was not measured is nil.
type Point struct {
	Offered     float64  `json:"offered_per_second" doc:"requests that arrived per second"`
	Throughput  float64  `json:"throughput_per_second" doc:"requests completed per second"`
	P50         *float64 `json:"p50_seconds" doc:"median response time"`
	P99         *float64 `json:"p99_seconds" doc:"99 % quantile of the response time"`
	QueueWait   *float64 `json:"queue_wait_seconds" doc:"mean time between accept and start"`
	Backlog     *float64 `json:"backlog" doc:"requests accepted and not yet started"`
	ErrorRatio  *float64 `json:"error_ratio" doc:"share of failed requests, fast rejects included"`
	RejectRatio *float64 `json:"reject_ratio" doc:"share of requests refused at once"`
	CPU         *float64 `json:"cpu_cores" doc:"cores busy with the instance"`
	Seconds     float64  `json:"seconds" doc:"time spent at this level"`
}

// A Model is the fitted performance model: its kind and its parameters, each
// name with its unit last.
type Model struct {
	Kind       string             `json:"kind" doc:"which model, see docs/formulas.md"`
	Parameters map[string]float64 `json:"parameters" doc:"fitted values, unit last in each name"`
}

// Capacity is the highest throughput that still meets the objective, with its
// 95 % interval. When it was not found PerSecond is nil, Low is the highest
// rate that was held safely, and High is nil.
type Capacity struct {
	PerSecond *float64 `json:"per_second" doc:"requests per second; null when not found"`
	Low       *float64 `json:"low_per_second" doc:"lower end of the 95 % interval, or the highest rate held safely"`
	High      *float64 `json:"high_per_second" doc:"upper end of the 95 % interval; null when not found"`
	LimitedBy string   `json:"limited_by" doc:"cpu, queue, objective or unknown"`
	CPU       *float64 `json:"cpu_ceiling_ratio" doc:"utilization of the CPU at the capacity; null when unknown"`
	Found     bool     `json:"found" doc:"whether the curve has a knee that the objective meets"`
}

// A Test says what a stress test did and what it cost.
type Test struct {
	Seconds        float64  `json:"seconds" doc:"from the first weight change, or request, to the last"`
	Requests       int64    `json:"requests" doc:"requests of the instance in that time"`
	ViolationRatio float64  `json:"violation_ratio" doc:"share of them that missed the objective or failed"`
	PeakPerSecond  float64  `json:"peak_per_second" doc:"highest offered load of a window"`
	WeightBefore   *float64 `json:"weight_before" doc:"weight of the instance before the test; null without a registry"`
	WeightAfter    *float64 `json:"weight_after" doc:"weight read back after the test; null without a registry"`
}

// Truth is what a fixture knows by construction.
type Truth struct {
	PerSecond float64 `json:"per_second" doc:"the true capacity"`
}

// A Verdict says how a stress test ended.
type Verdict string

// The verdicts of a stress test.
const (
	VerdictOK            Verdict = "ok"             // the capacity was found
	VerdictGuard         Verdict = "guard"          // a guard stopped the test
	VerdictMetastable    Verdict = "metastable"     // the service slows down as its backlog grows; there is no safe capacity
	VerdictClientLimited Verdict = "client-limited" // the load generator was the limit
	VerdictNoKnee        Verdict = "no-knee"        // the test ended before the curve bent
	VerdictInterrupted   Verdict = "interrupted"    // the user or a signal ended it
)
