package capacity

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrUnreachable says that not even a nearly idle instance meets the objective.
var ErrUnreachable = errors.New("the objective cannot be met at any load")

// A Station is an instance as a queue: G/G/c with a first come, first served
// queue without an end.
type Station struct {
	Servers    int     // at least 1
	Service    float64 // mean service time in seconds
	ServiceCV  float64 // coefficient of variation: 0 fixed, 1 exponential
	ArrivalsCV float64 // of the times between arrivals: 1 Poisson; 0 means 1
}

// StationOf returns the queue of a shape. Cores that are not a whole number are
// rounded up, and each then works in proportion slower.
func StationOf(shape Shape, service, cv, arrivalsCV float64) Station {
	servers := math.Ceil(shape.Cores())
	return Station{int(servers), service * servers / shape.Cores(), cv, arrivalsCV}
}

// A Goal bounds a quantile, or the mean, of the wait or of the response time.
type Goal struct {
	Quantile float64 // in (0, 1); NaN: the mean
	Bound    float64 // seconds
	Wait     bool    // of the wait in the queue instead of the response time
}

// The ceiling is sought between ceilingBottom and ceilingTop, to ceilingStep.
const (
	ceilingTop    = 0.999
	ceilingBottom = 0.001
	ceilingStep   = 2e-4
	maxServers    = 4096
)

// A Reached is the answer of Ceiling: a utilization in (0, 1), with the interval
// of 95 % that the chance of a simulation leaves; both ends are the ratio itself
// where it was computed.
type Reached struct{ Ratio, Low, High float64 }

// Ceiling returns the highest utilization at which the station meets every goal.
// M/M/c is solved exactly (Erlang C; Gross and Harris, Fundamentals of Queueing
// Theory, section 2.3); other queues are simulated, service times gamma below a CV
// of 1 and lognormal above, with fixed random numbers: the same question has the
// same answer. A 99.9 % quantile takes seconds. The error is ErrUnreachable or
// wraps ErrRange.
func Ceiling(st Station, goals []Goal) (Reached, error) {
	if st.ArrivalsCV == 0 {
		st.ArrivalsCV = 1
	}
	if err := positive("service time", st.Service); err != nil {
		return Reached{}, err
	}
	switch {
	case st.Servers < 1 || st.Servers > maxServers:
		return Reached{}, fmt.Errorf("%w: %d servers are outside [1, %d]", ErrRange, st.Servers, maxServers)
	case !(st.ServiceCV >= 0 && st.ServiceCV <= 10):
		return Reached{}, fmt.Errorf("%w: cv %g is outside [0, 10]", ErrRange, st.ServiceCV)
	case !(st.ArrivalsCV >= 0.1 && st.ArrivalsCV <= 10):
		return Reached{}, fmt.Errorf("%w: arrivals cv %g is outside [0.1, 10]", ErrRange, st.ArrivalsCV)
	case len(goals) == 0:
		return Reached{}, fmt.Errorf("%w: no goal", ErrRange)
	}
	if st.ServiceCV != 1 || st.ArrivalsCV != 1 {
		return simulatedCeiling(st, goals)
	}
	excess := func(rho float64) float64 {
		worst := math.Inf(-1)
		for _, g := range goals {
			worst = max(worst, st.excessByFormula(rho, g))
		}
		return worst
	}
	if excess(ceilingBottom) > 0 {
		return Reached{}, ErrUnreachable
	}
	rho := crossing(excess, ceilingBottom, ceilingTop, 0)
	return Reached{rho, rho, rho}, nil
}

// crossing returns where an excess that grows with the utilization passes 0, at
// most ceilingStep below it, or where it is within noise of 0; hi if it does not.
// lo must be on the good side. It halves a wide interval and draws the chord in a
// narrow one (the Illinois method: Dowell and Jarratt, BIT 11, 1971).
func crossing(excess func(rho float64) float64, lo, hi, noise float64) float64 {
	high := excess(hi)
	if high <= 0 {
		return hi
	}
	low, side := math.Inf(-1), 0
	for hi-lo > ceilingStep {
		rho := (lo + hi) / 2
		if width := high - low; hi < 1.3*lo && width < 3 {
			rho = min(max(hi-(hi-lo)*high/width, lo+ceilingStep/4), hi-ceilingStep/4)
		}
		at := excess(rho)
		switch {
		case math.Abs(at) <= noise:
			return rho
		case at <= 0:
			lo, low = rho, at
			if side < 0 {
				high /= 2
			}
			side = -1
		default:
			hi, high = rho, at
			if side > 0 {
				low /= 2
			}
			side = 1
		}
	}
	return lo
}

// erlangC is the probability that a request waits in M/M/c at utilization rho.
func erlangC(c int, rho float64) float64 {
	a := rho * float64(c)
	b := 1.0 // Erlang B by recursion
	for k := 1; k <= c; k++ {
		b = a * b / (float64(k) + a*b)
	}
	return b / (1 - rho*(1-b))
}

// excessByFormula is the logarithm of the share of requests that miss a goal in
// M/M/c over the share that may, or of the mean over its bound: met up to 0.
func (st Station) excessByFormula(rho float64, g Goal) float64 {
	c, mu := float64(st.Servers), 1/st.Service
	wait := erlangC(st.Servers, rho)
	drain := c * mu * (1 - rho) // rate at which a wait ends
	if math.IsNaN(g.Quantile) {
		mean := wait / drain
		if !g.Wait {
			mean += st.Service
		}
		return math.Log(mean / g.Bound)
	}
	tail := wait * math.Exp(-drain*g.Bound)
	if !g.Wait {
		// P(wait + service > t); the two rates may be equal
		gap := drain - mu
		t := g.Bound
		folded := t
		if math.Abs(gap*t) > 1e-9 {
			folded = -math.Expm1(-gap*t) / gap
		}
		tail = math.Exp(-mu*t) * (1 + wait*mu*folded)
	}
	return math.Log(tail / (1 - g.Quantile))
}

// Goals returns what an objective asks of the queue; wait says that its times
// are waits. Error terms ask nothing of it.
func (o Objective) Goals(wait bool) []Goal {
	var out []Goal
	for _, t := range o.Terms {
		switch {
		case t.Quantile < 1:
			out = append(out, Goal{t.Quantile, t.Bound, wait})
		case t.Metric == "mean":
			out = append(out, Goal{math.NaN(), t.Bound, wait})
		}
	}
	return slices.Clip(out)
}
