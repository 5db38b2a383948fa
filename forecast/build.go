package forecast

import (
	"fmt"
	"math"
	"slices"
)

// builder adds models in one scale to the pool of an engine.
type builder struct {
	e     *engine
	scale scale
	main  bool      // log, or level where there is no log
	x     []float64 // the history in the scale
	tag   string
	bases map[baseKey]*baseline
	clip  float64 // of the profiles
}

// Profiles are cut off at so many mean distances. Of 1 to 5, 1.5 and 2 are best;
// days of a week are few, and one odd one tells more in their profile.
const (
	clipHours = 2
	clipDays  = 1.5
)

type baseKey struct {
	period int
	rate   float64
}

// build makes the pool: which models stand in it depends on the seasonal
// periods and the length of the history alone.
func (e *engine) build() {
	if e.short >= fineDay && e.short%24 == 0 {
		e.addCoarse(e.short / 24)
	}
	scales := scalesFor(e.y)
	for i, sc := range scales {
		b := &builder{e: e, scale: sc, x: sc.forward(e.y), tag: "level", main: i == len(scales)-1, bases: map[baseKey]*baseline{}, clip: clipHours}
		if sc.log {
			b.tag = "log"
		}
		switch {
		case e.short >= fineDay:
			if b.main { // a median is the same in both scales
				b.flat()
				b.fine()
			}
		case e.short == 7:
			b.clip = clipDays
			b.flat()
			b.daily()
		case e.short > 1:
			b.hourly()
		default:
			b.flat()
			b.weekly()
		}
	}
}

// fineDay is the number of steps of a season from which it is forecast in
// buckets of a 24th as well.
const fineDay = 48

// scalesFor returns the scales a history may be modelled in: level always, log
// for what is nowhere negative.
func scalesFor(y []float64) []scale {
	scales := []scale{{}}
	low, high := slices.Min(y), slices.Max(y)
	if low < 0 || high <= 0 {
		return scales
	}
	sc := scale{log: true}
	if m := median(y); low < 0.01*m || low <= 0 {
		sc.shift = max(0.1*m, 1e-3*high) // zeros would be far below everything else
	}
	return append(scales, sc)
}

// first is the shortest prefix that models are chosen on.
func (b *builder) first() int { return b.e.cuts[b.e.older] }

func (b *builder) base(period int, rate float64) *baseline {
	k := baseKey{period, rate}
	if b.bases[k] == nil {
		b.bases[k] = newBaseline(b.scale, b.x, period, rate, b.clip)
	}
	return b.bases[k]
}

// add puts a model into the pool that is fitted on prefixes from need on, two
// cycles of its profile: less only where the choice itself has less.
func (b *builder) add(m model, need int) {
	b.e.models = append(b.e.models, m)
	b.e.needs = append(b.e.needs, min(need, b.first()))
}

// half returns the weight ratio of neighbouring rows whose weight halves in so
// many steps.
func half(steps float64) float64 { return math.Exp2(-1 / steps) }

