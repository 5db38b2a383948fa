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
	// cuts are the prefix lengths that models are fitted on, ascending: older
	// ones that only calibrate, those that models are chosen on, the whole history.
	cuts    []int
	older   int // how many only calibrate
	tests   int // how many models are chosen on
	models  []model
	needs   []int // shortest prefix each model can be fitted on
	windows []window
	scores  []float64 // mean error of each model over the windows; +Inf where it has no forecast
	chosen  []int     // models that the forecast is the weighted middle of
	weights []float64 // of the chosen models
	// amplitude is the factor on the distance of a path from the middle of its
	// season: 1 leaves it as the models say.
	amplitude float64
	scratch   [][]float64
}

// A window is one backtest: what every model said at origin, fitted on the
// prefix cuts[cut] <= origin.
type window struct {
	cut, origin int
	paths       [][]float64 // by model; nil where the window only calibrates
	median      []float64   // of the chosen models
}

const (
	// fits is how many times models are fitted on less than the whole history, as
	// far as half of it has room for the windows that follow the fits.
	fits = 7
	// Models are chosen on the last fits: few, for what was right lately counts.
	// Where a day has steps the windows see a week at least, for days of the week
	// differ. A fit on days of a week is tested on few values and chance decides
	// more: 6 instead of 3 narrow the score of the intervals by 3 %.
	backtests     = 3
	backtestsDays = 6
	// Each fit is tested from so many origins; more cost time and, being
	// closer to each other, say little new (measured with 1, 3 and 6).
	originsPerFit = 3
	// Older fits have no say in the choice: their errors are those of models chosen
	// elsewhere, and without them intervals lose 4 to 9 % of their score. Only what
	// was chosen is fitted there, so they are cheap.
	originsPerCalibr = 2
)

// The rule of choice: the models whose error is within band of the best one
// form the forecast, each with the weight (best / error)^sharpness. Sharper
// weights follow the luck of few backtests, flatter ones carry poor models.
const (
	band      = 2
	sharpness = 4
	// The forecast is the mean of the votes left when this share of the weight is
	// taken off at each end: smoother than the median, and as deaf to outliers.
	trim = 0.25
)

func newEngine(y []float64, short, long, horizon int) *engine {
	e := &engine{y: y, short: short, long: long, horizon: horizon, test: horizon, tests: backtests}
	switch {
	case short == 7:
		e.tests = backtestsDays
	case short > 7:
		e.tests = min(max(backtests, (7*short+horizon-1)/horizon), fits)
	}
	n := len(y)
	room := n / 2 / e.test // windows that half of the history has room for
	e.tests = max(backtests, min(e.tests, room))
	e.older = max(0, min(fits, room)-e.tests)
	if e.tests*e.test > n/2 {
		e.test = max(1, n/(2*e.tests))
	}
	for k := e.tests + e.older; k >= 0; k-- {
		e.cuts = append(e.cuts, n-k*e.test)
	}
	return e
}

// run builds the pool, tests it, chooses, and corrects what was chosen.
func (e *engine) run() {
	e.build()
	e.backtest()
	e.choose()
	e.fitAmplitude()
}

// backtest lets every model forecast from the origins after each fit.
func (e *engine) backtest() {
	for k := e.older; k < e.older+e.tests; k++ {
		for _, origin := range e.origins(k, originsPerFit) {
			w := window{cut: k, origin: origin}
			steps := min(e.test, len(e.y)-origin)
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

// calibrate adds windows of what was chosen, on the older fits.
func (e *engine) calibrate() {
	for k := range e.older {
		for _, origin := range e.origins(k, originsPerCalibr) {
			w := window{cut: k, origin: origin, median: make([]float64, e.test)}
			e.combine(k, origin, w.median)
			if !slices.ContainsFunc(w.median, math.IsNaN) {
				e.windows = append(e.windows, w)
			}
		}
	}
}

// origins returns up to count origins between fit k and the next one.
func (e *engine) origins(k, count int) []int {
	var out []int
	for j := range count {
		out = append(out, e.cuts[k]+j*e.test/count)
	}
	return slices.Compact(out)
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

// combine writes the middle of the chosen models with the amplitude found into
// out: NaN where half of their weight cannot be fitted on the prefix.
func (e *engine) combine(cut, origin int, out []float64) {
	for len(e.scratch) < len(e.chosen) {
		e.scratch = append(e.scratch, nil)
	}
	paths := make([][]float64, len(e.chosen))
	for j, i := range e.chosen {
		if len(e.scratch[j]) < len(out) {
			e.scratch[j] = make([]float64, len(out))
		}
		paths[j] = e.scratch[j][:len(out)]
		if e.needs[i] > e.cuts[cut] {
			fillNaN(paths[j])
		} else {
			e.models[i].path(cut, origin, paths[j])
		}
	}
	e.blend(paths, out)
	e.stretch(out)
}

// blend writes the weighted middle of the paths, one of each chosen model, into
// out: the mean of the votes, less the share trim of the weight at each end. A
// model without a forecast has no vote; with less than half of the weight out is
// NaN.
func (e *engine) blend(paths [][]float64, out []float64) {
	total := 0.0
	votes := make([]vote, len(paths))
	for j, w := range e.weights {
		total += w
		votes[j].model = j
	}
	for h := range out {
		cast := 0.0
		for i := range votes { // in the order of the step before: nearly sorted
			v := &votes[i]
			v.value, v.weight = paths[v.model][h], e.weights[v.model]
			if math.IsNaN(v.value) {
				v.value, v.weight = 0, 0
			}
			cast += v.weight
			for k := i; k > 0 && votes[k].value < votes[k-1].value; k-- {
				votes[k], votes[k-1] = votes[k-1], votes[k]
			}
		}
		if cast < total/2 {
			out[h] = math.NaN()
			continue
		}
		low, high := cast*trim, cast*(1-trim)
		below, sum, mass := 0.0, 0.0, 0.0
		for _, v := range votes {
			if m := min(below+v.weight, high) - max(below, low); m > 0 {
				sum += m * v.value
				mass += m
			}
			below += v.weight
		}
		out[h] = sum / mass
	}
}

// A vote is what one model says of one step, and the weight of its word.
type vote struct {
	value, weight float64
	model         int
}

func fillNaN(out []float64) {
	for i := range out {
		out[i] = math.NaN()
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
