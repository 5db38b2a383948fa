package stress

import (
	"fmt"
	"math"
	"time"

	"github.com/wxops/wxops/capacity"
)

// How a test ends: what speaks for a slow-down under backlog, what is given up
// for, and when the estimate is believed.

// A suspicion is what is known of a slow-down under backlog after a window.
type suspicion struct {
	slower    float64 // probability of one; 0 where it cannot be told
	believed  float64 // probability from which it is the verdict
	suspected float64 // the same when the error budget is spent
	wanted    float64 // backlog that a probe would keep up; 0: it would not show one
}

func (c *Controller) suspicion() suspicion {
	q := suspicion{slower: c.post.degraded, believed: credible, suspected: likely, wanted: c.wanted()}
	if c.post.coarse {
		// Without the waits of every request the saturation is not known well
		// enough to see a small loss of it.
		q.slower = 0
	}
	if q.wanted == 0 {
		q.believed, q.suspected = unprobed, credible
	}
	return q
}

// longest returns how long the test goes on for a better estimate.
func (c *Controller) longest(q suspicion) time.Duration {
	limit := usual + 6*c.cfg.Lag
	switch {
	case q.slower > likely, q.slower > serious && q.wanted > 0:
		limit *= 2
	case q.slower > doubtful && q.wanted > 0:
		limit += further
	}
	if c.cfg.Window > 2*time.Second {
		limit = 0 // a window is long enough
	}
	return min(limit, c.cfg.MaxDuration)
}

// budget returns how many requests may miss the objective or fail: a share of
// those of the whole test, with those still to come.
func (c *Controller) budget(elapsed time.Duration) float64 {
	return c.cfg.ErrorBudget * (c.requests + c.target*math.Max(0, (usual-elapsed).Seconds()))
}

// stop returns the verdict, and why, of a test that must not or cannot go on;
// none if it can.
func (c *Controller) stop(elapsed time.Duration, q suspicion) (capacity.Verdict, string) {
	budget := c.budget(elapsed)
	switch {
	case q.slower > q.believed:
		return capacity.VerdictMetastable, "the service slows down as its backlog grows"
	case c.missed > budget && q.slower > q.suspected:
		return capacity.VerdictMetastable, "the error budget is spent, and most likely the service slows down as its backlog grows"
	case c.missed > budget && c.confirmed() && q.slower <= doubtful:
		// Nothing more is to be harmed, and nothing more is to be learned.
		return capacity.VerdictOK, "the estimate was confirmed, and the error budget is spent"
	case c.missed > budget:
		return capacity.VerdictGuard, fmt.Sprintf("%.0f requests missed the objective or failed, the budget is %.0f", c.missed, budget)
	case c.capped >= 3, c.short >= 5:
		return capacity.VerdictNoKnee, "no higher rate can be reached"
	}
	return "", ""
}

// confirmed reports whether the estimate was held for long enough to be believed.
func (c *Controller) confirmed() bool {
	enough := patience
	if c.post.outside {
		enough = outsideHold
	}
	return c.near >= holdTime && (c.post.spread < settled || c.near >= enough)
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

// finish ends the test with the base rate.
func (c *Controller) finish(v capacity.Verdict, reason string) Decision {
	c.phase, c.target = PhaseDone, c.base
	d := c.decision(reason)
	d.Verdict = v
	if v != capacity.VerdictOK {
		d.Estimate.PerSecond, d.Estimate.Low, d.Estimate.High = 0, c.held, 0
	}
	return d
}
