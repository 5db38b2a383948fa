package load

import "math"

// A reading is what the generator saw in a short time, a twentieth of a second.
type reading struct {
	seconds        float64
	ended, replied float64   // requests that ended, and those of them that were answered
	missed         []float64 // per limit of the seeker, the requests of ended that miss it
	open           float64   // requests under way or waiting at its end
	late           bool      // the generator itself came too late
}

// A limit is one term of the objective: the share of requests that may miss it.
type limit struct {
	share float64
	bound float64 // seconds; 0 of a term on errors
}

// A stay is what was seen in a window at one rate.
type stay struct {
	rate, seconds  float64
	ended, replied float64
	missed         []float64
}

// A seeker finds the rate at which the share of requests that miss the
// objective is just the one that may. It is pure: readings in, rates out.
//
// Near that rate the logit of the share is a straight line over the logarithm
// of the rate, because the tail of the wait in a queue is exponential with an
// exponent that falls linearly towards saturation (docs/formulas.md, "The
// search for the highest rate"). The seeker stays in windows of a second at
// rates on both sides of the best estimate and fits that line. A window in
// which the machine paused is thrown away and repeated.
type seeker struct {
	limits     []limit
	ceiling    float64 // no rate is higher; +Inf: none
	saturation float64 // highest throughput, per second
	idle       float64 // requests under way at saturation when nobody waits
	prior      seekEstimate

	phase          seekPhase
	left           float64 // seconds of settling or draining to come
	rate, want     float64 // in force; to be measured next
	turn           int
	now            stay
	still, unseen  float64 // seconds without an answer, answers due meanwhile
	open           float64 // of the last reading
	broken         bool    // the window holds a pause
	deepest        float64 // throughput of the last window if the queue grew without end in it, else 0
	stays          []stay
	pauses, agreed int
	best           seekEstimate
}

type seekPhase uint8

const (
	seekSettling seekPhase = iota
	seekMeasuring
	seekDraining
)

// A seekEstimate is what is known of the rate wanted: the mean of its
// logarithm, the standard deviation of that, and the slope of the logit of the
// share over it.
type seekEstimate struct {
	at, deviation, slope float64
}

// The search in numbers.
const (
	seekWindow      = 1.0  // seconds
	seekSettle      = 0.3  // seconds after a drained queue, before a window begins
	seekGrowth      = 1.15 // most that the rate grows from one window to the next
	seekSlopeSpread = 0.6  // standard deviation of the logarithm of the slope expected
	seekReach       = 2.5  // how far from the limit, in logits, the line is straight
	seekRefuse      = 10.0 // seconds after which a queue that does not drain is taken as it is

	// More windows are not worth their time when the standard deviation is
	// below seekEnough; a line and its kin err by seekModel, seen in simulation.
	seekEnough = 0.012
	seekModel  = 0.008
	seekLeast  = 14 // windows

	// A pause: so long without an answer, although so many were due.
	pauseSeconds = 0.05
	pauseAnswers = 12.0
	pausesKept   = 5 // more than these, and more than good windows, are the service's own
)

// seekOffsets are the places of the windows around the estimate, in logits:
// from two thirds to four times the share that is allowed, where enough
// requests miss to be counted and the line is still straight.
var seekOffsets = []float64{0.2, 1.2, -0.4, 0.8, 0.4, 1.4, 0}

// newSeeker begins with what is expected; idle requests are under way at
// saturation when nobody waits, and no rate is above ceiling.
func newSeeker(limits []limit, expected seekEstimate, saturation, idle, ceiling float64) *seeker {
	s := &seeker{limits: limits, prior: expected, best: expected, saturation: saturation, idle: idle, ceiling: ceiling}
	s.choose()
	s.rate, s.left = s.want, seekSettle
	return s
}

// choose picks the rate of the next window: below the estimate as long as that
// is vague.
func (s *seeker) choose() {
	b := s.best
	next := b.at + seekOffsets[s.turn%len(seekOffsets)]/b.slope - 0.7*max(0, b.deviation-0.5/b.slope)
	s.turn++
	if n := len(s.stays); n > 0 {
		next = min(next, math.Log(s.stays[n-1].rate*seekGrowth))
	}
	s.want = min(math.Exp(next), s.ceiling)
}

