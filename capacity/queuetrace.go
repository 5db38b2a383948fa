package capacity

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// The lengths of the simulations of a ceiling, in requests, and the standard error
// of the ceiling, as a ratio, at which a longer one is not asked for. The first is
// enough for a 99 % quantile of many queues; the 99.9 % quantile with a CV of 2
// takes the last, some seconds, because it is made by some hundred long requests.
var simulatedRequests = []int{300_000, 1_500_000, 7_500_000}

const (
	simulatedError = 0.01
	leastMisses    = 1000 // of a goal: of 300 the batches know too little, and the ceiling was off by 3.4 of their standard errors
	warmUpPart     = 15   // of the requests, one part in so many comes before anything is counted
	batches        = 20   // whose differences give the standard error
)

// simulatedCeiling is the ceiling of a station without a closed form. A longer
// simulation begins in the interval that the shorter one leaves.
func simulatedCeiling(st Station, goals []Goal) (Reached, error) {
	lo, hi := ceilingBottom, ceilingTop
	allowed := 1.0 // share of requests that may miss
	for _, g := range goals {
		if !math.IsNaN(g.Quantile) {
			allowed = min(allowed, 1-g.Quantile)
		}
	}
	last := len(simulatedRequests) - 1
	for i, n := range simulatedRequests {
		if i < last && float64(n)*allowed < leastMisses {
			continue
		}
		t := newQueueTrace(st, goals, n)
		excess := func(rho float64) float64 {
			worst, _ := t.excess(rho)
			return worst
		}
		if lo == ceilingBottom && excess(lo) > 0 {
			return Reached{}, ErrUnreachable
		}
		for lo > ceilingBottom && excess(lo) > 0 { // the shorter one was further off than it thought
			lo = max(lo*lo/hi, ceilingBottom)
		}
		if hi < ceilingTop && excess(hi) <= 0 {
			lo, hi = hi, ceilingTop
		}
		rho := crossing(excess, lo, hi, simulatedError/10)
		if rho == ceilingTop {
			return Reached{rho, rho, rho}, nil
		}
		off, settled := t.offBy(rho)
		if settled && off <= simulatedError || i == last {
			return Reached{rho, rho * math.Exp(-1.96*off), min(rho*math.Exp(1.96*off), 1)}, nil
		}
		if !settled {
			off = max(off, 0.05)
		}
		off = max(off, 2*ceilingStep)
		lo, hi = max(rho*math.Exp(-4*off), ceilingBottom), min(rho*math.Exp(4*off), ceilingTop)
	}
	panic("capacity: no simulation is the last")
}

// offBy is the standard error of a ceiling, as a ratio: that of the excess over its
// slope, at most 1. It is not settled where the requests that miss the goal come
// from a few batches.
func (t *queueTrace) offBy(rho float64) (off float64, settled bool) {
	const step, few = 0.97, 0.5
	at, deviation := t.excess(rho)
	below, _ := t.excess(step * rho)
	switch {
	case math.IsInf(at, -1): // none misses here, too many a step above
		return ceilingStep / rho, false
	case !(at > below): // an excess that does not grow leaves everything open
		return 1, false
	}
	off = deviation * -math.Log(step) / (at - below)
	return min(off, 1), deviation < few && !math.IsInf(below, -1)
}

// A queueTrace holds the random numbers of one simulated stream, so that every
// utilization sees the same one and the excess grows with it. Numbers that are
// drawn through their quantile function come one from each of n equal shares of
// the probability, in random order (Latin hypercube sampling: McKay, Beckman and
// Conover, Technometrics 21, 1979): a long wait is mostly the work of one long
// request, and how many of those there are is no chance then. It halves the
// standard error of a 99.9 % quantile with a CV of 2.
type queueTrace struct {
	goals    []toll
	gaps     []float32 // mean 1
	services []float32 // mean 1
	free     []float64 // times at which servers become idle, a heap
}

func newQueueTrace(st Station, goals []Goal, n int) *queueTrace {
	rng := rand.New(rand.NewPCG(6, 1))
	t := &queueTrace{free: make([]float64, st.Servers)}
	for _, g := range goals {
		t.goals = append(t.goals, st.toll(g))
	}
	if st.ArrivalsCV == 1 {
		t.gaps = spread(rng, n, exponential)
	} else {
		t.gaps = draw(n, func() float64 { return interval(rng, st.ArrivalsCV) })
	}
	switch cv := st.ServiceCV; {
	case cv == 1:
		t.services = spread(rng, n, exponential)
	case cv > 1:
		s2 := math.Log(1 + cv*cv)
		t.services = spread(rng, n, func(p float64) float64 {
			return math.Exp(distuv.UnitNormal.Quantile(p)*math.Sqrt(s2) - s2/2)
		})
	case cv == 0:
		t.services = draw(n, func() float64 { return 1 })
	default:
		shape := 1 / (cv * cv)
		t.services = draw(n, distuv.Gamma{Alpha: shape, Beta: shape, Src: rng}.Rand)
	}
	return t
}

// exponential is the quantile function of the exponential law of mean 1.
func exponential(p float64) float64 { return -math.Log1p(-p) }

