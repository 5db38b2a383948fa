package stress

import (
	"fmt"
	"math"
	"time"

	"github.com/wxops/wxops/capacity"
)

// A Controller decides the next rate of an online stress test. It is a pure
// function of its Config and the samples it was given: the same samples in the
// same order give the same decisions, bit for bit. It is not safe for
// concurrent use.
//
//	c := stress.NewController(cfg)
//	for each window {
//		d := c.Step(sample)   // set the weight so that d.Target arrives
//		for each fast reading until the window ends {
//			if d, act := c.Watch(reading); act { ... } // act at once
//		}
//		if d.Done() { restore the weights }
//	}
type Controller struct {
	cfg         Config
	bound, miss float64

	windows []window
	hist    histogram
	gaps    dispersion
	post    posterior

	phase   Phase
	base    float64 // offered load of the baseline
	target  float64
	last    Decision
	est     Estimate
	begun   bool
	paused  bool
	start   time.Duration
	changed time.Duration // of the target
	fast    Sample        // last guard reading

	held     float64       // highest rate that was held safely
	requests float64       // since the first sample
	missed   float64       // of these, those that missed the objective or failed
	near     time.Duration // time spent near the estimate
	capped   int           // windows at the highest rate that can be reached
	backoffs int
}

// A Command is what a person asks of a running test.
type Command string

// The commands a controller understands.
const (
	CommandHold    Command = "hold"     // keep the rate
	CommandResume  Command = "resume"   // go on
	CommandBackOff Command = "back-off" // lower the rate by a fifth and hold
)

// The law in numbers.
const (
	baselineTime = 4 * time.Second // enough for the service time to 2 % at some hundred requests per second
	holdTime     = 4 * time.Second // near the estimate, before it is believed
	growth       = 1.25            // highest growth per second
	approach     = 0.6             // part of the way to the ceiling per window
	holdShare    = 0.95            // of the estimated capacity, for the hold
	settled      = 0.025           // relative standard deviation at which the estimate is believed
	patience     = 10 * time.Second
)

// NewController returns a controller in its baseline phase. cfg must pass
// [Config.Check].
func NewController(cfg Config) *Controller {
	cfg = cfg.withDefaults()
	c := &Controller{cfg: cfg, phase: PhaseBaseline, target: cfg.BaseRate, est: Estimate{LimitedBy: "unknown", CPUCeiling: math.NaN()}}
	c.bound, c.miss = cfg.bound()
	return c
}

// Command applies a request of the user. It takes effect with the decision
// that it returns.
func (c *Controller) Command(cmd Command) Decision {
	switch cmd {
	case CommandHold:
		c.paused = true
	case CommandResume:
		c.paused = false
	case CommandBackOff:
		c.paused = true
		c.target = math.Max(c.base, c.target*0.8)
	}
	d := c.last
	d.Target = c.target
	d.Reason = "asked to " + string(cmd)
	c.last = d
	return d
}

// Step takes the sample of a window and returns what to do until the next one.
// The samples must be in order of time. When the decision is Done the test
// ends and Target is the base rate.
func (c *Controller) Step(s Sample) Decision {
	if !c.begun {
		c.begun, c.start = true, s.End-s.Window
	}
	c.account(s)
	c.learn(s)
	d := c.decide(s)
	d.At = s.End
	c.last = d
	return d
}

// Watch takes a guard reading between two windows (five times a second) and
// returns a decision and true when the rate must change before the window
// ends. Quantities that a fast reading has not are NaN.
func (c *Controller) Watch(s Sample) (Decision, bool) {
	c.gaps.add(s, c.changed+c.cfg.Lag)
	c.fast = s
	if c.phase == PhaseBaseline || c.phase == PhaseDone || math.IsNaN(s.Backlog) {
		return Decision{}, false
	}
	limit := c.backlogLimit()
	if s.Backlog <= limit || c.target <= c.base {
		return Decision{}, false
	}
	c.backoffs++
	c.phase = PhaseBackOff
	c.set(math.Max(c.base, 0.75*c.target), s.End)
	d := c.decision(fmt.Sprintf("backlog %.0f is over its limit of %.0f: back to %.0f/s", s.Backlog, limit, c.target))
	d.At = s.End
	c.last = d
	return d, true
}

// backlogLimit is the backlog at which a request would wait half of what the
// objective leaves it.
func (c *Controller) backlogLimit() float64 {
	rate := math.Max(c.target, c.est.PerSecond)
	return math.Max(4, 0.5*c.bound*rate)
}