// read takes a reading, sets the rate, and says whether a window is complete.
func (s *seeker) read(r reading) (complete bool) {
	s.watch(r)
	switch s.phase {
	case seekDraining:
		s.left -= r.seconds
		if r.open <= 1+0.3*s.idle || s.left <= 0 {
			s.phase, s.left, s.rate, s.broken = seekSettling, seekSettle, s.want, false
		}
	case seekSettling:
		s.left -= r.seconds
		if s.broken {
			s.drain()
		} else if s.left <= 1e-9 {
			s.begin()
		}
	case seekMeasuring:
		s.now.seconds += r.seconds
		s.now.ended += r.ended
		s.now.replied += r.replied
		for i, m := range r.missed {
			s.now.missed[i] += m
		}
		deep := s.now.seconds >= 0.3 && r.open > 4*s.rate*s.bound()+2*s.idle+10
		switch {
		case s.broken && !s.usual():
			s.drain()
		case deep || s.now.seconds >= seekWindow-1e-9:
			s.close(deep, r.open)
			return true
		}
	}
	return false
}

// bound is the longest bound of the objective, seconds.
func (s *seeker) bound() float64 {
	out := 0.0
	for _, l := range s.limits {
		out = max(out, l.bound)
	}
	return out
}

// watch looks for pauses of the machine.
func (s *seeker) watch(r reading) {
	due := s.rate * r.seconds
	if r.replied <= 0.2*due && r.open > s.open {
		s.still += r.seconds
		s.unseen += due
	} else {
		s.still, s.unseen = 0, 0
	}
	s.open = r.open
	s.broken = s.broken || r.late || s.still >= pauseSeconds-1e-9 && s.unseen >= pauseAnswers
}

// usual says whether pauses come so often that they belong to the service.
func (s *seeker) usual() bool {
	s.pauses++
	return s.pauses > pausesKept && s.pauses > len(s.stays)
}

// drain lets the queue run empty.
func (s *seeker) drain() {
	s.phase, s.left, s.rate, s.still, s.unseen = seekDraining, seekRefuse, 0, 0, 0
}

// begin starts a window.
func (s *seeker) begin() {
	s.phase, s.broken = seekMeasuring, false
	s.now = stay{rate: s.want, missed: make([]float64, len(s.limits))}
}

// close ends a window and chooses the next rate.
func (s *seeker) close(deep bool, open float64) {
	for i, l := range s.limits {
		if deep && l.bound > 0 { // what still waits will miss the bound as well
			s.now.missed[i] += open
		}
	}
	if deep {
		s.now.ended += open
	}
	s.stays = append(s.stays, s.now)
	if deep {
		s.collapsed(s.now.replied / s.now.seconds)
	} else {
		s.deepest = 0
	}
	s.estimate()
	s.choose()
	if deep {
		s.drain()
		return
	}
	s.rate = s.want
	s.begin()
}

// collapsed takes note of the throughput of a window in which the queue grew
// and grew: that is all that the service carries. Two such windows in a row, far
// below what was expected of it, which few connections had shown, are believed more,
// and the search begins anew.
func (s *seeker) collapsed(throughput float64) {
	last := s.deepest
	s.deepest = throughput
	if most := max(last, throughput); last > 0 && most < 0.8*s.saturation {
		s.saturation = most
		s.prior = seekEstimate{at: math.Log(0.9 * most), deviation: 0.2, slope: 15}
		s.best = s.prior
	}
}

// done says whether more windows would change little.
func (s *seeker) done() bool { return len(s.stays) >= seekLeast && s.best.deviation <= seekEnough }

// estimate fits the line for every limit; the lowest rate binds.
func (s *seeker) estimate() {
	var best seekEstimate
	for i := range s.limits {
		if i > 0 && s.total(i) == 0 {
			continue // never missed so far: it does not bind
		}
		e := s.best
		if s.agreed != i {
			e = s.expected(i)
		}
		for range 2 { // the grid follows the estimate
			e = s.posterior(i, e)
		}
		if i == 0 || e.at < best.at {
			best, s.agreed = e, i
		}
	}
	s.best = best
}

