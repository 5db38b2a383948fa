package stress

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"gonum.org/v1/gonum/mathext"
)

// Few workers are simulated: where one long request takes a third of an
// instance or more, the formulas of model.go give capacities that are up to 65 %
// too high (one worker, uneven service times) or 28 % too low (one worker, even
// service times, a tight objective). From four workers on they are within 3 %.
const fewWorkers = 3

// carries returns the highest offered load at which at most a share miss of the
// requests takes longer than bound seconds: the capacity of the formulas,
// corrected where there are few workers.
func (m model) carries(bound, miss float64) float64 {
	return m.capacity(bound, miss) * m.correction(bound, miss)
}

// correction returns the factor that is due to a capacity of the formulas. What
// is no whole number of workers lies between its neighbours.
func (m model) correction(bound, miss float64) float64 {
	if m.k >= fewWorkers+1 || m.limited() {
		return 1
	}
	below := math.Floor(m.k)
	log, part := 0.0, m.k-below
	for _, x := range []atom{{below, 1 - part}, {below + 1, part}} {
		if x.p > 0 && x.value <= fewWorkers {
			log += x.p * math.Log(m.withWorkers(x.value).simulatedOver(bound, miss))
		}
	}
	return math.Exp(log)
}

// withWorkers returns the model with another number of workers and the same
// saturation.
func (m model) withWorkers(k float64) model {
	m.alone *= k / m.k
	m.k = k
	return m
}

// simulatedOver returns the capacity as simulated over that of the formulas; 1
// where there is none.
func (m model) simulatedOver(bound, miss float64) float64 {
	formula := m.capacity(bound, miss)
	if !(formula > 0.01*m.saturation()) {
		return 1
	}
	return rehearse(m, bound).capacity(miss, formula) / formula
}

// correct sets the capacities of the models. Those of as many workers share the
// correction of the likeliest of them, as they differ little otherwise. With few
// workers, what was carried well is no more than the capacity: with the service
// times of some hundred requests, of which nearly one in a hundred misses the
// objective by itself, a model that is a little slower has no capacity at all.
func (p *posterior) correct(bound, miss float64) {
	type group struct{ p, top, factor float64 }
	groups := map[float64]*group{}
	for _, w := range p.models {
		g := groups[w.k]
		if g == nil {
			g = &group{factor: 1}
			groups[w.k] = g
		}
		g.p += w.p
		g.top = math.Max(g.top, w.p)
	}
	for _, w := range p.models {
		if g := groups[w.k]; g.top == w.p && g.p > unlikely {
			g.factor = w.correction(bound, miss)
			g.top = math.Inf(1) // the next of equal weight changes nothing
		}
	}
	least := 0.0
	if len(p.models) > 0 && slices.MaxFunc(p.models, func(a, b weighted) int { return cmp.Compare(a.p, b.p) }).k < fewWorkers+1 {
		least = p.carried
	}
	for i := range p.models {
		w := &p.models[i]
		w.capacity = math.Max(least, w.model.capacity(bound, miss)*groups[w.k].factor)
	}
}

// carried returns the highest mean rate of the first steady windows of which so
// few requests missed the objective that the capacity must be higher; 0 if there
// is none. What comes later does not take it back: misses come in bursts.
func carried(ws []window, miss float64) (rate float64) {
	n, slow, sum := 0.0, 0.0, 0.0
	for _, w := range ws {
		if !w.steady || w.stalled {
			continue
		}
		n += w.n
		slow += w.slow
		sum += w.n * w.offered
		if n*miss >= 2 && slow < n*miss/2 {
			rate = math.Max(rate, sum/n)
		}
	}
	return rate
}

// unlikely is the probability of a number of workers below which its capacity is
// left as it is.
const unlikely = 0.01

// rehearsed is how many requests are simulated at a rate, in some milliseconds.
const rehearsed = 1 << 17

// The keys of the permutations that are the random numbers of a rehearsal: of 48
// pairs the one whose capacities of 48 kinds of queue were nearest to the means,
// 0.5 % from them (root of the mean square), with any pair 1.2 %.
const (
	gapKey     = 1701137
	serviceKey = 2541483
)

