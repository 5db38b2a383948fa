package stress

import "math"

// What spans between guard readings tell of the saturation, and of a service
// that slows down as its backlog grows.

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

// slowDowns are the relative slow-downs per waiting request that are tried, and
// slowDownPrior how likely there is one at all: most services have none.
var slowDowns = []float64{0.005, 0.01, 0.02}

const slowDownPrior = 0.1

// slowDownSuspected is the slow-down per waiting request by which the service
// time of a window with a queue may be off, where it stands for one without.
const slowDownSuspected = 0.005

// oldAge is the factor of aged, found in simulation of 4 to 32 workers at 85 to
// 99 % of saturation, with coefficients of variation from 0.5 to 1.5.
const oldAge = 1.7

// aged returns by how much, relative, the mean service time of a span exceeds
// that of all requests: where a backlog has come up although the rate does not
// explain it, those in service at the beginning are likely to be slow ones.
func (m model) aged(u surge) float64 {
	return oldAge * math.Max(0, 1-u.rate/m.saturation()) * m.cs2 * m.k / u.done
}

// mayHaveEmptied is the chance of an empty queue within a span above which the
// span says nothing about the saturation.
const mayHaveEmptied = 0.2

// emptied returns the chance that the queue ran empty within a span that begins
// and ends with a backlog. Between its ends the backlog is a Brownian bridge,
// whose lowest point is known: Karlin and Taylor, A First Course in Stochastic
// Processes, 1975, chapter 7.
func (m model) emptied(u surge) float64 {
	return math.Exp(-2 * u.backlog * u.after / (m.saturation() * u.seconds * (m.arrivalSCV(u.rate) + m.cs2)))
}

// due returns how many requests all workers complete in a span, of which each
// waiting one slows the others down by d, and the variance of that number.
func (m model) due(u surge, d float64) (n, variance float64) {
	if u.service > 0 {
		n = m.k * u.seconds / u.service
		return n, m.k*(1+m.cs2) + 0.04*0.04*n*n
	}
	n = m.saturation() * u.seconds / (1 + d*(u.backlog+u.after)/2)
	return n, n*m.cs2 + 1
}

// spanLikelihood is the logarithm of the chance of what was done in the spans
// in which all workers were busy: the plainest evidence of the saturation there
// is. degraded is the part of it that a slow-down under backlog has.
func spanLikelihood(spans []surge, m model) (log, degraded float64) {
	sat := m.saturation()
	given := func(d float64) float64 {
		l := 0.0
		for _, u := range spans {
			if u.service > 0 && u.done >= 1 {
				// The backlog that comes by what arrives, not by what is slow.
				b := math.Max(u.backlog/2, u.backlog+(u.arrived-sat*u.seconds)/2)
				off := u.service/(m.saturated()*(1+d*b+m.aged(u))) - 1
				l -= math.Min(12, off*off*u.done/(m.cs2+0.02)/2)
			}
			if m.emptied(u) > mayHaveEmptied {
				continue
			}
			due, variance := m.due(u, d)
			l -= (u.done-due)*(u.done-due)/2/variance + math.Log(variance)/2
		}
		return l
	}
	healthy := given(0) + math.Log(1-slowDownPrior)
	log = healthy
	for _, d := range slowDowns {
		l := given(d) + math.Log(slowDownPrior/float64(len(slowDowns)))
		top := math.Max(log, l)
		log = top + math.Log(math.Exp(log-top)+math.Exp(l-top))
	}
	return log, 1 - math.Exp(healthy-log)
}
