package forecast

import (
	"math"
	"slices"
)

// Errors of the backtests tell how wide a forecast is (conformal prediction):
// an error is put on the scale of its horizon and its forecast, all errors so
// scaled are pooled, and their quantiles are scaled back.
//
// Quantiles are widened because the models were chosen on some of the windows that
// the errors come from, and windows overlap: by a share of 1/fits, for the fewer
// fits there are the more say each had in the choice. Steps of a window that
// share a day or a week have errors that go together.
const (
	widenSeason = 1.5
	widenPlain  = 0.5 // without a season
	widenPeak   = 1.25
	// So much of a quantile is that of normal errors of the same mean size: the
	// outermost of few errors say little about the tail.
	normal = 0.6
	// So much of a day's peak is what the whole history says of the peaks of days.
	everPeak = 0.5
)

// spreadModel turns a forecast into quantiles.
type spreadModel struct {
	widen  float64
	power  float64   // errors grow with forecast^power
	floor  float64   // least forecast for that purpose
	growth []float64 // mean scaled error by horizon
	sorted []float64 // errors on that scale, ascending
}

// errorsOf fits a spreadModel to the windows of a chosen pool.
func (e *engine) errorsOf() spreadModel {
	m := spreadModel{floor: 1e-12}
	fits := float64(max(len(e.cuts)-1, 1))
	if e.short > 1 {
		m.widen = 1 + widenSeason/fits
	} else {
		m.widen = 1 + widenPlain/fits
	}
	if len(e.y) > 0 {
		m.floor = max(0.05*meanAbs(e.y), 1e-12)
	}
	m.power = e.errorPower(m.floor)
	steps := e.test
	sum, count := make([]float64, steps), make([]float64, steps)
	for _, w := range e.windows {
		for h, f := range w.median {
			sum[h] += math.Abs(e.y[w.origin+h]-f) / m.size(f)
			count[h]++
		}
	}
	// Neighbouring horizons share their errors, over up to a season each way.
	reach := max(e.short, 1)
	cs, cn := cumulate(sum), cumulate(count)
	m.growth = make([]float64, e.horizon)
	for h := range m.growth {
		if h < steps {
			r := min(reach, h/2+1)
			lo, hi := max(0, h-r), min(steps, h+r+1)
			m.growth[h] = (cs[hi] - cs[lo]) / max(cn[hi]-cn[lo], 1)
		} else { // beyond what was tested, errors grow as those of a random walk do
			m.growth[h] = m.growth[steps-1] * math.Sqrt(float64(h+1)/float64(steps))
		}
		if h > 0 {
			m.growth[h] = max(m.growth[h], m.growth[h-1]) // later is not surer
		}
		m.growth[h] = max(m.growth[h], 1e-12)
	}
	for _, w := range e.windows {
		for h, f := range w.median {
			m.sorted = append(m.sorted, (e.y[w.origin+h]-f)/(m.size(f)*m.growth[h]))
		}
	}
	slices.Sort(m.sorted)
	return m
}

func (m spreadModel) size(forecast float64) float64 {
	return math.Pow(max(math.Abs(forecast), m.floor), m.power)
}

// errorPower chooses how errors scale with the forecast, by the likelihood of
// Laplace errors: from not at all in quarters of its power to in proportion.
func (e *engine) errorPower(floor float64) float64 {
	const quarters = 4
	var sums [quarters + 1]float64 // of the errors over each power
	logs, n := 0.0, 0.0
	for _, w := range e.windows {
		for h, f := range w.median {
			missed, size := math.Abs(e.y[w.origin+h]-f), max(math.Abs(f), floor)
			root := math.Sqrt(math.Sqrt(size))
			for k := range sums {
				sums[k] += missed
				missed /= root
			}
			logs += math.Log(size)
			n++
		}
	}
	best, power := math.Inf(1), 0.0
	for k, sum := range sums {
		p := float64(k) / quarters
		if l := n*math.Log(sum/n+1e-300) + p*logs; l < best {
			best, power = l, p
		}
	}
	return power
}

