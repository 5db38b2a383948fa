package stress

import (
	"math"
	"slices"
	"time"
)

// What the controller gathers beside windows: service times and the variability
// of arrivals.

// A histogram gathers the response times of windows in which few requests
// waited: the distribution of the service time, once the waits are taken off.
type histogram struct {
	buckets  []Bucket
	requests float64
	waited   float64 // seconds, sum over the requests
	rate     float64 // sum over the requests of the offered load of their window
}

// add takes the buckets of a window with its mean wait in seconds and its
// offered load per second.
func (h *histogram) add(b []Bucket, wait, offered float64) {
	for _, x := range b {
		h.requests += x.Count
		h.waited += x.Count * wait
		h.rate += x.Count * offered
		i := 0
		for i < len(h.buckets) && h.buckets[i].Bound < x.Bound {
			i++
		}
		if i < len(h.buckets) && h.buckets[i].Bound == x.Bound {
			h.buckets[i].Count += x.Count
			continue
		}
		h.buckets = append(h.buckets, Bucket{})
		copy(h.buckets[i+1:], h.buckets[i:])
		h.buckets[i] = x
	}
}

// service returns the distribution of the service time with mean 1. Within a
// bucket the requests are spread evenly. Without a histogram it is exponential.
// prior is the best model so far; it says how long those waited who did.
func (h *histogram) service(prior model) []atom {
	const parts = 2
	var out []atom
	low := 0.0
	for _, b := range h.buckets {
		high := b.Bound
		if math.IsInf(high, 1) {
			high = 2 * low
		}
		if low == 0 {
			low = high * 0.87
		}
		for i := range parts {
			out = append(out, atom{low + (high-low)*(float64(i)+0.5)/parts, b.Count / parts / h.requests})
		}
		low = high
	}
	if len(out) == 0 {
		const n = 40
		for i := range n {
			out = append(out, atom{-math.Log(1 - (float64(i)+0.5)/n), 1.0 / n})
		}
	} else if prior.k > 0 && h.waited > 0 {
		out = withoutWaits(out, h.waited/h.requests, prior.meanWaitOfWaiting(h.rate/h.requests))
	}
	mean := 0.0
	for _, a := range out {
		mean += a.p * a.value
	}
	for i := range out {
		out[i].value /= mean
	}
	return out
}

// deconvolutions is how often withoutWaits improves the distribution: what is
// left after these few steps is below the noise of some hundred requests, which
// more of them would begin to fit.
const deconvolutions = 8

// withoutWaits returns the distribution of the service time behind response
// times, in ascending order, of which some hold a wait: wait seconds on average
// of all, exponential with mean long among those who waited. A response that is
// the sum of both is more even than the service alone, so that its tail, scaled
// to the mean of the service, is too light. Expectation maximization:
// Richardson, Journal of the Optical Society of America 62, 1972.
func withoutWaits(response []atom, wait, long float64) []atom {
	long = math.Max(long, wait)
	waiting := wait / long
	n := len(response)
	// The chance that a service of atom i ends as a response of atom j, whose
	// span ends half way to the next atom.
	kernel := make([]float64, n*n)
	for i := range n {
		before := 0.0
		for j := i; j < n; j++ {
			below := 1.0
			if j+1 < n {
				below = 1 - math.Exp(((response[i].value - (response[j].value+response[j+1].value)/2) / long))
			}
			kernel[i*n+j] = waiting * (below - before)
			before = below
		}
		kernel[i*n+i] += 1 - waiting
	}
	service := slices.Clone(response)
	ratio := make([]float64, n)
	for range deconvolutions {
		for j := range n {
			sum := 0.0
			for i := range j + 1 {
				sum += service[i].p * kernel[i*n+j]
			}
			ratio[j] = 0
			if sum > 0 {
				ratio[j] = response[j].p / sum
			}
		}
		for i := range n {
			sum := 0.0
			for j := i; j < n; j++ {
				sum += kernel[i*n+j] * ratio[j]
			}
			service[i].p *= sum
		}
	}
	return service
}

// dispersion estimates the variability of the arrivals from the counts of the
// guard readings: the variance of differences of neighbours over twice the
// mean, which a slow change of the rate does not disturb.
type dispersion struct {
	last       Sample
	sum, pairs float64
}

func (g *dispersion) add(s Sample, changed time.Duration) {
	prev := g.last
	g.last = s
	if !(prev.Offered > 0) || !(s.Offered > 0) || s.End-s.Window != prev.End || prev.End-prev.Window < changed {
		return
	}
	a, b := prev.Offered*prev.Window.Seconds(), s.Offered*s.Window.Seconds()
	g.sum += (a - b) * (a - b) / (a + b)
	g.pairs++
}

// scv returns the index of dispersion where it is clearly not that of a
// Poisson stream, and is drawn towards 1 where it may be.
func (g *dispersion) scv() float64 {
	if g.pairs < 4 {
		return 1
	}
	v := g.sum / g.pairs
	z := (v - 1) * math.Sqrt(g.pairs/2)
	return 1 + (v-1)*math.Min(1, z*z/16)
}
