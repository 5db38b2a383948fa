package load

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/wxops/wxops/capacity"
)

// A Document is the data of wxops/load/v1. Quantities that were not measured
// are nil.
type Document struct {
	URL         string           `json:"url" doc:"what was loaded"`
	Mode        string           `json:"mode" doc:"open, closed or replay"`
	Arrivals    string           `json:"arrivals" doc:"constant, poisson, recorded, or closed"`
	Protocol    string           `json:"protocol" doc:"http/1.1, http/2 or grpc"`
	Engine      string           `json:"engine" doc:"epoll or net"`
	Offered     float64          `json:"offered_per_second" doc:"requests that fell due per second"`
	Throughput  float64          `json:"throughput_per_second" doc:"answers per second"`
	Requests    int64            `json:"requests" doc:"requests that fell due; the sum of status and errors"`
	Seconds     float64          `json:"seconds" doc:"from the start to the last answer, without the warm-up"`
	Received    int64            `json:"received_bytes" doc:"bytes of all answers"`
	Response    Times            `json:"response" doc:"from the due instant to the end of the answer"`
	Service     Times            `json:"service" doc:"from the sending to the end of the answer"`
	Status      map[string]int64 `json:"status" doc:"answers by status code, of gRPC by code name"`
	Errors      map[string]int64 `json:"errors" doc:"requests without an answer by kind"`
	ErrorRatio  float64          `json:"error_ratio" doc:"share of requests without an answer or with 5xx, 429 or a gRPC error"`
	SendLag     Lag              `json:"send_lag" doc:"lateness of the generator itself; 0 in a closed loop"`
	Thresholds  []Threshold      `json:"thresholds" doc:"what was asked with --threshold"`
	Targets     []TargetReport   `json:"targets,omitempty" doc:"by target, if there are several"`
	Intervals   []Window         `json:"intervals" doc:"the time line"`
	Connections Connections      `json:"connections" doc:"the pool"`
	Client      Client           `json:"client" doc:"what the generator itself used"`
	Tag         string           `json:"tag,omitempty" doc:"header that marked every request"`
	Log         *LogInput        `json:"log,omitempty" doc:"what was read of a log; replay only"`
	Verdict     string           `json:"verdict" doc:"valid, client-limited, nothing-sent, guard or interrupted"`
	Reason      string           `json:"reason" doc:"why the verdict is not valid, in words"`
}

// Times are quantiles of a time; nil where nothing was answered.
type Times struct {
	P50  *float64 `json:"p50_seconds" doc:"median"`
	P90  *float64 `json:"p90_seconds" doc:"90 % quantile"`
	P99  *float64 `json:"p99_seconds" doc:"99 % quantile"`
	P999 *float64 `json:"p999_seconds" doc:"99.9 % quantile"`
	Max  *float64 `json:"max_seconds" doc:"largest"`
	Mean *float64 `json:"mean_seconds" doc:"mean"`
	HDR  string   `json:"hdr,omitempty" doc:"HdrHistogram V2 payload in base64, nanoseconds"`
}

// Lag are quantiles of the send lag.
type Lag struct {
	P50  float64 `json:"p50_seconds" doc:"median"`
	P90  float64 `json:"p90_seconds" doc:"90 % quantile"`
	P99  float64 `json:"p99_seconds" doc:"99 % quantile"`
	P999 float64 `json:"p999_seconds" doc:"99.9 % quantile"`
	Max  float64 `json:"max_seconds" doc:"largest"`
}

// A Threshold is an objective of a run and whether it was met.
type Threshold struct {
	Text  string   `json:"threshold" doc:"as p99<200ms"`
	Value *float64 `json:"value" doc:"measured, in seconds or as a ratio; null if nothing was answered"`
	Met   bool     `json:"met" doc:"whether it holds"`
}

