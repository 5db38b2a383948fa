package stress

import (
	"math"
	"math/rand/v2"
)

// A station is a simulated instance: workers that serve one bounded queue in
// order of arrival.
type station struct {
	workers int
	mean    float64 // service time of a request alone on the instance, seconds
	cv      float64 // coefficient of variation of the service time

	// contention lengthens a service by this share per other busy worker,
	// degradation by this share per request waiting when it starts.
	contention, degradation float64

	limit int // requests that may wait; one more is refused at once
	slots int // requests that it may have at once, one more goes elsewhere; 0: no limit
}

// arrivals is the process of arrivals at a simulated instance.
type arrivals struct {
	cv     float64 // of the times between arrivals: 1 Poisson, above it two-phase hyperexponential
	robin  bool    // a balancer deals a Poisson stream out in turn
	stream float64 // requests per second of that stream
}

type job struct{ finish, arrival, wait float64 }

// A queue is a discrete-event simulation of a station in virtual time. Its
// zero time is 0. It is as fast as the heap of busy workers: some ten million
// events per second for a few workers.
type queue struct {
	station
	arrivals
	rng     *rand.Rand
	now     float64
	rate    float64 // of arrivals, per second
	next    float64 // time of the next arrival
	credit  float64 // of the round robin
	frozen  float64 // no service starts before
	busy    []job   // heap by finish
	waiting []float64
	head    int // first of waiting

	gamma            gammaSampler
	sigma            float64 // of the log of a lognormal service time
	bound            float64 // of the objective, seconds
	looked, answered float64 // instant of the latest look; of the requests under way then, those that were answered since
	count            tally
}

// A tally is what happened in a span of simulated time.
type tally struct {
	arrived, done, slow, refused float64
	response, wait               float64 // sums over done, seconds
	busy, backlog                float64 // integrals over time
	stream                       float64 // requests of the stream behind a round robin
	buckets                      []float64
}

// newQueue returns an empty simulation in which nothing arrives until setRate.
func newQueue(s station, a arrivals, bound float64, rng *rand.Rand) *queue {
	q := &queue{station: s, arrivals: a, rng: rng, next: math.Inf(1), bound: bound}
	if s.limit == 0 {
		q.limit = math.MaxInt
	}
	if s.cv > 1 {
		q.sigma = math.Sqrt(math.Log(1 + s.cv*s.cv))
	}
	if s.cv > 0 && s.cv < 1 {
		q.gamma = newGamma(1 / (s.cv * s.cv))
	}
	return q
}

// setRate changes the rate of arrivals. Of the time until the next arrival the
// part that is left is scaled, so that no change is lost or delayed.
func (q *queue) setRate(rate float64) {
	switch {
	case rate <= 0:
		q.next = math.Inf(1)
	case q.rate <= 0:
		q.rate = rate
		q.next = q.now + q.gap()
	default:
		q.next = q.now + (q.next-q.now)*q.rate/rate
	}
	q.rate = rate
}

// gap draws the time between two arrivals.
func (q *queue) gap() float64 {
	switch {
	case q.robin:
		// Every request of the stream earns the share of the instance; a
		// whole credit is a request.
		share := math.Min(1, q.rate/q.stream)
		t := 0.0
		for q.credit < 1 {
			q.credit += share
			q.count.stream++
			t += q.rng.ExpFloat64()
		}
		q.credit--
		return t / q.stream
	case q.arrivals.cv > 1:
		// Two phases with balanced means: Tijms, A First Course in Stochastic
		// Models, 2003, appendix B.
		c2 := q.arrivals.cv * q.arrivals.cv
		p := (1 + math.Sqrt((c2-1)/(c2+1))) / 2
		if q.rng.Float64() >= p {
			p = 1 - p
		}
		return q.rng.ExpFloat64() / (2 * p * q.rate)
	default:
		return q.rng.ExpFloat64() / q.rate
	}
}

// work draws a service time of mean 1.
func (q *queue) work() float64 {
	switch cv := q.station.cv; {
	case cv == 0:
		return 1
	case cv == 1:
		return q.rng.ExpFloat64()
	case cv > 1:
		return math.Exp(q.sigma*q.rng.NormFloat64() - q.sigma*q.sigma/2)
	default:
		return q.gamma.draw(q.rng)
	}
}

// freeze stops all workers for d seconds from now.
func (q *queue) freeze(d float64) {
	q.frozen = q.now + d
	for i := range q.busy {
		q.busy[i].finish += d
	}
}

