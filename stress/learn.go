package stress

import (
	"maps"
	"math"

	"github.com/wxops/wxops/capacity"
)

// How the controller reads a sample: what it counts as harm, and what it gives
// to the fit.

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
	// What a pause of the machine harms is counted as harm, but says nothing
	// about the load: only the third pause is held against the test.
	if c.asleep && c.pauses <= 2 {
		c.asleep = c.stalled && c.fast.Backlog > 0.1*c.backlogLimit() // or the queue of it has still to be served
		return
	}
	c.asleep = false
	c.missed += math.Min(1, bad) * n
}

// learn adds the window to what is known and fits the model anew.
func (c *Controller) learn(s Sample) {
	w := c.windowOf(s)
	c.windows = append(c.windows, w)
	c.dropStalls()
	w = c.windows[len(c.windows)-1]
	if !w.stalled && w.steady && (c.phase == PhaseBaseline || w.wait < fewWait*s.Mean) {
		wait := w.wait
		if w.inferred || math.IsNaN(wait) {
			wait = 0 // not known
		}
		c.hist.add(s.Buckets, wait, s.Offered)
	}
	if !w.stalled && w.inferred {
		c.looks.Add(s.Looks...)
	}
	before := c.post
	given := model{slots: s.Slots}
	given.ca2, given.dealt = c.arrivals(s)
	c.post = fit(c.windows, c.looks, c.surges.spans, c.hist.service(c.post.best), given, c.bound, c.miss, c.post.best)
	if !(c.post.mean > 1e-3) || math.IsNaN(c.post.spread) || len(c.post.models) == 0 {
		// No model explains the windows; what was known before still holds.
		c.post = before
		c.post.spread = math.Max(c.post.spread, 0.5)
	}
	if b, full := c.post.best, c.post.full; b.k < fewWorkers+1 && full > 0 && c.hist.requests > 0 {
		// What the error of the variability of service times moves; next to nothing with more workers.
		moved := (b.saturation()/full - 1) * varianceError(b.service, c.hist.requests) / (b.arrivalSCV(full) + b.cs2)
		c.post.reach(math.Min(1, math.Max(0, moved)))
	}
	if p, b := c.gaps.pairs, c.post.best; c.cfg.Balance == BalanceUnknown && p > 4 && math.Abs(b.ca2-1) > 0.3 {
		// What the error of the estimated variability of arrivals moves.
		moved := (1 - c.post.mean/b.saturation()) * b.ca2 * math.Sqrt(2/p) / (b.ca2 + b.cs2)
		c.post.low *= math.Exp(-1.96 * moved)
		c.post.high *= math.Exp(1.96 * moved)
	}
	c.est = Estimate{PerSecond: c.post.mean, Low: c.post.low, High: c.post.high, CPUCeiling: c.post.ceiling, LimitedBy: c.limitedBy()}
	b := c.post.best
	c.est.Model = capacity.Model{Kind: "ggk", Parameters: map[string]float64{
		"workers": b.k, "service_seconds": b.alone, "contention_seconds_per_worker": b.slope, "service_scv_ratio": b.cs2, "arrival_scv_ratio": b.arrivalSCV(c.post.mean),
		"degradation_ratio_per_request": c.post.degrade, "saturation_per_second": b.saturation(),
	}}
	// What was not fitted has no value, and could not be recorded.
	maps.DeleteFunc(c.est.Model.Parameters, func(_ string, v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
}

// dropStalls marks windows in which a queue came up although the rate does not
// explain it: the instance, or its machine, stood still for a moment.
func (c *Controller) dropStalls() {
	last := &c.windows[len(c.windows)-1]
	if c.phase != PhaseBaseline {
		if last.wait > 0.2*c.bound && c.post.spread < 0.15 && last.offered < 0.8*c.post.mean {
			last.stalled = true
		}
		return
	}
	least := math.Inf(1)
	for _, w := range c.windows {
		if !math.IsNaN(w.wait) {
			least = math.Min(least, w.wait)
		}
	}
	for i := range c.windows {
		if w := &c.windows[i]; w.wait > 5*least+0.05*c.bound {
			w.stalled = true
		}
	}
}

// windowOf reads a sample for the fit.
func (c *Controller) windowOf(s Sample) window {
	w := window{seconds: s.Window.Seconds(), offered: s.meant(), throughput: s.Throughput, cpu: math.NaN(), wait: math.NaN(), service: s.Mean}
	w.n = math.Max(1, w.throughput*w.seconds)
	w.slow = s.SlowRatio * w.n
	if s.CPULimit > 0 {
		w.cpu = s.CPU / s.CPULimit
	}
	switch {
	case !math.IsNaN(s.QueueWait):
		w.wait = s.QueueWait
		w.queue = s.Offered * s.QueueWait
	case !math.IsNaN(s.Backlog) && s.Throughput > 0:
		w.wait = s.Backlog / s.Throughput
		w.queue = s.Backlog
		if !s.Inferred {
			w.waitNoise = 0.3
		}
	}
	w.inferred = s.Inferred && math.IsNaN(s.QueueWait)
	if !w.inferred && !math.IsNaN(w.wait) {
		w.service -= w.wait
	}
	w.response = s.Mean
	w.before = c.lastBacklog / math.Max(1, w.throughput)
	w.stalled = c.stalled
	w.steady = !c.stalled && !c.disturbed && !c.draining
	c.lastBacklog = 0
	if !math.IsNaN(c.fast.Backlog) {
		c.lastBacklog = c.fast.Backlog
	}
	// What a stall or a guard left in the queue belongs to the next window.
	left := c.lastBacklog > 0.1*c.backlogLimit()
	c.draining = (c.stalled || c.disturbed) && left
	c.stalled, c.disturbed = c.stalled && left, false
	return w
}

// arrivals returns the squared coefficient of variation of the arrivals, or the
// rate of the stream that they are dealt out of in turn, per second.
func (c *Controller) arrivals(s Sample) (ca2, dealt float64) {
	if c.cfg.Balance == BalanceTurn && s.Total > 0 {
		return 1, s.Total
	}
	return c.gaps.scv(), 0
}
