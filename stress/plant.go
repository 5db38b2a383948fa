package stress

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/wxops/wxops/capacity"
)

// A Scenario is a simulated instance under its natural traffic: what a test is
// to find out, with the truth that the method under test does not get.
type Scenario struct {
	Name      string
	Text      string  // one line for people
	Truth     float64 // capacity, requests per second, by brute force
	Unstable  bool    // the instance is metastable
	objective string

	station  station
	arrivals arrivals

	window time.Duration // between samples; 0: 1 s
	lag    time.Duration // before a weight takes effect
	ceil   float64       // CPU utilization at saturation; 0: 1
	drift  float64       // relative change of natural traffic per second
	pause  float64       // all workers stop for so many seconds in mid-test
	reach  float64       // highest rate over the truth that can be reached; 0: no limit
	base   float64       // of the truth arrives before the test; 0: naturalShare
	poor   bool          // seen from outside: requests in flight, response times and CPU
}

const (
	guardPeriod  = 200 * time.Millisecond
	naturalShare = 0.3     // of the truth arrives before the test
	natural      = 1.0 / 4 // share of the service's traffic that the instance gets then
	queueLimit   = 2000    // requests that may wait, far beyond any objective here
	cpuCores     = 4.0     // limit of the simulated slice, unrelated to its workers
)

// A method is a law under test; a [Controller] is one.
type method interface {
	Step(Sample) Decision
	Watch(Sample) (Decision, bool)
}

// An outcome is what one simulated test gave.
type outcome struct {
	seconds    float64 // from the first sample to the verdict
	estimate   Estimate
	verdict    capacity.Verdict
	violations float64 // share of the requests of the test that missed the objective
	peak       float64 // highest rate of arrivals asked for and given, per second
}

// objectiveOf parses the objective of the scenario, which is a constant.
func (sc Scenario) objectiveOf() capacity.Objective {
	o, err := capacity.ParseObjective(sc.objective)
	if err != nil {
		panic(err)
	}
	return o
}

// config is what the method is told.
func (sc Scenario) config() Config {
	c := Config{Objective: sc.objectiveOf(), Window: sc.window, Lag: sc.lag, MaxDuration: 60 * time.Second}
	if sc.arrivals.robin {
		c.Balance = BalanceTurn
	}
	if sc.reach > 0 {
		c.MaxRate = sc.reach * sc.Truth
	}
	return c.withDefaults()
}

// simulate runs one test of the scenario with a law, in virtual time. limit is
// the longest test that is waited for.
func (sc Scenario) simulate(m method, seed uint64, limit time.Duration) outcome {
	cfg := sc.config()
	bound, _ := cfg.bound()
	rng := rand.New(rand.NewPCG(seed, 0x5eed))
	base := naturalShare * sc.Truth
	if sc.base > 0 {
		base = sc.base * sc.Truth
	}
	total := base / natural
	a := sc.arrivals
	if a.stream > 0 {
		total = a.stream
	} else if a.robin {
		a.stream = total
	}
	instance := sc.station
	instance.limit = queueLimit
	q := newQueue(instance, a, bound, rng)
	q.count.buckets = make([]float64, len(simBounds)+1)

	p := plant{Scenario: sc, q: q, rng: rng, total: total, share: base / total, target: base, lookGap: 0.020}
	p.setRate()
	// The instance has run for a while before the first window.
	q.run(5)
	q.take()
	q.take()
	begin := q.now
	var out outcome
	d := Decision{}
	next := cfg.Window
	for at := guardPeriod; ; at += guardPeriod {
		p.tick(begin, at)
		out.peak = math.Max(out.peak, p.q.rate)
		if w, act := m.Watch(p.reading(at)); act {
			d = w
			p.act(d, at)
		}
		if at >= next {
			next += cfg.Window
			d = m.Step(p.sample(at, cfg.Window))
			p.act(d, at)
		}
		if d.Done() || at >= limit {
			out.seconds = at.Seconds()
			break
		}
	}
	out.estimate, out.verdict = d.Estimate, d.Verdict
	// The weights are restored; what is still in the queue counts as well.
	p.done.add(p.q.take())
	arrived := p.done.arrived
	p.share, p.pending = base/total, nil
	p.setRate()
	p.q.run(p.q.now + 2)
	p.done.add(p.q.take())
	out.violations = (p.done.slow + p.done.refused) / arrived
	return out
}

