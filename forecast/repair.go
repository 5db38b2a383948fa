package forecast

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/wxops/wxops/capacity"
)

// maxGrid is the longest history in steps: 20 years of minutes.
const maxGrid = 12_000_000

// sparseGrid is the length from which a history must have a value in one step of
// 100: two stray stamps shall not cost a grid of millions.
const sparseGrid = 100_000

// A history is one series on its way from points to a grid.
type history struct {
	options  ReadOptions
	local    bool // stamps of the input are of options.Zone
	name     string
	clock    bool // at are times
	at       []int64
	value    []float64
	missing  hits // values
	wall     wall // that at are readings of
	warnings []Warning
}

// warn says what was repaired, how often, and where first.
func (h *history) warn(kind string, n int, format string, args ...any) {
	h.warnings = append(h.warnings, Warning{Series: h.name, Kind: kind, Text: fmt.Sprintf(format, args...), Count: n})
}

// when names a stamp as the input did.
func (h *history) when(at int64) string {
	if !h.clock {
		return strconv.FormatInt(at, 10)
	}
	return h.wall.instant(at).Format(time.RFC3339)
}

// where says at which stamp hits begin: at the only one, or first at one of more.
func (h *history) where(met hits) string {
	if met.n == 1 {
		return "at " + h.when(met.first)
	}
	return "first at " + h.when(met.first)
}

// even puts the points of one series on a grid; h.warnings say what it repaired.
// It takes the values of p.
func (h *history) even(name string, p *points) (Series, error) {
	*h = history{options: h.options, local: h.local, name: name, clock: p.clock, at: p.at(h.at), value: p.value}
	if p.bad.n > 0 && p.bad.n*20 > len(h.at) {
		return Series{}, fmt.Errorf("%d of %s cannot be read, the first has %s", p.bad.n, count(p.bad.n+len(h.at), "row"), p.bad.first)
	}
	if p.clock && p.index {
		return Series{}, errors.New("some stamps are times and some are indexes")
	}
	h.countMissing()
	switch len(h.at) {
	case 0:
		return Series{}, errors.New("no values")
	case h.missing.n:
		return Series{}, errors.New("all values are missing")
	}
	h.tellReading(p)
	h.sort()
	if h.options.Counter {
		h.rate()
	} else if resets, ok := h.countsUp(); ok {
		h.warn("counter", 0, "values only go up, but for %s to nearly zero, as those of a counter do; --counter takes their rate", count(resets, "fall"))
	}
	h.countMissing()
	if h.missing.n == len(h.at) {
		return Series{}, errors.New("no two values to take a rate between")
	}
	if m := h.missing; m.n > 0 {
		h.warn("blank", m.n, "%d of %d values are missing, %s; filled from the season before", m.n, len(h.at), h.where(m))
	}
	step := h.step()
	h.followClocks(step)
	s := Series{Name: name, Zone: h.wall.zone}
	if p.clock {
		s.Step = time.Duration(step)
	}
	first, last := h.at[0], h.at[len(h.at)-1]
	switch n := (last-first)/max(step, 1) + 1; {
	case step <= 0 || n > maxGrid:
		return Series{}, fmt.Errorf("%d points span %d steps, more than %d", len(h.at), n, maxGrid)
	case n > sparseGrid && n > 100*int64(len(h.at)):
		return Series{}, fmt.Errorf("%d points span %d steps of %s: fewer than one step in 100 has a value", len(h.at), n, h.span(step))
	}
	s = h.grid(s, step)
	s.oddities(h.warn)
	return s, nil
}

// tellReading warns of what was odd about the rows themselves.
func (h *history) tellReading(p *points) {
	if p.bad.n > 0 {
		h.warn("row", p.bad.n, "%s", p.bad)
	}
	if p.units > 0 {
		h.warn("unit", p.units, "%s with a unit, counted in %s", count(p.units, "value"), unitName(p.unit))
		if p.unit != "" && p.plain > 0 {
			h.warn("unit", p.plain, "%s without a unit, taken for %s too", count(p.plain, "value"), unitName(p.unit))
		}
	}
	if p.grouped != "" {
		h.warn("unit", 0, "values are written for people: %s is taken for %s", p.grouped, strconv.FormatFloat(p.taken, 'f', -1, 64))
	}
	if t := p.twice; t.n > 0 {
		h.warn("zone", t.n, "%s in the hour that clocks of %s show twice, %s; taken in the order of the rows", count(t.n, "stamp"), h.options.Zone, h.where(t))
	}
	if t := p.skipped; t.n > 0 {
		h.warn("zone", t.n, "%s in the hour that clocks of %s skip, %s; taken an hour on", count(t.n, "stamp"), h.options.Zone, h.where(t))
	}
}