// spread returns the quantiles of n values, one from each of as many shares of
// the probability, in random order.
func spread(rng *rand.Rand, n int, quantile func(float64) float64) []float32 {
	i := 0
	v := draw(n, func() float64 {
		p := (float64(i) + rng.Float64()) / float64(n)
		i++
		return quantile(min(p, 1-1e-12))
	})
	rng.Shuffle(n, func(i, j int) { v[i], v[j] = v[j], v[i] })
	return v
}

func draw(n int, value func() float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(value())
	}
	return v
}

// interval draws a time between arrivals with mean 1: below a CV of 1 gamma, above
// it hyperexponential with balanced means.
func interval(rng *rand.Rand, cv float64) float64 {
	if cv < 1 {
		shape := 1 / (cv * cv)
		return distuv.Gamma{Alpha: shape, Beta: shape, Src: rng}.Rand()
	}
	p := (1 + math.Sqrt((cv*cv-1)/(cv*cv+1))) / 2
	if rng.Float64() < p {
		return rng.ExpFloat64() / (2 * p)
	}
	return rng.ExpFloat64() / (2 * (1 - p))
}

// excess runs the stream at utilization rho through the queue (the recursion of
// Kiefer and Wolfowitz, Trans. AMS 78, 1955) and returns the logarithm of the
// share of requests that miss a goal over the share that may, or of the mean over
// its bound, for the goal where it is highest, and its standard error. A response
// is the wait and a service time that does not depend on it, of which the law is
// known: only the waits are counted, so that the tail of the service times adds
// no chance (with 16 servers and a CV of 2 it moved the ceiling by 12 %).
func (t *queueTrace) excess(rho float64) (worst, deviation float64) {
	clear(t.free)
	sums := make([][]float64, len(t.goals)) // by batch
	for k := range t.goals {
		sums[k] = make([]float64, batches)
	}
	spacing := 1 / (rho * float64(len(t.free)))
	warmUp := len(t.gaps) / warmUpPart
	size := (len(t.gaps) - warmUp) / batches
	now := 0.0
	for i, gap := range t.gaps {
		now += float64(gap) * spacing
		start := max(now, t.free[0])
		t.free[0] = start + float64(t.services[i])
		sink(t.free)
		batch := (i - warmUp) / size
		if i < warmUp || batch >= batches {
			continue
		}
		for k := range t.goals {
			sums[k][batch] += t.goals[k].of(start - now)
		}
	}
	worst = math.Inf(-1)
	for k, g := range t.goals {
		mean, spread := stat.MeanStdDev(sums[k], nil)
		if e := math.Log(mean / (g.allowed * float64(size))); e > worst {
			worst, deviation = e, spread/mean/math.Sqrt(batches)
		}
	}
	return worst, deviation
}

// A toll is what a request that has waited adds to a goal: the probability that it
// misses a quantile, or its share of a mean. Times are in mean service times.
type toll struct {
	bound   float64
	allowed float64   // mean toll at which the goal is just met
	mean    bool      // the toll is wait + start
	start   float64   // of a request that has not waited
	misses  []float64 // at waits from 0 to the bound, evenly; between them it is a line. nil: 0 up to the bound
}

// tollSteps of a wait are so fine that a line is within 1e-4 of the laws of
// service times, and save two thirds of a simulation's time.
const tollSteps = 4096

func (st Station) toll(g Goal) toll {
	t := toll{bound: g.Bound / st.Service, allowed: 1 - g.Quantile}
	switch {
	case math.IsNaN(g.Quantile):
		t.mean, t.allowed = true, t.bound
		if !g.Wait {
			t.start = 1
		}
		return t
	case g.Wait:
	case st.ServiceCV == 0:
		t.bound--
	default:
		t.misses = make([]float64, tollSteps+1)
		for i := range t.misses {
			t.misses[i] = serviceAbove(t.bound*(1-float64(i)/tollSteps), st.ServiceCV)
		}
		t.start = t.misses[0]
		return t
	}
	t.bound *= 1 + 1e-12
	if t.bound < 0 {
		t.start = 1
	}
	return t
}

func (t *toll) of(wait float64) float64 {
	switch {
	case t.mean:
		return wait + t.start
	case wait == 0:
		return t.start
	case wait >= t.bound:
		return 1
	case t.misses == nil:
		return 0
	}
	at := wait / t.bound * tollSteps
	i := int(at)
	return t.misses[i] + (at-float64(i))*(t.misses[i+1]-t.misses[i])
}

// serviceAbove is the probability that a service time of mean 1 and the given CV,
// above 0, is longer than x.
func serviceAbove(x, cv float64) float64 {
	switch {
	case x <= 0:
		return 1
	case cv == 1:
		return math.Exp(-x)
	case cv > 1:
		s2 := math.Log(1 + cv*cv)
		return 0.5 * math.Erfc((math.Log(x)+s2/2)/math.Sqrt(2*s2))
	}
	shape := 1 / (cv * cv)
	return distuv.Gamma{Alpha: shape, Beta: shape}.Survival(x)
}

// sink moves the root of a heap of ascending times to its place.
func sink(h []float64) {
	i := 0
	for {
		k := 2*i + 1
		if k >= len(h) {
			return
		}
		if k+1 < len(h) && h[k+1] < h[k] {
			k++
		}
		if h[i] <= h[k] {
			return
		}
		h[i], h[k] = h[k], h[i]
		i = k
	}
}
