package forecast

import (
	"fmt"
	"math"

	"github.com/wxops/wxops/capacity"
)

// What a history has that models are deaf to, or have to follow: both are said,
// for a forecast that ignores last night's spike is right only if that was one.
const (
	// A spike is so many times the distance from their neighbours that nine in ten
	// values keep away from its own: about ten standard deviations of noise. On a
	// flat line that distance is taken for a twentieth of the level.
	spikeDistances = 8
	leastDistance  = 0.05
	// A level has shifted when two weeks of seasons differ by so many times what
	// they scatter, and by that share of the higher one.
	shiftScatter = 6
	shiftShare   = 0.3
	shiftWindow  = 7 // seasons on each side
)

// oddities returns warnings of spikes and of the latest level shift.
// O(n) in values.
func (s Series) oddities(warn func(kind string, n int, format string, args ...any)) {
	season, _ := seasonsByStep(s.Step)
	if n, at := spikes(s.Values, season); n > 0 {
		warn("spike", n, "%s, the farthest is %.4g at %s; the forecast is nearly deaf to that", standing(n), s.Values[at], s.stamp(at))
	}
	if before, after, at, ok := levelShift(s.Values, season); ok {
		warn("level", 1, "the level went from about %.3g to %.3g at about %s; the forecast follows the later one", before, after, s.stamp(at))
	}
}

func standing(n int) string {
	if n == 1 {
		return "1 value stands alone"
	}
	return fmt.Sprintf("%d values stand alone", n)
}

// spikes counts the values far from the median of the five around them, unless
// the same comes a season before or after, and returns where the farthest is.
func spikes(values []float64, season int) (count, farthest int) {
	n := len(values)
	if n < 20 {
		return 0, 0
	}
	apart := make([]float64, n) // 0 where a neighbour is missing
	known, sizes := make([]float64, 0, n), make([]float64, 0, n)
	for t := 2; t+2 < n; t++ {
		d := values[t] - medianOf5(values[t-2:t+3])
		if !math.IsNaN(d) {
			apart[t] = math.Abs(d)
			known = append(known, apart[t])
			sizes = append(sizes, math.Abs(values[t]))
		}
	}
	if len(known) == 0 {
		return 0, 0
	}
	usual := max(capacity.Nth(known, 9*len(known)/10), leastDistance*capacity.Nth(sizes, len(sizes)/2))
	if usual == 0 { // mostly zeros: every value would stand alone
		return 0, 0
	}
	again := func(t, u int) bool { return u >= 0 && u < n && 3*apart[u] > apart[t] }
	for t, d := range apart {
		if !(d > spikeDistances*usual) || season > 1 && (again(t, t-season) || again(t, t+season)) {
			continue
		}
		if count == 0 || d > apart[farthest] {
			farthest = t
		}
		count++
	}
	return count, farthest
}

// medianOf5 is NaN where one of the values is.
func medianOf5(v []float64) float64 {
	var a [5]float64
	for i, x := range v {
		if math.IsNaN(x) {
			return x
		}
		k := i
		for ; k > 0 && a[k-1] > x; k-- {
			a[k] = a[k-1]
		}
		a[k] = x
	}
	return a[2]
}

// levelShift looks for the latest step between medians of seasons that stayed:
// before and after are the levels of a week of seasons, at is where it came.
func levelShift(values []float64, season int) (before, after float64, at int, ok bool) {
	if season < 2 {
		season = 4
	}
	blocks := make([]float64, len(values)/season)
	offset := len(values) % season
	known := make([]float64, 0, season)
	for i := range blocks {
		known = known[:0]
		for _, v := range values[offset+i*season : offset+(i+1)*season] {
			if !math.IsNaN(v) {
				known = append(known, v)
			}
		}
		blocks[i] = math.NaN()
		if len(known) > 0 {
			blocks[i] = capacity.Nth(known, len(known)/2)
		}
	}
	best := 0.0
	for k := len(blocks) - shiftWindow; k >= shiftWindow; k-- {
		left, right := blocks[k-shiftWindow:k], blocks[k:k+shiftWindow]
		a, b := median(left), median(right)
		step := math.Abs(b - a)
		abrupt := math.Abs(median(right[:3]) - median(left[shiftWindow-3:]))
		stayed := math.Abs(median(blocks[k:])-b) < step/2
		if !stayed || abrupt < 0.8*step || step < shiftShare*max(math.Abs(a), math.Abs(b)) {
			continue
		}
		// The clearest of neighbouring places is the place.
		if clear := step / max(scatter(left, a), scatter(right, b), 1e-3*step); clear > shiftScatter && clear > best {
			best, before, after, at, ok = clear, a, b, offset+k*season, true
		} else if ok && at-(offset+k*season) > shiftWindow*season {
			break
		}
	}
	return before, after, at, ok
}

// scatter is the mean distance from the middle.
func scatter(v []float64, middle float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += math.Abs(x - middle)
	}
	return sum / float64(len(v))
}