// countMissing counts the values that are not there.
func (h *history) countMissing() {
	h.missing = hits{}
	for i, v := range h.value {
		if math.IsNaN(v) {
			h.missing.add(h.at[i])
		}
	}
}

// sort orders the points by time and keeps the last of equal stamps.
func (h *history) sort() {
	var back hits
	for i := 1; i < len(h.at); i++ {
		if h.at[i] < h.at[i-1] {
			back.add(h.at[i])
		}
	}
	switch back.n {
	case 0:
	case len(h.at) - 1:
		h.warn("order", back.n, "the newest comes first; turned round")
		slices.Reverse(h.at)
		slices.Reverse(h.value)
	default:
		h.warn("order", back.n, "stamps go back %s, %s; sorted", count(back.n, "time"), h.where(back))
		sort.Stable(h)
	}
	n := 0
	var twice, differing hits
	for i := range h.at {
		if n > 0 && h.at[n-1] == h.at[i] {
			twice.add(h.at[i])
			before, v := h.value[n-1], h.value[i]
			if before != v && !math.IsNaN(before) && !math.IsNaN(v) {
				differing.add(h.at[i])
			}
			if !math.IsNaN(v) {
				h.value[n-1] = v
			}
			continue
		}
		h.at[n], h.value[n] = h.at[i], h.value[i]
		n++
	}
	h.at, h.value = h.at[:n], h.value[:n]
	switch {
	case differing.n > 0:
		h.warn("duplicate", twice.n, "%s more than once, %d with another value, %s; the last value counts", comes(twice.n), differing.n, h.where(differing))
	case twice.n > 0:
		h.warn("duplicate", twice.n, "%s more than once with the same value, %s", comes(twice.n), h.where(twice))
	}
}

func comes(n int) string {
	if n == 1 {
		return "1 stamp comes"
	}
	return strconv.Itoa(n) + " stamps come"
}

func (h *history) Len() int           { return len(h.at) }
func (h *history) Less(i, j int) bool { return h.at[i] < h.at[j] }
func (h *history) Swap(i, j int) {
	h.at[i], h.at[j] = h.at[j], h.at[i]
	h.value[i], h.value[j] = h.value[j], h.value[i]
}

// countsUp reports whether the values look like those of a counter that was left
// as it is: they rise or stay, but for a few falls below a tenth. What only rises
// may be a disk that fills.
func (h *history) countsUp() (resets int, ok bool) {
	before, rises, n := math.NaN(), 0, 0
	for _, v := range h.value {
		switch {
		case math.IsNaN(v):
			continue
		case v > before:
			rises++
		case v < 0 || v < before && 10*v > before:
			return 0, false
		case v < before:
			resets++
		}
		before = v
		n++
	}
	return resets, resets > 0 && 50*resets < n && 2*rises > n
}

// rate turns a counter into its increase per second; a fall is a reset, after
// which the counter began again from zero. Indexes count as seconds.
func (h *history) rate() {
	var resets hits
	last := -1
	for i := range h.at {
		if math.IsNaN(h.value[i]) {
			continue
		}
		if last >= 0 {
			rise := h.value[i] - h.value[last]
			if rise < 0 {
				resets.add(h.at[i])
				rise = h.value[i]
			}
			seconds := float64(h.at[i] - h.at[last])
			if h.clock {
				seconds /= 1e9
			}
			h.value[last] = finiteOrNaN(rise / seconds) // the rate over the span belongs to its beginning
		}
		last = i
	}
	if last >= 0 {
		h.at, h.value = h.at[:last], h.value[:last]
	}
	if resets.n > 0 {
		doubt := ""
		if resets.n > 2 && 20*resets.n > len(h.at) { // services are not restarted that often
			doubt = ": is it a counter?"
		}
		h.warn("reset", resets.n, "the counter went back to zero %s, %s; the rate goes on from there%s", count(resets.n, "time"), h.where(resets), doubt)
	}
}

// step returns the spacing of the points: the one that three and more neighbours
// in a row keep for most of the time, or the one most neighbours have where no
// spacing is kept for half of the time.
func (h *history) step() int64 {
	if h.options.Step > 0 && h.clock {
		return int64(h.options.Step)
	}
	if len(h.at) < 2 {
		return 1
	}
	number, kept := map[int64]int{}, map[int64]int64{}
	last, run := int64(0), 0
	end := func() {
		number[last] += run
		if run >= 3 {
			kept[last] += int64(run) * last
		}
	}
	for i := 1; i < len(h.at); i++ {
		gap := h.at[i] - h.at[i-1]
		if h.clock { // scrapes are a few milliseconds late
			if r := (gap + 5e8) / 1e9 * 1e9; r > 0 {
				gap = wholeDays(r)
			}
		}
		if gap != last && run > 0 {
			end()
			run = 0
		}
		last = gap
		run++
	}
	end()
	best := most(number)
	if longest := most(kept); kept[longest] > (h.at[len(h.at)-1]-h.at[0])/2 {
		best = longest
	} else if h.clock && 2*number[best] < len(h.at)-1 {
		best = usual(best, h.at)
	}
	if months := monthsBetween(best, number); h.clock && months > 0 {
		return int64(months) * int64(meanMonth)
	}
	return best
}