func (t *tally) add(u tally) {
	t.arrived += u.arrived
	t.done += u.done
	t.slow += u.slow
	t.refused += u.refused
	t.response += u.response
	t.wait += u.wait
	t.busy += u.busy
	t.backlog += u.backlog
	t.stream += u.stream
	for i := range u.buckets {
		t.buckets[i] += u.buckets[i]
	}
}

type plannedShare struct {
	at    time.Duration
	share float64
}

// A plant is a running scenario.
type plant struct {
	Scenario
	q        *queue
	rng      *rand.Rand
	total    float64 // natural traffic of the service, per second
	level    float64 // its slow noise, relative
	measured traffic // total as measured
	share    float64 // of the service's traffic that comes to the instance
	target   float64
	pending  []plannedShare

	window, fast, done     tally   // since the last sample, since the last reading, since the start
	elsewhere              float64 // requests that other instances got since the last sample, mean
	meant                  float64 // requests for the instance by its weight since the last sample
	backlogs               float64
	readings               float64
	paused                 bool
	lookGap                float64  // seconds between two looks at the requests of a poor instance
	looks                  Looks    // since the last sample
	ordinary, ordinaryFast ordinary // of a poor instance, in windows and in guard readings
}

// ordinary is the lowest mean response time so far over at least 200 requests,
// which tells from outside how many requests in flight are too many.
type ordinary struct{ lowest, requests, inside float64 }

// excess returns the requests in flight beyond those that the rate explains,
// as stress/signal infers them.
func (u *ordinary) excess(inFlight, arrived, mean, seconds float64) float64 {
	u.requests += arrived
	u.inside += arrived * mean
	if u.requests >= 200 {
		if m := u.inside / u.requests; u.lowest == 0 || m < u.lowest {
			u.lowest = m
		}
		u.requests, u.inside = 0, 0
	}
	if u.lowest == 0 {
		return math.NaN()
	}
	return math.Max(0, inFlight-arrived/seconds*u.lowest)
}

// tick advances to the given time of the test.
func (p *plant) tick(begin float64, at time.Duration) {
	for len(p.pending) > 0 && p.pending[0].at < at {
		p.share, p.pending = p.pending[0].share, p.pending[1:]
	}
	// Natural traffic: a slow first-order noise of 2 % with a time constant of
	// 10 s, and drift.
	dt := guardPeriod.Seconds()
	k := math.Exp(-dt / 10)
	p.level = k*p.level + 0.02*math.Sqrt(1-k*k)*p.rng.NormFloat64()
	p.setRate()
	if p.pause > 0 && !p.paused && at >= 9*time.Second {
		p.paused = true
		p.q.freeze(p.pause)
	}
	p.total *= 1 + p.drift*dt
	p.run(begin + at.Seconds())
	t := p.q.take()
	p.elsewhere += dt * (p.total*(1+p.level) - p.q.rate)
	p.meant += dt * p.q.rate
	p.fast = t
	if p.window.buckets == nil {
		p.window.buckets = make([]float64, len(t.buckets))
		p.done.buckets = make([]float64, len(t.buckets))
	}
	p.window.add(t)
	p.done.add(t)
	p.backlogs += float64(p.q.queued())
	p.readings++
}

// run simulates until the given time. Whoever sees the instance from outside
// looks at the requests under way meanwhile.
func (p *plant) run(until float64) {
	for p.poor && p.q.now < until-1e-9 {
		under, from := float64(len(p.q.busy)+p.q.queued()), p.q.now
		p.q.look()
		p.q.run(math.Min(until, from+p.lookGap))
		if under > 0 {
			p.looks.Add(Look{InFlight: under, Count: 1, Seconds: p.q.now - from, Answered: p.q.look()})
		}
	}
	p.q.run(until)
}

func (p *plant) setRate() {
	rate := p.share * p.total * (1 + p.level)
	if p.reach > 0 {
		rate = math.Min(rate, p.reach*p.Truth)
	}
	if p.arrivals.robin {
		p.q.stream = p.total * (1 + p.level)
		rate = math.Min(rate, p.q.stream)
	}
	p.q.setRate(rate)
}

