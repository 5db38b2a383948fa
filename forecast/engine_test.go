package forecast

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The middle of the votes against sorting them and cutting the ends off.
func TestBlendIsTheTrimmedWeightedMean(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		models, steps := 1+rng.IntN(9), 20
		e := &engine{weights: make([]float64, models)}
		paths := make([][]float64, models)
		for j := range paths {
			e.weights[j] = float64(1 + rng.IntN(4))
			for range steps {
				paths[j] = append(paths[j], math.Round(10*rng.NormFloat64()))
			}
		}
		got := make([]float64, steps)
		e.blend(paths, got)
		for h := range got {
			var votes []float64 // a hundred for each unit of weight
			for j, p := range paths {
				for range 100 * int(e.weights[j]) {
					votes = append(votes, p[h])
				}
			}
			slices.Sort(votes)
			cut := int(math.Round(trim * float64(len(votes))))
			votes = votes[cut : len(votes)-cut]
			want := 0.0
			for _, v := range votes {
				want += v / float64(len(votes))
			}
			if math.Abs(got[h]-want) > 1e-9 {
				t.Fatalf("step %d of %d models: %v, want %v", h, models, got[h], want)
			}
		}
	}
}

func TestBlendNeedsHalfOfTheWeight(t *testing.T) {
	e := &engine{weights: []float64{1, 1, 3}}
	got := make([]float64, 2)
	e.blend([][]float64{{1, 1}, {2, 2}, {math.NaN(), 4}}, got)
	if !math.IsNaN(got[0]) || math.IsNaN(got[1]) {
		t.Errorf("got %v, want NaN where two fifths speak and a number where all do", got)
	}
}

// Errors drawn with a known power of the forecast give it back, on the mirror
// image below zero too.
func TestErrorsGrowWithAQuarterPowerOfTheForecast(t *testing.T) {
	for _, power := range []float64{0, 0.25, 0.5, 0.75, 1} {
		for _, sign := range []float64{1, -1} {
			rng := rand.New(rand.NewPCG(11, uint64(4*power)))
			e := &engine{}
			w := window{}
			for range 2000 {
				f := math.Exp(4 * rng.Float64())
				missed := 0.1 * rng.ExpFloat64() * math.Pow(f, power)
				if rng.IntN(2) == 0 {
					missed = -missed
				}
				w.median = append(w.median, sign*f)
				e.y = append(e.y, sign*(f+missed))
			}
			e.windows = []window{w}
			if got := e.errorPower(1e-12); got != power {
				t.Errorf("errors with power %v, sign %v: found %v", power, sign, got)
			}
		}
	}
}

// What is found for all prefixes in one pass is what each prefix gives alone.
func TestSmoothingOfAPrefixIsThatOfTheShortHistory(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	z := make([]float64, 90)
	for i := range z {
		z[i] = rng.NormFloat64() + float64(i)/20
	}
	for _, damping := range []float64{0, 0.9} {
		smooth := func(n int, cuts ...int) *smoothing {
			b := newBaseline(scale{}, z[:n], 0, 0, clipHours)
			s := &smoothing{base: b, damping: damping, cuts: cuts, levels: make([][]float64, len(cuts)), slopes: make([][]float64, len(cuts))}
			s.search()
			return s
		}
		all := smooth(90, 40, 60, 90)
		for k, cut := range all.cuts {
			if alone := smooth(cut, cut); alone.chosen[0] != all.chosen[k] {
				t.Errorf("damping %v, prefix %d: %v, alone %v", damping, cut, all.chosen[k], alone.chosen[0])
			}
		}
	}
}

// Histories nobody would make up: jumps, gaps, runs of zeros, spikes and trends
// at random, on steps from minutes to weeks.
func TestForecastOfRandomHistoriesIsSafe(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for i := range 150 {
		step := []time.Duration{5 * time.Minute, time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 0}[i%5]
		s := Series{Name: "a", Start: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), Step: step, Values: make([]float64, 3+rng.IntN(900))}
		level, unit, slope := rng.Float64(), math.Pow(10, 20*rng.NormFloat64()), 0.01*rng.NormFloat64()
		period := []int{1, 7, 24, 168, 288}[rng.IntN(5)]
		mode, until := 0, 0
		for k := range s.Values {
			if k >= until {
				mode, until = rng.IntN(7), k+1+rng.IntN(200)
				level = math.Abs(level + 3*rng.NormFloat64())
			}
			v := level + math.Abs(slope)*float64(k) + rng.Float64()*float64(k%period)/float64(period)
			switch mode {
			case 0:
				v = 0
			case 1:
				v = math.NaN()
			case 2:
				if rng.IntN(40) == 0 {
					v *= 1e4
				}
			case 3:
				v = level
			}
			s.Values[k] = v * unit
		}
		f, err := New(s, Options{Horizon: 1 + rng.IntN(300)})
		if errors.Is(err, ErrTooShort) {
			continue
		}
		if err != nil {
			t.Fatalf("history %d: %v", i, err)
		}
		safe(t, f)
	}
}

// Days of the week differ, so what is chosen on one or two of them may be wrong
// for the next: the windows of the choice see a week, where half of the history
// has room for it.
func TestWindowsOfTheChoiceSeeAWeek(t *testing.T) {
	for _, c := range []struct {
		what                         string
		n, short, long, horizon      int
		wantTests, wantTest, wantFit int
	}{
		{"a day of five minutes, three weeks", 21 * 288, 288, 2016, 288, 7, 288, 7},
		{"a day of five minutes, thirteen days", 13 * 288, 288, 0, 288, 6, 288, 6},
		{"two days of hours", 40 * 24, 24, 168, 48, 4, 48, 7},
		{"a week of hours", 12 * 168, 24, 168, 168, 3, 168, 6},
		{"an hour of hours", 12 * 168, 24, 168, 1, 7, 1, 7},
		{"more hours than half of the history", 300, 24, 0, 168, 3, 50, 3},
		{"weeks", 500, 1, 0, 13, 3, 13, 7},
		{"days", 700, 7, 365, 56, 6, 56, 6},
	} {
		e := newEngine(make([]float64, c.n), c.short, c.long, c.horizon)
		if got := len(e.cuts) - 1; e.tests != c.wantTests || e.test != c.wantTest || got != c.wantFit {
			t.Errorf("%s: chosen on %d fits of %d steps, %d fits in all; want %d of %d, %d", c.what, e.tests, e.test, got, c.wantTests, c.wantTest, c.wantFit)
		}
		if e.cuts[0] < c.n/2 || e.cuts[len(e.cuts)-1] != c.n || e.older+e.tests != len(e.cuts)-1 {
			t.Errorf("%s: prefixes %v of %d, %d older", c.what, e.cuts, c.n, e.older)
		}
	}
}