// wholeDays is a gap without the hour, or half of one, by which a change of clocks
// makes days longer or shorter.
func wholeDays(gap int64) int64 {
	days := (gap + int64(oneDay/2)) / int64(oneDay) * int64(oneDay)
	if off := time.Duration(gap - days).Abs(); days > 0 && (off == time.Hour || off == time.Hour/2) {
		return days
	}
	return gap
}

// monthsBetween is how many months a gap has, 0 for none: a month has 28 to 31
// days, and gaps that are all of four weeks are weeks.
func monthsBetween(gap int64, number map[int64]int) int {
	for _, months := range []int{1, 2, 3, 4, 6, 12} {
		whole := int64(months) * int64(meanMonth)
		if off := gap - whole; off < -int64(62*time.Hour) || off > int64(62*time.Hour) {
			continue
		}
		if gap == 4*7*int64(oneDay) && len(number) == 1 {
			return 0
		}
		return months
	}
	return 0
}

// followClocks makes at the readings of a wall where steps of whole days or months
// go by the clocks of a zone.
func (h *history) followClocks(step int64) {
	if !h.clock || step < int64(oneDay) {
		return
	}
	months := monthsOf(time.Duration(step)) > 0
	if !months && step%int64(oneDay) != 0 {
		return
	}
	guessed := false
	if finer := h.finerThan(step); finer && h.options.Zone != time.UTC {
		h.wall = wall{zone: h.options.Zone}
	} else if !finer {
		h.wall, guessed = follow(h.at, h.options.Zone, h.local)
	}
	if guessed {
		h.warn("zone", 0, "steps begin earlier and later in UTC as the clocks of %s change, and go on by them; --zone names another", h.wall.zone)
	}
	h.wall.months = months
	for i, at := range h.at {
		h.at[i] = h.wall.reading(at)
		if i > 0 { // an hour that the wall shows twice
			h.at[i] = max(h.at[i], h.at[i-1])
		}
	}
}

// usualSteps are the ones that metric stores and people choose.
var usualSteps = []time.Duration{
	time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 20 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 3 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 20 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 4 * time.Hour, 6 * time.Hour, 8 * time.Hour, 12 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour,
}

// usual is the step of stamps that come early and late, so that no gap is that of
// most: the usual one that the middle of the gaps is within a twentieth of, or
// else the given one.
func usual(step int64, at []int64) int64 {
	gaps := make([]float64, len(at)-1)
	for i := range gaps {
		gaps[i] = float64(at[i+1] - at[i])
	}
	middle := capacity.Nth(gaps, len(gaps)/2)
	for _, u := range usualSteps {
		if math.Abs(middle-float64(u)) <= float64(u)/20 {
			return int64(u)
		}
	}
	return step
}

// most returns the key with the highest value, the least of several; 1 of none.
func most[N int | int64](m map[int64]N) int64 {
	best, highest := int64(1), N(0)
	for k, n := range m {
		if n > highest || n == highest && k < best {
			best, highest = k, n
		}
	}
	return best
}

