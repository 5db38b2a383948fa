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
	hold        float64 // share of the estimate at which it is confirmed
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
	baselineTime = 4 * time.Second     // enough for the service time to 2 % at some hundred requests per second
	holdTime     = 4 * time.Second     // near the estimate, before it is believed
	growth       = 1.25                // highest growth per second
	groping      = 1.08                // the same above the cautious part of the estimate
	caution      = 1.12                // the same while the estimate is vague
	probing      = 1.08                // the same while the estimate is refuted by what was held, or vague and from outside
	leap         = 2                   // highest growth per window
	approach     = 0.6                 // part of the way to the ceiling per second
	fewWait      = 0.1                 // of the response time: a window with shorter waits shows the service time
	cautious     = 0.9                 // of the 5 % quantile of the estimate may be reached quickly
	settled      = 0.025               // relative standard deviation at which the estimate is believed
	vague        = 0.25                // the same above which an estimate from outside is no bound
	patience     = 10 * time.Second    // near the estimate, and it is not believed more
	outsideHold  = 7 * time.Second     // the same from outside, where it never is
	usual        = 19 * time.Second    // a longer hold is a better estimate; people wait so long
	further      = 9 * time.Second / 2 // while a slow-down is open: 25 s are promised, and some of that is needed before and after
	credible     = 0.9                 // posterior probability at which a slow-down under backlog is believed
	likely       = 0.3                 // the same when the error budget is spent, as healthy services seldom do
	unprobed     = 0.985               // the first of these where no backlog can be sought
	doubtful     = 0.005               // the same from which the test goes on for longer
	serious      = 0.1                 // the same from which it goes on for as long again: few healthy services get there
	open         = 0.002               // the same from which a backlog is sought; 0.1 without any evidence
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

// set changes the target.
func (c *Controller) set(rate float64, at time.Duration) {
	if rate != c.target && !math.IsNaN(rate) {
		c.target, c.changed = rate, at
	}
}

// decide chooses what to do until the next window.
func (c *Controller) decide(s Sample) Decision {
	elapsed := s.End - c.start
	if c.phase == PhaseBaseline {
		if !c.rested(s, elapsed) {
			return c.decision("measuring ordinary traffic")
		}
		if c.strained() {
			return c.finish(capacity.VerdictGuard, fmt.Sprintf("ordinary traffic misses the objective already: %.0f of %.0f requests; nothing was changed", c.missed, c.requests))
		}
		c.phase = PhaseRamp
		c.requests, c.missed = 0, 0 // no harm of ours
	}
	// What is vague is approached from below.
	c.hold = c.share(elapsed)
	ceiling := c.hold * c.est.PerSecond * math.Exp(-math.Min(1, 0.7*c.post.spread))
	c.observe(s, ceiling)
	doubt := c.suspicion()
	if v, reason := c.stop(elapsed, doubt); v != "" {
		return c.finish(v, reason)
	}
	if c.mayProbe(elapsed, doubt) {
		c.vigil, c.calm = vigil{readings: int(probeTime / guardPeriod), sought: doubt.wanted}, 0
		return c.decision("looking what a backlog does to the service")
	}
	switch {
	case c.confirmed() && elapsed >= c.longest(doubt):
		why := "the estimate was confirmed"
		if doubt.slower > likely {
			why += "; whether a backlog slows the service down stayed open"
		}
		return c.finish(capacity.VerdictOK, why)
	case elapsed >= c.cfg.MaxDuration:
		return c.finish(capacity.VerdictNoKnee, "the time is over")
	case c.paused:
		return c.decision("held by the user")
	}
	c.steer(s, ceiling)
	return c.decision("")
}

// rested adds a window to the baseline and reports whether ordinary traffic is
// known well enough for the ramp to begin.
func (c *Controller) rested(s Sample, elapsed time.Duration) bool {
	c.base += (s.Offered - c.base) / float64(len(c.windows))
	c.set(c.base, s.End)
	good := 0
	for _, w := range c.windows {
		if !w.stalled {
			good++
		}
	}
	return elapsed >= baselineTime && (elapsed >= 2*baselineTime || good >= 3 || c.cfg.Window > 2*time.Second)
}

// strained reports whether ordinary traffic misses the objective: then there is
// no capacity to find, and more requests would do more harm. Requests are slow
// in clusters, so that twice three standard deviations of a count are chance, and
// windows in which the instance stood still do not count.
func (c *Controller) strained() bool {
	missed, requests := c.missed, c.requests
	for _, w := range c.windows {
		if w.stalled && w.slow > 0 {
			missed -= w.slow
			requests -= w.n
		}
	}
	allowed := c.miss * requests
	return missed > allowed+6*math.Sqrt(allowed)
}

// observe notes how the window went: whether it was served well, whether it was
// near ceiling, the rate at which the estimate is confirmed, and whether as much
// arrived as was asked for.
func (c *Controller) observe(s Sample, ceiling float64) {
	safe := c.phase != PhaseBackOff && !(s.SlowRatio > c.miss) && !(s.Backlog > 0.5*c.backlogLimit())
	if safe {
		c.held = math.Max(c.held, math.Min(s.Offered, c.before))
		c.before = s.Offered
	} else {
		c.before = 0
	}
	// An estimate below a rate that was held, or below the ordinary one while
	// that is served well, is refuted: the rate grows with care until it is not.
	c.refuted = safe && (ceiling*holdShare/c.hold < 1.02*c.base || c.est.PerSecond < 0.97*c.held)
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