// account counts the requests and the harm.
func (c *Controller) account(s Sample) {
	n := s.Offered * s.Window.Seconds()
	c.requests += n
	bad := 0.0
	if !math.IsNaN(s.SlowRatio) {
		bad += s.SlowRatio
	}
	if !math.IsNaN(s.ErrorRatio) {
		bad += s.ErrorRatio
	}
	c.missed += math.Min(1, bad) * n
}

// learn adds the window to what is known and fits the model anew.
func (c *Controller) learn(s Sample) {
	w := c.windowOf(s)
	c.windows = append(c.windows, w)
	if c.phase == PhaseBaseline || w.wait < 0.05*s.Mean {
		c.hist.add(s.Buckets)
	}
	c.post = fit(c.windows, c.hist.service(c.windows[0].service), c.arrivals(s), c.cfg.Workers, c.bound, c.miss)
	c.est = Estimate{PerSecond: c.post.mean, Low: c.post.low, High: c.post.high, CPUCeiling: c.post.ceiling, LimitedBy: "unknown"}
	b := c.post.best
	c.est.Model = capacity.Model{Kind: "ggk", Parameters: map[string]float64{
		"workers": b.k, "service_seconds": b.alone, "contention_seconds_per_worker": b.slope, "service_scv_ratio": b.cs2, "arrival_scv_ratio": b.ca2,
		"degradation_ratio_per_request": c.post.degrade, "saturation_per_second": b.saturation(),
	}}
}

// windowOf reads a sample for the fit.
func (c *Controller) windowOf(s Sample) window {
	w := window{seconds: s.Window.Seconds(), offered: s.Offered, throughput: s.Throughput, cpu: math.NaN(), wait: math.NaN(), service: math.NaN(), backlog: s.Backlog}
	w.n = w.throughput * w.seconds
	if s.CPULimit > 0 {
		w.cpu = s.CPU / s.CPULimit
	}
	switch {
	case !math.IsNaN(s.QueueWait):
		w.wait = s.QueueWait
		w.service = s.Mean - s.QueueWait
	case !math.IsNaN(s.Backlog) && s.Throughput > 0:
		w.wait = s.Backlog / s.Throughput
		w.waitNoise = 0.2
		w.service = s.Mean - w.wait
	default:
		w.service = s.Mean
	}
	if n := len(c.windows); n > 0 && !math.IsNaN(w.wait) {
		w.before = c.windows[n-1].wait
	}
	return w
}

// arrivals returns the squared coefficient of variation of the arrivals.
func (c *Controller) arrivals(s Sample) float64 {
	switch {
	case c.cfg.ArrivalCV > 0:
		return c.cfg.ArrivalCV * c.cfg.ArrivalCV
	case c.cfg.RoundRobin && s.Total > 0:
		return math.Min(1, math.Max(s.Share, c.est.PerSecond/s.Total))
	default:
		return c.gaps.scv()
	}
}

// set changes the target.
func (c *Controller) set(rate float64, at time.Duration) {
	if rate != c.target {
		c.target, c.changed = rate, at
	}
}

func (c *Controller) decide(s Sample) Decision {
	elapsed := s.End - c.start
	if c.phase == PhaseBaseline {
		c.base += (s.Offered - c.base) / float64(len(c.windows))
		c.set(c.base, s.End)
		if elapsed < baselineTime {
			return c.decision("measuring ordinary traffic")
		}
		c.phase = PhaseRamp
	}
	ceiling := holdShare * c.est.PerSecond * (1 - math.Min(0.2, 0.7*c.post.spread))
	safe := c.phase != PhaseBackOff && !(s.SlowRatio > c.miss)
	if safe {
		c.held = math.Max(c.held, s.Offered)
	}
	if s.Offered >= 0.96*ceiling && c.phase != PhaseBackOff {
		c.near += s.Window
	}
	limited := c.cfg.MaxRate > 0 && ceiling > c.cfg.MaxRate
	if limited && s.Offered > 0.97*c.cfg.MaxRate {
		c.capped++
	}
	switch {
	case c.post.degradeZ > 4 && c.post.degrade > 0.001 && c.backoffs > 0:
		return c.finish(capacity.VerdictMetastable, "the service slows down as its backlog grows")
	case c.capped >= 3:
		return c.finish(capacity.VerdictNoKnee, "no higher rate can be reached")
	case c.near >= holdTime && (c.post.spread < settled || c.near >= patience):
		return c.finish(capacity.VerdictOK, "the estimate was confirmed")
	case elapsed >= c.cfg.MaxDuration:
		return c.finish(capacity.VerdictNoKnee, "the time is over")
	case c.paused:
		return c.decision("held by the user")
	}
	c.steer(s, ceiling)
	return c.decision("")
}

