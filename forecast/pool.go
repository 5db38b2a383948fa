package forecast

import (
	"math"
	"slices"
)

// A scale is the transformation under which a model is linear.
type scale struct {
	log   bool
	shift float64 // added before the logarithm
}

func (s scale) forward(y []float64) []float64 {
	if !s.log {
		return y
	}
	out := make([]float64, len(y))
	for i, v := range y {
		out[i] = math.Log(v + s.shift)
	}
	return out
}

func (s scale) inverse(x []float64) {
	if !s.log {
		return
	}
	for i, v := range x {
		x[i] = math.Exp(v) - s.shift
	}
}

// A model of the pool forecasts from any origin with what it learnt from the
// prefix cuts[cut] of the history, so that one fit serves many origins.
type model interface {
	name() string
	// path writes the forecasts of y[origin], y[origin+1], ... into out.
	path(cut, origin int, out []float64)
}

// baseline is a history in one scale, less its seasonal profile. The profile
// follows s[t] = s[t-period] + rate*(x[t]-s[t-period]), the difference cut off
// at clip mean distances (Huber's rule: what is further off moves the profile no
// further; for normal errors the mean distance is 0.8 standard deviations): rate 1 is the seasonal difference, a small rate a slowly
// moving seasonal mean, period 0 none at all.
type baseline struct {
	scale  scale
	x, s   []float64
	z      []float64 // x[t] - s[t-period]
	period int
	rate   float64
	clip   float64
	first  int // rows before it are not usable
	low    float64
	high   float64 // forecasts in x are kept inside
}

func newBaseline(sc scale, x []float64, period int, rate, clip float64) *baseline {
	b := &baseline{scale: sc, x: x, period: period, rate: rate, clip: clip, z: x}
	b.low, b.high = slices.Min(x), slices.Max(x)
	margin := max(b.high-b.low, 1e-9)
	if sc.log {
		margin = min(margin, math.Ln2)
	}
	b.low, b.high = b.low-margin, b.high+margin
	if period == 0 {
		return b
	}
	b.first = period
	b.s = make([]float64, len(x))
	copy(b.s, x[:period])
	b.z = make([]float64, len(x))
	usual := 0.0 // mean distance from the profile
	for t := period; t < len(x); t++ {
		b.z[t] = x[t] - b.s[t-period]
		step := b.z[t]
		switch {
		case rate == 1: // a difference, not a profile
		case t < 2*period:
			usual += math.Abs(step) / float64(period)
		default:
			step = min(max(step, -clip*usual), clip*usual)
			usual += (math.Abs(step) - usual) / float64(4*period)
		}
		// until 1/rate cycles are seen the profile is their plain mean
		b.s[t] = b.s[t-period] + max(rate, 1/float64(t/period+1))*step
	}
	return b
}

// regression is an autoregression on a baseline.
type regression struct {
	label   string
	base    *baseline
	gram    *gram
	columns []int
	fits    []*linear // one for each cut, made when first asked for
	buffer  []float64
}

func (r *regression) name() string { return r.label }

func (r *regression) path(cut, origin int, out []float64) {
	if r.fits[cut] == nil {
		f := r.gram.fit(cut, r.columns)
		r.fits[cut] = &f
	}
	f, b := r.fits[cut], r.base
	steps := len(out)
	if !f.ok {
		fillNaN(out)
		return
	}
	longest := 0
	if len(f.lags) > 0 {
		longest = f.lags[len(f.lags)-1]
	}
	need := longest + steps
	if cap(r.buffer) < need {
		r.buffer = make([]float64, need)
	}
	z := r.buffer[:need]
	copy(z, b.z[origin-longest:origin])
	if b.period == 0 {
		f.extend(z, longest, steps, b.low, b.high)
		copy(out, z[longest:])
		b.scale.inverse(out)
		return
	}
	span := b.high - b.low
	f.extend(z, longest, steps, -span, span)
	copy(out, z[longest:])
	b.restore(origin, out)
}

// restore turns forecasts of z into forecasts of y.
func (b *baseline) restore(origin int, out []float64) {
	season := make([]float64, len(out))
	for h := range out {
		var s float64
		if h < b.period {
			s = b.s[origin-b.period+h]
		} else {
			s = season[h-b.period]
		}
		x := min(max(s+out[h], b.low), b.high)
		season[h] = s + b.rate*(x-s)
		out[h] = x
	}
	b.scale.inverse(out)
}

