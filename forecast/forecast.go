package forecast

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Options of a forecast; the zero value of a field means its default.
type Options struct {
	Horizon int       // steps; default 1 week, or 1 cycle without a clock
	Seasons []int     // periods in steps, ascending; nil: found
	Levels  []float64 // of the intervals, in (0, 1), ascending; default 0.80 and 0.95
	Floor   *float64  // least value; nil: 0 for a history that is nowhere negative
	// Holidays are days unlike their weekday; nil: none. They count for steps of
	// a day or less on a clock.
	Holidays *Calendar
}

// Errors of New.
var (
	ErrTooShort = errors.New("too short to forecast")
	ErrHorizon  = errors.New("horizon out of range")
)

// MaxHorizon is the longest horizon in steps.
const MaxHorizon = 100_000

// minValues is the shortest history that is forecast at all; below minPool no
// model can be tested and the last level is carried on.
const (
	minValues = 3
	minPool   = 12
)

// A Band is the central interval of one level.
type Band struct {
	Level     float64
	Low, High []float64
}

// A Forecast is the future of one series.
type Forecast struct {
	Series  Series
	Short   int       // seasonal periods used, in steps; 1 and 0: none
	Long    int       // likewise
	Mean    []float64 // the median path
	Bands   []Band    // in the order of Options.Levels
	PeakQ95 []float64 // 95 % quantile of the peak of each step's day; nil when a step is a day or longer
	Models  []ModelScore
	// Errors of the backtests of the chosen pool.
	Backtest   Score
	HistoryMax float64
	HistoryMin float64
	Special    []SpecialDay // days that Options.Holidays changed, by time
}

// A ModelScore is what the backtests say of one model of the pool.
type ModelScore struct {
	Name   string
	Ratio  float64 // mean error relative to the best model; +Inf: it had no forecast
	Chosen bool
}

// A Score sums up the backtests of a forecast.
type Score struct {
	Windows  int       // origins that were forecast from
	Steps    int       // steps of each, at most
	MAE      float64   // mean absolute error, in the unit of the series
	MASE     float64   // the same relative to the seasonal naive steps inside the history
	Bias     float64   // mean of actual less forecast
	Coverage []float64 // share of actual values inside the band, by level
}

// At returns the time of step h, 1 is the first after the history.
func (f *Forecast) At(h int) time.Time { return f.Series.At(len(f.Series.Values) - 1 + h) }

// New forecasts one series. The error wraps ErrTooShort or ErrHorizon.
func New(s Series, o Options) (*Forecast, error) {
	if o.Holidays != nil && s.Step > 0 && s.Step <= oneDay && oneDay%s.Step == 0 {
		return withCalendar(s, o)
	}
	return plain(s, o)
}

// plain forecasts one series without a calendar.
func plain(s Series, o Options) (*Forecast, error) {
	f := &Forecast{Series: s}
	values := trimLeading(s.Values)
	known := s.known()
	if len(known) < minValues {
		return nil, fmt.Errorf("series %q: %w: %d values, at least %d are needed", s.Name, ErrTooShort, len(known), minValues)
	}
	f.HistoryMin, f.HistoryMax = slices.Min(known), slices.Max(known)
	f.Short, f.Long = 1, 0
	switch {
	case o.Seasons != nil:
		f.Short, f.Long = givenSeasons(o.Seasons)
	case s.Step > 0:
		f.Short, f.Long = seasonsByStep(s.Step)
	default:
		f.Short, f.Long = seasonsByShape(known)
	}
	if len(values) < 2*f.Long {
		f.Long = 0
	}
	if f.Short > 1 && len(values) < 2*f.Short+2 {
		f.Short, f.Long = 1, 0
	}
	if o.Horizon == 0 {
		o.Horizon = defaultHorizon(s.Step, f.Short, f.Long)
	}
	if o.Horizon < 1 || o.Horizon > MaxHorizon {
		return nil, fmt.Errorf("%w: %d is outside [1, %d]", ErrHorizon, o.Horizon, MaxHorizon)
	}
	if o.Levels == nil {
		o.Levels = []float64{0.80, 0.95}
	}
	y := fill(values, f.Short, f.Long)
	// Models work near 1, whatever the unit: squares of 1e200 do not exist.
	unit := 0.0
	for _, v := range y {
		unit = max(unit, math.Abs(v))
	}
	if unit == 0 {
		unit = 1
	}
	for i := range y {
		y[i] /= unit
	}
	var e *engine
	f.Mean = make([]float64, o.Horizon)
	if len(y) < minPool || slices.Min(y) == slices.Max(y) {
		e = f.carry(y, o.Horizon)
	} else {
		e = newEngine(y, f.Short, f.Long, o.Horizon)
		e.run()
		e.calibrate()
		e.combine(len(e.cuts)-1, len(y), f.Mean)
		best := slices.Min(e.scores)
		for i, m := range e.models {
			ratio := 1.0
			if best > 0 {
				ratio = e.scores[i] / best
			}
			f.Models = append(f.Models, ModelScore{m.name(), ratio, slices.Contains(e.chosen, i)})
		}
	}
	f.bound(e, o, unit)
	return f, nil
}

// carry is the forecast of what is constant or too short for a pool: the last
// value, with the changes of the history as errors.
func (f *Forecast) carry(y []float64, horizon int) *engine {
	last := y[len(y)-1]
	for h := range f.Mean {
		f.Mean[h] = last
	}
	e := &engine{y: y, short: 1, horizon: horizon, test: 1}
	for t := 1; t < len(y); t++ {
		e.windows = append(e.windows, window{origin: t, median: []float64{y[t-1]}})
	}
	f.Models = []ModelScore{{"level/last", 1, true}}
	return e
}

