package forecast

import (
	"cmp"
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
	chosen  []int     // models that the forecast is the weighted median of
	weights []float64 // of the chosen models
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

// The rule of choice: the models whose error is within band of the best one
// form the forecast, each with the weight (best / error)^sharpness. Sharper
// weights follow the luck of few backtests, flatter ones carry poor models.
const (
	band      = 1.5
	sharpness = 8
)

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
		if s <= band*best && !math.IsInf(s, 1) {
			e.chosen = append(e.chosen, i)
			weight := 1.0
			if s > 0 {
				weight = math.Pow(best/s, sharpness)
			}
			e.weights = append(e.weights, weight)
		}
	}
	paths := make([][]float64, len(e.chosen))
	for w := range e.windows {
		v := &e.windows[w]
		v.median = make([]float64, len(v.paths[0]))
		for j, i := range e.chosen {
			paths[j] = v.paths[i]
		}
		e.blend(paths, v.median)
	}
}

// combine writes the weighted median over the chosen models into out.
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
	e.blend(e.scratch[:len(e.chosen)], out)
}

// blend writes the weighted median of the paths, one of each chosen model, into
// out: the value below and above which half of the weight lies.
func (e *engine) blend(paths [][]float64, out []float64) {
	half := 0.0
	for _, w := range e.weights {
		half += w / 2
	}
	votes := make([]vote, len(paths))
	for h := range out {
		for j, p := range paths {
			votes[j] = vote{p[h], e.weights[j]}
		}
		slices.SortFunc(votes, func(a, b vote) int { return cmp.Compare(a.value, b.value) })
		out[h] = math.NaN()
		below := 0.0
		for j, v := range votes {
			below += v.weight
			if below >= half {
				out[h] = v.value
				if below == half && j+1 < len(votes) {
					out[h] = (v.value + votes[j+1].value) / 2
				}
				break
			}
		}
	}
}

// A vote is what one model says of one step, and the weight of its word.
type vote struct{ value, weight float64 }

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
