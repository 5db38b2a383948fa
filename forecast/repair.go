package forecast

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"time"
)

// maxGrid is the longest history in steps: 20 years of minutes.
const maxGrid = 12_000_000

// sparseGrid is the length from which a history must have a value in one step of
// 100: two stray stamps shall not cost a grid of millions.
const sparseGrid = 100_000

// even puts the points of one series on a grid and says what it repaired.
func (p *points) even(name string, o ReadOptions) (Series, []Warning, error) {
	var warnings []Warning
	warn := func(kind, format string, args ...any) {
		warnings = append(warnings, Warning{name, kind, fmt.Sprintf(format, args...)})
	}
	if p.bad > 0 && p.bad*20 > len(p.at) {
		return Series{}, nil, fmt.Errorf("%d of %d rows cannot be read, the first has %s", p.bad, p.bad+len(p.at), p.badText)
	}
	if p.bad > 0 {
		warn("blank", "%d rows cannot be read and are left out, the first has %s", p.bad, p.badText)
	}
	if p.clock && p.index {
		return Series{}, warnings, errors.New("some stamps are times and some are indexes")
	}
	if len(p.at) == 0 {
		return Series{}, warnings, errors.New("no values")
	}
	if p.blank == len(p.at) {
		return Series{}, warnings, errors.New("all values are missing")
	}
	if p.units > 0 {
		warn("unit", "%d values carry a unit; they are counted in %q", p.units, p.unit)
	}
	if p.grouped != "" {
		warn("unit", "values are written with separators, as %s; taken as a number", p.grouped)
	}
	if p.twice > 0 {
		warn("zone", "%d stamps lie in the hour that clocks of %s show twice; taken in the order of the rows", p.twice, o.Zone)
	}
	if p.skipped > 0 {
		warn("zone", "%d stamps lie in the hour that clocks of %s skip; taken an hour on", p.skipped, o.Zone)
	}
	p.sort(warn)
	if o.Counter {
		p.rate(warn)
	}
	if p.blank == len(p.at) {
		return Series{}, warnings, errors.New("no two values to take a rate between")
	}
	if p.blank > 0 {
		warn("blank", "%d of %d values are missing and filled from the season before", p.blank, len(p.at))
	}
	step := p.step(o.Step)
	s := Series{Name: name}
	if p.clock {
		s.Step = time.Duration(step)
	}
	first, last := p.at[0], p.at[len(p.at)-1]
	switch n := (last-first)/max(step, 1) + 1; {
	case step <= 0 || n > maxGrid:
		return Series{}, warnings, fmt.Errorf("%d points span %d steps, more than %d", len(p.at), n, maxGrid)
	case n > sparseGrid && n > 100*int64(len(p.at)):
		return Series{}, warnings, fmt.Errorf("%d points span %d steps of %s: fewer than one step in 100 has a value", len(p.at), n, stepText(step, p.clock))
	}
	s = p.grid(s, step, warn)
	s.oddities(warn)
	return s, warnings, nil
}

// sort orders the points by time and keeps the last of equal stamps.
func (p *points) sort(warn func(kind, format string, args ...any)) {
	if !slices.IsSorted(p.at) {
		warn("order", "stamps are not in order; sorted")
		sort.Stable(p)
	}
	n := 0
	twice := 0
	for i := range p.at {
		if n > 0 && p.at[n-1] == p.at[i] {
			twice++
			if !math.IsNaN(p.value[i]) || math.IsNaN(p.value[n-1]) {
				p.value[n-1] = p.value[i]
			}
			continue
		}
		p.at[n], p.value[n] = p.at[i], p.value[i]
		n++
	}
	p.at, p.value = p.at[:n], p.value[:n]
	if twice > 0 {
		warn("duplicate", "%d stamps come more than once; the last value counts", twice)
	}
}

func (p *points) Len() int           { return len(p.at) }
func (p *points) Less(i, j int) bool { return p.at[i] < p.at[j] }
func (p *points) Swap(i, j int) {
	p.at[i], p.at[j] = p.at[j], p.at[i]
	p.value[i], p.value[j] = p.value[j], p.value[i]
}

// rate turns a counter into its increase per second; a fall is a reset, after
// which the counter began again from zero. Indexes count as seconds.
func (p *points) rate(warn func(kind, format string, args ...any)) {
	resets := 0
	last := -1
	for i := range p.at {
		if math.IsNaN(p.value[i]) {
			continue
		}
		if last >= 0 {
			rise := p.value[i] - p.value[last]
			if rise < 0 {
				resets++
				rise = p.value[i]
			}
			seconds := float64(p.at[i] - p.at[last])
			if p.clock {
				seconds /= 1e9
			}
			p.value[last] = finiteOrNaN(rise / seconds) // the rate over the span belongs to its beginning
		}
		last = i
	}
	if last >= 0 {
		p.at, p.value = p.at[:last], p.value[:last]
	}
	p.blank = 0
	for _, v := range p.value {
		if math.IsNaN(v) {
			p.blank++
		}
	}
	if resets > 0 {
		warn("reset", "the counter went back to zero %d times; the rate goes on from there", resets)
	}
}

