package stress

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// A model is a queue G/G/k whose workers may slow each other down: the service
// time is alone + slope*busy seconds while busy workers are busy. The formulas
// and their sources are in docs/formulas.md, section "The queue behind the
// controller".
type model struct {
	k       float64 // workers
	alone   float64 // mean service time with no other worker busy, seconds
	slope   float64 // seconds per busy worker
	cs2     float64 // squared coefficient of variation of the service time
	ca2     float64 // the same of arrivals that are not dealt out in turn
	dealt   float64 // requests per second of the stream that is dealt out in turn; 0: there is none
	slots   float64 // requests that it may have at once, the others go elsewhere; 0: no limit
	overlap float64 // mean of the shorter of two service times over their mean
	service []atom  // distribution of the service time, mean 1
}

// An atom is one value of a discrete distribution and its probability.
type atom struct{ value, p float64 }

// arrivalSCV returns the squared coefficient of variation of the times between
// arrivals: of a Poisson stream that is dealt out in turn the share of it.
func (m model) arrivalSCV(offered float64) float64 {
	if m.dealt > 0 {
		return math.Min(1, offered/m.dealt)
	}
	return m.ca2
}

// saturated returns the mean service time while all workers are busy, seconds.
func (m model) saturated() float64 { return m.alone + m.slope*m.k }

// saturation returns the throughput with all workers busy, per second.
func (m model) saturation() float64 { return m.k / m.saturated() }

// busy returns the mean number of busy workers at an offered load: the
// solution of b = offered * (alone + slope*b). Above saturation it is k.
func (m model) busy(offered float64) float64 {
	d := 1 - offered*m.slope
	if d <= 0 {
		return m.k
	}
	return math.Min(m.k, offered*m.alone/d)
}

// waitProbability is the chance that a request waits, with rho of the workers
// busy and arrivals of the variability ca2. Erlang's C is exact for Poisson arrivals and exponential service. More
// even or burstier arrivals are, after Hayward, those of a smaller or larger
// system: workers and load over the peakedness of the arrivals, the variance of
// the number of busy workers over its mean if there were no end of them. Service
// times that are not exponential are corrected after Whitt.
func (m model) waitProbability(rho, ca2 float64) float64 {
	if rho >= 1 {
		return 1
	}
	k := math.Max(1, m.k/m.peakedness(ca2))
	return math.Min(1, erlangC(k, rho*k)*evenness(rho, k, m.cs2))
}

// peakedness is the variance over the mean of the number of busy workers if
// there were infinitely many, for arrivals whose bursts are short against a
// service: Eckberg, Proc. 10th International Teletraffic Congress, 1983.
func (m model) peakedness(ca2 float64) float64 {
	return math.Max(0.1, 1+(ca2-1)*m.overlap)
}

// overlap is the mean of the shorter of two service times over their mean: 1/2
// for the exponential distribution, 1 for equal times. service is ascending.
func overlap(service []atom) float64 {
	var sum, below, mean float64
	for _, a := range service {
		sum += a.value * a.p * (2*(1-below) - a.p)
		below += a.p
		mean += a.p * a.value
	}
	return sum / mean
}

// evenness is the factor phi of Whitt, Production and Operations Management 2,
// 1993, equations 2.24 and 2.25, for Poisson arrivals: by how much the mean wait
// of M/G/k differs from that of M/M/k times (1 + cs2)/2.
func evenness(rho, k, cs2 float64) float64 {
	gamma := math.Min(0.24, (1-rho)*(k-1)*(math.Sqrt(4+5*k)-2)/(16*k*rho))
	even := (1 - 4*gamma) * math.Exp(-2*(1-rho)/(3*rho)) // D/M/k
	if cs2 <= 1 {
		mixed := math.Min(1, (1+gamma+even)/2)
		psi := math.Pow(mixed, 1-cs2)
		return 4*(1-cs2)/(4-3*cs2)*(1+gamma) + cs2/(4-3*cs2)*psi
	}
	return (cs2-1)/(2+2*cs2)*even + (cs2+3)/(2+2*cs2)
}

// meanWait returns the mean seconds in the queue at an offered load below
// saturation.
func (m model) meanWait(offered float64) float64 {
	rho := m.busy(offered) / m.k
	slack := m.saturation() - offered
	if slack <= 0 || rho >= 1 {
		return math.Inf(1)
	}
	return m.waitProbability(rho, m.arrivalSCV(offered)) * m.meanWaitOfWaiting(offered)
}

// meanWaitOfWaiting returns the mean seconds in the queue of the requests that
// wait at all, at an offered load below saturation.
func (m model) meanWaitOfWaiting(offered float64) float64 {
	return (m.arrivalSCV(offered) + m.cs2) / 2 / (m.saturation() - offered)
}

// wait is meanWait, but at most the half of a second at saturation; 0 without
// a model.
func (m model) wait(offered float64) float64 {
	switch {
	case m.k == 0:
		return 0
	case m.limited():
		_, wait := m.spilled(offered)
		return math.Min(0.5, wait)
	}
	return math.Min(0.5, m.meanWait(offered))
}

// missRatio returns the share of requests whose response takes longer than
// bound seconds. A wait has an exponential tail whose rate is the slack over
// the mean variability; the service time is the measured distribution.
func (m model) missRatio(offered, bound float64) float64 {
	slack := m.saturation() - offered
	if slack <= 0 {
		return 1
	}
	b, ca2 := m.busy(offered), m.arrivalSCV(offered)
	c := m.waitProbability(b/m.k, ca2)
	tail := slack * 2 / (ca2 + m.cs2)
	free, full := m.alone+m.slope*b, m.saturated()
	miss := 0.0
	for _, a := range m.service {
		if a.value*free > bound {
			miss += a.p * (1 - c)
		}
		if left := bound - a.value*full; left > 0 {
			miss += a.p * c * math.Exp(-tail*left)
		} else {
			miss += a.p * c
		}
	}
	return miss
}

// capacity returns the highest offered load at which at most a share miss of
// the requests takes longer than bound seconds; 0 if there is none. Where no
// rate is too high because slots are limited, it is what is served with every
// slot taken.
func (m model) capacity(bound, miss float64) float64 {
	if m.limited() && m.slowShare(bound) <= miss {
		return m.full()
	}
	low, high := 0.0, m.saturation()
	for range 18 {
		mid := (low + high) / 2
		if m.missRatio(mid, bound) > miss {
			high = mid
		} else {
			low = mid
		}
	}
	return low
}

// erlangC is the chance of waiting in M/M/k with a busy workers on average,
// 1 <= k.
func erlangC(k, a float64) float64 {
	switch {
	case a >= k:
		return 1
	case !(a > 0):
		return 0
	}
	b, rho := erlangB(k, a), a/k
	return b / (1 - rho + rho*b)
}

// erlangB is the chance of finding all of k workers busy where nobody waits, for
// real k as a Poisson probability over its cumulative one: Jagerman, Bell System
// Technical Journal 53, 1974.
func erlangB(k, a float64) float64 {
	lg, _ := math.Lgamma(k + 1)
	return math.Exp(k*math.Log(a)-a-lg) / mathext.GammaIncRegComp(k+1, a)
}