// act turns a target rate into a share of the traffic that was last measured.
func (p *plant) act(d Decision, at time.Duration) {
	p.target = d.Target
	share := math.Min(1e6, d.Target/p.measured.rate)
	p.pending = append(p.pending, plannedShare{at + p.lag, share})
	if p.lag == 0 {
		p.share, p.pending = share, nil
	}
}

// reading is a guard reading: what sockets and counters say at once.
func (p *plant) reading(at time.Duration) Sample {
	s := Unmeasured()
	s.End, s.Window = at, guardPeriod
	dt := guardPeriod.Seconds()
	s.Backlog = float64(p.q.queued())
	s.Offered, s.Throughput = p.fast.arrived/dt, p.fast.done/dt
	s.Rejects = p.fast.refused / math.Max(1, p.fast.arrived)
	s.ErrorRatio = s.Rejects
	switch {
	case p.poor && p.fast.arrived > 0:
		s.Inferred, s.InFlight = true, (p.fast.busy+p.fast.backlog)/dt
		s.Mean = p.fast.response / math.Max(1, p.fast.done)
		s.Backlog = p.ordinaryFast.excess(s.InFlight, p.fast.arrived, s.Mean, dt)
	case p.fast.done > 0:
		s.Mean, s.QueueWait = p.fast.response/p.fast.done, p.fast.wait/p.fast.done
	}
	return s
}

// sample closes the window.
func (p *plant) sample(end, window time.Duration) Sample {
	s := Unmeasured()
	s.End, s.Window = end, window
	t := p.window
	dt := window.Seconds()
	s.Offered, s.Throughput = t.arrived/dt, t.done/dt
	s.Rejects = t.refused / math.Max(1, t.arrived)
	s.ErrorRatio = s.Rejects
	s.Backlog = p.backlogs / p.readings
	ceil := p.ceil
	if ceil == 0 {
		ceil = 1
	}
	share := 0.03 + ceil*t.busy/dt/float64(p.station.workers) + 0.01*p.rng.NormFloat64()
	s.CPU, s.CPULimit = cpuCores*math.Max(0, share), cpuCores
	if t.done > 0 {
		s.Mean, s.QueueWait, s.SlowRatio = t.response/t.done, t.wait/t.done, t.slow/t.done
		s.Buckets = bucketsOf(t.buckets)
		s.P50, s.P99 = bucketQuantile(s.Buckets, 0.5), bucketQuantile(s.Buckets, 0.99)
	}
	if p.poor && t.arrived > 0 {
		// Response times are read off the sockets answer by answer.
		s.QueueWait, s.Inferred = math.NaN(), true
		s.Looks, p.looks = p.looks, nil
		p.lookGap = math.Max(0.005, math.Min(0.020, s.Mean/2))
		s.InFlight = (t.busy + t.backlog) / dt
		s.Mean += 0.0003 * p.rng.NormFloat64()
		s.Backlog = p.ordinary.excess(s.InFlight, t.arrived, s.Mean, dt)
	}
	s.Total = p.counted(t) / dt
	p.measured.add(s.Total, dt)
	s.Share = s.Offered / s.Total
	s.Slots, s.Meant, p.meant = float64(p.station.slots), p.meant/dt, 0
	p.window = tally{buckets: make([]float64, len(t.buckets))}
	p.backlogs, p.readings = 0, 0
	return s
}

// counted is how many requests the whole service got in a window of which t is
// the instance's part.
func (p *plant) counted(t tally) float64 {
	if p.arrivals.robin {
		return t.stream
	}
	rest := math.Max(0, p.elsewhere)
	p.elsewhere = 0
	return t.arrived + math.Max(0, rest+math.Sqrt(rest)*p.rng.NormFloat64())
}

// bucketsOf returns a simulated histogram as a sample has it.
func bucketsOf(counts []float64) []Bucket {
	var out []Bucket
	for i, n := range counts {
		if n > 0 {
			b := math.Inf(1)
			if i < len(simBounds) {
				b = simBounds[i]
			}
			out = append(out, Bucket{b, n})
		}
	}
	return out
}

// bucketQuantile is the upper bound of the bucket that holds the quantile.
func bucketQuantile(b []Bucket, quantile float64) float64 {
	var all, below float64
	for _, x := range b {
		all += x.Count
	}
	for _, x := range b {
		if below += x.Count; below >= quantile*all {
			return x.Bound
		}
	}
	return math.NaN()
}
