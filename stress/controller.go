package stress

import (
	"fmt"
	"math"
	"strings"
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
	looks   Looks
	gaps    dispersion
	surges  surges
	post    posterior

	phase       Phase
	base        float64 // offered load of the baseline
	target      float64
	last        Decision
	est         Estimate
	begun       bool
	paused      bool
	start       time.Duration
	lastBacklog float64       // at the end of the last window
	changed     time.Duration // of the target
	fast        Sample        // last guard reading

	held               float64       // highest rate that was held safely
	requests           float64       // since the first sample
	missed             float64       // of these, those that missed the objective or failed
	near               time.Duration // time spent near the estimate
	capped             int           // windows at the highest rate that can be reached
	short              int           // windows in a row in which less arrived than was asked for
	asked              float64       // target during the last window
	before             float64       // offered load of the window before, if it was served well
	refuted            bool          // the estimate contradicts what was held
	calm               time.Duration // near the estimate since the last of them
	vigil              vigil
	stalled, disturbed bool // in this window: the instance stood still; a guard changed the rate
	asleep             bool // the machine stood still in this window, or its queue is still there
	pauses             int  // of the machine
	draining           bool // the last window ended with a queue to drain
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
	baselineTime = 4 * time.Second  // enough for the service time to 2 % at some hundred requests per second
	holdTime     = 4 * time.Second  // near the estimate, before it is believed
	growth       = 1.25             // highest growth per second
	groping      = 1.08             // the same above the cautious part of the estimate
	caution      = 1.12             // the same while the estimate is vague
	probing      = 1.08             // the same while the estimate is refuted by what was held, or vague and from outside
	leap         = 2                // highest growth per window
	approach     = 0.6              // part of the way to the ceiling per second
	fewWait      = 0.1              // of the response time: a window with shorter waits shows the service time
	holdShare    = 0.93             // of the estimated capacity, for the hold
	leastHold    = 0.75             // the same where few workers let misses grow slowly with the load
	harmless     = 0.5              // of the error budget is spent during such a hold, by the model
	cautious     = 0.9              // of the 5 % quantile of the estimate may be reached quickly
	settled      = 0.025            // relative standard deviation at which the estimate is believed
	vague        = 0.25             // the same above which an estimate from outside is no bound
	patience     = 10 * time.Second // near the estimate, and it is not believed more
	outsideHold  = 7 * time.Second  // the same from outside, where it never is
	usual        = 19 * time.Second // a longer hold is a better estimate; people wait so long
	credible     = 0.9              // posterior probability at which a slow-down under backlog is believed
	likely       = 0.3              // the same when the error budget or the time is spent, as healthy services seldom do
	unprobed     = 0.985            // the first of these where no backlog can be sought
	doubtful     = 0.005            // the same from which the test goes on for longer
	open         = 0.002            // the same from which a backlog is sought; 0.1 without any evidence
)

// unknown is the relative standard deviation above which an estimate is no
// number to tell a person.
const unknown = 1

// The law from outside, where the number of workers is told late.
const (
	outsideCautious = 0.85 // of the 5 % quantile of the estimate may be reached quickly while it is vague
	outsideWaiting  = 0.25 // of the requests under way seem to wait: no step without knowing more
)

// NewController returns a controller in its baseline phase. cfg must pass
// [Config.Check].
func NewController(cfg Config) *Controller {
	cfg = cfg.withDefaults()
	c := &Controller{cfg: cfg, phase: PhaseBaseline, est: Estimate{LimitedBy: "unknown", CPUCeiling: math.NaN()}}
	c.bound, c.miss = cfg.bound()
	return c
}

// Command applies a request of the user. It takes effect with the decision
// that it returns.
func (c *Controller) Command(cmd Command) Decision {
	switch cmd {
	case CommandHold:
		c.paused = true
		c.vigil = vigil{}
	case CommandResume:
		c.paused = false
	case CommandBackOff:
		c.paused = true
		c.vigil = vigil{}
		c.target = math.Max(c.base, c.target*0.8)
	}
	d := c.last
	d.Target = c.target
	d.Reason = "asked to " + strings.ReplaceAll(string(cmd), "-", " ")
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
}