// bound adds intervals and day peaks, returns to the unit of the series and keeps
// everything inside what the history makes believable.
func (f *Forecast) bound(e *engine, o Options, unit float64) {
	m := e.errorsOf()
	floor, roof := f.limits(o)
	keep := func(v float64) float64 { return min(max(v*unit, floor), roof) }
	bounds := make([]func(int, float64) (float64, float64), len(o.Levels))
	for i, level := range o.Levels {
		bounds[i] = m.bounds(level)
		b := Band{Level: level, Low: make([]float64, o.Horizon), High: make([]float64, o.Horizon)}
		for h, v := range f.Mean {
			lo, hi := bounds[i](h, v)
			b.Low[h], b.High[h] = keep(lo), keep(hi)
		}
		f.Bands = append(f.Bands, b)
	}
	if f.hasDayPeaks() {
		f.PeakQ95 = make([]float64, o.Horizon)
		peak := e.peakQuantile(m, 0.95)
		for d := 0; d*f.Short < o.Horizon; d++ {
			end := min((d+1)*f.Short, o.Horizon)
			v := keep(peak(d, f.Mean[d*f.Short:end]))
			for h := d * f.Short; h < end; h++ {
				f.PeakQ95[h] = v
			}
		}
	}
	f.score(e, bounds, unit)
	for h, v := range f.Mean {
		f.Mean[h] = keep(v)
	}
}

// limits returns the least and the highest value a forecast may take: never
// negative where the history is not, and at most ten times its maximum.
func (f *Forecast) limits(o Options) (floor, roof float64) {
	reach := 9 * max(math.Abs(f.HistoryMin), math.Abs(f.HistoryMax))
	floor, roof = f.HistoryMin-reach, f.HistoryMax+reach
	if f.HistoryMin >= 0 {
		floor = 0
	}
	if o.Floor != nil {
		floor = *o.Floor
	}
	roof = min(roof, math.MaxFloat64)
	return max(floor, -math.MaxFloat64), max(roof, floor)
}

func (f *Forecast) hasDayPeaks() bool {
	if f.Series.Step > 0 {
		return f.Series.Step < oneDay && f.Short > 1
	}
	return f.Short >= 24
}

// score sums up the windows; bounds are the intervals by level.
func (f *Forecast) score(e *engine, bounds []func(h int, forecast float64) (lo, hi float64), unit float64) {
	s := Score{Windows: len(e.windows), Steps: e.test}
	inside := make([]float64, len(bounds))
	n := 0.0
	for _, w := range e.windows {
		for h, v := range w.median {
			gap := e.y[w.origin+h] - v
			s.MAE += math.Abs(gap)
			s.Bias += gap
			n++
			for i := range bounds {
				if lo, hi := bounds[i](h, v); v+gap >= lo && v+gap <= hi {
					inside[i]++
				}
			}
		}
	}
	step := max(e.short, 1)
	naive, count := 0.0, 0.0
	for t := step; t < len(e.y); t++ {
		naive += math.Abs(e.y[t] - e.y[t-step])
		count++
	}
	if n > 0 {
		s.MAE /= n
		s.Bias /= n
		if naive > 0 {
			s.MASE = s.MAE / (naive / count)
		}
		for _, c := range inside {
			s.Coverage = append(s.Coverage, c/n)
		}
	}
	s.MAE *= unit
	s.Bias *= unit
	f.Backtest = s
}

// givenSeasons reads the periods a user states: two, or one with nothing above.
func givenSeasons(periods []int) (short, long int) {
	short = 1
	if len(periods) > 0 {
		short = periods[0]
	}
	if len(periods) > 1 {
		long = periods[1]
	}
	if short == 52 || short == 53 { // the weekly pool knows the year
		return 1, 0
	}
	return short, long
}

func defaultHorizon(step time.Duration, short, long int) int {
	const week = 7 * oneDay
	switch {
	case step > 0 && step <= oneDay:
		return max(1, min(int(week/step), 2016))
	case step > 0:
		return 13
	case short > 1:
		return max(short, min(long, 168))
	}
	return 13
}

func trimLeading(v []float64) []float64 {
	for len(v) > 0 && math.IsNaN(v[0]) {
		v = v[1:]
	}
	return v
}

// fill returns values without gaps: short gaps lie on a line, longer ones repeat
// the season before, or after where there is none before.
func fill(values []float64, short, long int) []float64 {
	y := slices.Clone(values)
	n := len(y)
	for t := 0; t < n; t++ {
		if !math.IsNaN(y[t]) {
			continue
		}
		end := t
		for end < n && math.IsNaN(y[end]) {
			end++
		}
		switch season := seasonBefore(t, short, long); {
		case season > 0 && (end-t > short/8 || end == n):
			for i := t; i < end; i++ {
				y[i] = y[i-season]
			}
		case t == 0: // trimmed before; only an empty history comes here
			return y
		case end < n:
			for i := t; i < end; i++ {
				w := float64(i-t+1) / float64(end-t+1)
				y[i] = y[t-1]*(1-w) + y[end]*w
			}
		default:
			for i := t; i < end; i++ {
				y[i] = y[t-1]
			}
		}
		t = end
	}
	return y
}

func seasonBefore(t, short, long int) int {
	switch {
	case long > 0 && long <= 2016 && t >= long && long%7 == 0:
		return long
	case short > 1 && t >= short:
		return short
	}
	return 0
}