// expected is the prior of a limit. What is expected of the first one says
// little of refusals, which begin when a queue is full.
func (s *seeker) expected(i int) seekEstimate {
	e := s.prior
	if i > 0 {
		e.deviation, e.slope = max(e.deviation, 0.2), 15
	}
	return e
}

// total is how many requests missed a limit in all windows.
func (s *seeker) total(i int) float64 {
	sum := 0.0
	for _, x := range s.stays {
		sum += x.missed[i]
	}
	return sum
}

// posterior computes mean and standard deviation of the logarithm of the rate
// on a grid around an earlier estimate.
func (s *seeker) posterior(i int, old seekEstimate) seekEstimate {
	l, prior := s.limits[i], s.expected(i)
	middle := math.Log(l.share / (1 - l.share))
	type datum struct{ at, missed, ended, weight float64 }
	data := make([]datum, len(s.stays))
	// Requests that miss come together: the variance of their number is that of
	// a binomial times the number that miss at once. In a queue that is twice the
	// requests of its relaxation time, bound * slope / log(share)^2.
	const windows0 = 12.0
	scatter, windows := windows0*10, windows0 // of errors
	if l.bound > 0 {
		log := math.Log(l.share)
		scatter = windows0 * (1 + 2*math.Exp(old.at)*l.bound*old.slope/(log*log))
	}
	for k, x := range s.stays {
		d := datum{math.Log(x.rate), x.missed[i], x.ended, 1}
		logit := old.slope * (d.at - old.at)
		if far := math.Abs(logit); far > seekReach {
			d.weight = seekReach * seekReach / far / far
		} else if d.ended > 0 {
			p := 1 / (1 + math.Exp(-middle-logit))
			scatter += (d.missed - d.ended*p) * (d.missed - d.ended*p) / (d.ended * p * (1 - p))
			windows++
		}
		data[k] = d
	}
	for k := range data {
		data[k].weight /= max(1, scatter/windows)
	}
	const points = 45
	reach := 6 * max(old.deviation, 0.003)
	var logs, ats, slopes [points * seekSlopes]float64
	top := math.Inf(-1)
	for u := range points {
		at := old.at + reach*(2*float64(u)/(points-1)-1)
		z := (at - prior.at) / prior.deviation
		before := -2 * math.Log1p(z*z/4) // heavy tails: it may be far off
		if over := at - math.Log(s.saturation); over > 0 {
			before -= over * over / (2 * 0.05 * 0.05)
		}
		for b := range seekSlopes {
			slope := 1.5 * math.Exp(0.48*float64(b))
			zb := math.Log(slope/prior.slope) / seekSlopeSpread
			log := before - zb*zb/2
			for _, d := range data {
				logit := middle + slope*(d.at-at)
				// log(1-p) = -log(1+e^x), log p = x - log(1+e^x)
				log += d.weight * (d.missed*logit - d.ended*softplus(logit))
			}
			k := u*seekSlopes + b
			logs[k], ats[k], slopes[k] = log, at, math.Log(slope)
			top = max(top, log)
		}
	}
	var sum, mean, square, steep, edge float64
	for k, log := range logs {
		p := math.Exp(log - top)
		sum += p
		mean += p * ats[k]
		square += p * ats[k] * ats[k]
		steep += p * slopes[k]
		if u := k / seekSlopes; u == 0 || u == points-1 {
			edge += p
		}
	}
	mean, square, steep = mean/sum, square/sum, steep/sum
	e := seekEstimate{at: mean, deviation: math.Sqrt(max(0, square-mean*mean)), slope: math.Exp(steep)}
	if edge > 0.01*sum { // the grid does not hold it yet
		e.deviation = max(e.deviation, 1.5*old.deviation)
	}
	return e
}

// seekSlopes is how many slopes are tried, from 1.5, where the objective is
// little above the service time itself, to 500 of a service without chance.
const seekSlopes = 13

// softplus is log(1 + e^x).
func softplus(x float64) float64 {
	switch {
	case x > 30:
		return x
	case x < -15:
		return math.Exp(x)
	}
	return math.Log1p(math.Exp(x))
}
