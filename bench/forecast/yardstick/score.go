package main

import "math"

// A score is what one forecast is worth. Sums of day peaks are kept as sums,
// for days differ in number.
type score struct {
	source        string
	smape, mase   float64
	smape2, mase2 float64 // of Naive2
	msis, covered float64
	relative      float64 // log of the mean absolute error over that of the naive peer
	peak          float64 // sum of pinball losses of the 95 % quantile, scaled
	peaks, below  float64 // days, and those whose peak was not above it
}

const alpha = 0.05 // of the interval

// score computes the figures of one forecast; all are NaN where the history never changes.
func (s set) score(h history, p path) score {
	out := score{source: h.source()}
	scale := changes(h.values, s.freq)
	if !(scale > 0) || len(p.mean) < len(h.future) {
		out.mase = math.NaN()
		return out
	}
	second, naive := naive2(h.values, s.freq, len(h.future)), repeat(h.values, s.season, len(h.future))
	n, plain := 0.0, 0.0
	for i, y := range h.future {
		if math.IsNaN(y) {
			continue
		}
		n++
		out.smape += apart(y, p.mean[i])
		out.mase += math.Abs(y-p.mean[i]) / scale
		out.smape2 += apart(y, second[i])
		out.mase2 += math.Abs(y-second[i]) / scale
		plain += math.Abs(y-naive[i]) / scale
		out.msis += (p.high[i] - p.low[i] + 2/alpha*(max(0, p.low[i]-y)+max(0, y-p.high[i]))) / scale
		if p.low[i] <= y && y <= p.high[i] {
			out.covered++
		}
	}
	if out.mase > 0 && plain > 0 {
		out.relative = math.Log(out.mase / plain)
	}
	for _, v := range []*float64{&out.smape, &out.mase, &out.smape2, &out.mase2, &out.msis, &out.covered} {
		*v /= n
	}
	for at := 0; s.day > 0 && at+s.day <= len(h.future); at += s.day {
		top := math.NaN()
		for _, y := range h.future[at : at+s.day] {
			if !(y <= top) && !math.IsNaN(y) {
				top = y
			}
		}
		if math.IsNaN(top) {
			continue
		}
		gap := top - p.peak[at]
		out.peak += max(0.95*gap, -0.05*gap) / scale
		out.peaks++
		if gap <= 0 {
			out.below++
		}
	}
	return out
}

// apart is the symmetric percentage error.
func apart(y, f float64) float64 {
	if y == f {
		return 0
	}
	return 200 * math.Abs(y-f) / (math.Abs(y) + math.Abs(f))
}

// changes is the mean absolute change over a period, where both ends are known.
func changes(values []float64, period int) float64 {
	sum, n := 0.0, 0.0
	for i := period; i < len(values); i++ {
		if d := math.Abs(values[i] - values[i-period]); !math.IsNaN(d) {
			sum += d
			n++
		}
	}
	return sum / n
}

// repeat is the seasonal naive forecast.
func repeat(values []float64, period, steps int) []float64 {
	out := make([]float64, steps)
	for h := range out {
		at := len(values) - period + h%period
		for at >= period && math.IsNaN(values[at]) {
			at -= period
		}
		out[h] = values[max(at, 0)]
	}
	return out
}

// naive2 repeats the last value, with the indexes of a classical multiplicative
// decomposition where the autocorrelation at the period passes a 90 % test.
func naive2(values []float64, period, steps int) []float64 {
	var x []float64
	for _, v := range values {
		if !math.IsNaN(v) {
			x = append(x, v)
		}
	}
	n := len(x)
	index := make([]float64, period)
	for i := range index {
		index[i] = 1
	}
	if seasonal(x, period) {
		index = indexes(x, period)
	}
	out := make([]float64, steps)
	last := x[n-1] / index[(n-1)%period]
	for h := range out {
		out[h] = last * index[(n+h)%period]
	}
	return out
}

func seasonal(x []float64, period int) bool {
	n := len(x)
	if period <= 1 || n < 3*period {
		return false
	}
	mean := 0.0
	for _, v := range x {
		mean += v / float64(n)
	}
	correlation := func(lag int) float64 {
		sum := 0.0
		for i := lag; i < n; i++ {
			sum += (x[i] - mean) * (x[i-lag] - mean)
		}
		return sum
	}
	variance, squares := correlation(0), 0.0
	for lag := 1; lag < period; lag++ {
		r := correlation(lag) / variance
		squares += r * r
	}
	limit := 1.645 / math.Sqrt(float64(n)) * math.Sqrt(1+2*squares)
	return math.Abs(correlation(period)/variance) > limit
}

// indexes are the mean ratios to the centred moving average, with a mean of 1.
func indexes(x []float64, period int) []float64 {
	sum, count := make([]float64, period), make([]float64, period)
	half := period / 2
	for i := half; i < len(x)-half; i++ {
		trend := 0.0
		for j := i - half; j <= i+half; j++ {
			w := 1.0
			if period%2 == 0 && (j == i-half || j == i+half) {
				w = 0.5
			}
			trend += w * x[j] / float64(period)
		}
		if trend != 0 {
			sum[i%period] += x[i] / trend
			count[i%period]++
		}
	}
	mean := 0.0
	for p := range sum {
		sum[p] /= max(count[p], 1)
		mean += sum[p] / float64(period)
	}
	for p := range sum {
		sum[p] /= mean
	}
	return sum
}
