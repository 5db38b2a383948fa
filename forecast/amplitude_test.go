package forecast

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// flatWindows are windows of a season of 6 steps whose paths have the height 1
// where y has the given height, with noise, and two and a half seasons each.
func flatWindows(height float64) *engine {
	rng := rand.New(rand.NewPCG(9, uint64(100*height)))
	e := &engine{short: 6}
	for i := range 90 {
		e.y = append(e.y, 5+height*math.Sin(float64(i)*math.Pi/3)+0.2*rng.NormFloat64())
	}
	for origin := 30; origin+15 <= len(e.y); origin += 12 {
		w := window{origin: origin}
		for h := range 15 {
			w.median = append(w.median, 5+math.Sin(float64(origin+h)*math.Pi/3)+0.05*rng.NormFloat64())
		}
		e.windows = append(e.windows, w)
	}
	return e
}

// The weighted median of ratios against trying every factor.
func TestAmplitudeHasTheLeastAbsoluteError(t *testing.T) {
	for _, height := range []float64{0.85, 1, 1.2, 1.35} {
		e := flatWindows(height)
		before := make([][]float64, len(e.windows))
		for i, w := range e.windows {
			before[i] = slices.Clone(w.median)
		}
		cost := func(factor float64) float64 {
			sum := 0.0
			for i, w := range e.windows {
				p := slices.Clone(before[i])
				(&engine{short: e.short, amplitude: factor}).stretch(p)
				missed, plain := 0.0, 0.0
				for h := range p {
					missed += math.Abs(e.y[w.origin+h] - p[h])
					plain += math.Abs(e.y[w.origin+h] - before[i][h])
				}
				sum += missed / math.Sqrt(plain)
			}
			return sum
		}
		e.fitAmplitude()
		got := 1 + (e.amplitude-1)/amplitudeTrust
		for f := amplitudeLow; f <= amplitudeHigh; f += 0.001 {
			if cost(f) < cost(got)-1e-9 {
				t.Errorf("height %v: factor %v costs %v, %v costs %v", height, got, cost(got), f, cost(f))
				break
			}
		}
		if math.Abs(got-height) > 0.1 {
			t.Errorf("height %v: factor %v", height, got)
		}
	}
}

func TestAmplitudeLeavesTheMiddleOfEachSeason(t *testing.T) {
	e := &engine{short: 3, amplitude: 2}
	path := []float64{1, 2, 4, 10, 10, 7, 11}
	e.stretch(path)
	if want := []float64{0, 2, 6, 10, 10, 4, 12}; !slices.Equal(path, want) { // 11 lies 1 above the 10 before it
		t.Errorf("got %v, want %v", path, want)
	}
	for _, short := range []float64{1, 2} { // less than a season, or none
		path = []float64{1, 5}[:int(short)]
		e.stretch(path)
		if !slices.Equal(path, []float64{1, 5}[:int(short)]) {
			t.Errorf("%v steps: got %v", short, path)
		}
	}
}