// steer chooses the next rate.
func (c *Controller) steer(s Sample, ceiling float64) {
	if c.phase == PhaseBackOff {
		if s.Backlog > 0.2*c.backlogLimit() {
			return // drains
		}
		c.phase = PhaseHold
	}
	next := ceiling
	if c.target < ceiling {
		next = math.Min(c.target*math.Pow(growth, s.Window.Seconds()), c.target+approach*(ceiling-c.target))
		if next > 0.985*ceiling {
			next = ceiling
		}
	}
	if c.cfg.MaxRate > 0 {
		next = math.Min(next, c.cfg.MaxRate)
	}
	c.phase = PhaseRamp
	if next >= 0.985*ceiling {
		c.phase = PhaseHold
	}
	c.set(math.Max(c.base, next), s.End)
}

func (c *Controller) decision(reason string) Decision {
	if reason == "" {
		reason = fmt.Sprintf("%s: capacity about %.0f/s (%.0f to %.0f), next %.0f/s", c.phase, c.est.PerSecond, c.est.Low, c.est.High, c.target)
	}
	return Decision{Phase: c.phase, Target: c.target, Reason: reason, Estimate: c.est}
}

func (c *Controller) finish(v capacity.Verdict, reason string) Decision {
	c.phase, c.target = PhaseDone, c.base
	d := c.decision(reason)
	d.Verdict = v
	if v != capacity.VerdictOK {
		d.Estimate.PerSecond, d.Estimate.Low, d.Estimate.High = 0, c.held, 0
	}
	return d
}

// A histogram gathers the response times of windows in which almost nobody
// waited: the distribution of the service time.
type histogram struct{ buckets []Bucket }

func (h *histogram) add(b []Bucket) {
	for _, x := range b {
		i := 0
		for i < len(h.buckets) && h.buckets[i].Bound < x.Bound {
			i++
		}
		if i < len(h.buckets) && h.buckets[i].Bound == x.Bound {
			h.buckets[i].Count += x.Count
			continue
		}
		h.buckets = append(h.buckets, Bucket{})
		copy(h.buckets[i+1:], h.buckets[i:])
		h.buckets[i] = x
	}
}

// service returns the distribution with mean 1. Within a bucket the requests
// are spread evenly. Without a histogram it is exponential.
func (h *histogram) service(mean float64) []atom {
	const parts = 2
	var out []atom
	total, sum, low := 0.0, 0.0, 0.0
	for _, b := range h.buckets {
		high := b.Bound
		if math.IsInf(high, 1) {
			high = 2 * low
		}
		if low == 0 {
			low = high * 0.87
		}
		for i := range parts {
			v := low + (high-low)*(float64(i)+0.5)/parts
			out = append(out, atom{v, b.Count / parts})
			total += b.Count / parts
			sum += v * b.Count / parts
		}
		low = high
	}
	if total == 0 {
		const n = 40
		for i := range n {
			v := -math.Log(1 - (float64(i)+0.5)/n)
			out = append(out, atom{v, 1.0 / n})
			total += 1.0 / n
			sum += v / n
		}
	}
	for i := range out {
		out[i].p /= total
		out[i].value *= total / sum
	}
	return out
}

// dispersion estimates the variability of the arrivals from the counts of the
// guard readings: the variance of differences of neighbours over twice the
// mean, which a slow change of the rate does not disturb.
type dispersion struct {
	last       Sample
	sum, pairs float64
}

func (g *dispersion) add(s Sample, changed time.Duration) {
	prev := g.last
	g.last = s
	if !(prev.Offered > 0) || !(s.Offered > 0) || s.End-s.Window != prev.End || prev.End-prev.Window < changed {
		return
	}
	a, b := prev.Offered*prev.Window.Seconds(), s.Offered*s.Window.Seconds()
	g.sum += (a - b) * (a - b) / (a + b)
	g.pairs++
}

// scv returns the index of dispersion, drawn towards Poisson while there are
// few readings.
func (g *dispersion) scv() float64 {
	const prior = 12
	return (g.sum + prior) / (g.pairs + prior)
}
