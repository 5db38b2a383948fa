package load

import (
	"math"
	"math/rand/v2"
	"slices"
)

// A rehearsal is what two short runs say about a service: the response times
// of requests that do not wait, and the throughput when all of it is busy.
type rehearsal struct {
	alone      []float64 // response times at equal steps of probability, ascending, seconds
	samples    float64   // requests behind them
	saturation float64   // answers per second
	chance     float64   // relative standard deviation of the saturation
	poisson    bool      // arrivals of the search
}

// How far the service may be from a queue with equal workers in front of which
// requests wait in order of arrival; in the logarithm of the capacity.
const modelSpread = 0.02

// rehearsed is how many requests a simulation has. It errs by half a per cent.
const rehearsed = 300_000

// expect simulates the queue that the rehearsal suggests and returns at which
// rate a share of the requests misses the bound. What a request takes alone
// beyond the time that the workers have for it at saturation goes by without
// a worker, on the network or in a timer.
func (r rehearsal) expect(l limit) seekEstimate {
	mean := 0.0
	for _, v := range r.alone {
		mean += v / float64(len(r.alone))
	}
	workers := max(1, math.Round(mean*r.saturation))
	each := workers / r.saturation // of the service time
	late := max(0, mean-each)
	service := make([]float64, len(r.alone))
	sum := 0.0
	for i, v := range r.alone {
		service[i] = max(0, v-late)
		sum += service[i] / float64(len(r.alone))
	}
	for i := range service {
		service[i] *= each / sum
	}
	// The first steps need not be exact.
	narrow := func(low, high, width float64, requests int) (float64, float64) {
		for high > width*low {
			mid := math.Sqrt(low * high)
			if r.missed(service, int(workers), mid, l.bound-late, requests) > l.share {
				high = mid
			} else {
				low = mid
			}
		}
		return low, high
	}
	low, high := narrow(0.02*r.saturation, r.saturation, 1.06, rehearsed/6)
	low, high = narrow(low/1.03, min(high*1.03, r.saturation), 1.003, rehearsed)
	at := math.Sqrt(low * high)
	slope := -math.Log(l.share) * at / max(r.saturation-at, 0.005*at)
	// How much the distance to saturation errs with the spread of the service
	// time, which a few long requests decide.
	long, v := 0.0, scv(r.alone)
	for _, x := range r.alone {
		d := (x/mean-1)*(x/mean-1) - v
		long += d * d / float64(len(r.alone))
	}
	arrivals := 0.0
	if r.poisson {
		arrivals = 1
	}
	spread := math.Sqrt(long/max(1, r.samples)) / max(0.1, arrivals+v) * (r.saturation - at) / at
	deviation := math.Hypot(math.Hypot(modelSpread, spread), r.chance*r.saturation/at)
	if at < 0.3*r.saturation { // requests miss the bound alone: little is known
		at, deviation, slope = 0.5*r.saturation, 0.4, 5
	}
	return seekEstimate{at: math.Log(at), deviation: deviation, slope: min(slope, 400)}
}

// missed is the share of requests at a rate that take longer than the bound.
func (r rehearsal) missed(service []float64, workers int, rate, bound float64, requests int) float64 {
	random := rand.New(rand.NewPCG(1, 1)) // the same chance at every rate
	free := make([]float64, workers)      // a heap
	t, missed := 0.0, 0
	for range requests {
		gap := 1.0
		if r.poisson {
			gap = random.ExpFloat64()
		}
		t += gap / rate
		end := max(t, free[0]) + service[random.IntN(len(service))]
		i := 0
		for c := 1; c < workers; c = 2*i + 1 {
			if c+1 < workers && free[c+1] < free[c] {
				c++
			}
			if free[c] >= end {
				break
			}
			free[i] = free[c]
			i = c
		}
		free[i] = end
		if end-t > bound {
			missed++
		}
	}
	return float64(missed) / float64(requests)
}

// scv is the squared coefficient of variation of x.
func scv(x []float64) float64 {
	var sum, square float64
	for _, v := range x {
		sum += v
		square += v * v
	}
	return max(0, square*float64(len(x))/(sum*sum)-1)
}

// saturate takes the throughput from intervals of so many seconds of a closed
// loop. Intervals in which the machine paused count for nothing, nor does the
// first, in which connections are opened.
func (r *rehearsal) saturate(rates []float64, seconds float64) {
	if len(rates) < 4 {
		return
	}
	rates = rates[1:]
	sorted := slices.Sorted(slices.Values(rates))
	median := sorted[len(sorted)/2]
	least := median - max(0.2*median, 4*math.Sqrt(median/seconds*max(1, scv(r.alone))))
	sum, n := 0.0, 0.0
	for _, v := range rates {
		if v >= least {
			sum += v
			n++
		}
	}
	r.saturation = sum / n
	r.chance = math.Sqrt(scv(r.alone) / (sum * seconds))
}
