// Package chart draws figures from numbers: a [Figure] or a [Heat] is described
// once and drawn as braille text, as plain ASCII text and as SVG; a [Grid] of
// character cells becomes terminal lines or a picture of them.
//
// The package decides scales, ticks and shapes and never colours of a
// terminal: text comes out as spans with a [Role]. It is pure and knows no
// domain type. Equal input gives equal bytes.
//
//	f := chart.Figure{
//		Title: "Response time against throughput",
//		X: chart.Axis{Label: "throughput", Unit: "req/s"},
//		Y: chart.Axis{Label: "p99", Unit: "s"},
//		Series: []chart.Series{{Name: "measured", X: rates, Y: p99}},
//		Rules:  []chart.Rule{{Name: "objective", Value: 0.05}},
//		Marks:  []chart.Mark{{Name: "knee", X: 671, Low: 655, High: 689}},
//	}
//	g := chart.NewGrid(60, 12)
//	f.Draw(g, 0, 0, 60, 12, false)
//	os.Stdout.WriteString(g.String())
package chart

import (
	"math"
	"strconv"
	"strings"
)

// A Figure is a plot of series, bands, rules and marks over two axes.
type Figure struct {
	Title  string // one line; also the title for people who cannot see it
	About  string // what the figure shows, in a sentence or two
	X, Y   Axis
	Bands  []Interval
	Series []Series
	Rules  []Rule
	Marks  []Mark
}

// An Axis scales one direction. Without Min and Max (both zero) its range
// follows from what is drawn, with 0 included where that costs less than half
// of the range.
type Axis struct {
	Label    string
	Unit     string // "s", "req/s", "B", "ratio" (0..1, drawn in %), or any word
	Log      bool   // logarithmic; values <= 0 are not drawn
	Min, Max float64
	Gutter   int // of a vertical axis in text: least columns for its labels, so that pictures one above the other line up
}

// A Style says how the values of a series are connected.
type Style uint8

// The styles of a series.
const (
	Line    Style = iota // straight lines between neighbours
	Step                 // each value holds until the next
	Scatter              // single points
)

// A Series is a row of points. A NaN in X or Y interrupts its line.
type Series struct {
	Name  string
	Style Style
	Role  Role // Plain means Data
	X, Y  []float64
}

// An Interval is a band between two curves over X, such as a forecast's.
type Interval struct {
	Name         string
	X, Low, High []float64
}

// Legend says in one line how a text figure shows each series and band, which
// have no colour there.
func (f Figure) Legend() string {
	shapes := []string{"line", "stairs", "points", "shade"}
	names := map[string][]string{}
	for _, s := range f.Series {
		shape := shapes[s.Style]
		names[shape] = append(names[shape], s.Name)
	}
	for _, b := range f.Bands {
		names["shade"] = append(names["shade"], b.Name)
	}
	var parts []string
	for _, shape := range shapes {
		if len(names[shape]) > 0 {
			parts = append(parts, shape+": "+strings.Join(names[shape], ", "))
		}
	}
	return strings.Join(parts, "; ")
}

// A Rule is a line across the figure at one value of Y, or of X when Vertical.
type Rule struct {
	Name     string
	Value    float64
	Vertical bool
}

// A Mark is a value of X that matters, with its interval. Low and High are
// equal to X when there is none; Y is where the mark lies, NaN for no point.
type Mark struct {
	Name         string
	X, Low, High float64
	Y            float64
}

// scale maps values of an axis to 0..1.
type scale struct {
	min, max float64
	log      bool
	ticks    []tick
	unit     string // as printed beside the label
}

type tick struct {
	at   float64 // 0..1
	text string
}

func (s scale) at(v float64) float64 {
	if s.log {
		if v <= 0 {
			return math.NaN()
		}
		return (math.Log(v) - math.Log(s.min)) / (math.Log(s.max) - math.Log(s.min))
	}
	return (v - s.min) / (s.max - s.min)
}

// span collects the range of values an axis must show.
type span struct{ min, max float64 }

func (r *span) add(log bool, vs ...float64) {
	for _, v := range vs {
		if math.IsNaN(v) || math.IsInf(v, 0) || log && v <= 0 {
			continue
		}
		r.min, r.max = math.Min(r.min, v), math.Max(r.max, v)
	}
}

// scales returns the two scales of the figure with at most nx and ny ticks.
func (f Figure) scales(nx, ny int) (x, y scale) {
	rx, ry := span{math.Inf(1), math.Inf(-1)}, span{math.Inf(1), math.Inf(-1)}
	for _, s := range f.Series {
		rx.add(f.X.Log, s.X...)
		ry.add(f.Y.Log, s.Y...)
	}
	for _, b := range f.Bands {
		rx.add(f.X.Log, b.X...)
		ry.add(f.Y.Log, b.Low...)
		ry.add(f.Y.Log, b.High...)
	}
	for _, r := range f.Rules {
		if r.Vertical {
			rx.add(f.X.Log, r.Value)
		} else {
			ry.add(f.Y.Log, r.Value)
		}
	}
	for _, m := range f.Marks {
		rx.add(f.X.Log, m.X, m.Low, m.High)
		ry.add(f.Y.Log, m.Y)
	}
	return f.X.scale(rx, nx), f.Y.scale(ry, ny)
}

