package stress

import (
	"fmt"
	"math"
	"time"
)

// What the controller does about a backlog between two windows. A backlog
// beyond its limit is drained. One that is not much more is watched, and where
// none comes up one is sought: how much is done while it lasts tells an instance
// that a backlog slows down from a healthy one, which soon drains it.

// The law of backlogs in numbers.
const (
	backOff     = 0.4                     // of the rate stays when the backlog is far over its limit
	tolerance   = 1.35                    // times the limit is as much backlog as is watched
	excess      = 2                       // times the limit ends a probe, which lowers the rate below that
	watched     = 0.6                     // of the limit is kept up while a backlog is watched that came by itself
	eased       = 0.8                     // of the rate stays when a backlog shows while the estimate is vague
	easing      = 500 * time.Millisecond  // between two such steps: what came before has drained
	watchTime   = 2400 * time.Millisecond // at most, of a backlog that came by itself
	watchRate   = 0.97                    // of the estimated capacity at most, while a backlog drains that came by itself
	probeTime   = 15 * time.Second        // at most; it ends with the answer, or with the test
	probed      = 0.85                    // of the limit is sought at most: what is learnt grows with its square
	probeRate   = 0.99                    // of the estimated capacity at most, while a backlog is sought: natural traffic comes on top
	probeAfter  = 9 * time.Second         // since the start of the test
	probeNear   = time.Second             // near the estimate, without a backlog, before one is sought
	filling     = 300 * time.Millisecond  // in which a backlog shall come up to what is sought
	emptying    = 150 * time.Millisecond  // in which it shall go down to it: too much harms, too little does not
	discernible = 4                       // standard deviations by which a probe of answerTime would tell a slow-down
	answerTime  = 8 * time.Second         // a longer one leaves no time for a second when the first is disturbed
	steadiness  = 0.03                    // relative change of the target that leaves a window steady
)

// A vigil is the time in which the controller keeps a backlog up.
type vigil struct {
	readings int     // guard readings left; 0: there is none
	sought   float64 // backlog of a probe, 0 if the backlog came by itself
}

// seeking reports whether a backlog is sought.
func (v vigil) seeking() bool { return v.readings > 0 && v.sought > 0 }

// Watch takes a guard reading between two windows (five times a second) and
// returns a decision and true when the rate must change before the window
// ends. Quantities that a fast reading has not are NaN.
func (c *Controller) Watch(s Sample) (Decision, bool) {
	c.gaps.add(s, c.changed+c.cfg.Lag)
	if (s.Frozen > 0 || s.Window > 3*guardPeriod/2) && c.phase != PhaseBaseline {
		// Not even the observer was let run: the machine stood still.
		c.stalled, c.asleep = true, true
		c.pauses++
	}
	jump := s.Backlog - c.fast.Backlog
	if jump > math.Max(8, 0.6*c.target*s.Window.Seconds()) {
		// Next to nothing was served since the last reading.
		c.stalled = true
	}
	if !c.stalled && c.phase != PhaseBaseline && !s.Inferred {
		c.surges.add(c.fast, s, c.target)
	}
	c.fast = s
	if c.phase == PhaseDone || math.IsNaN(s.Backlog) {
		return Decision{}, false
	}
	limit := c.backlogLimit()
	if c.phase == PhaseBaseline || c.target <= c.base && c.vigil.readings == 0 {
		return Decision{}, false
	}
	if c.vigil.readings > 0 {
		return c.regulate(s, limit)
	}
	if c.unsure() {
		limit *= 0.75
		if c.phase != PhaseBackOff && s.Backlog > limit/2 && s.Backlog <= limit && s.End > c.changed+c.cfg.Lag+easing {
			c.set(math.Max(c.base, eased*c.target), s.End)
			return c.act(s, fmt.Sprintf("backlog %.0f, and what the instance bears is not known yet", s.Backlog)), true
		}
	}
	if s.Backlog <= limit || c.phase == PhaseBackOff && (jump < 0 || s.End <= c.changed+c.cfg.Lag) {
		return Decision{}, false
	}
	if c.phase != PhaseBackOff && !c.stalled {
		c.calm = 0
		if c.cfg.Lag == 0 && s.Backlog <= tolerance*limit && c.post.spread < 0.1 && s.Window > 0 {
			c.vigil = vigil{readings: int(watchTime / s.Window)}
			return c.regulate(s, limit)
		}
	}
	return c.retreat(s, fmt.Sprintf("backlog %.0f is over its limit of %.0f", s.Backlog, limit)), true
}

// retreat lowers the rate so that the backlog drains.
func (c *Controller) retreat(s Sample, why string) Decision {
	c.phase, c.vigil, c.disturbed = PhaseBackOff, vigil{}, true
	c.set(math.Max(c.base, backOff*c.target), s.End)
	return c.act(s, why)
}

