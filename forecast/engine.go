package forecast

import (
	"math"
	"slices"
)

// engine is the work on one clean history: the pool of models, their backtests
// and the choice among them.
type engine struct {
	y       []float64 // no gaps
	short   int       // the shorter seasonal period in steps, 1 if there is none
	long    int       // the longer one, 0 if there is none
	horizon int       // steps to forecast
	test    int       // steps of one backtest, at most horizon
	cuts    []int     // prefix lengths that models are fitted on: three backtests, then the whole history
	models  []model
	windows []window
	scores  []float64 // mean error of each model over the windows; +Inf where it has no forecast
	chosen  []int     // models that the forecast is the median of
	scratch [][]float64
}

// A window is one backtest: what every model said at origin, fitted on the
// prefix cuts[cut] <= origin.
type window struct {
	cut, origin int
	paths       [][]float64 // by model
	median      []float64   // of the chosen models
}

const (
	backtests = 3
	// Each fit is tested from so many origins; more cost time and, being
	// closer to each other, say little new (measured with 1, 3 and 6).
	originsPerFit = 3
)

// band is the rule of choice: a model is chosen when its error is within this
// factor of the best one. Where a day has several steps the backtests hold many
// independent steps and tell models apart; daily and weekly histories do not.
func (e *engine) band() float64 {
	if e.short > 7 {
		return 1.25
	}
	return 1.5
}

func newEngine(y []float64, short, long, horizon int) *engine {
	e := &engine{y: y, short: short, long: long, horizon: horizon, test: horizon}
	n := len(y)
	if backtests*e.test > n/2 { // backtests may take at most half of the history
		e.test = max(1, n/(2*backtests))
	}
	for k := backtests; k >= 1; k-- {
		e.cuts = append(e.cuts, n-k*e.test)
	}
	e.cuts = append(e.cuts, n)
	return e
}

// run builds the pool, tests it and chooses.
func (e *engine) run() {
	e.build()
	e.backtest()
	e.choose()
}

// backtest lets every model forecast from the origins after each fit.
func (e *engine) backtest() {
	n := len(e.y)
	seen := -1
	for k := range backtests {
		for j := range originsPerFit {
			origin := e.cuts[k] + j*e.test/originsPerFit
			if origin == seen {
				continue
			}
			seen = origin
			w := window{cut: k, origin: origin}
			steps := min(e.test, n-origin)
			all := make([]float64, steps*len(e.models))
			for i, m := range e.models {
				p := all[i*steps : (i+1)*steps]
				m.path(k, origin, p)
				w.paths = append(w.paths, p)
			}
			e.windows = append(e.windows, w)
		}
	}
}

// choose scores the models and keeps those within the band of the best. Each
// window counts by the root of its median error: a bad week counts more than a
// calm one, and does not decide alone.
func (e *engine) choose() {
	e.scores = make([]float64, len(e.models))
	sums := make([]float64, len(e.models))
	for _, w := range e.windows {
		for i, p := range w.paths {
			sums[i] = 0
			for h, f := range p {
				sums[i] += math.Abs(e.y[w.origin+h] - f)
			}
			if math.IsNaN(sums[i]) {
				sums[i] = math.Inf(1)
			}
		}
		weight := 1 / math.Sqrt(median(sums)+1e-12)
		for i := range sums {
			e.scores[i] += sums[i] * weight
		}
	}
	best := slices.Min(e.scores)
	for i, s := range e.scores {
		if s <= e.band()*best && !math.IsInf(s, 1) {
			e.chosen = append(e.chosen, i)
		}
	}
	column := make([]float64, len(e.chosen))
	for w := range e.windows {
		v := &e.windows[w]
		v.median = make([]float64, len(v.paths[0]))
		for h := range v.median {
			for j, i := range e.chosen {
				column[j] = v.paths[i][h]
			}
			v.median[h] = medianInPlace(column)
		}
	}
}

// combine writes the median over the chosen models into out.
func (e *engine) combine(cut, origin int, out []float64) {
	for len(e.scratch) < len(e.chosen) {
		e.scratch = append(e.scratch, nil)
	}
	for j, i := range e.chosen {
		if len(e.scratch[j]) < len(out) {
			e.scratch[j] = make([]float64, len(out))
		}
		e.models[i].path(cut, origin, e.scratch[j][:len(out)])
	}
	column := make([]float64, len(e.chosen))
	for h := range out {
		for j := range e.chosen {
			column[j] = e.scratch[j][h]
		}
		out[h] = medianInPlace(column)
	}
}

func median(v []float64) float64 { return medianInPlace(slices.Clone(v)) }

// medianInPlace sorts v; the median of nothing is NaN.
func medianInPlace(v []float64) float64 {
	slices.Sort(v)
	n := len(v)
	switch {
	case n == 0:
		return math.NaN()
	case n%2 == 1:
		return v[n/2]
	}
	return (v[n/2-1] + v[n/2]) / 2
}
