package forecast

import (
	"math"
	"slices"
)

// The middle of many models has flatter seasons than what comes: models place a
// peak apart and so lower it, and profiles are cut off where spikes stood. The
// windows of the choice tell by how much, each against its own level:
// amplitude is the factor on the distance from the middle of a season with the
// least absolute error.
const (
	// So much of what the windows ask for is done; they are few, and the models
	// were chosen on them. With a half, days gain a third more, and hours that are
	// forecast well already begin to lose.
	amplitudeTrust = 0.35
	amplitudeLow   = 0.8
	amplitudeHigh  = 1.4
)

// fitAmplitude finds the amplitude on the windows of the choice and applies it
// to them. A window counts by the root of its error, as in the choice. The least
// absolute error of y - middle = factor * (f - middle) is at a weighted median of
// the ratios.
func (e *engine) fitAmplitude() {
	e.amplitude = 1
	if e.short < 2 {
		return
	}
	var ratios []vote
	for _, w := range e.windows {
		missed := 0.0
		for h, f := range w.median {
			missed += math.Abs(e.y[w.origin+h] - f)
		}
		weight := 1 / math.Sqrt(missed+1e-12)
		eachSeason(w.median, e.short, func(from, to int, middle float64) {
			for h := from; h < to; h++ {
				if d := w.median[h] - middle; d != 0 {
					ratios = append(ratios, vote{value: (e.y[w.origin+h] - middle) / d, weight: weight * math.Abs(d)})
				}
			}
		})
	}
	if len(ratios) == 0 {
		return
	}
	factor := min(max(weightedMedian(ratios), amplitudeLow), amplitudeHigh)
	e.amplitude = 1 + amplitudeTrust*(factor-1)
	for _, w := range e.windows {
		e.stretch(w.median)
	}
}

// stretch applies the amplitude to a path.
func (e *engine) stretch(path []float64) {
	if e.amplitude == 1 {
		return
	}
	eachSeason(path, e.short, func(from, to int, middle float64) {
		for h := from; h < to; h++ {
			path[h] = middle + e.amplitude*(path[h]-middle)
		}
	})
}

// eachSeason calls do for each whole season of a path, and for what is left at
// its end with the middle of the season before; not at all for less than one.
func eachSeason(path []float64, season int, do func(from, to int, middle float64)) {
	middle := 0.0
	for from := 0; from < len(path) && len(path) >= season; from += season {
		to := min(from+season, len(path))
		if to-from == season {
			middle = median(path[from:to])
		}
		do(from, to, middle)
	}
}

// weightedMedian sorts v by value and returns the value that half of the weight is
// at or below; v must not be empty.
func weightedMedian(v []vote) float64 {
	slices.SortFunc(v, func(a, b vote) int {
		switch {
		case a.value < b.value:
			return -1
		case a.value > b.value:
			return 1
		}
		return 0
	})
	total, below := 0.0, 0.0
	for _, x := range v {
		total += x.weight
	}
	for _, x := range v {
		if below += x.weight; below >= total/2 {
			return x.value
		}
	}
	return v[len(v)-1].value
}
