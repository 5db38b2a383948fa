package stress

import (
	"math"
	"time"

	"github.com/wxops/wxops/capacity"
)

// The laws that people use today, for comparison. Each reads the samples that
// the Controller gets and nothing else; none gives an interval. Their
// constants are the usual ones of each law.

// laws are the methods of `wxops stress simulate` in the order of its table.
var laws = []struct {
	name string
	make func(Config) method
}{
	{"wxops", func(c Config) method { return NewController(c) }},
	{"staircase", func(c Config) method { return &staircase{baseline: newBaseline(c)} }},
	{"bisect", func(c Config) method { return &bisect{baseline: newBaseline(c)} }},
	{"aimd", func(c Config) method { return &aimd{baseline: newBaseline(c)} }},
	{"gradient", func(c Config) method { return &gradient{baseline: newBaseline(c)} }},
	{"backlog-pi", func(c Config) method { return &backlogPI{baseline: newBaseline(c)} }},
}

// baseline is what these laws share: levels of load that are held for a while.
type baseline struct {
	cfg         Config
	bound, miss float64
	base, rate  float64
	began       time.Duration // of the level
	n, slow     float64       // requests of the level and of these the slow ones
	start       time.Duration
}

// settle is how much of a level is not counted.
const settle = 2 * time.Second

func newBaseline(c Config) baseline {
	b := baseline{cfg: c}
	b.bound, b.miss = c.bound()
	return b
}

// Watch does nothing: these laws look once per window.
func (b *baseline) Watch(Sample) (Decision, bool) { return Decision{}, false }

// measure adds a window to the level and returns the share of requests that
// missed the objective in the window.
func (b *baseline) measure(s Sample) float64 {
	if b.base == 0 {
		b.base, b.rate, b.start, b.began = s.Offered, s.Offered, s.End-s.Window, s.End-s.Window
	}
	bad := s.SlowRatio
	if math.IsNaN(bad) {
		// Without a histogram the tail of an exponential response time.
		bad = math.Exp(-b.bound / s.Mean)
	}
	bad = math.Min(1, bad+s.Rejects)
	if b.rate != b.base && s.End-b.began <= settle {
		return bad // what the level before left in the queue
	}
	n := s.Offered * s.Window.Seconds()
	b.n += n
	b.slow += bad * n
	return bad
}

// level begins a new level.
func (b *baseline) level(at time.Duration, rate float64) Decision {
	if b.cfg.MaxRate > 0 {
		rate = math.Min(rate, b.cfg.MaxRate)
	}
	b.began, b.n, b.slow, b.rate = at, 0, 0, rate
	return Decision{At: at, Phase: PhaseRamp, Target: rate}
}

func (b *baseline) keep(s Sample) Decision {
	return Decision{At: s.End, Phase: PhaseRamp, Target: b.rate}
}

func (b *baseline) done(s Sample, perSecond float64) Decision {
	nan := math.NaN()
	return Decision{
		At: s.End, Phase: PhaseDone, Target: b.base, Verdict: capacity.VerdictOK,
		Estimate: Estimate{PerSecond: perSecond, Low: nan, High: nan, LimitedBy: "unknown", CPUCeiling: nan},
	}
}

func (b *baseline) failed() bool { return b.slow > b.miss*b.n }

func (b *baseline) held(s Sample) bool { return s.End-b.began >= 10*time.Second }

// staircase raises the rate by 5 % every 10 s until a level misses the objective.
type staircase struct{ baseline }

func (b *staircase) Step(s Sample) Decision {
	b.measure(s)
	switch {
	case !b.held(s):
		return b.keep(s)
	case b.failed():
		return b.done(s, b.rate/math.Sqrt(1.05))
	case b.cfg.MaxRate > 0 && b.rate >= b.cfg.MaxRate:
		return b.done(s, b.rate)
	}
	return b.level(s.End, b.rate*1.05)
}

// bisect doubles the rate every 10 s until a level misses the objective and
// halves the interval that is left until it is 3 % wide.
type bisect struct {
	baseline
	good, bad float64
}