// limitedBy names what is used up at the estimated capacity: the CPU; the
// workers, with CPU to spare (queue); or neither, when the objective is so tight
// that it is missed with both to spare.
func (c *Controller) limitedBy() string {
	switch used := c.post.mean / c.post.best.saturation(); {
	case !(c.post.mean > 0) || c.post.spread > 0.1:
		return "unknown"
	case used < 0.75:
		return "objective"
	case c.post.ceiling >= 0.9:
		return "cpu"
	case math.IsNaN(c.post.ceiling):
		return "unknown"
	}
	return "queue"
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

// set changes the target.
func (c *Controller) set(rate float64, at time.Duration) {
	if rate != c.target && !math.IsNaN(rate) {
		c.target, c.changed = rate, at
	}
}

func (c *Controller) decide(s Sample) Decision {
	elapsed := s.End - c.start
	if c.phase == PhaseBaseline {
		c.base += (s.Offered - c.base) / float64(len(c.windows))
		c.set(c.base, s.End)
		good := 0
		for _, w := range c.windows {
			if !w.stalled {
				good++
			}
		}
		if elapsed < baselineTime || elapsed < 2*baselineTime && good < 3 && c.cfg.Window <= 2*time.Second {
			return c.decision("measuring ordinary traffic")
		}
		c.phase = PhaseRamp
		c.requests, c.missed = 0, 0 // nothing was changed so far: no harm of ours
	}
	ceiling := c.share() * c.est.PerSecond * math.Exp(-math.Min(1, 0.7*c.post.spread))
	safe := c.phase != PhaseBackOff && !(s.SlowRatio > c.miss) && !(s.Backlog > 0.5*c.backlogLimit())
	if safe {
		c.held = math.Max(c.held, math.Min(s.Offered, c.before))
		c.before = s.Offered
	} else {
		c.before = 0
	}
	// An estimate below a rate that was held, or below the ordinary one while
	// that is served well, is refuted: the rate grows with care until it is not.
	c.refuted = safe && (ceiling < 1.02*c.base || c.est.PerSecond < 0.97*c.held)
	// What was asked for counts: what arrives differs from it by chance.
	if c.asked >= 0.96*ceiling && s.meant() >= 0.9*ceiling && c.phase != PhaseBackOff && !c.refuted && !c.unsure() {
		c.near += s.Window
		c.calm += s.Window
	}
	if c.vigil.seeking() && c.post.degraded <= open {
		c.vigil = vigil{} // the question is answered
	}
	// 2.5 standard deviations of a count are chance.
	lack := math.Max(0.1*c.asked, 2.5*math.Sqrt(c.asked/s.Window.Seconds()))
	if c.phase == PhaseRamp && safe && s.meant() < c.asked-lack && c.cfg.Lag == 0 {
		c.short++
	} else {
		c.short = 0
	}
	c.asked = c.target
	limited := c.cfg.MaxRate > 0 && ceiling > c.cfg.MaxRate
	if limited && s.meant() > 0.97*c.cfg.MaxRate {
		c.capped++
	}
	limit := usual + 6*c.cfg.Lag
	wanted := c.wanted()
	// Without the waits of every request the saturation is not known well
	// enough to see a small loss of it.
	slower, believed, suspected := c.post.degraded, credible, likely
	if c.post.coarse {
		slower = 0
	}
	if wanted == 0 {
		believed, suspected = unprobed, credible
	}
	if slower > likely || slower > doubtful && wanted > 0 {
		limit *= 2
	}
	if c.cfg.Window > 2*time.Second {
		limit = 0 // a window is long enough
	}
	limit = min(limit, c.cfg.MaxDuration)
	enough := patience
	if c.post.outside {
		enough = outsideHold
	}
	// The budget is that of the whole test, with the requests still to come.
	budget := c.cfg.ErrorBudget * (c.requests + c.target*math.Max(0, (usual-elapsed).Seconds()))
	switch {
	case slower > believed:
		return c.finish(capacity.VerdictMetastable, "the service slows down as its backlog grows")
	case c.missed > budget && slower > suspected:
		return c.finish(capacity.VerdictMetastable, "the error budget is spent, and most likely the service slows down as its backlog grows")
	case c.missed > budget:
		return c.finish(capacity.VerdictGuard, fmt.Sprintf("%.0f requests missed the objective or failed, the budget is %.0f", c.missed, budget))
	case elapsed >= limit && slower > suspected && wanted > 0:
		return c.finish(capacity.VerdictMetastable, "most likely the service slows down as its backlog grows")
	case c.capped >= 3, c.short >= 5:
		return c.finish(capacity.VerdictNoKnee, "no higher rate can be reached")
	case c.vigil.readings == 0 && slower > open && wanted > 0 && !c.paused && c.calm >= probeNear/2 && c.near >= probeNear && c.post.spread < 2*settled && elapsed >= probeAfter && c.phase == PhaseHold:
		c.vigil, c.calm = vigil{readings: int(probeTime / guardPeriod), sought: wanted}, 0
		return c.decision("looking what a backlog does to the service")
	case c.near >= holdTime && (c.post.spread < settled || c.near >= enough) && elapsed >= limit:
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
	if c.vigil.seeking() {
		return
	}
	if c.phase == PhaseBackOff {
		if c.vigil.readings > 0 || !(c.lastBacklog < 0.2*c.backlogLimit()) {
			return // watched or draining
		}
		c.phase = PhaseHold
	}
	next := ceiling
	if c.target < ceiling {
		fast := math.Min(leap, math.Pow(growth, s.Window.Seconds()))
		part := 1 - math.Pow(1-approach, s.Window.Seconds())
		next = math.Min(c.target*fast, c.target+part*(ceiling-c.target))
		if next > 0.985*ceiling {
			next = ceiling
		}
	}
	quick := cautious * c.post.fifth
	if c.unsure() {
		quick = outsideCautious * c.post.fifth
	}
	if next > quick {
		next = math.Min(next, math.Max(quick, c.target*math.Pow(groping, s.Window.Seconds())))
	}
	waiting := c.post.outside && s.Backlog > outsideWaiting*s.InFlight
	if c.post.spread > 0.15 && !waiting {
		// The fit says little yet; only the guards speak against a small step.
		step := caution
		if c.post.outside {
			step = probing
		}
		next = math.Max(next, c.target*math.Min(1.3, math.Pow(step, s.Window.Seconds())))
	}
	if c.refuted {
		next = math.Max(next, c.target*math.Min(1.3, math.Pow(probing, s.Window.Seconds())))
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
	switch {
	case reason == "" && c.post.spread > unknown:
		reason = "the capacity is not known yet: " + c.intent()
	case reason == "":
		reason = fmt.Sprintf("the capacity is about %.0f/s (%.0f to %.0f): %s", c.est.PerSecond, c.est.Low, c.est.High, c.intent())
	}
	return Decision{Phase: c.phase, Target: c.target, Reason: reason, Estimate: c.est}
}

// intent says in words what the phase does with the target.
func (c *Controller) intent() string {
	switch c.phase {
	case PhaseHold:
		if c.vigil.seeking() {
			return fmt.Sprintf("keep a backlog of %.0f up with %.0f/s", c.vigil.sought, c.target)
		}
		return fmt.Sprintf("hold %.0f/s to confirm it", c.target)
	case PhaseBackOff:
		return fmt.Sprintf("let the backlog drain at %.0f/s", c.target)
	}
	return fmt.Sprintf("go on with %.0f/s", c.target)
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
