package signal

import (
	"maps"
	"math"
	"slices"

	"github.com/wxops/wxops/stress"
)

// answers gathers response times from looks at the connections of an instance.
//
// A connection carries one request at a time. Each look at it tells when data
// came and went last, so a request that is followed by no other before the next
// look is known to the tick of the kernel's clock, whether it was under way at
// a look or began and ended between two. If another one follows, the end of a
// request that was seen under way lies within known bounds; one that was never
// seen is missing, and those that are known and began and ended between two
// looks stand for it.
type answers struct {
	tick  int64             // of the ages, ms: their greatest common divisor
	seen  map[int64]float64 // requests that were under way at a look, by response time in ms
	spans []span            // those of them whose end is known within bounds
	brief map[int64]float64 // requests that began and ended between two looks
	owed  float64           // requests under way at the latest look
	ended float64           // of those under way at the look before, that were answered until the latest
	start float64           // the same at the beginning of the window
	looks float64           // in the window
	gaps  float64           // seconds between them and those before
}

// A span bounds a response time, in seconds.
type span struct{ low, high float64 }

// A conn is what is remembered of a connection between two looks.
type conn struct {
	segmentsIn, segmentsOut int64
	balance                 int64   // segments in less segments out when it owed nothing
	known                   bool    // balance has been seen
	owed                    bool    // a request was under way
	asked, seen             float64 // when it came and when it was looked at last, seconds
}

// owes reports whether a request has come on e that is not answered yet, and
// learns from the cases that are clear. The kernel's clock ticks every 1 to 10
// ms; if the last request and the last response have the same tick, the
// segments decide: one more has come than when nothing was owed.
func (c *conn) owes(e socket) bool {
	balance := e.segmentsIn - e.segmentsOut
	switch {
	case e.segmentsIn == 0:
		return false
	case e.received < e.sent || e.segmentsOut == 0:
		return true
	case e.received > e.sent:
		c.balance, c.known = balance, true
		return false
	}
	return c.known && balance == c.balance+1
}

// look brings c up to what e shows at an instant in seconds, and counts the
// requests that were answered since the look before.
func (a *answers) look(c *conn, e socket, at float64) (owes bool) {
	a.tick = divisor(divisor(a.tick, e.received), e.sent)
	owes = c.owes(e)
	came, answered := at-float64(e.received)/1e3, at-float64(e.sent)/1e3
	news := e.segmentsIn - c.segmentsIn
	if c.owed && e.segmentsOut != c.segmentsOut {
		a.ended++
	}
	switch {
	case e.segmentsOut == c.segmentsOut: // nothing was answered
	case c.owed && !owes && news == 0:
		a.seen[e.received-e.sent]++
	case c.owed && owes && news == 1:
		a.seen[a.whole(answered-c.asked)]++
	case c.owed:
		// Further requests came, after this one was answered.
		a.end(c, came)
	}
	if e.segmentsOut != c.segmentsOut && !owes && news > 0 {
		a.brief[e.received-e.sent]++
	}
	// More data of a request that is under way does not begin another one.
	if owes && !(c.owed && e.segmentsOut == c.segmentsOut) {
		c.asked = came
	}
	c.segmentsIn, c.segmentsOut, c.owed, c.seen = e.segmentsIn, e.segmentsOut, owes, at
	return owes
}

// end counts the request of c, which ended after the last look and before an
// instant.
func (a *answers) end(c *conn, before float64) {
	low := c.seen - c.asked
	a.spans = append(a.spans, span{low, math.Max(before-c.asked, low+float64(a.tick)/1e3)})
}

// whole rounds seconds to the tick, in ms.
func (a *answers) whole(seconds float64) int64 {
	tick := max(1, a.tick)
	return max(0, tick*int64(math.Round(seconds*1e3/float64(tick))))
}