// seasonal repeats the profile of a baseline: with rate 1 the seasonal naive
// forecast, with period 1 the last value.
type seasonal struct {
	label string
	base  *baseline
}

func (s *seasonal) name() string { return s.label }

func (s *seasonal) path(_, origin int, out []float64) {
	clear(out)
	s.base.restore(origin, out)
}

// smoothing is exponential smoothing of the level, with a damped trend where
// damping > 0, on the history less its seasonal profile. The weights are those
// of a small grid with the least squared one-step errors on the prefix.
type smoothing struct {
	label   string
	base    *baseline
	damping float64
	cuts    []int
	chosen  [][2]float64 // by cut: weights of level and trend; nil: not yet fitted
	levels  [][]float64  // by cut: the state after each step
	slopes  [][]float64
}

func (s *smoothing) name() string { return s.label }

var (
	levelWeights = []float64{0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 1}
	trendWeights = []float64{0.01, 0.05, 0.15, 0.3}
)

// squares writes the sums of squared one-step errors on the prefixes into out.
func (s *smoothing) squares(alpha, beta float64, out []float64) {
	z, start, sum := s.base.z, s.base.first, 0.0
	if start >= len(z) {
		return
	}
	l, b := z[start], 0.0
	for k, cut := range s.cuts {
		if cut > start {
			if s.damping == 0 {
				for _, v := range z[start:cut] {
					e := v - l
					sum += e * e
					l += alpha * e
				}
			} else {
				for _, v := range z[start:cut] {
					e := v - l - s.damping*b
					sum += e * e
					l += s.damping*b + alpha*e
					b = s.damping*b + alpha*beta*e
				}
			}
			start = cut
		}
		out[k] = sum
	}
}

// search chooses the weights for all prefixes.
func (s *smoothing) search() {
	s.chosen = make([][2]float64, len(s.cuts))
	best, sums := make([]float64, len(s.cuts)), make([]float64, len(s.cuts))
	for k := range best {
		best[k] = math.Inf(1)
	}
	betas := trendWeights
	if s.damping == 0 {
		betas = []float64{0}
	}
	for _, a := range levelWeights {
		for _, b := range betas {
			s.squares(a, b, sums)
			for k, e := range sums {
				if e < best[k] {
					best[k], s.chosen[k] = e, [2]float64{a, b}
				}
			}
		}
	}
}

// states runs the smoothing with the weights of one prefix up to the next cut,
// which no origin of the prefix lies behind.
func (s *smoothing) states(cut int) {
	z := s.base.z
	if cut+1 < len(s.cuts) {
		z = z[:s.cuts[cut+1]]
	}
	level, slope := make([]float64, len(z)), make([]float64, len(z))
	alpha, beta := s.chosen[cut][0], s.chosen[cut][1]
	l, b := z[s.base.first], 0.0
	for t := s.base.first; t < len(z); t++ {
		e := z[t] - l - s.damping*b
		l += s.damping*b + alpha*e
		b = s.damping*b + alpha*beta*e
		level[t], slope[t] = l, b
	}
	s.levels[cut], s.slopes[cut] = level, slope
}

func (s *smoothing) path(cut, origin int, out []float64) {
	if s.chosen == nil {
		s.search()
	}
	if s.levels[cut] == nil {
		s.states(cut)
	}
	l, b := s.levels[cut][origin-1], s.slopes[cut][origin-1]
	for h := range out {
		b *= s.damping
		l += b
		out[h] = l
	}
	s.base.restoreHeld(origin, out)
}

// restoreHeld adds the last profile, held as it is, to forecasts of z.
func (b *baseline) restoreHeld(origin int, out []float64) {
	for h := range out {
		x := out[h]
		if b.period > 0 {
			x += b.s[origin-b.period+h%b.period]
		}
		out[h] = min(max(x, b.low), b.high)
	}
	b.scale.inverse(out)
}

// held repeats the profile of a baseline, moved by the median gap of the last
// window of steps, which fades by the factor fade each step.
type held struct {
	label  string
	base   *baseline
	window int
	fade   float64
}

func (m *held) name() string { return m.label }

func (m *held) path(_, origin int, out []float64) {
	gap := median(m.base.z[origin-m.window : origin])
	for h := range out {
		gap *= m.fade
		out[h] = gap
	}
	m.base.restoreHeld(origin, out)
}
