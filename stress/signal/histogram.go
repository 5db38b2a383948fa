package signal

import (
	"maps"
	"math"
	"slices"

	"github.com/wxops/wxops/stress"
)

// histogram is a distribution in buckets that are not cumulative, in ascending
// order of bound; the last bound is +Inf.
type histogram []stress.Bucket

// fromCounts returns the histogram with counts by upper bound.
func fromCounts(counts map[float64]float64) histogram {
	h := make(histogram, 0, len(counts)+1)
	for _, bound := range slices.Sorted(maps.Keys(counts)) {
		h = append(h, stress.Bucket{Bound: bound, Count: counts[bound]})
	}
	if len(h) > 0 && !math.IsInf(h[len(h)-1].Bound, 1) {
		h = append(h, stress.Bucket{Bound: math.Inf(1)})
	}
	return h
}

func (h histogram) total() float64 {
	var sum float64
	for _, b := range h {
		sum += b.Count
	}
	return sum
}

// quantile returns the q-quantile. Inside a bucket the logarithm of the value
// is taken to be uniform (the value itself in a bucket that begins at 0). A
// quantile in the last bucket, which has no end, is given as its beginning: a
// lower bound. It is NaN when the histogram is empty.
func (h histogram) quantile(q float64) float64 {
	rank := q * h.total()
	if !(rank > 0) {
		return math.NaN()
	}
	low := 0.0
	for _, b := range h {
		if rank <= b.Count && b.Count > 0 {
			return between(low, b.Bound, rank/b.Count)
		}
		rank -= b.Count
		low = b.Bound
	}
	return h[max(0, len(h)-2)].Bound // rounding left a rest of rank
}

// above returns the share of values above bound, by the same rule. It is NaN
// when the histogram is empty or when bound lies inside the last bucket and
// that bucket is not empty: then the share is not known.
func (h histogram) above(bound float64) float64 {
	total := h.total()
	if !(total > 0) {
		return math.NaN()
	}
	var sum float64
	low := 0.0
	for _, b := range h {
		switch {
		case bound <= low:
			sum += b.Count
		case bound < b.Bound && b.Count > 0:
			if math.IsInf(b.Bound, 1) {
				return math.NaN()
			}
			sum += b.Count * (1 - fraction(low, b.Bound, bound))
		}
		low = b.Bound
	}
	return sum / total
}

// between returns the value at share f of the bucket (low, high].
func between(low, high, f float64) float64 {
	switch {
	case math.IsInf(high, 1):
		return low
	case low > 0:
		return low * math.Pow(high/low, f)
	default:
		return low + (high-low)*f
	}
}

// fraction is the inverse of between.
func fraction(low, high, value float64) float64 {
	if low > 0 {
		return math.Log(value/low) / math.Log(high/low)
	}
	return (value - low) / (high - low)
}
