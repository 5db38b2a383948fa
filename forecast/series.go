// Package forecast says how much of something will be needed, when, and how sure
// that is: it reads metric histories, repairs them in the open, and gives for
// each the median path, intervals per step and the quantile of each day's peak.
//
// [Input] collects series from files of many forms; [Input.Series] puts them on
// an even grid and returns every repair as a warning. [New] forecasts one of
// them: a pool of models is backtested on its own history and the forecast is
// the weighted middle of those within a band of the best. [MakePlan] turns forecasts into
// dated scaling steps, and [Replay] scores a plan on what then happened.
//
// The package is pure: no clock, no files, no network; a series is forecast from
// itself alone, so neither its neighbours nor the number of workers change a byte.
//
//	in := forecast.NewInput(forecast.ReadOptions{})
//	_ = in.Add("metrics.csv", file)
//	series, warnings, err := in.Series()
//	f, err := forecast.New(series[0], forecast.Options{Horizon: 168})
package forecast

import (
	"math"
	"strconv"
	"time"
)

// A Series is an evenly spaced history.
type Series struct {
	Name   string
	Start  time.Time     // of the first value; zero when Step is 0
	Step   time.Duration // 0: the history has an index instead of a clock; a month is a twelfth of a year
	First  int           // index of the first value when Step is 0
	Values []float64     // NaN where nothing is known
	// Zone has the clocks by which steps of whole days or months go: each begins at
	// the time of day of Start there. nil: UTC.
	Zone *time.Location
}

// At returns the time of step i, counted from the first value, in UTC.
func (s Series) At(i int) time.Time { return s.wall().at(s.Start, s.Step, i) }

// wall is the clock that the steps go by.
func (s Series) wall() wall { return wall{s.Zone, s.Step > 0 && monthsOf(s.Step) > 0} }

// stepAt returns the step that t lies in, as far back and ahead as t is.
func (s Series) stepAt(t time.Time) int {
	i := int(t.Sub(s.Start) / s.Step) // a guess; days and months differ by less than one of them
	for s.At(i).After(t) {
		i--
	}
	for !s.At(i + 1).After(t) {
		i++
	}
	return i
}

// stamp names step i as the input did: by its time, or by its index.
func (s Series) stamp(i int) string {
	if s.Step == 0 {
		return strconv.Itoa(s.First + i)
	}
	return s.At(i).Format(time.RFC3339)
}

// known returns the values that are there.
func (s Series) known() []float64 {
	out := make([]float64, 0, len(s.Values))
	for _, v := range s.Values {
		if !math.IsNaN(v) {
			out = append(out, v)
		}
	}
	return out
}

// seasonsByStep returns the seasonal periods, in steps, that a clock implies:
// the day and the week below a day, the week at a day. 1 and 0 mean none.
func seasonsByStep(step time.Duration) (short, long int) {
	switch {
	case step < 30*time.Second:
		return 1, 0
	case step < oneDay:
		if oneDay%step != 0 {
			return 1, 0
		}
		short = int(oneDay / step)
		return short, 7 * short
	case step == oneDay:
		return 7, 365
	case step > 28*oneDay && step <= 31*oneDay:
		return 12, 0
	}
	return 1, 0
}

// indexSeasons are the periods looked for in a history without a clock, each
// with the longer one that goes with it.
var indexSeasons = [][2]int{{24, 168}, {7, 365}, {12, 0}, {48, 336}, {96, 672}, {144, 1008}, {288, 2016}, {1440, 10080}}

// seasonsByShape finds the seasonal period of a history without a clock. Each
// candidate has a strength: by how much the autocorrelation of the changes at its
// lag stands out from those before it, or that of the values from half a period
// earlier, whichever is more. The shortest with at least 0.8 of the best strength
// is taken, if that is above 0.25 and above what chance makes (three standard
// errors, for there are eight candidates), unless a year of weeks has as much.
func seasonsByShape(y []float64) (short, long int) {
	if len(y) < 14 {
		return 1, 0
	}
	changes := make([]float64, len(y)-1)
	for i := range changes {
		changes[i] = y[i+1] - y[i]
	}
	ofChanges, ofValues := autocorrelation(changes), autocorrelation(y)
	strength := func(lag int) float64 {
		if lag < 1 || 3*lag > len(changes) {
			return 0
		}
		trough := math.Inf(1) // high where changes go on, as those of a slow trend
		for k := range troughLags {
			trough = min(trough, ofChanges(lag/2+k*(lag-lag/2)/troughLags))
		}
		return max(ofChanges(lag)-max(trough, 0), ofValues(lag)-ofValues(lag/2))
	}
	strengths := make([]float64, len(indexSeasons))
	best := 0.0
	for i, c := range indexSeasons {
		s := strength(c[0])
		if s > 0.1 {
			s = max(s, strength(c[1]))
		}
		strengths[i] = s
		best = max(best, s)
	}
	chance := 3 / math.Sqrt(float64(len(y)))
	if best <= max(0.25, chance) || strength(52) >= 0.8*best {
		return 1, 0
	}
	for i, c := range indexSeasons {
		if strengths[i] >= 0.8*best {
			return c[0], c[1]
		}
	}
	return 1, 0
}

// troughLags is how many lags before a period are looked at.
const troughLags = 8

// autocorrelation returns the function of the lag, on values whose distance
// from the mean is kept within five times the usual: a few jumps shall not
// decide. It is 0 at lags above a third of the history.
func autocorrelation(v []float64) func(lag int) float64 {
	d := make([]float64, len(v))
	mean := 0.0
	for _, x := range v {
		mean += x / float64(len(v))
	}
	spread := 0.0
	for i, x := range v {
		d[i] = x - mean
		spread += math.Abs(d[i]) / float64(len(v))
	}
	if spread == 0 {
		return func(int) float64 { return 0 }
	}
	for i := range d {
		d[i] = max(min(d[i]/spread, 5), -5)
	}
	variance := dot(d, d)
	return func(lag int) float64 {
		if 3*lag > len(d) {
			return 0
		}
		return dot(d[lag:], d[:len(d)-lag]) / variance
	}
}

func dot(a, b []float64) float64 {
	s := 0.0
	for i, v := range a {
		s += v * b[i]
	}
	return s
}