// A TargetReport is one target of several.
type TargetReport struct {
	Target   string `json:"target" doc:"method and path, or its name"`
	Answers  int64  `json:"answers" doc:"answers, whatever the status"`
	Errors   int64  `json:"errors" doc:"requests without an answer"`
	Response Times  `json:"response" doc:"response time; null beyond 64 targets"`
}

// A Window is one interval of the time line.
type Window struct {
	At          float64  `json:"at_seconds" doc:"its beginning, since the start"`
	Seconds     float64  `json:"seconds" doc:"its length"`
	Target      *float64 `json:"target_per_second" doc:"mean rate asked for; null in a closed loop"`
	Offered     float64  `json:"offered_per_second" doc:"requests taken up"`
	Throughput  float64  `json:"throughput_per_second" doc:"answers"`
	P50         *float64 `json:"p50_seconds" doc:"median response time"`
	P90         *float64 `json:"p90_seconds" doc:"90 % quantile"`
	P99         *float64 `json:"p99_seconds" doc:"99 % quantile"`
	P999        *float64 `json:"p999_seconds" doc:"99.9 % quantile"`
	LagP99      *float64 `json:"send_lag_p99_seconds" doc:"99 % quantile of the send lag"`
	Errors      int64    `json:"errors" doc:"requests without an answer, or with an error status"`
	CPU         *float64 `json:"cpu_seconds_per_request,omitempty" doc:"CPU time of the service per answer; with --pid only"`
	InFlight    int      `json:"in_flight" doc:"at its end"`
	Connections int      `json:"connections" doc:"open at its end"`
}

// Connections describe the pool.
type Connections struct {
	Prewarmed int     `json:"prewarmed" doc:"asked for before the start"`
	Max       int     `json:"max" doc:"up to which the pool might grow"`
	Open      int     `json:"open" doc:"most that were open"`
	Exhausted float64 `json:"exhausted_ratio" doc:"share of the run in which due requests waited for a connection"`
}

// A Client is what the generator used.
type Client struct {
	Workers    int     `json:"workers" doc:"threads that sent requests"`
	CPUSeconds float64 `json:"cpu_seconds" doc:"CPU time of those threads"`
	Saturation float64 `json:"saturation_ratio" doc:"largest share of the run that one of them worked or waited for a CPU"`
}

// The verdicts of a load document.
const (
	VerdictValid         = "valid"
	VerdictClientLimited = "client-limited"
	VerdictNothingSent   = "nothing-sent"
	VerdictInterrupted   = "interrupted"
	VerdictGuard         = "guard"
)

// Report puts the result of a run in the form of its document.
func (r *Result) Report(thresholds []capacity.Term) Document {
	t := r.total
	d := Document{
		Mode: "closed", Arrivals: "closed", Protocol: protocolNames[r.Protocol], Engine: r.Engine,
		Requests: t.due, Seconds: r.Elapsed.Seconds(), Received: t.bytes,
		Response: times(t.response, true), Service: times(t.service, true),
		Status: map[string]int64{}, Errors: map[string]int64{}, ErrorRatio: r.ErrorRatio(),
		SendLag: lag(t.lag), Thresholds: []Threshold{}, Intervals: []Window{},
		Client:  Client{Workers: r.Workers, CPUSeconds: r.CPUSeconds, Saturation: r.Saturation},
		Verdict: VerdictValid,
	}
	d.Connections.Open = r.MaxOpen
	if len(r.Targets) > 0 {
		d.URL = r.Targets[0].URL.String()
	}
	if r.Open {
		d.Mode, d.Arrivals = "open", "constant"
	}
	if s := r.Planned.Seconds(); s > 0 {
		d.Offered = float64(t.due) / s
	}
	if s := r.Elapsed.Seconds(); s > 0 {
		d.Throughput = float64(t.answers()) / s
		d.Connections.Exhausted = r.exhausted()
	}
	for code, n := range t.status {
		if n > 0 {
			d.Status[r.statusName(code)] = n
		}
	}
	for kind, n := range t.failed {
		if n > 0 {
			d.Errors[Failure(kind).String()] = n
		}
	}
	for _, term := range thresholds {
		d.Thresholds = append(d.Thresholds, r.judge(term))
	}
	if len(t.targets) > 1 {
		for i, s := range t.targets {
			report := TargetReport{Target: r.Targets[i].Title(), Answers: s.answers, Errors: s.failed}
			if s.response != nil {
				report.Response = times(s.response, false)
			}
			d.Targets = append(d.Targets, report)
		}
	}
	for _, i := range r.Line {
		d.Intervals = append(d.Intervals, i.Window(r.Open))
	}
	if r.Sent() == 0 { // whether the generator was slow is no matter then
		d.Verdict, d.Reason = VerdictNothingSent, "no request fell due"
		if r.LastError != nil {
			d.Reason = r.LastError.Error()
		}
	} else if reason := r.diagnose(); reason != "" {
		d.Verdict, d.Reason = VerdictClientLimited, reason
	}
	return d
}

