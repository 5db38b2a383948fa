package stress

import "math"

// A traffic estimates how many requests per second the whole service gets from
// the counts of windows. It is the Kalman filter of a rate that wanders by 2 %
// (standard deviation) in 10 s, as natural traffic does, seen through the noise
// of a Poisson count: 4 % in a second of 600 requests, 1 % in one of 10,000.
// Behind a rate that grows steadily such a filter lags by what comes in several
// windows; so it also learns the growth, slowly, and foretells.
// The zero value knows nothing.
type traffic struct {
	rate     float64 // requests per second, foretold for the window to come
	variance float64 // of the rate, relative
	growth   float64 // relative, per second
}

// Relative variance that natural traffic gains per second: that of a
// first-order process with a deviation of 2 % and a memory of 10 s.
const trafficWander = 2 * 0.02 * 0.02 / 10

// mostGrowth is as fast as natural traffic is foretold to grow or shrink,
// relative per second: more is a jump. Less than chanceGrowth may be chance.
const (
	mostGrowth   = 0.02
	chanceGrowth = 0.002
)

// add takes the rate that was counted over a window of so many seconds.
func (t *traffic) add(rate, seconds float64) {
	if !(rate > 0) || !(seconds > 0) {
		return
	}
	noise := 1 / (rate * seconds)
	if t.rate == 0 {
		t.rate, t.variance = rate, noise
		return
	}
	t.variance += trafficWander * seconds
	gain := t.variance / (t.variance + noise)
	// A jump that neither chance nor wandering explains is news.
	if d := rate/t.rate - 1; d*d > 12*(t.variance+noise) {
		gain = math.Max(gain, 0.7)
	}
	surprise := rate/t.rate - 1
	// Critically damped: Benedict and Bordner, IRE Transactions on Automatic
	// Control 7, 1962, but half as fast, for less noise.
	t.growth += gain * gain / (2 - gain) / 2 * surprise / seconds
	t.growth = math.Max(-mostGrowth, math.Min(mostGrowth, t.growth))
	// What may be chance is not foretold.
	sure := math.Copysign(math.Max(0, math.Abs(t.growth)-chanceGrowth), t.growth)
	t.rate *= (1 + gain*surprise) * (1 + sure*seconds)
	t.variance *= 1 - gain
}
