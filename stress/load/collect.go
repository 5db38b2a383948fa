package load

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// An Interval is what happened in one interval of the run. Response times are
// of the requests answered in it; quantiles are NaN if there were none.
type Interval struct {
	Start, Length time.Duration // since the start of the run
	Offered       float64       // requests that were taken up per second
	Throughput    float64       // answers per second
	Target        float64       // mean rate asked for, 0 in a closed loop

	P50, P90, P99, P999, Max float64 // response time, seconds
	LagP99                   float64 // send lag, seconds
	Bad                      int64   // answers that count as errors: 5xx, gRPC codes but OK
	Failed                   int64   // requests without an answer
	InFlight, Connections    int
	Waiting                  float64 // requests due that wait for a connection, at its end

	// Response is the histogram of the interval's response times in
	// nanoseconds. It is only valid during the call of OnInterval.
	Response *hdrhistogram.Histogram
	Status   map[int]int64
	Failures map[Failure]int64
}

// maxIntervals bounds the memory of the time line; beyond it neighbours are
// put together in pairs.
const maxIntervals = 1200

// A collector puts together what the workers measured.
type collector struct {
	g        *Generator
	in       chan *block
	total    *block
	pending  []*part // intervals that some worker has not finished
	line     []Interval
	maxOpen  int
	answered time.Duration // end of the last interval with an answer
	claimed  int64         // requests taken up so far
	warm     float64       // requests of the warm-up
}

type part struct {
	seq   int64
	have  int
	block *block
}

func newCollector(g *Generator) *collector {
	return &collector{g: g, in: make(chan *block, 64), total: newBlock(len(g.options.Targets))}
}

func (c *collector) run() {
	for b := range c.in {
		c.add(b)
	}
	for _, p := range c.pending {
		c.emit(p)
	}
	c.g.finish()
}

// add merges a worker's block into its interval. A worker that was held up
// skips intervals; those are emitted when it has gone past them.
func (c *collector) add(b *block) {
	var p *part
	for _, q := range c.pending {
		if q.seq == b.seq {
			p = q
		}
	}
	if p == nil {
		p = &part{seq: b.seq}
		c.pending = append(c.pending, p)
	}
	p.have++
	w := c.g.workers[b.worker]
	if p.block == nil {
		p.block = b
	} else {
		p.block.add(b)
		b.reset()
		select {
		case w.spare <- b:
		default:
		}
	}
	if p.have < len(c.g.workers) {
		return
	}
	rest := c.pending[:0]
	for _, q := range c.pending {
		if q.seq > p.seq {
			rest = append(rest, q)
			continue
		}
		c.emit(q)
	}
	c.pending = rest
}

func (c *collector) emit(p *part) {
	b := p.block
	o := &c.g.options
	every := o.Every
	i := Interval{
		Start: time.Duration(p.seq) * every, Length: every,
		P50: quantile(b.response, 50), P90: quantile(b.response, 90), P99: quantile(b.response, 99), P999: quantile(b.response, 99.9),
		Max: quantile(b.response, 100), LagP99: quantile(b.lag, 99), Failed: b.errors(), InFlight: b.inFlight, Connections: b.open,
		Response: b.response, Status: map[int]int64{}, Failures: map[Failure]int64{},
	}
	end := time.Duration(int64(time.Since(c.g.cfg.epoch)) - c.g.cfg.start)
	if end < i.Start+i.Length && end > i.Start {
		i.Length = end - i.Start // the last one is cut short
	}
	if nothing := b.due+b.answers()+b.errors() == 0; nothing && int64(i.Start) >= c.g.stop.Load()-c.g.cfg.start {
		c.merge(b) // the run took a moment longer than its last whole interval
		return
	}
	seconds := i.Length.Seconds()
	i.Offered = float64(b.due) / seconds
	i.Throughput = float64(b.answers()) / seconds
	c.claimed += b.due
	if b.exhausted > 0 && c.g.steer != nil {
		t := min(float64(c.g.cfg.start)+float64(i.Start+i.Length), float64(c.g.stop.Load()))
		p := c.g.steer.now.Load()
		i.Waiting = max(0, p.find(t).at(t)-c.warm-float64(c.claimed))
	}
	if c.g.steer != nil {
		from, to := float64(c.g.cfg.start)+float64(i.Start), float64(c.g.cfg.start)+float64(i.Start+i.Length)
		p := c.g.steer.now.Load()
		i.Target = (p.find(to).at(to) - p.find(from).at(from)) / seconds
	}
	for code, n := range b.status {
		if n > 0 {
			i.Status[code] = n
			if isBad(code, o.Protocol) {
				i.Bad += n
			}
		}
	}
	for kind, n := range b.failed {
		if n > 0 {
			i.Failures[Failure(kind)] = n
		}
	}
	if i.Throughput > 0 {
		c.answered = i.Start + i.Length
	}
	c.maxOpen = max(c.maxOpen, i.Connections)
	if o.OnInterval != nil {
		o.OnInterval(i)
	}
	i.Response = nil
	c.line = append(c.line, i)
	if len(c.line) >= maxIntervals {
		c.line = halve(c.line)
	}
	c.merge(b)
}

// merge adds b to the total and gives it back to its worker.
func (c *collector) merge(b *block) {
	c.total.add(b)
	b.reset()
	select {
	case c.g.workers[b.worker].spare <- b:
	default:
	}
}