// queued returns how many requests wait.
func (q *queue) queued() int { return len(q.waiting) - q.head }

// run simulates until the given time.
func (q *queue) run(until float64) {
	for {
		t, arrival := q.next, true
		if len(q.busy) > 0 && q.busy[0].finish <= t {
			t, arrival = q.busy[0].finish, false
		}
		if t > until {
			q.pass(until)
			return
		}
		q.pass(t)
		if arrival {
			q.arrive()
		} else {
			q.depart()
		}
	}
}

// pass moves the clock and the integrals over time.
func (q *queue) pass(t float64) {
	dt := t - q.now
	q.count.busy += dt * float64(len(q.busy))
	q.count.backlog += dt * float64(q.queued())
	q.now = t
}

func (q *queue) arrive() {
	q.next = q.now + q.gap()
	if q.slots > 0 && len(q.busy)+q.queued() >= q.slots {
		return
	}
	q.count.arrived++
	switch {
	case len(q.busy) < q.workers:
		q.serve(q.now)
	case q.queued() < q.limit:
		q.waiting = append(q.waiting, q.now)
	default:
		q.count.refused++
	}
}

func (q *queue) depart() {
	j := q.busy[0]
	last := len(q.busy) - 1
	q.busy[0] = q.busy[last]
	q.busy = q.busy[:last]
	q.down(0)
	r := j.finish - j.arrival
	if j.arrival <= q.looked {
		q.answered++
	}
	q.count.done++
	q.count.response += r
	q.count.wait += j.wait
	if r > q.bound {
		q.count.slow++
	}
	if q.count.buckets != nil {
		q.count.buckets[bucketOf(r)]++
	}
	if q.queued() > 0 {
		arrival := q.waiting[q.head]
		if q.head++; q.head > 1024 && q.head*2 > len(q.waiting) {
			q.waiting = q.waiting[:copy(q.waiting, q.waiting[q.head:])]
			q.head = 0
		}
		q.serve(arrival)
	}
}

// serve starts the service of a request that arrived at the given time.
func (q *queue) serve(arrival float64) {
	s := q.work() * q.station.mean * (1 + q.contention*float64(len(q.busy))) * (1 + q.degradation*float64(q.queued()))
	begin := math.Max(q.now, q.frozen)
	q.busy = append(q.busy, job{begin + s, arrival, begin - arrival})
	for i := len(q.busy) - 1; i > 0; {
		up := (i - 1) / 2
		if q.busy[up].finish <= q.busy[i].finish {
			break
		}
		q.busy[up], q.busy[i] = q.busy[i], q.busy[up]
		i = up
	}
}

func (q *queue) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(q.busy) {
			return
		}
		if c+1 < len(q.busy) && q.busy[c+1].finish < q.busy[c].finish {
			c++
		}
		if q.busy[i].finish <= q.busy[c].finish {
			return
		}
		q.busy[i], q.busy[c] = q.busy[c], q.busy[i]
		i = c
	}
}

// look returns how many of the requests under way at the look before were
// answered since.
func (q *queue) look() (answered float64) {
	answered, q.answered, q.looked = q.answered, 0, q.now
	return answered
}

// take returns the tally since the last take and begins a new one.
func (q *queue) take() tally {
	t := q.count
	q.count = tally{}
	if t.buckets != nil {
		q.count.buckets = make([]float64, len(t.buckets))
	}
	return t
}

// simBounds are the bounds of the simulated response-time histogram: five to a
// doubling from 0.5 ms to 8 s, in seconds.
var simBounds = func() []float64 {
	var b []float64
	for i := range 71 {
		b = append(b, 0.0005*math.Pow(2, float64(i)/5))
	}
	return b
}()

func bucketOf(r float64) int {
	if r <= simBounds[0] {
		return 0
	}
	return min(len(simBounds), int(math.Ceil(5*math.Log2(r/0.0005)-1e-9)))
}

// A gammaSampler draws gamma variates of mean 1 and shape >= 1 by the method
// of Marsaglia and Tsang, ACM TOMS 26(3), 2000.
type gammaSampler struct{ shape, d, c float64 }

func newGamma(shape float64) gammaSampler {
	d := shape - 1.0/3
	return gammaSampler{shape, d, 1 / math.Sqrt(9*d)}
}

func (g gammaSampler) draw(rng *rand.Rand) float64 {
	for {
		x := rng.NormFloat64()
		v := 1 + g.c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(1-rng.Float64()) < x*x/2+g.d-g.d*v+g.d*math.Log(v) {
			return g.d * v / g.shape
		}
	}
}