// regulate keeps a backlog up: a sought one by nearly as much as is served, one
// that came by itself by somewhat less, for it shall drain if it can. Too large
// a backlog is answered twice as firmly as one too small.
func (c *Controller) regulate(s Sample, limit float64) (Decision, bool) {
	c.vigil.readings--
	over := c.vigil.readings <= 0
	sought, most, part := watched*limit, watchRate*c.hold/holdShare, 0.9
	if c.vigil.sought > 0 {
		sought, most, part = c.vigil.sought, probeRate, 1
		c.phase = PhaseHold
	} else {
		c.phase = PhaseBackOff
	}
	before := c.target
	why := fmt.Sprintf("backlog %.0f of at most %.0f is watched", s.Backlog, limit)
	switch {
	case c.vigil.sought == 0 && s.Backlog > tolerance*limit || s.Backlog > excess*limit || c.stalled:
		return c.retreat(s, fmt.Sprintf("backlog %.0f is over its limit of %.0f", s.Backlog, limit)), true
	case over:
		c.vigil, c.phase = vigil{}, PhaseBackOff
		c.set(math.Max(c.base, 0.8*c.est.PerSecond), s.End)
		why = "the backlog was watched for long enough"
	case c.vigil.sought == 0 && s.Backlog < 0.25*limit:
		c.vigil, c.phase = vigil{}, PhaseHold
		c.set(math.Max(c.base, 0.98*c.hold*c.est.PerSecond), s.End)
		why = "the backlog drained by itself"
	default:
		if c.vigil.sought > 0 {
			why = fmt.Sprintf("backlog %.0f, %.0f are sought to see what they do", s.Backlog, sought)
		}
		c.set(c.upkeep(s.Backlog, sought, part, most), s.End)
	}
	if math.Abs(c.target-before) > steadiness*before {
		c.disturbed = true
	}
	return c.act(s, why), true
}

// upkeep returns the rate that brings a backlog to what is sought: part of the
// saturation and what is missing, at most most of the estimate. Where a probe
// has too much, the instance is taken for one that slows down, which would not
// drain otherwise, and little enough comes that the backlog is back by the next
// reading: a probe that was ended by it would have to start anew, seconds later.
func (c *Controller) upkeep(backlog, sought, part, most float64) float64 {
	sat, within, least := part*c.post.best.saturation(), filling, c.base
	if backlog > sought {
		within = emptying
	}
	if c.vigil.sought > 0 {
		least = math.Max(least, backOff*c.est.PerSecond)
		if backlog > sought {
			sat /= 1 + slowDownSuspected*backlog
		}
	}
	return math.Max(least, math.Min(most*c.est.PerSecond, sat+(sought-backlog)/within.Seconds()))
}

// mayProbe reports whether a backlog is to be sought now: the question is open,
// a probe would answer it, and the instance was near the estimate for a while
// without one that came up by itself.
func (c *Controller) mayProbe(elapsed time.Duration, q suspicion) bool {
	return c.phase == PhaseHold && !c.paused && c.vigil.readings == 0 && q.slower > open && q.wanted > 0 &&
		elapsed >= probeAfter && c.calm >= probeNear && c.post.spread < 2*settled
}

// wanted returns the backlog that a probe would keep up: at most probed
// of the limit, and so little that a request behind it meets the objective with
// its service time in 99 of 100 cases. It is 0 if that backlog would not show a
// slow-down of half a per cent per waiting request.
func (c *Controller) wanted() float64 {
	m := c.post.best
	slow, sum := 0.0, 0.0
	for _, a := range m.service {
		if slow = a.value; sum+a.p >= 0.99 {
			break
		}
		sum += a.p
	}
	sat := m.saturation()
	if m.limited() {
		return 0 // what would wait goes to the peers
	}
	if c.cfg.MaxRate > 0 && c.cfg.MaxRate < sat {
		return 0 // out of reach
	}
	backlog := math.Min(probed*c.backlogLimit(), sat*(0.95*c.bound-slow*m.saturated()))
	seen := 0.7 * slowDowns[0] * backlog // relative, on average over the probe
	if c.cfg.Lag > 0 || c.cfg.Window > 2*time.Second || c.post.coarse || m.ca2 > 1.5 || backlog < 0 || seen*math.Sqrt(sat*answerTime.Seconds()/math.Max(0.1, m.cs2)) < discernible {
		return 0
	}
	return backlog
}

// act makes the decision that a guard reading asks for.
func (c *Controller) act(s Sample, why string) Decision {
	d := c.decision(fmt.Sprintf("%s: %.0f/s", why, c.target))
	d.At = s.End
	c.last = d
	return d
}

// backlogLimit is the backlog at which a request waits 45 % of the time of the
// objective. An estimate that is no bound says nothing of what can be served.
func (c *Controller) backlogLimit() float64 {
	rate := c.target
	if !c.unsure() {
		rate = math.Max(rate, c.est.PerSecond)
	}
	return math.Max(4, 0.45*c.bound*rate)
}

// unsure reports whether what was seen from outside does not tell yet where
// not to go.
func (c *Controller) unsure() bool { return c.post.outside && c.post.spread > vague }
