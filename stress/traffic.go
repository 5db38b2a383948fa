package stress

import "math"

// A traffic estimates how many requests per second the whole service gets from
// the counts of windows. It is the Kalman filter of a rate that wanders by 2 %
// (standard deviation) in 10 s, as natural traffic does, about a growth that is
// not known, seen through the noise of a Poisson count: 4 % in a second of 600
// requests, 1 % in one of 10,000. Without the growth such a filter lags by what
// comes in several windows, and as much more would reach the instance than was
// asked for. The zero value knows nothing.
type traffic struct {
	rate   float64 // requests per second, foretold for the window to come
	growth float64 // relative, per second

	// Relative variances of both and their covariance, foretold as well.
	rateVariance, covariance, growthVariance float64
}

// The nature of traffic: relative variances.
const (
	// trafficWander is what its rate gains per second: that of a first-order
	// process with a deviation of 2 % and a memory of 10 s.
	trafficWander = 2 * 0.02 * 0.02 / 10

	// growthPrior is that of its growth per second before anything is known, and
	// growthWander what it gains per second.
	growthPrior  = 0.005 * 0.005
	growthWander = 0.001 * 0.001 / 10

	// mostGrowth is as fast as traffic is foretold to grow or shrink, relative
	// per second: more is a jump.
	mostGrowth = 0.02
)

// add takes the rate that was counted over a window of so many seconds.
func (t *traffic) add(rate, seconds float64) {
	if !(rate > 0) || !(seconds > 0) {
		return
	}
	noise := 1 / (rate * seconds)
	if t.rate == 0 {
		t.rate, t.rateVariance, t.growthVariance = rate, noise, growthPrior
	} else {
		surprise := rate/t.rate - 1
		if square := surprise * surprise; square > 12*(t.rateVariance+noise) {
			t.rateVariance += square // a jump that neither chance nor wandering explains is news
		}
		gain := t.rateVariance / (t.rateVariance + noise)
		growthGain := t.covariance / (t.rateVariance + noise)
		t.rate *= 1 + gain*surprise
		t.growth += growthGain * surprise
		t.growth = math.Max(-mostGrowth, math.Min(mostGrowth, t.growth))
		t.growthVariance -= growthGain * t.covariance
		t.covariance *= 1 - gain
		t.rateVariance *= 1 - gain
	}
	t.rate *= 1 + t.growth*seconds
	t.rateVariance += seconds*(2*t.covariance+seconds*t.growthVariance) + trafficWander*seconds
	t.covariance += seconds * t.growthVariance
	t.growthVariance += growthWander * seconds
}
