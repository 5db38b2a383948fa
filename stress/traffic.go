package stress

import "math"

// A traffic estimates how many requests per second the whole service gets from
// the counts of windows. It is the Kalman filter of a rate that wanders by 2 %
// (standard deviation) in 10 s, as natural traffic does, seen through the noise
// of a Poisson count: 4 % in a second of 600 requests, 1 % in one of 10,000.
// The zero value knows nothing.
type traffic struct {
	rate     float64 // requests per second
	variance float64 // of the rate, relative
}

// Relative variance that natural traffic gains per second: that of a
// first-order process with a deviation of 2 % and a memory of 10 s.
const trafficWander = 2 * 0.02 * 0.02 / 10

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
	t.rate += gain * (rate - t.rate)
	t.variance *= 1 - gain
}
