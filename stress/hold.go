package stress

import (
	"math"
	"time"

	"gonum.org/v1/gonum/mathext"
)

// Where an estimate is confirmed: near the capacity, and yet so far below it that
// the error budget is hardly ever spent.

const (
	holdShare = 0.93 // of the estimated capacity, for the hold
	leastHold = 0.6  // the same where few workers let misses grow slowly with the load
	harmless  = 0.5  // of the error budget is spent during such a hold, by the model
	luckless  = 0.05 // chance of a hold that spends what is left of it
)

// share returns the share of the estimated capacity at which it is
// confirmed: less than usual where few workers let the misses grow so slowly
// with the load that the error budget would be spent below the capacity.
func (c *Controller) share(elapsed time.Duration) float64 {
	m := c.post.best
	full := c.post.full
	if !(full > 0) {
		return holdShare
	}
	bearable := harmless * c.cfg.ErrorBudget
	if m.k < fewWorkers+1 {
		bearable = math.Min(bearable, c.bearable(elapsed, full))
	}
	return math.Min(holdShare, math.Max(leastHold, m.carries(c.bound, bearable)/full))
}

// bearable returns the share of requests that may miss the objective from now on
// so that what is left of the error budget is spent with a chance of luckless.
// Requests miss it in bursts, whose sum is taken as gamma distributed.
func (c *Controller) bearable(elapsed time.Duration, full float64) float64 {
	n := full * math.Max(holdTime.Seconds(), (usual-elapsed).Seconds())
	left := c.budget(elapsed) - c.missed
	if left <= 0 {
		return 0
	}
	burst := c.post.best.burst(holdShare * full)
	low, high := 0.0, left/n
	for range 16 {
		mid := (low + high) / 2
		if mathext.GammaIncRegComp(mid*n/burst, left/burst) > luckless {
			high = mid
		} else {
			low = mid
		}
	}
	return low
}

// burst is the variance over the mean of the number of requests that wait for
// long in a span of time. The backlog above a high level lasts for a relaxation time,
// and twice the requests of it come together.
func (m model) burst(offered float64) float64 {
	slack := m.saturation() - offered
	return 1 + offered*(offered*m.arrivalSCV(offered)+m.saturation()*m.cs2)/(slack*slack)
}
