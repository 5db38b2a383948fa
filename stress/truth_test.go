package stress

import (
	"math"
	"math/rand/v2"
)

// missRatio returns the share of requests that miss the bound when arrivals
// come at the given rate, over runs of the given length each, from empty.
// Refused requests miss it. Equal seeds give equal random numbers.
func missRatio(s station, a arrivals, bound, rate, seconds float64, runs int, seed uint64) float64 {
	var bad, all float64
	for i := range runs {
		q := newQueue(s, a, bound, rand.New(rand.NewPCG(seed, uint64(i))))
		q.setRate(rate)
		q.run(seconds)
		bad += q.count.slow + q.count.refused
		all += q.count.arrived
	}
	return bad / all
}

// bruteTruth returns the largest rate of arrivals, per second, at which at
// most a share miss of the requests misses the bound, by bisection over long
// simulations to 0.05 %.
func bruteTruth(s station, a arrivals, bound, miss, seconds float64, runs int, seed uint64) float64 {
	high := float64(s.workers) / s.mean
	low := high / 64
	for high-low > 0.0005*low {
		mid := (low + high) / 2
		if missRatio(s, a, bound, mid, seconds, runs, seed) > miss {
			high = mid
		} else {
			low = mid
		}
	}
	return math.Sqrt(low * high)
}