// bounds returns the function that gives, from a forecast and its step h, the
// central interval of level (0..1).
func (m spreadModel) bounds(level float64) func(h int, forecast float64) (lo, hi float64) {
	tail := (1 - level) / 2
	l, u := quantile(m.sorted, tail), quantile(m.sorted, 1-tail)
	likely := math.Erfinv(level) * math.Sqrt(math.Pi) // in mean sizes
	l, u = (1-normal)*l-normal*likely, (1-normal)*u+normal*likely
	// A side seen too rarely borrows from the other one.
	both := (math.Abs(l) + math.Abs(u)) / 2
	l, u = min(0, (l-both)/2), max(0, (u+both)/2)
	return func(h int, forecast float64) (lo, hi float64) {
		s := m.size(forecast) * m.growth[h] * m.widen
		return forecast + l*s, forecast + u*s
	}
}

// peakQuantile returns a function that gives, from the path of day d (0 is the
// first), the quantile q of that day's highest value. Days are cut from the
// origin on, each e.short steps.
func (e *engine) peakQuantile(m spreadModel, q float64) func(day int, path []float64) float64 {
	steps := e.short
	days := (e.horizon + steps - 1) / steps
	type miss struct {
		day int
		gap float64
	}
	var misses []miss
	sum, count := make([]float64, days), make([]float64, days)
	for _, w := range e.windows {
		for d := 0; (d+1)*steps <= len(w.median); d++ {
			path := slices.Max(w.median[d*steps : (d+1)*steps])
			peak := slices.Max(e.y[w.origin+d*steps : w.origin+(d+1)*steps])
			g := (peak - path) / m.size(path)
			misses = append(misses, miss{d, g})
			sum[d] += math.Abs(g)
			count[d]++
		}
	}
	if len(misses) < 4 {
		bounds := m.bounds(2*q - 1)
		return func(day int, path []float64) float64 {
			best := math.Inf(-1)
			for i, f := range path {
				_, hi := bounds(day*steps+i, f)
				best = max(best, hi)
			}
			return best
		}
	}
	growth := make([]float64, days)
	total, n := 0.0, 0.0
	for d := range days {
		total += sum[d]
		n += count[d]
	}
	mean := total / n
	for d := range growth {
		if count[d] > 0 { // two windows' worth of the overall mean steadies a day
			growth[d] = (sum[d] + 4*mean) / (count[d] + 4)
		} else {
			growth[d] = growth[max(d-1, 0)]
			if d > 0 { // beyond what was tested, as those of a random walk
				growth[d] *= math.Sqrt(float64(d+1) / float64(d))
			}
		}
		growth[d] = max(growth[d], 1e-12)
	}
	gaps := make([]float64, len(misses))
	for i, v := range misses {
		gaps[i] = v.gap / growth[v.day]
	}
	slices.Sort(gaps)
	gap := quantile(gaps, q)
	gap = max(gap, gap*widenPeak) // below 0 is no risk
	ever, ok := e.dayPeak(q)
	return func(day int, path []float64) float64 {
		top := slices.Max(path)
		near := top + gap*growth[min(day, days-1)]*m.size(top)
		if !ok {
			return near
		}
		return (1-everPeak)*near + everPeak*max(top, ever)
	}
}

// dayPeak returns the quantile q of the highest values of the days of the
// history, whatever their weekday: peaks that are rare are seldom in a backtest.
// It is false for less than two weeks.
func (e *engine) dayPeak(q float64) (float64, bool) {
	days := len(e.y) / e.short
	if days < 14 {
		return 0, false
	}
	peaks := make([]float64, days)
	for d := range peaks {
		at := len(e.y) - (days-d)*e.short
		peaks[d] = slices.Max(e.y[at : at+e.short])
	}
	slices.Sort(peaks)
	return quantile(peaks, q), true
}

// quantile of ascending values by linear interpolation at q*(n+1), which errs to
// the wide side for few values; 0 of none.
func quantile(sorted []float64, q float64) float64 {
	n := len(sorted)
	if n == 0 {
		return 0
	}
	at := q*float64(n+1) - 1
	switch {
	case at <= 0:
		return sorted[0]
	case at >= float64(n-1):
		return sorted[n-1]
	}
	i := int(at)
	w := at - float64(i)
	return sorted[i]*(1-w) + sorted[i+1]*w
}

func cumulate(v []float64) []float64 {
	out := make([]float64, len(v)+1)
	for i, x := range v {
		out[i+1] = out[i] + x
	}
	return out
}

func meanAbs(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += math.Abs(x)
	}
	return sum / float64(len(v))
}