// halve puts neighbours together; of quantiles the larger one is kept, so that
// a peak does not vanish.
func halve(line []Interval) []Interval {
	out := line[:0]
	for k := 0; k+1 < len(line); k += 2 {
		a, b := line[k], line[k+1]
		x, y := a.Length.Seconds(), b.Length.Seconds()
		a.Offered = (a.Offered*x + b.Offered*y) / (x + y)
		a.Throughput = (a.Throughput*x + b.Throughput*y) / (x + y)
		a.Length += b.Length
		for _, q := range []struct{ to, from *float64 }{{&a.P50, &b.P50}, {&a.P90, &b.P90}, {&a.P99, &b.P99}, {&a.P999, &b.P999}, {&a.Max, &b.Max}, {&a.LagP99, &b.LagP99}} {
			if math.IsNaN(*q.to) || *q.from > *q.to {
				*q.to = *q.from
			}
		}
		a.Bad += b.Bad
		a.Failed += b.Failed
		a.InFlight, a.Connections, a.Target = b.InFlight, b.Connections, b.Target
		out = append(out, a)
	}
	return out
}

// quantile returns a percentile in seconds, NaN of an empty histogram.
func quantile(h *hdrhistogram.Histogram, percent float64) float64 {
	if h.TotalCount() == 0 {
		return math.NaN()
	}
	if percent >= 100 {
		return float64(h.Max()) / 1e9
	}
	return float64(h.ValueAtPercentile(percent)) / 1e9
}

// isBad says whether an answer counts as an error of the service.
func isBad(code int, p Protocol) bool {
	if p == GRPC {
		return code != 0
	}
	return code >= 500 || code == 429
}

// A Result is what a run measured.
type Result struct {
	Open     bool          // open loop
	Elapsed  time.Duration // from the start to the last answer or failure
	Planned  time.Duration // length of the schedule without the warm-up; until the end of a closed loop
	Workers  int
	MaxOpen  int // most connections open at the end of an interval
	Engine   string
	Protocol Protocol
	Targets  []Target
	Line     []Interval

	CPUSeconds float64 // used by the workers
	PeakRate   float64 // highest rate asked for, requests per second; of a replay the mean
	Saturation float64 // largest share of the run that a worker used its CPU or waited for it
	LastError  error   // of a dial

	total    *block
	recorded bool // a replay
	streams  int  // requests that a connection carries at once
	evidence evidence
	limits   limitFlags
	shared   bool    // the service is on this machine
	idle     float64 // share of the machine's CPU time that nobody used; 1 if not known
}

// finish makes the result when all workers have ended.
func (g *Generator) finish() {
	c := g.collect
	now := int64(time.Since(g.cfg.epoch))
	warm := g.options.Warmup
	r := &Result{
		Open: g.steer != nil || g.options.Recording != nil, Elapsed: time.Duration(now-g.cfg.start) - warm, Workers: len(g.workers), MaxOpen: c.maxOpen,
		Protocol: g.options.Protocol, Targets: g.options.Targets, Line: c.line, total: c.total, Engine: "net",
		CPUSeconds: float64(c.total.busy) / 1e9, recorded: g.options.Recording != nil, streams: g.cfg.streamsPerConn(),
	}
	if fastEngine && !g.cfg.secure && !g.options.Portable {
		r.Engine = "epoll"
	}
	r.shared, r.idle = onThisMachine(g.cfg.addresses), g.machine.idleSince()
	r.Planned = min(time.Duration(g.stop.Load()-g.cfg.start)-warm, r.Elapsed)
	if r.PeakRate = g.peak; r.recorded && r.Planned > 0 {
		r.PeakRate = float64(r.total.due) / r.Planned.Seconds()
	}
	for _, w := range g.workers {
		r.evidence.add(w.evidence)
		r.limits.descriptors = r.limits.descriptors || w.limits.descriptors
		r.limits.ports = r.limits.ports || w.limits.ports
		if w.lastError != nil {
			r.LastError = w.lastError
		}
		r.Saturation = max(r.Saturation, w.saturation(now))
	}
	g.result = r
	close(g.done)
}

// Due is how many requests fell due; every one is in Answers or in Errors.
func (r *Result) Due() int64 { return r.total.due }

// Sent is how many of them went out.
func (r *Result) Sent() int64 { return r.total.sent }

// Answers is how many were answered, whatever the status.
func (r *Result) Answers() int64 { return r.total.answers() }

// Errors is how many were not answered.
func (r *Result) Errors() int64 { return r.total.errors() }

// failures says how many requests failed by which kind, in words.
func (r *Result) failures() string {
	var kinds []string
	for kind, n := range r.total.failed {
		if n > 0 {
			kinds = append(kinds, fmt.Sprintf("%d %s", n, Failure(kind)))
		}
	}
	return strings.Join(kinds, ", ")
}

// Bytes is how many bytes were received.
func (r *Result) Bytes() int64 { return r.total.bytes }

// Response is the histogram of the response times, in nanoseconds, from the
// instants at which requests were due.
func (r *Result) Response() *hdrhistogram.Histogram { return r.total.response }

// Service is the histogram of the service times, from the sending.
func (r *Result) Service() *hdrhistogram.Histogram { return r.total.service }

// Lag is the histogram of the generator's own lateness.
func (r *Result) Lag() *hdrhistogram.Histogram { return r.total.lag }

// ErrorRatio is the share of due requests that failed or were answered with an
// error of the service (5xx, 429, a gRPC code but OK).
func (r *Result) ErrorRatio() float64 {
	if r.total.due == 0 {
		return 0
	}
	bad := r.total.errors()
	for code, n := range r.total.status {
		if isBad(code, r.Protocol) {
			bad += n
		}
	}
	return float64(bad) / float64(r.total.due)
}