// A rehearsal is a short simulation of a model with whole workers, after the
// recursion of Kiefer and Wolfowitz, Transactions of the AMS 78, 1955. It uses
// the same random numbers whatever the model and the rate are, so that it is a
// pure function of both and hardly jumps between neighbours.
type rehearsal struct {
	model
	bound   float64
	service []float64 // times of equal probability, mean 1
	long    []float64 // the same of the longest, one in so many as the constant longest says
	slower  []float64 // share of the times above i/perUnit
	perUnit float64
}

// Numbers of equally likely values that stand for a distribution: powers of 2.
const (
	gapValues     = 1 << 10
	serviceValues = 1 << 11
	longest       = 1 << 6
	slowerValues  = 1 << 10
)

// negligible is a share of requests that is far below any that may miss an
// objective.
const negligible = 1e-5

// rehearse prepares the simulation of a model whose requests miss the objective
// after bound seconds.
func rehearse(m model, bound float64) *rehearsal {
	r := &rehearsal{model: m, bound: bound, slower: make([]float64, slowerValues)}
	r.service = quantiles(m.service, 0, 1)
	r.long = quantiles(m.service, 1-1.0/longest, 1)
	// The last buckets of a histogram lie seconds away, and nothing is in them.
	last := len(m.service) - 1
	for beyond := m.service[last].p; last > 0 && beyond < negligible; beyond += m.service[last].p {
		last--
	}
	r.perUnit = slowerValues / m.service[last].value
	for _, a := range m.service {
		for j := range min(slowerValues, int(a.value*r.perUnit)) {
			r.slower[j] += a.p
		}
	}
	return r
}

// quantiles returns times of equal probability of the part of a distribution
// between two quantiles.
func quantiles(service []atom, from, to float64) []float64 {
	out := make([]float64, serviceValues)
	i, below := 0, service[0].p
	for j := range out {
		for q := from + (to-from)*(float64(j)+0.5)/serviceValues; q > below && i+1 < len(service); below += service[i].p {
			i++
		}
		out[j] = service[i].value
	}
	return out
}

// missRatio is that of the model, as simulated. The service time of the request
// that is counted is averaged over, which takes half of the noise away.
func (r *rehearsal) missRatio(offered float64) float64 {
	gaps := r.spacing(offered)
	var service [fewWorkers + 1]float64 // mean, by busy workers
	for busy := range service {
		service[busy] = r.alone + r.slope*float64(busy)
	}
	// Seconds until a worker is free, ascending; never, where there is none.
	first, second, third := 0.0, math.Inf(1), math.Inf(1)
	if r.k >= 2 {
		second = 0
	}
	if r.k >= 3 {
		third = 0
	}
	miss := 0.0
	for i := range uint32(rehearsed) {
		u := scatter(i, gapKey)
		gap := gaps.next(float64(u/gapValues) * gapValues / rehearsed)[u%gapValues] / offered
		first, second, third = math.Max(0, first-gap), math.Max(0, second-gap), math.Max(0, third-gap)
		busy := 1
		if second > first && r.k >= 2 {
			busy++
		}
		if third > first && r.k >= 3 {
			busy++
		}
		if left := (r.bound - first) / service[busy]; left <= 0 {
			miss++
		} else if i := int(left * r.perUnit); i < slowerValues {
			miss += r.slower[i]
		}
		u = scatter(i, serviceKey)
		if u/serviceValues == longest-1 {
			first += r.long[u%serviceValues] * service[busy]
		} else {
			first += r.service[u/longest] * service[busy]
		}
		if first > second {
			first, second = second, first
		}
		if second > third {
			second, third = third, second
		}
	}
	return miss / rehearsed
}