// Window is the interval in the form of the document.
func (i Interval) Window(open bool) Window {
	w := Window{
		At: i.Start.Seconds(), Seconds: i.Length.Seconds(), Offered: i.Offered, Throughput: i.Throughput,
		P50: known(i.P50), P90: known(i.P90), P99: known(i.P99), P999: known(i.P999), LagP99: known(i.LagP99),
		Errors: i.Bad + i.Failed, InFlight: i.InFlight, Connections: i.Connections,
	}
	if open {
		w.Target = known(i.Target)
	}
	return w
}

// Value returns the measured value of an objective's term: seconds, or a
// ratio; NaN if nothing was answered.
func (r *Result) Value(term capacity.Term) float64 {
	switch term.Metric {
	case "errors":
		return r.ErrorRatio()
	case "mean":
		if r.total.response.TotalCount() == 0 {
			return math.NaN()
		}
		return r.total.response.Mean() / 1e9
	}
	return quantile(r.total.response, 100*term.Quantile)
}

func (r *Result) judge(term capacity.Term) Threshold {
	v := r.Value(term)
	return Threshold{Text: term.String(), Value: known(v), Met: term.Met(v)}
}

// known is nil for NaN.
func known(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	return &v
}

func times(h *hdrhistogram.Histogram, payload bool) Times {
	t := Times{P50: known(quantile(h, 50)), P90: known(quantile(h, 90)), P99: known(quantile(h, 99)), P999: known(quantile(h, 99.9)), Max: known(quantile(h, 100))}
	if h.TotalCount() > 0 {
		mean := h.Mean() / 1e9
		t.Mean = &mean
	}
	if payload {
		// The only error is a failing writer, and it is a buffer.
		b, _ := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
		t.HDR = string(b)
	}
	return t
}

func lag(h *hdrhistogram.Histogram) Lag {
	if h.TotalCount() == 0 {
		return Lag{}
	}
	return Lag{quantile(h, 50), quantile(h, 90), quantile(h, 99), quantile(h, 99.9), quantile(h, 100)}
}

var protocolNames = [...]string{HTTP1: "http/1.1", HTTP2: "http/2", GRPC: "grpc"}

// grpcCodes are the names of the gRPC status codes, by number.
var grpcCodes = [...]string{"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"}

func (r *Result) statusName(code int) string {
	if r.Protocol == GRPC && code < len(grpcCodes) {
		return grpcCodes[code]
	}
	return strconv.Itoa(code)
}

// Histogram decodes the payload of t.
func (t Times) Histogram() (*hdrhistogram.Histogram, error) {
	h, err := hdrhistogram.Decode([]byte(t.HDR))
	if err != nil {
		return nil, fmt.Errorf("hdr payload: %w", err)
	}
	return h, nil
}

// Missed lists the thresholds that do not hold.
func (d *Document) Missed() []string {
	var out []string
	for _, t := range d.Thresholds {
		if !t.Met {
			out = append(out, t.Text)
		}
	}
	return slices.Clip(out)
}