// usable returns the lags that leave two rows for each row they take, ascending
// and once each.
func (b *builder) usable(period int, lags []int) []int {
	limit := (b.first() - period) / 2
	var out []int
	for _, l := range lags {
		if l > 0 && l <= limit && !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	slices.Sort(out)
	return out
}

// ar adds autoregressions, one for each set of lags, on the history less its
// profile (period 0: none).
func (b *builder) ar(label string, period int, rate, decay float64, sets ...[]int) {
	var union []int
	usable := make([][]int, len(sets))
	for i := range sets {
		usable[i] = b.usable(period, sets[i])
		union = b.usable(period, append(union, usable[i]...))
	}
	if len(union) == 0 {
		return
	}
	need := max(2*period+4, period+2*union[len(union)-1])
	base := b.base(period, rate)
	cuts := make([]int, len(b.e.cuts))
	for i, c := range b.e.cuts {
		cuts[i] = max(c-base.first, 0)
	}
	g := newGram(base.z[base.first:], union, cuts, decay)
	for i, set := range usable {
		if len(set) == 0 {
			continue
		}
		columns := make([]int, len(set))
		for j, l := range set {
			columns[j] = slices.Index(union, l)
		}
		name := b.tag + "/" + label
		if len(sets) > 1 {
			name = fmt.Sprintf("%s#%d", name, i+1)
		}
		b.add(&regression{label: name, base: base, gram: g, columns: columns, fits: make([]*linear, len(cuts))}, need)
	}
}

// repeat adds the profile itself: rate 1 is the seasonal naive forecast.
func (b *builder) repeat(label string, period int, rate float64) {
	if need := period + 1; period > 0 && b.first() >= need {
		b.add(&seasonal{b.tag + "/" + label, b.base(period, rate)}, need)
	}
}

// smooth adds exponential smoothing over the profile.
func (b *builder) smooth(label string, period int, rate, damping float64) {
	need, n := 2*period+3, len(b.e.cuts)
	if b.first() < need {
		return
	}
	b.add(&smoothing{
		label: b.tag + "/" + label, base: b.base(period, rate), damping: damping, cuts: b.e.cuts,
		levels: make([][]float64, n), slopes: make([][]float64, n),
	}, need)
}

// hold adds the profile moved by its latest gap.
func (b *builder) hold(label string, period int, rate float64, window int, fade float64) {
	if need := max(period+window, 2*period) + 1; b.first() > period+window {
		b.add(&held{b.tag + "/" + label, b.base(period, rate), window, fade}, need)
	}
}

// hourly is the pool for a day of 2 to 47 steps, with a week on top where the
// history shows it. What errs in proportion errs alike in level and log, and a
// model twice in the pool has two votes: level has four of them.
func (b *builder) hourly() {
	day, week := b.e.short, b.e.long
	near := []int{1, 2, 3, day - 1, day, day + 1}
	month := half(4 * float64(max(day, week)))
	if week > 0 {
		b.ar("week-0.15+ar", week, 0.15, month, near)
		b.hold("week-0.3+day-slow", week, 0.3, day, 0.99)
	}
	b.smooth("day-1+level", day, 1, 0)
	if !b.main {
		b.ar("day-1+ar", day, 1, month, append(near, week))
		return
	}
	if week > 0 {
		b.ar("week-0.3+ar", week, 0.3, month, near)
		b.ar("week-1+ar", week, 1, month, near)
		b.repeat("week-0.15", week, 0.15)
		b.repeat("week-0.5", week, 0.5)
	}
	b.ar("ar", 0, 0, month, append(near, 2*day, week-1, week, week+1))
	b.smooth("level", 0, 0, 0)
	b.smooth("day-0.3+level", day, 0.3, 0)
	b.hold("day-0.1+day", day, 0.1, day, 0.99)
}

// flat adds the models without a season.
func (b *builder) flat() {
	b.repeat("last", 1, 1)
	b.smooth("level", 0, 0, 0)
}

// fine is the pool for a day of 48 steps and more, beside its buckets.
func (b *builder) fine() {
	day, week := b.e.short, b.e.long
	b.repeat("day-naive", day, 1)
	b.repeat("day-0.2", day, 0.2)
	b.smooth("day-0.2+level", day, 0.2, 0)
	b.smooth("day-1+level", day, 1, 0)
	b.hold("median-quarter", 0, 0, day/4, 1)
	b.hold("median-day", 0, 0, day, 1)
	b.hold("median-week", 0, 0, 7*day, 1)
	if week > 0 {
		b.repeat("week-naive", week, 1)
		b.repeat("week-0.4", week, 0.4)
	}
}

// daily is the pool for a week of 7 days; with two years of history the same
// weekday of the year before counts too.
func (b *builder) daily() {
	near := []int{1, 2, 3}
	far := []int{1, 2, 3, 6, 7, 8, 14, 21, 28, 364, 365, 371}
	for _, rate := range []float64{0.05, 0.1, 1} {
		tag := fmt.Sprintf("week-%g", rate)
		b.ar(tag+"+ar", 7, rate, 1, near, far)
		b.smooth(tag+"+level", 7, rate, 0)
		b.hold(tag+"+week", 7, rate, 7, 1)
		b.hold(tag+"+fading", 7, rate, 14, 0.97)
		b.repeat(tag, 7, rate)
	}
	if len(b.e.y) > 2*365 {
		b.repeat("year-naive", 364, 1)
		b.smooth("year-1+level", 364, 1, 0)
		b.hold("year-1+month", 364, 1, 28, 1)
		b.hold("year-0.5+month", 364, 0.5, 28, 1)
		b.hold("year-1+fading", 364, 1, 7, 0.98)
	}
}

// weekly is the pool for weeks, and for any history without a season: a year
// of 52 steps is tried where the history is long enough.
func (b *builder) weekly() {
	near := []int{1, 2, 3, 4}
	year := []int{1, 2, 3, 4, 52, 53}
	wide := []int{1, 2, 3, 4, 5, 6, 8, 13, 26, 51, 52, 53, 104}
	for _, steps := range []float64{50, math.Inf(1)} {
		decay, tag := half(steps), fmt.Sprintf("-%g", steps)
		b.ar("ar"+tag, 0, 0, decay, near, year, wide)
		b.ar("change"+tag, 1, 1, decay, []int{1, 2, 3, 51, 52, 53}, wide)
		b.ar("year-1+ar"+tag, 52, 1, decay, year[:5])
		b.ar("year-0.3+ar"+tag, 52, 0.3, decay, year[:5])
	}
	b.smooth("year-1+level", 52, 1, 0)
	b.smooth("year-0.3+level", 52, 0.3, 0)
	b.smooth("damped-0.9", 0, 0, 0.9)
	b.smooth("damped-0.98", 0, 0, 0.98)
}
