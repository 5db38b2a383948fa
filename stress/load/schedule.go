package load

import (
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// A Stage is a stretch of time in which the rate goes in a straight line from
// From to To, both in requests per second and not negative.
type Stage struct {
	From, To float64
	For      time.Duration
}

// Constant is the schedule of one rate, in requests per second, for d.
func Constant(rate float64, d time.Duration) []Stage { return []Stage{{rate, rate, d}} }

// Total is how many requests fall due in the stages, and how long they last.
func Total(stages []Stage) (requests float64, d time.Duration) {
	for _, s := range stages {
		requests += (s.From + s.To) / 2 * s.For.Seconds()
		d += s.For
	}
	return requests, d
}

// A segment is a stretch of the rate curve. Instants are nanoseconds since the
// start, x is the integral of the curve: how many requests have fallen due.
type segment struct {
	t, x   float64 // where it begins
	a, b   float64 // rate at its beginning and at its end, per nanosecond
	length float64 // nanoseconds, +Inf for the last one
}

// at returns the integral at instant t, which lies in the segment.
func (s segment) at(t float64) float64 {
	tau := t - s.t
	if s.a == s.b || math.IsInf(s.length, 1) {
		return s.x + s.a*tau
	}
	return s.x + s.a*tau + (s.b-s.a)/(2*s.length)*tau*tau
}

// rate returns the requests per nanosecond at instant t, which lies in the segment.
func (s segment) rate(t float64) float64 {
	if s.a == s.b || math.IsInf(s.length, 1) {
		return s.a
	}
	return s.a + (s.b-s.a)*(t-s.t)/s.length
}

// end returns the integral at the end of the segment.
func (s segment) end() float64 {
	if math.IsInf(s.length, 1) {
		if s.a == 0 {
			return s.x
		}
		return math.Inf(1)
	}
	return s.x + (s.a+s.b)/2*s.length
}

// when returns the instant at which the integral reaches x, s.x <= x < s.end().
func (s segment) when(x float64) float64 {
	y := x - s.x
	if y <= 0 {
		return s.t
	}
	if s.a == s.b || math.IsInf(s.length, 1) {
		return s.t + y/s.a
	}
	// The root of a*tau + k*tau^2 = y that has no cancellation: 2y / (a + sqrt(a^2 + 4ky)).
	k := (s.b - s.a) / (2 * s.length)
	return s.t + 2*y/(s.a+math.Sqrt(math.Max(0, s.a*s.a+4*k*y)))
}

// A plan is an immutable rate curve; the last segment is open.
type plan struct {
	segments []segment
}

func newPlan(stages []Stage) *plan {
	p := &plan{}
	var t, x float64
	for i, s := range stages {
		g := segment{t: t, x: x, a: s.From / 1e9, b: s.To / 1e9, length: float64(s.For)}
		x, t = g.end(), t+g.length
		if i == len(stages)-1 && g.a == g.b {
			g.length = math.Inf(1)
		}
		p.segments = append(p.segments, g)
	}
	if n := len(stages); n > 0 && stages[n-1].From != stages[n-1].To {
		last := stages[n-1].To / 1e9
		p.segments = append(p.segments, segment{t: t, x: x, a: last, b: last, length: math.Inf(1)})
	}
	return p
}

// find returns the segment that holds instant t.
func (p *plan) find(t float64) segment {
	for i := len(p.segments) - 1; i > 0; i-- {
		if t >= p.segments[i].t {
			return p.segments[i]
		}
	}
	return p.segments[0]
}

// rate returns the requests per second at instant t.
func (p *plan) rate(t float64) float64 { return p.find(t).rate(t) * 1e9 }

// steered is a plan that can be changed while workers follow it.
type steered struct {
	mu  sync.Mutex
	now atomic.Pointer[plan]
}

// set makes rate (per second) hold from instant t on. What fell due before t
// stays due. Segments that ended long ago are kept: a worker may be behind.
func (s *steered) set(t, rate float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.now.Load()
	next := &plan{}
	for _, g := range old.segments {
		if g.t >= t {
			break
		}
		next.segments = append(next.segments, g)
	}
	x := 0.0
	if n := len(next.segments); n > 0 {
		last := &next.segments[n-1]
		x = last.at(t)
		if last.a != last.b {
			last.b = last.a + (last.b-last.a)*(t-last.t)/last.length
		}
		last.length = t - last.t
	}
	next.segments = append(next.segments, segment{t: t, x: x, a: rate / 1e9, b: rate / 1e9, length: math.Inf(1)})
	s.now.Store(next)
}

// never is the due instant of a request that does not exist.
const never = math.MaxInt64

// scheduled yields the due instants of one worker: those requests i of the
// whole schedule with i = first mod step, or, with Poisson arrivals, its share
// of the process (the sum of independent Poisson processes is one).
type scheduled struct {
	steer   *steered
	seen    *plan
	cursor  int
	x, step float64
	random  *rand.Rand // nil for constant arrivals
	left    int64      // requests that this worker may still take
	end     int64      // nothing is due at or after this instant
	next    int64
}

func newScheduled(steer *steered, first, step int, left, end int64, random *rand.Rand) *scheduled {
	s := &scheduled{steer: steer, x: float64(first), step: float64(step), left: left, end: end, random: random}
	if random != nil {
		s.x = random.ExpFloat64() * s.step
	}
	s.seek()
	return s
}

// due returns the instant of the next request, never if there is none.
func (s *scheduled) due() int64 {
	if s.steer.now.Load() != s.seen {
		s.seek()
	}
	return s.next
}

// spacing is how far apart due instants are at the next one, on average.
func (s *scheduled) spacing() int64 {
	if s.next == never {
		return 0
	}
	gap := s.step / s.seen.segments[s.cursor].rate(float64(s.next))
	return int64(min(gap, float64(time.Hour)))
}

// advance goes on to the request after the next one.
func (s *scheduled) advance() {
	s.left--
	if s.random != nil {
		s.x += s.random.ExpFloat64() * s.step
	} else {
		s.x += s.step
	}
	s.seek()
}

func (s *scheduled) seek() {
	if p := s.steer.now.Load(); p != s.seen {
		s.seen, s.cursor = p, 0
	}
	s.next = never
	if s.left <= 0 {
		return
	}
	g := s.seen.segments
	for s.cursor < len(g)-1 && s.x >= g[s.cursor].end() {
		s.cursor++
	}
	if s.x >= g[s.cursor].end() {
		return // a rate of zero to the end
	}
	t := g[s.cursor].when(s.x)
	if t < float64(s.end) {
		s.next = int64(t)
	}
}
