package forecast

import (
	"math"
	"math/rand/v2"
	"testing"
)

// walks are histories without a season: levels that wander, and levels whose
// changes wander.
func walk(rng *rand.Rand, n int, smooth float64) []float64 {
	y := make([]float64, n)
	level, change := 100.0, 0.0
	for i := range y {
		change = smooth*change + rng.NormFloat64()
		level += change
		y[i] = level
	}
	return y
}

func TestSeasonsByShapeFindsNoneInWalks(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for _, smooth := range []float64{0, 0.5, 0.95} {
		for _, n := range []int{80, 275, 487, 824} {
			found := 0
			for range 100 {
				if short, _ := seasonsByShape(walk(rng, n, smooth)); short > 1 {
					found++
				}
			}
			if found > 5 {
				t.Errorf("changes that keep %g of the last one, %d values: a season in %d of 100", smooth, n, found)
			}
		}
	}
}

func TestSeasonsByShape(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	wave := func(i int, period float64) float64 { return math.Sin(2 * math.Pi * float64(i) / period) }
	for _, c := range []struct {
		what        string
		n           int
		short, long int
		at          func(i int) float64
	}{
		{"hours with one peak a day", 400, 24, 168, func(i int) float64 { return wave(i, 24) }},
		{"hours with two peaks a day", 400, 24, 168, func(i int) float64 { return 0.8*wave(i, 12) + wave(i, 24) }},
		{"hours of weekdays and weekends", 700, 24, 168, func(i int) float64 {
			if i/24%7 > 4 {
				return -1 + 0.3*wave(i, 24)
			}
			return wave(i, 24)
		}},
		{"days with two days off", 120, 7, 365, func(i int) float64 {
			if i%7 > 4 {
				return -2
			}
			return 0
		}},
		{"five minutes", 2500, 288, 2016, func(i int) float64 { return 2 * wave(i, 288) }},
		{"months", 120, 12, 0, func(i int) float64 { return wave(i, 12) }},
		{"weeks with a year", 300, 1, 0, func(i int) float64 { return wave(i, 52) }},
		{"noise", 300, 1, 0, func(int) float64 { return 0 }},
	} {
		for range 20 {
			y := make([]float64, c.n)
			for i := range y {
				y[i] = 10 + c.at(i) + 0.3*rng.NormFloat64()
			}
			if short, long := seasonsByShape(y); short != c.short || long != c.long {
				t.Errorf("%s: %d and %d, want %d and %d", c.what, short, long, c.short, c.long)
				break
			}
		}
	}
}
