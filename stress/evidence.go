package stress

import (
	"math"
	"time"
)

// What the controller gathers beside windows: service times, the variability of
// arrivals, and spans with enough work for all workers.

// A histogram gathers the response times of windows in which almost nobody
// waited: the distribution of the service time.
type histogram struct{ buckets []Bucket }

func (h *histogram) add(b []Bucket) {
	for _, x := range b {
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

// service returns the distribution with mean 1. Within a bucket the requests
// are spread evenly. Without a histogram it is exponential.
func (h *histogram) service() []atom {
	const parts = 2
	var out []atom
	total, sum, low := 0.0, 0.0, 0.0
	for _, b := range h.buckets {
		high := b.Bound
		if math.IsInf(high, 1) {
			high = 2 * low
		}
		if low == 0 {
			low = high * 0.87
		}
		for i := range parts {
			v := low + (high-low)*(float64(i)+0.5)/parts
			out = append(out, atom{v, b.Count / parts})
			total += b.Count / parts
			sum += v * b.Count / parts
		}
		low = high
	}
	if total == 0 {
		const n = 40
		for i := range n {
			v := -math.Log(1 - (float64(i)+0.5)/n)
			out = append(out, atom{v, 1.0 / n})
			total += 1.0 / n
			sum += v / n
		}
	}
	for i := range out {
		out[i].p /= total
		out[i].value *= total / sum
	}
	return out
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

// surges are the spans between two guard readings in which there was enough
// work for all workers. How much was done then, against the backlog at the
// beginning, tells whether a backlog slows the instance down. A window cannot
// tell: there a slow service is what made the backlog.
type surges struct{ spans []surge }

type surge struct {
	seconds, backlog, after, arrived, done float64
	rate                                   float64 // of arrivals that is asked for, per second
	service                                float64 // mean service time of those done, NaN if unknown
}

func (g *surges) add(before, after Sample, rate float64) {
	u := surge{rate: rate, seconds: after.Window.Seconds(), backlog: before.Backlog, arrived: after.Offered * after.Window.Seconds(), service: after.Mean - after.QueueWait}
	if gap := after.End - after.Window - before.End; !(u.backlog > 3) || !(u.arrived >= 0) || gap.Abs() > after.Window/10 {
		return
	}
	u.done, u.after = u.arrived+before.Backlog-after.Backlog, after.Backlog
	g.spans = append(g.spans, u)
}
