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
	cfg Config

	windows []Sample
	fast    Sample
	phase   Phase
	base    float64 // offered load of the baseline
	target  float64
	last    Decision
	est     Estimate
	begun   bool
	start   time.Duration
	held    float64 // highest rate that was held safely
	above   int     // windows near the estimate
	paused  bool
}

// A Command is what a person asks of a running test.
type Command string

// The commands a controller understands.
const (
	CommandHold    Command = "hold"     // keep the rate
	CommandResume  Command = "resume"   // go on
	CommandBackOff Command = "back-off" // lower the rate by a fifth and hold
)

// NewController returns a controller in its baseline phase. cfg must pass
// [Config.Check].
func NewController(cfg Config) *Controller {
	cfg = cfg.withDefaults()
	return &Controller{cfg: cfg, phase: PhaseBaseline, base: cfg.BaseRate, target: cfg.BaseRate}
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
	c.windows = append(c.windows, s)
	d := c.decide(s)
	d.At = s.End
	c.last = d
	return d
}

// Watch takes a guard reading between two windows (five times a second) and
// returns a decision and true when the rate must change before the window
// ends. Quantities that a fast reading has not are NaN.
func (c *Controller) Watch(s Sample) (Decision, bool) {
	c.fast = s
	bound, _ := c.cfg.bound()
	rate := math.Max(c.est.PerSecond, c.target)
	if c.phase == PhaseBaseline || c.last.Done() || math.IsNaN(s.Backlog) || s.Backlog < 4 || s.Backlog/rate < bound/2 {
		return Decision{}, false
	}
	c.phase = PhaseBackOff
	c.target = math.Max(c.base, 0.8*math.Min(c.target, rate))
	d := Decision{
		At: s.End, Phase: c.phase, Target: c.target, Estimate: c.est,
		Reason: fmt.Sprintf("backlog of %.0f requests: back to %.0f/s", s.Backlog, c.target),
	}
	c.last = d
	return d, true
}

// baselineTime is how long ordinary traffic is measured before the first step.
const baselineTime = 4 * time.Second

func (c *Controller) decide(s Sample) Decision {
	bound, _ := c.cfg.bound()
	elapsed := s.End - c.start
	n := float64(len(c.windows))
	if c.phase == PhaseBaseline {
		c.base += (s.Offered - c.base) / n
		c.target = c.base
		if elapsed < baselineTime {
			return c.decision("measuring ordinary traffic")
		}
		c.phase = PhaseRamp
	}
	near := s.P99 > 0.6*bound || s.Mean > 0.4*bound || s.SlowRatio > 0.004
	if !near && c.phase == PhaseRamp {
		c.held = math.Max(c.held, s.Offered)
	}
	switch {
	case c.phase == PhaseRamp && near || c.phase == PhaseBackOff:
		c.phase = PhaseHold
		c.est = Estimate{PerSecond: 1.02 * s.Throughput, Low: 0.9 * s.Throughput, High: 1.1 * s.Throughput, LimitedBy: "unknown", CPUCeiling: math.NaN()}
		c.target = 0.95 * s.Throughput
	case c.phase == PhaseHold:
		if c.above++; c.above >= 3 {
			return c.finish(capacity.VerdictOK, "the estimate was confirmed")
		}
	case !c.paused:
		grown := 1.1 * s.Offered
		if c.cfg.MaxRate > 0 && grown > c.cfg.MaxRate {
			grown = c.cfg.MaxRate
			if c.above++; c.above >= 3 {
				return c.finish(capacity.VerdictNoKnee, "no higher rate can be reached")
			}
		}
		c.target = grown
	}
	if elapsed >= c.cfg.MaxDuration {
		return c.finish(capacity.VerdictNoKnee, "the time is over")
	}
	return c.decision("")
}

func (c *Controller) decision(reason string) Decision {
	if reason == "" {
		reason = fmt.Sprintf("%s: next %.0f/s", c.phase, c.target)
	}
	return Decision{Phase: c.phase, Target: c.target, Reason: reason, Estimate: c.est}
}

func (c *Controller) finish(v capacity.Verdict, reason string) Decision {
	c.phase, c.target = PhaseDone, c.base
	d := c.decision(reason)
	d.Verdict = v
	if v != capacity.VerdictOK {
		d.Estimate = Estimate{Low: c.held, LimitedBy: "unknown", CPUCeiling: math.NaN()}
	}
	return d
}