func (b *bisect) Step(s Sample) Decision {
	b.measure(s)
	lost := b.slow > 5*b.miss*b.n && s.End-b.began > settle // no need to hurt for longer
	if !b.held(s) && !lost {
		return b.keep(s)
	}
	if b.failed() {
		b.bad = b.rate
	} else {
		b.good = b.rate
	}
	switch {
	case b.bad == 0 && b.cfg.MaxRate > 0 && b.rate >= b.cfg.MaxRate, b.bad > 0 && b.good > 0 && b.bad < 1.03*b.good:
		return b.done(s, math.Max(b.good, math.Sqrt(b.good*b.bad)))
	case b.good == 0:
		return b.level(s.End, b.rate/2)
	case b.bad == 0:
		return b.level(s.End, 2*b.rate)
	}
	return b.level(s.End, (b.good+b.bad)/2)
}

// aimd adds a twentieth of the base rate per second and multiplies by 0.8 when
// a window misses the objective; the capacity is the mean of the rates at which
// it did, five times.
type aimd struct {
	baseline
	peaks, sum float64
}

func (b *aimd) Step(s Sample) Decision {
	bad := b.measure(s)
	if bad > b.miss && s.End-b.began > s.Window+b.cfg.Lag {
		b.peaks++
		b.sum += b.rate
		if b.peaks == 5 {
			return b.done(s, b.sum/b.peaks)
		}
		return b.level(s.End, 0.8*b.rate)
	}
	rate := b.rate + 0.05*b.base*s.Window.Seconds()
	if b.cfg.MaxRate > 0 && rate > b.cfg.MaxRate {
		return b.done(s, b.cfg.MaxRate)
	}
	b.rate = rate
	return b.keep(s)
}

// gradient is Gradient2 of Netflix's concurrency-limits: a limit of requests in
// flight that follows the ratio of the long-term to the present response time,
// with tolerance 1.5, smoothing 0.2 and a queue of the square root of the
// limit. The rate is the limit over the response time.
type gradient struct {
	baseline
	limit, long float64
	rates       []float64
}

func (b *gradient) Step(s Sample) Decision {
	b.measure(s)
	if !(s.Mean > 0) {
		return b.keep(s)
	}
	if b.long == 0 {
		b.long, b.limit = s.Mean, math.Max(1, s.Offered*s.Mean)
	}
	b.long += (s.Mean - b.long) * 2 / (600 + 1)
	if b.long > 2*s.Mean {
		b.long *= 0.95
	}
	g := math.Max(0.5, math.Min(1, 1.5*b.long/s.Mean))
	b.limit += 0.2 * (g*b.limit + math.Sqrt(b.limit) - b.limit)
	b.rates = append(b.rates, s.Throughput)
	if s.End-b.start >= 60*time.Second {
		return b.done(s, mean(b.rates[len(b.rates)*2/3:]))
	}
	b.rate = math.Min(b.limit/s.Mean, 10*b.base)
	if b.cfg.MaxRate > 0 {
		b.rate = math.Min(b.rate, b.cfg.MaxRate)
	}
	return b.keep(s)
}

// backlogPI keeps the mean wait in the backlog at a tenth of the objective by a
// proportional-integral law for 40 s; the capacity is the throughput of the
// last third.
type backlogPI struct {
	baseline
	sum   float64
	rates []float64
}

func (b *backlogPI) Step(s Sample) Decision {
	b.measure(s)
	e := math.Max(-1, math.Min(1, 1-s.Backlog/math.Max(1, s.Throughput)/(0.1*b.bound)))
	b.sum += e * s.Window.Seconds()
	b.rates = append(b.rates, s.Throughput)
	if s.End-b.start >= 40*time.Second {
		return b.done(s, mean(b.rates[len(b.rates)*2/3:]))
	}
	b.rate = b.base * math.Max(0.1, 1+0.1*e+0.15*b.sum)
	if b.cfg.MaxRate > 0 {
		b.rate = math.Min(b.rate, b.cfg.MaxRate)
	}
	return b.keep(s)
}
