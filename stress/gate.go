package stress

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// A GateVerdict is what a comparison of two versions says.
type GateVerdict string

// The verdicts of a comparison.
const (
	GatePass       GateVerdict = "pass"
	GateRegression GateVerdict = "regression"
	GateUndecided  GateVerdict = "undecided"
)

// A Comparison is one metric of two versions. Larger is worse, except for the
// capacity. Every value must be positive.
type Comparison struct {
	Name string

	// Base and New are values of equal windows, in the order of time. Paired
	// says that Base[i] and New[i] were measured at the same time, so that what
	// disturbed both cancels out; they then have equal length.
	Base, New []float64
	Paired    bool

	// BaseDeviation and NewDeviation are used when there is one value only:
	// its standard deviation over the value, known from its own interval.
	BaseDeviation, NewDeviation float64

	// MoreIsBetter is true of a capacity.
	MoreIsBetter bool

	// Margin is how much worse, as a ratio, is no matter. A comparison passes
	// when its interval lies below; 0: 0.05.
	Margin float64
}

// An Effect is the outcome of a Comparison: New/Base - 1 with its interval.
type Effect struct {
	Name      string
	Effect    float64
	Low, High float64 // of the confidence interval
	Verdict   GateVerdict
	Base, New float64 // geometric means
	Windows   int     // values compared on the smaller side
}

// falseAlarm is the chance that one metric of two equal versions counts as a
// regression: three metrics together stay below 1 % with room for noise that
// is worse than the model.
const falseAlarm = 0.001

// defaultMargin is what nobody calls a regression: 5 %.
const defaultMargin = 0.05

// ErrNothingCompared says that no metric has values on both sides.
var ErrNothingCompared = errors.New("nothing to compare: no metric has values on both sides")

// Gate decides about each comparison and about all together: a regression in
// one metric is a regression, and a pass needs every metric to pass.
//
// Measurements of neighbouring seconds resemble each other, so that tests for
// independent samples raise false alarms several times as often as they
// promise. Gate works on logarithms and takes the variance of a mean from the
// larger of two estimates: that of a first-order autoregression, corrected for
// the bias of short series, and that of the means of blocks long enough to
// forget each other. See docs/formulas.md, "Gate".
func Gate(comparisons []Comparison) (GateVerdict, []Effect, error) {
	var effects []Effect
	for _, c := range comparisons {
		if len(c.Base) == 0 || len(c.New) == 0 {
			continue
		}
		e, err := c.effect()
		if err != nil {
			return "", nil, fmt.Errorf("compare %s: %w", c.Name, err)
		}
		effects = append(effects, e)
	}
	if len(effects) == 0 {
		return "", nil, ErrNothingCompared
	}
	verdict := GatePass
	for _, e := range effects {
		switch {
		case e.Verdict == GateRegression:
			verdict = GateRegression
		case e.Verdict == GateUndecided && verdict == GatePass:
			verdict = GateUndecided
		}
	}
	return verdict, effects, nil
}

func (c Comparison) effect() (Effect, error) {
	base, err := logarithms(c.Base)
	if err != nil {
		return Effect{}, err
	}
	next, err := logarithms(c.New)
	if err != nil {
		return Effect{}, err
	}
	var difference, variance, freedom float64
	switch {
	case c.Paired && len(base) == len(next) && len(base) >= 3:
		d := make([]float64, len(base))
		for i := range d {
			d[i] = next[i] - base[i]
		}
		difference = mean(d)
		variance, freedom = sideVariance(d, 0)
	default:
		difference = mean(next) - mean(base)
		v1, f1 := sideVariance(base, c.BaseDeviation)
		v2, f2 := sideVariance(next, c.NewDeviation)
		variance = v1 + v2
		freedom = welch(v1, f1, v2, f2)
	}
	reach := math.Inf(1)
	if !math.IsInf(variance, 1) {
		reach = distuv.StudentsT{Sigma: 1, Nu: freedom}.Quantile(1-falseAlarm) * math.Sqrt(variance)
	}
	e := Effect{
		Name: c.Name, Effect: math.Expm1(difference), Low: math.Expm1(difference - reach), High: math.Expm1(difference + reach),
		Base: math.Exp(mean(base)), New: math.Exp(mean(next)), Windows: min(len(base), len(next)),
	}
	margin := c.Margin
	if margin == 0 {
		margin = defaultMargin
	}
	worse, least, most := e.Effect, e.Low, e.High
	if c.MoreIsBetter { // how much less the new one carries, as a ratio of the base
		worse, least, most = -e.Effect, -e.High, -e.Low
	}
	switch {
	case least > 0 && worse > 0:
		e.Verdict = GateRegression
	case most < margin:
		e.Verdict = GatePass
	default:
		e.Verdict = GateUndecided
	}
	return e, nil
}