// grid averages the points that fall into one step and leaves NaN where none does.
func (h *history) grid(s Series, step int64) Series {
	first := h.begin(step)
	early := h.early(step)
	first += (h.at[0] - first + early) / step * step // the first value may be early too
	if h.clock {
		s.Start = h.wall.instant(first)
	} else {
		s.First = int(first)
	}
	place := func(at int64) int { return int((at - first + early) / step) }
	n := place(h.at[len(h.at)-1]) + 1
	s.Values = make([]float64, n)
	last, inStep, before := -1, 0, 0 // the step of the last value, its values, and those of the step before
	var head [2]int                  // values of the first two steps
	var off, shared, gaps hits
	longest, longestAt := 0, 0
	gap := func(from, until int) {
		for k := from; k < until; k++ {
			s.Values[k] = math.NaN()
			gaps.add(first + int64(k)*step)
		}
		if until-from > longest {
			longest, longestAt = until-from, from
		}
	}
	mean := func() {
		if last >= 0 {
			s.Values[last] = finiteOrNaN(s.Values[last] / float64(inStep))
		}
	}
	slack := int64(0)
	if h.wall.months { // the last day of a month is its 28th to 31st
		slack = step / 10
	}
	for i, at := range h.at {
		if past := mod(at-first, step); min(past, step-past) > slack {
			off.add(at)
		}
		if math.IsNaN(h.value[i]) {
			continue
		}
		k := place(at)
		if k == last {
			shared.add(at)
		} else {
			mean()
			gap(last+1, k)
			last, before, inStep = k, inStep, 0
		}
		s.Values[k] += h.value[i]
		inStep++
		if k < len(head) {
			head[k]++
		}
	}
	mean()
	gap(last+1, n)
	switch {
	case shared.n > 0:
		h.warn("step", shared.n, "%s in a step of %s with another, %s; their mean counts", count(shared.n, "point"), h.span(step), h.where(shared))
		if n > 2 && last == n-1 && inStep*2 <= before {
			h.warn("partial", 1, "the last step, at %s, has %s where the one before has %d; left out", h.when(first+int64(last)*step), count(inStep, "point"), before)
			s.Values = s.Values[:n-1]
		}
		if n > 2 && h.clock && step >= int64(oneDay) && head[0]*2 <= head[1] {
			h.warn("partial", 1, "the first step, at %s, has %s where the next one has %d; left out", h.when(first), count(head[0], "point"), head[1])
			s.Start, s.Values = s.At(1), s.Values[1:]
		}
	case off.n > len(h.at)/20:
		h.warn("step", off.n, "%s off the grid of %s, %s; each counts for its step", count(off.n, "point"), h.span(step), h.where(off))
	}
	if lacking := gaps.n - h.missing.n; lacking > 0 {
		h.warn("gap", lacking, "%d of %d steps of %s have no value, the longest run is %d from %s; filled from the season before", lacking, n, h.span(step), longest, h.when(first+int64(longestAt)*step))
	}
	return s
}

// begin is where the first step begins: shorter ones than a day at a multiple of
// the step, or at the remainder that most stamps leave on it; longer ones where the
// first value is, but those of finer points at midnight, and weeks on a Monday.
func (h *history) begin(step int64) int64 {
	first := h.at[0]
	switch {
	case !h.clock:
		return first
	case step < int64(oneDay):
		return first - mod(first-h.phase(step), step)
	case !h.finerThan(step):
		return first
	case step%int64(7*oneDay) == 0:
		const monday = int64(4 * oneDay) // 5 January 1970
		return first - mod(first-monday, int64(7*oneDay))
	default:
		return first - mod(first, int64(oneDay))
	}
}

// early is by how much a point may come before its step: a quarter of it, and
// nothing where points are finer than steps.
func (h *history) early(step int64) int64 {
	if h.finerThan(step) {
		return 0
	}
	return step / 4
}

// finerThan reports whether points are closer than half a step.
func (h *history) finerThan(step int64) bool {
	finer := 0
	for i := 1; i < len(h.at); i++ {
		if h.at[i]-h.at[i-1] < step/2 {
			finer++
		}
	}
	return finer > len(h.at)/20
}

// phase returns the remainder that most stamps leave on the step; none where
// they leave many and are around a multiple of it.
func (h *history) phase(step int64) int64 {
	number, around := map[int64]int{}, 0
	last, run := mod(h.at[0], step), 0
	for _, at := range h.at {
		r := mod(at, step)
		if min(r, step-r) <= step/20 {
			around++
		}
		if r != last {
			number[last] += run
			last, run = r, 0
		}
		run++
	}
	number[last] += run
	best := most(number)
	if 2*number[best] < len(h.at) && 10*around >= 9*len(h.at) {
		return 0
	}
	return best
}

func mod(a, b int64) int64 { return ((a % b) + b) % b }

// span writes a step of the grid.
func (h *history) span(step int64) string {
	if !h.clock {
		return strconv.FormatInt(step, 10)
	}
	switch months := monthsOf(time.Duration(step)); months {
	case 0:
		return spanText(time.Duration(step))
	case 1:
		return "a month"
	default:
		return fmt.Sprintf("%d months", months)
	}
}

// spanText writes a span without units that are 0: 2h, not 2h0m0s.
func spanText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// farText writes a span that need not be exact: in days where it has several.
func farText(d time.Duration) string {
	if d < 3*oneDay {
		return spanText(d)
	}
	return fmt.Sprintf("%.0f days", d.Hours()/24)
}

func finiteOrNaN(v float64) float64 {
	if math.IsInf(v, 0) {
		return math.NaN()
	}
	return v
}
