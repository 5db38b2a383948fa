package demo

import (
	"math"
	"math/rand/v2"
	"time"
)

// Truth returns the capacity of an instance by construction: the highest rate
// of arrivals, per second, at which at most a share miss of its requests is
// refused or slower than bound in the long run.
//
// The requests are those of a Poisson stream of total per second that a
// balancer deals out in turn, as the router of the demo and HAProxy do: the instance gets
// every n-th, which is more even than a Poisson stream and raises its capacity
// by 1 to 6 %. With total 0 the arrivals are Poisson.
//
// A coarse search on short runs finds the rate to 1 %; two long runs 2 % below
// and above it, with the same random numbers, give the rest by interpolation
// of the logarithm of the share that missed. What their length leaves uncertain
// is about 0.5 %.
func Truth(law Law, bound time.Duration, miss, total float64, seed uint64) float64 {
	missed := func(rate float64, requests int) float64 {
		bad, all := 0.5, 1.0 // so that the logarithm of none is finite
		responses(law, rate, total, seed, requests, func(response time.Duration) {
			if all++; response > bound || response == refusal {
				bad++
			}
		})
		return bad / all
	}
	high := 1.02 * float64(law.Workers) / law.Service.Seconds()
	low := high / 16
	for high > 1.01*low {
		if rate := math.Sqrt(low * high); missed(rate, coarseRequests) > miss {
			high = rate
		} else {
			low = rate
		}
	}
	rate := math.Sqrt(low * high)
	low, high = rate/1.02, rate*1.02
	below, above := math.Log(missed(low, truthRequests)/miss), math.Log(missed(high, truthRequests)/miss)
	if above <= below {
		return rate // nothing misses at any rate, or all do
	}
	return low * math.Pow(high/low, max(-1, min(2, -below/(above-below))))
}

// Requests simulated at a rate of the coarse search, and of the two at its end.
const (
	coarseRequests = 200_000
	truthRequests  = 3_000_000
)

// refusal stands for the response time of a request that was refused.
const refusal time.Duration = -1

// responses gives take the response times of n requests of an instance that
// begins empty, in the order in which they end or are refused.
func responses(law Law, rate, total float64, seed uint64, n int, take func(time.Duration)) {
	a := &arrivals{rate: rate, total: total, rng: rand.New(rand.NewPCG(seed, 1))}
	rng := rand.New(rand.NewPCG(seed, 2))
	if law.PerQueued == 0 {
		workload(law, a, rng, n, take)
		return
	}
	// The service time depends on requests that come later: event by event.
	q := queue{law: law, rng: rng, virtual: true, served: func(j *job) { take(j.due - j.arrived) }}
	for range n {
		if q.arrive(a.next()) == nil {
			take(refusal)
		}
	}
}

// workload is the queue by the recursion of Kiefer and Wolfowitz (1955): in
// order of arrival every request starts on the worker that is free first.
func workload(law Law, a *arrivals, rng *rand.Rand, n int, take func(time.Duration)) {
	free := make([]time.Duration, law.Workers) // heap, least on top
	var starts []time.Duration                 // of requests that wait, ascending
	for range n {
		t := a.next()
		for len(starts) > 0 && starts[0] <= t {
			starts = starts[1:]
		}
		start := max(t, free[0])
		if start > t {
			if len(starts) >= law.Queue {
				take(refusal)
				continue
			}
			starts = append(starts, start)
		}
		busy := 0
		if law.PerBusy > 0 {
			for _, f := range free {
				if f > start {
					busy++
				}
			}
		}
		due := start + law.draw(rng, busy, 0)
		i := 0
		for { // due sinks to its place in the heap
			child := 2*i + 1
			if child >= len(free) {
				break
			}
			if child+1 < len(free) && free[child+1] < free[child] {
				child++
			}
			if due <= free[child] {
				break
			}
			free[i] = free[child]
			i = child
		}
		free[i] = due
		take(due - t)
	}
}

// arrivals is a Poisson process of rate per second, or what one instance gets
// of a Poisson stream of total per second that is dealt out in turn.
type arrivals struct {
	rate, total, at, credit float64 // at in seconds
	rng                     *rand.Rand
}

func (a *arrivals) next() time.Duration {
	if a.total <= a.rate {
		a.at += a.rng.ExpFloat64() / a.rate
		return time.Duration(a.at * 1e9)
	}
	for a.credit < 1 {
		a.credit += a.rate / a.total
		a.at += a.rng.ExpFloat64() / a.total
	}
	a.credit--
	return time.Duration(a.at * 1e9)
}