// minSeries is the length from which a series speaks for its own variance.
const minSeries = 8

func logarithms(values []float64) ([]float64, error) {
	out := make([]float64, len(values))
	for i, v := range values {
		if !(v > 0) || math.IsInf(v, 1) {
			return nil, fmt.Errorf("value %v at %d is not positive", v, i)
		}
		out[i] = math.Log(v)
	}
	return out, nil
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// sideVariance is the variance of the mean of one side with its degrees of
// freedom: from the series itself, or of one value from its own interval.
func sideVariance(x []float64, deviation float64) (variance, freedom float64) {
	switch {
	case len(x) >= minSeries:
		return meanVariance(x)
	case deviation > 0:
		own := deviation * deviation / float64(len(x))
		if len(x) < 3 {
			return own, 30 // an interval of a run rests on its windows, some tens
		}
		// Runs may differ by more than each one's interval says.
		between, _ := spread(x)
		return max(own, between/float64(len(x))), float64(len(x) - 1)
	case len(x) >= 3: // a few independent runs
		s, _ := spread(x)
		return s / float64(len(x)), float64(len(x) - 1)
	}
	return math.Inf(1), 1
}

// spread is the variance of x and its correlation with itself one step later.
func spread(x []float64) (variance, correlation float64) {
	m := mean(x)
	var c0, c1 float64
	for i, v := range x {
		c0 += (v - m) * (v - m)
		if i > 0 {
			c1 += (v - m) * (x[i-1] - m)
		}
	}
	if c0 == 0 {
		return 0, 0
	}
	return c0 / float64(len(x)-1), c1 / c0
}

// meanVariance is the variance of the mean of a stationary series of at least
// minSeries values, and the degrees of freedom of that estimate.
func meanVariance(x []float64) (variance, freedom float64) {
	n := float64(len(x))
	s, phi := spread(x)
	// The lag-one correlation of a short series is too small by (1+3phi)/n on
	// average (Kendall 1954, Marriott and Pope 1954).
	phi = min(max(phi+(1+3*phi)/n, 0), 0.9)
	inflation := (1 + phi) / (1 - phi)
	// The sample variance of a correlated series misses what the mean itself
	// wanders: inflation/n of it.
	model := s / n * inflation / max(0.2, 1-inflation/n)
	// Half as many again as independent values: chosen in the simulation of the
	// tests, where it costs no false alarm and finds 4 % more.
	freedom = max(2, 1.5*n/inflation-1)

	length := int(math.Ceil(1.5 * inflation))
	length = min(max(length, 3), len(x)/6)
	if length < 1 {
		return model, freedom
	}
	var means []float64
	for block := range slices.Chunk(x, length) {
		if len(block) == length {
			means = append(means, mean(block))
		}
	}
	between, _ := spread(means)
	return max(model, between/float64(len(means))), freedom
}

// welch combines degrees of freedom (Welch 1947, Satterthwaite 1946).
func welch(v1, f1, v2, f2 float64) float64 {
	if math.IsInf(v1+v2, 1) || v1+v2 == 0 {
		return 1
	}
	return (v1 + v2) * (v1 + v2) / (v1*v1/f1 + v2*v2/f2)
}