// capacity is that of the model, as simulated: the root of the logarithm of the
// miss ratio, by secants from the rate guess on.
func (r *rehearsal) capacity(miss, guess float64) float64 {
	sat := r.saturation()
	low, high := 0.0, sat
	at := math.Max(0.05*sat, math.Min(0.98*sat, guess))
	var before, fBefore float64
	for i := range 10 {
		f := math.Log(math.Max(r.missRatio(at), 0.01*miss) / miss)
		if f > 0 {
			high = at
		} else {
			low = at
		}
		// At first: the tail of a wait is exponential in the slack.
		slope := math.Log(1/miss) / (sat - at)
		if i > 0 && at != before {
			slope = (f - fBefore) / (at - before)
		}
		if !(slope*sat > 1) {
			slope = 1 / sat
		}
		next := at - f/slope
		if math.Abs(f) < 0.05 || high-low < 0.002*sat {
			return math.Max(low, math.Min(high, next))
		}
		if next <= low || next >= high {
			next = (low + high) / 2
		}
		before, fBefore, at = at, f, next
	}
	return at
}

// scatter is a permutation of the numbers below rehearsed.
func scatter(i, key uint32) uint32 {
	const mask = rehearsed - 1
	i = (i + key) & mask
	i ^= i >> 9
	i = i * 0x9e3779b1 & mask
	i ^= i >> 8
	i = i * 0x85ebca6b & mask
	i ^= i >> 9
	i = (i + key>>16) * 0xc2b2ae35 & mask
	i ^= i >> 8
	return i
}

// A spacing is the times between arrivals, mean 1: each is of one of two kinds.
// Requests of a Poisson stream that are dealt out in turn are the sums of n and
// of n+1 exponential times, in a fixed order. The same in random order has any
// variability below that of a Poisson stream, and exponential times with two
// means any above it: Tijms, A First Course in Stochastic Models, 2003, appendix B.
type spacing struct {
	kinds  [2][]float64 // equally likely values
	part   float64      // of the first kind
	dealt  bool
	credit float64 // of the first kind, while they are dealt
}

func (m model) spacing(offered float64) spacing {
	ca2 := m.arrivalSCV(offered)
	if ca2 > 1 {
		part := (1 + math.Sqrt((ca2-1)/(ca2+1))) / 2
		return spacing{kinds: [2][]float64{erlang(1, 0.5/part), erlang(1, 0.5/(1-part))}, part: part}
	}
	times := math.Min(mostDealt-1, 1/ca2)
	n := math.Floor(times)
	s := spacing{dealt: m.dealt > 0, part: n + 1 - times}
	if !s.dealt {
		ca2 = 1 / times
		s.part = ((n+1)*ca2 - math.Sqrt(math.Max(0, (n+1)*(1+ca2)-(n+1)*(n+1)*ca2))) / (1 + ca2)
		times = n + 1 - s.part
	}
	s.kinds = [2][]float64{erlang(int(n), n/times), erlang(int(n)+1, (n+1)/times)}
	return s
}

// next returns the values from which the next time is drawn; u is even in [0, 1).
func (s *spacing) next(u float64) []float64 {
	if s.dealt {
		if s.credit += s.part; s.credit >= 1 {
			s.credit--
			return s.kinds[0]
		}
		return s.kinds[1]
	}
	if u < s.part {
		return s.kinds[0]
	}
	return s.kinds[1]
}

// mostDealt is the largest number of exponential times whose sum is drawn.
const mostDealt = 12

// erlang returns equally likely values of the sum of n exponential times, with
// the given mean.
func erlang(n int, mean float64) []float64 {
	out := slices.Clone(erlangs()[n-1])
	for i := range out {
		out[i] *= mean
	}
	return out
}

var erlangs = sync.OnceValue(func() [mostDealt][]float64 {
	var out [mostDealt][]float64
	for n := range out {
		out[n] = make([]float64, gapValues)
		mean := 0.0
		for i := range gapValues {
			out[n][i] = mathext.GammaIncRegInv(float64(n+1), (float64(i)+0.5)/gapValues)
			mean += out[n][i] / gapValues
		}
		for i := range gapValues {
			out[n][i] /= mean
		}
	}
	return out
})
