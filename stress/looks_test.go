package stress

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Looks at a simulated queue tell its workers, and do so while the mean response
// time hardly shows that anybody waits.
func TestLooksTellTheNumberOfWorkers(t *testing.T) {
	for _, x := range []struct {
		s    station
		load float64 // of saturation
		gap  float64 // between looks, over the service time
	}{
		{station{workers: 4, mean: 0.010, cv: 0.5}, 0.7, 0.5},
		{station{workers: 8, mean: 0.020, cv: 1}, 0.7, 0.5},
		{station{workers: 8, mean: 0.020, cv: 1}, 0.9, 1},
		{station{workers: 24, mean: 0.040, cv: 1.2}, 0.85, 0.25},
	} {
		q := newQueue(x.s, arrivals{}, 1, rand.New(rand.NewPCG(3, 4)))
		q.count.buckets = make([]float64, len(simBounds)+1)
		q.setRate(x.load * float64(x.s.workers) / x.s.mean)
		q.run(1)
		var seen Looks
		for q.now < 61 {
			under, from := float64(len(q.busy)+q.queued()), q.now
			q.look()
			q.run(from + x.gap*x.s.mean)
			if under > 0 {
				seen.Add(Look{InFlight: under, Count: 1, Seconds: q.now - from, Answered: q.look()})
			}
		}
		service := unitService(x.s, 4000)
		best, most := 0.0, math.Inf(-1)
		for _, k := range finer {
			if l := seen.likelihood(k, line{coef: [3]float64{x.s.mean, 0, 0}}, service); l > most {
				best, most = k, l
			}
		}
		if off := best/float64(x.s.workers) - 1; math.Abs(off) > 0.1 {
			t.Errorf("%d workers, cv %v at %.0f %%: %.1f are most likely", x.s.workers, x.s.cv, 100*x.load, best)
		}
	}
}

// unitService is a sample of n service times of s, with mean 1.
func unitService(s station, n int) (service []atom) {
	q := newQueue(s, arrivals{}, 1, rand.New(rand.NewPCG(5, 6)))
	for range n {
		service = append(service, atom{q.work(), 1 / float64(n)})
	}
	return service
}