// meanMonth is the step of monthly values: a year of the Gregorian calendar / 12.
const meanMonth = 2629746 * time.Second

// step returns the spacing of the points: the one that three and more neighbours
// in a row keep for most of the time, or the one most neighbours have where no
// spacing is kept for half of the time.
func (p *points) step(given time.Duration) int64 {
	if given > 0 && p.clock {
		return int64(given)
	}
	if len(p.at) < 2 {
		return 1
	}
	count, kept := map[int64]int{}, map[int64]int64{}
	last, run := int64(0), int64(0)
	for i := 1; i < len(p.at); i++ {
		gap := p.at[i] - p.at[i-1]
		if p.clock { // scrapes are a few milliseconds late
			if r := (gap + 5e8) / 1e9 * 1e9; r > 0 {
				gap = r
			}
		}
		count[gap]++
		if gap != last {
			last, run = gap, 0
		}
		if run++; run == 3 {
			kept[gap] += 3 * gap
		} else if run > 3 {
			kept[gap] += gap
		}
	}
	best := most(count)
	if longest := most(kept); kept[longest] > (p.at[len(p.at)-1]-p.at[0])/2 {
		best = longest
	}
	const day = int64(24 * time.Hour)
	if p.clock && 28*day <= best && best <= 31*day {
		return int64(meanMonth)
	}
	return best
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
func (p *points) grid(s Series, step int64, warn func(kind, format string, args ...any)) Series {
	first := p.at[0]
	if p.clock {
		// Steps of a day and longer begin where the first value does; shorter ones
		// at multiples of the step.
		if step < int64(24*time.Hour) {
			first -= mod(first, step)
			if most := p.phase(step); most != 0 {
				first = p.at[0] - mod(p.at[0]-most, step)
			}
		}
		s.Start = time.Unix(0, first).UTC()
	} else {
		s.First = int(first)
	}
	early := p.early(step)
	place := func(at int64) int { return int((at - first + early) / step) }
	n := place(p.at[len(p.at)-1]) + 1
	s.Values = make([]float64, n)
	count := make([]int32, n)
	off, shared := 0, 0
	for i, at := range p.at {
		k := place(at)
		if (at-first)%step != 0 {
			off++
		}
		if math.IsNaN(p.value[i]) {
			continue
		}
		if count[k] > 0 {
			shared++
		}
		s.Values[k] += p.value[i]
		count[k]++
	}
	gaps, longest, run := 0, 0, 0
	for k := range s.Values {
		if count[k] == 0 {
			s.Values[k] = math.NaN()
			run++
			gaps++
			longest = max(longest, run)
			continue
		}
		run = 0
		s.Values[k] = finiteOrNaN(s.Values[k] / float64(count[k]))
	}
	if shared > 0 {
		warn("step", "%d points share a step of %s with another; their mean counts", shared, stepText(step, p.clock))
		if partial := int(count[n-1]); n > 2 && partial*2 <= int(count[n-2]) && partial > 0 {
			warn("partial", "the last step has %d points where the one before has %d; left out", partial, count[n-2])
			s.Values = s.Values[:n-1]
		}
	} else if off > len(p.at)/20 {
		warn("step", "%d points lie off the grid of %s; each counts for its step", off, stepText(step, p.clock))
	}
	if missing := gaps - p.blank; missing > 0 {
		warn("gap", "%d of %d steps of %s have no value, the longest run is %d; filled from the season before", missing, n, stepText(step, p.clock), longest)
	}
	return s
}

// early is by how much a point may come before its step: a quarter of it, and
// nothing where points are finer than steps.
func (p *points) early(step int64) int64 {
	finer := 0
	for i := 1; i < len(p.at); i++ {
		if p.at[i]-p.at[i-1] < step/2 {
			finer++
		}
	}
	if finer > len(p.at)/20 {
		return 0
	}
	return step / 4
}

// phase returns the remainder that most stamps leave on the step.
func (p *points) phase(step int64) int64 {
	count := map[int64]int{}
	best := mod(p.at[0], step)
	for _, at := range p.at {
		r := mod(at, step)
		count[r]++
		if count[r] > count[best] || count[r] == count[best] && r < best {
			best = r
		}
	}
	return best
}

func mod(a, b int64) int64 { return ((a % b) + b) % b }

func stepText(step int64, clock bool) string {
	if !clock {
		return fmt.Sprint(step)
	}
	return spanText(time.Duration(step))
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

func finiteOrNaN(v float64) float64 {
	if math.IsInf(v, 0) {
		return math.NaN()
	}
	return v
}