// divisor returns the greatest common divisor.
func divisor(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// newAnswers returns answers without any.
func newAnswers() answers { return answers{seen: map[int64]float64{}, brief: map[int64]float64{}} }

// forget begins a new window.
func (a *answers) forget() {
	a.start, a.spans, a.looks, a.gaps = a.owed, a.spans[:0], 0, 0
	clear(a.seen)
	clear(a.brief)
}

// histogram returns the response times of the requests that were answered in
// the window, with their mean in seconds. arrived is how many have come
// meanwhile, bound the objective in seconds, 0 if none. The histogram is empty,
// and the mean NaN, if no answer was seen.
func (a *answers) histogram(arrived, bound float64) (histogram, float64) {
	return mostLikely(a.readings(arrived+a.start-a.owed), classesFor(bound))
}

// A reading is what was read of a number of response times: each lies within
// low and high (seconds), evenly or, if it is peaked, the more likely the nearer
// the middle.
type reading struct {
	count, low, high float64
	peaked           bool
	exact            bool // the middle is right on average, at 0 too
}

// readings lists what was read of completed requests.
func (a *answers) readings(completed float64) (read []reading) {
	tick := float64(max(1, a.tick)) / 1e3
	add := func(times map[int64]float64, weight func(seconds float64) float64) {
		for _, ms := range slices.Sorted(maps.Keys(times)) {
			at := float64(ms) / 1e3
			read = append(read, reading{times[ms] * weight(at), at - tick, at + tick, true, true})
		}
	}
	add(a.seen, func(float64) float64 { return 1 })
	for _, s := range a.spans {
		read = append(read, reading{count: 1, low: s.low, high: s.high})
	}
	between := completed // of these, those that began and ended between two looks
	for _, r := range read {
		between -= r.count
	}
	gap := a.gaps / a.looks
	switch {
	case len(a.brief) > 0:
		add(a.brief, a.missing(between, gap))
	case between > 0 && gap > 0:
		// Each request has a connection of its own. One of length R began and
		// ended between two looks with chance 1 - R/gap.
		read = append(read, reading{count: between, low: -gap, high: gap, peaked: true})
	}
	return read
}

// missing returns for how many requests that began and ended between two looks
// one of them stands that is known, by its response time, so that there are
// completed in all. If the next request on a connection follows at some rate, a
// request that ended x before the look is known with chance exp(-rate x); one of
// length R ended at most gap-R before it, so long ones are known more often. The
// rate is the one that makes the sum right.
func (a *answers) missing(completed, gap float64) func(seconds float64) float64 {
	weight := func(rate, seconds float64) float64 {
		x := rate * math.Max(0, gap-seconds)
		if x < 1e-6 {
			return 1
		}
		return x / -math.Expm1(-x)
	}
	low, high := 0.0, 1e4
	for range 40 {
		rate, sum := (low+high)/2, 0.0
		for ms, n := range a.brief {
			sum += n * weight(rate, float64(ms)/1e3)
		}
		if sum < completed {
			low = rate
		} else {
			high = rate
		}
	}
	return func(seconds float64) float64 { return weight(low, seconds) }
}

// below returns the part of the reading's likelihood that lies below x seconds.
func (r reading) below(x float64) float64 {
	share := math.Max(0, math.Min(1, (x-r.low)/(r.high-r.low)))
	switch {
	case !r.peaked:
		return share
	case share < 0.5:
		return 2 * share * share
	}
	return 1 - 2*(1-share)*(1-share)
}

// middle returns the mean of the reading, seconds.
func (r reading) middle() float64 { return (r.low + r.high) / 2 }

// classesFor returns bounds of classes of response times in equal ratio, one of
// them at the objective, so that the share above it needs no interpolation.
func classesFor(objective float64) []float64 {
	const (
		ratio = 1.1
		under = 56 // classes from 1/200 of the objective up to it
		over  = 40 // and on to 45 times the objective
		usual = 0.05
	)
	if objective <= 0 {
		objective = usual
	}
	bounds := make([]float64, 0, under+over+1)
	for i := -under; i <= over; i++ {
		bounds = append(bounds, objective*math.Pow(ratio, float64(i)))
	}
	return bounds
}

// mostLikely returns the histogram over classes that makes the readings likely,
// and the mean of the response times in seconds. It is found by a few steps of
// expectation maximization from an even one (Turnbull, Journal of the Royal
// Statistical Society B 38, 1976, for times known within bounds); more steps
// would fit the noise.
func mostLikely(read []reading, bounds []float64) (histogram, float64) {
	if len(read) == 0 {
		return nil, math.NaN()
	}
	const steps = 8
	density, next := make([]float64, len(bounds)), make([]float64, len(bounds))
	for b := range density {
		density[b] = 1
	}
	part := make([]float64, len(bounds))
	var total, sum float64
	for range steps {
		clear(next)
		total, sum = 0, 0
		for _, r := range read {
			first, _ := slices.BinarySearch(bounds, r.low)
			all, low, below := 0.0, 0.0, r.below(0)
			if first > 0 {
				low, below = bounds[first-1], 0
			}
			last := first
			for b := first; b < len(bounds) && low < r.high; b++ {
				upTo := r.below(bounds[b])
				part[b] = density[b] * (upTo - below)
				all += part[b]
				low, below, last = bounds[b], upTo, b
			}
			middle := 0.0
			if all == 0 { // longer than any class
				next[len(next)-1] += r.count
				middle = r.middle()
			}
			for b := first; b <= last && all > 0; b++ {
				next[b] += r.count * part[b] / all
				from := math.Max(r.low, 0)
				if b > 0 {
					from = math.Max(from, bounds[b-1])
				}
				middle += part[b] / all * (from + math.Min(r.high, bounds[b])) / 2
			}
			if r.exact {
				middle = r.middle()
			}
			total += r.count
			sum += r.count * middle
		}
		low := 0.0
		for b, high := range bounds {
			density[b] = next[b] / (high - low)
			low = high
		}
	}
	counted := func(n float64) bool { return n > 0 }
	// An empty class says where the first one with a request begins.
	h, end := histogram{}, len(next)
	for end > 0 && !counted(next[end-1]) {
		end--
	}
	for b := max(0, slices.IndexFunc(next, counted)-1); b < end; b++ {
		h = append(h, stress.Bucket{Bound: bounds[b], Count: next[b]})
	}
	return append(h, stress.Bucket{Bound: math.Inf(1)}), sum / total
}
