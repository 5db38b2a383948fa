package stress

import (
	"math"
	"time"
)

// slowDowns are the shares by which a backlog at its limit may slow a service
// down, and slowDownPrior is how likely there is one at all: most services have
// none.
var slowDowns = [...]float64{0.12, 0.25, 0.5}

const slowDownPrior = 0.1

// slowDownSuspected is the slow-down at the limit of the backlog by which the
// service time of a window with a queue may be off, where it stands for one
// without.
const slowDownSuspected = 0.2

// A surge is a guard reading: what was done in it beside the backlog that there
// was tells whether a backlog slows the instance down. A window cannot tell:
// there a slow service is what made the backlog.
type surge struct {
	begin         time.Duration // since the start of the run
	seconds       float64
	before, after float64 // backlog at its ends
	done          float64 // requests completed
	service       float64 // their mean service time, NaN if unknown
	backlog       float64 // mean backlog when they were started
	throughput    float64 // per second, over this and the readings of a second before it at the same rate
}

// surges are the guard readings since the first step.
type surges struct{ spans []surge }

// add appends a reading and reports whether its service time is
// known. changed is when the rate last took another value.
func (g *surges) add(before, after Sample, changed time.Duration) bool {
	u := surge{begin: after.End - after.Window, seconds: after.Window.Seconds(), before: before.Backlog, after: after.Backlog, service: after.Mean - after.QueueWait}
	if gap := after.End - after.Window - before.End; !(u.before >= 0) || !(u.after >= 0) || gap.Abs() > after.Window/10 {
		return false
	}
	arrived := after.Offered * u.seconds
	if u.done = arrived + u.before - u.after; !(u.done >= 1) {
		return false
	}
	// Who waits for w leaves behind what arrived meanwhile.
	if u.backlog = after.Offered * after.QueueWait; math.IsNaN(u.backlog) {
		u.backlog = (u.before + u.after) / 2
	}
	done, seconds := u.done, u.seconds
	for i := len(g.spans) - 1; i >= 0 && i > len(g.spans)-5 && g.spans[i].begin >= changed; i-- {
		done += g.spans[i].done
		seconds += g.spans[i].seconds
	}
	u.throughput = done / seconds
	g.spans = append(g.spans, u)
	return u.service > 0
}

// meanBacklog is the backlog in the spans, over their requests.
func meanBacklog(spans []surge) float64 {
	sum, n := 0.0, 0.0
	for _, u := range spans {
		sum += u.done * u.backlog
		n += u.done
	}
	if n == 0 {
		return 0
	}
	return sum / n
}

// countLikelihood is the logarithm of the chance of the counts of the spans in
// which all workers had something to do: the plainest evidence of their number
// and, where service times are not told, of a slow-down. m is the instance with
// a backlog of usual, which each waiting request slows down by degrade.
func (m model) countLikelihood(spans []surge, degrade, usual float64) float64 {
	log, sat := 0.0, m.saturation()
	for _, u := range spans {
		// A Brownian bridge between both backlogs touches zero, so that some had
		// no work, with the chance exp(-2 before after / variance).
		if u.before*u.after < sat*u.seconds*(m.ca2+m.cs2) {
			continue
		}
		if u.service > 0 {
			due := m.k * u.seconds / u.service
			variance := m.k*(1+m.cs2) + 0.04*0.04*due*due
			log -= (u.done-due)*(u.done-due)/2/variance + math.Log(variance)/2
			continue
		}
		slower := 1 + degrade*u.backlog
		z := sat*(1+degrade*usual)*u.seconds/u.done/slower - 1
		log += surplusDensity(degrade, u.backlog, u.done) - z*z/2/(m.cs2/u.done+1/u.done/u.done)
	}
	return log
}

// surplusDensity is the logarithm of the factor by which the density of a mean
// over n service times is lower if each request of the backlog beside them slows
// the instance down by degrade. Slow services make a backlog, too: of a relative
// surplus e it is higher by e times a response, on average, at most the half of
// n, and little where the queue is short.
func surplusDensity(degrade, backlog, n float64) float64 {
	if degrade == 0 || backlog <= 0 {
		return 0
	}
	response := 1 / (2/n + 1/(backlog*(1+backlog)))
	return math.Log(math.Max(0.2, 1-degrade*response)) - math.Log(1+degrade*backlog)
}