func (a Axis) scale(r span, n int) scale {
	lo, hi := r.min, r.max
	fixed := a.Max > a.Min
	if fixed {
		lo, hi = a.Min, a.Max
	}
	if lo > hi { // nothing to draw
		lo, hi = 0, 1
		if a.Log {
			lo = 0.1
		}
	}
	factor, unit := unitFactor(a.Unit, math.Max(math.Abs(lo), math.Abs(hi)))
	text := number
	if a.counts() && a.Log {
		factor, unit, text = 1, a.Unit, func(v, _ float64) string { return short(v) }
	}
	s := scale{log: a.Log, unit: unit}
	if a.Log {
		s.min, s.max = lo, hi
		if !fixed {
			s.min, s.max = logFloor(lo/factor)*factor, logCeil(hi/factor)*factor
		}
		if s.max <= s.min {
			s.max = 10 * s.min
		}
		for _, v := range logTicks(s.min/factor, s.max/factor, n) {
			s.ticks = append(s.ticks, tick{s.at(v * factor), text(v, v)})
		}
		return s
	}
	if !fixed {
		if lo > 0 && lo < (hi-lo) {
			lo = 0
		}
		if hi < 0 && -hi < (hi-lo) {
			hi = 0
		}
	}
	if hi == lo {
		pad := math.Max(math.Abs(hi)*0.1, factor)
		if fixed {
			pad = 1
		}
		lo, hi = lo-pad, hi+pad
		if r.min >= 0 {
			lo = math.Max(lo, 0)
		}
	}
	step := niceStep((hi-lo)/factor, n)
	s.min, s.max = lo, hi
	if !fixed {
		s.min, s.max = math.Floor(lo/factor/step+1e-9)*step*factor, math.Ceil(hi/factor/step-1e-9)*step*factor
	}
	first := math.Ceil(s.min/factor/step - 1e-9)
	for i := 0.0; ; i++ {
		v := (first + i) * step
		if v > s.max/factor+step*1e-9 {
			break
		}
		s.ticks = append(s.ticks, tick{s.at(v * factor), number(v, step)})
	}
	return s
}

// unitFactor returns what values are divided by before they are printed, and
// the unit that is printed then, so that the largest has few digits.
func unitFactor(unit string, largest float64) (float64, string) {
	switch unit {
	case "s":
		switch {
		case largest < 1e-3:
			return 1e-6, "µs"
		case largest < 1:
			return 1e-3, "ms"
		case largest > 3*86400:
			return 86400, "d"
		case largest > 3*3600:
			return 3600, "h"
		}
	case "ratio":
		return 0.01, "%"
	case "B":
		for i, u := range []string{"TiB", "GiB", "MiB", "KiB"} {
			if f := math.Pow(1024, float64(4-i)); largest >= f {
				return f, u
			}
		}
	default:
		switch {
		case largest >= 1e7:
			return 1e6, "M " + unit
		case largest >= 2e4:
			return 1e3, "k " + unit
		}
	}
	return 1, unit
}

// counts says whether the axis is of things that are counted.
func (a Axis) counts() bool { return a.Unit != "s" && a.Unit != "ratio" && a.Unit != "B" }

// short writes a value of a logarithmic axis, whose decades have no factor that
// suits them all: 10, 1k, 5M.
func short(v float64) string {
	for _, x := range []struct {
		factor float64
		sign   string
	}{{1e6, "M"}, {1e3, "k"}} {
		if v >= x.factor {
			return number(v/x.factor, v/x.factor) + x.sign
		}
	}
	return number(v, v)
}

// niceStep returns the smallest step of 1, 2, 2.5 or 5 times a power of ten
// that divides width into at most n parts.
func niceStep(width float64, n int) float64 {
	raw := width / float64(max(n, 1))
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 2.5, 5, 10} {
		if m*power >= raw*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// logFloor and logCeil round to the next 1, 2 or 5 times a power of ten.
func logFloor(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{5, 2} {
		if m*power <= v*(1+1e-9) {
			return m * power
		}
	}
	return power
}

func logCeil(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= v*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// logTicks returns ticks within [lo, hi]: 1, 2 and 5 of each decade when they
// are at most n, else powers of ten, spread so that they are at most n.
func logTicks(lo, hi float64, n int) []float64 {
	first, last := int(math.Floor(math.Log10(lo))), int(math.Ceil(math.Log10(hi)))
	pick := func(mantissas []float64, every int) []float64 {
		var out []float64
		for e := first; e <= last; e += every {
			for _, m := range mantissas {
				if v := m * math.Pow(10, float64(e)); v >= lo*(1-1e-9) && v <= hi*(1+1e-9) {
					out = append(out, v)
				}
			}
		}
		return out
	}
	for _, m := range [][]float64{{1, 2, 5}, {1, 3}} {
		if t := pick(m, 1); len(t) <= n {
			return t
		}
	}
	for every := 1; ; every++ {
		if t := pick([]float64{1}, every); len(t) <= max(n, 1) {
			return t
		}
	}
}

// number writes v with the digits that steps of the size step need.
func number(v, step float64) string {
	digits := 0
	if step > 0 {
		for s := step; digits < 12 && math.Abs(s-math.Round(s)) > 1e-6*math.Abs(s); digits++ {
			s *= 10
		}
	}
	if v == 0 {
		v = 0 // no minus sign
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}

// caption is the label of an axis with its unit.
func (s scale) caption(a Axis) string {
	switch {
	case s.unit == "" || s.unit == "ratio":
		return a.Label
	case a.Label == "":
		return s.unit
	}
	return a.Label + ", " + s.unit
}
