package forecast

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

// A Calendar names the days that are not like their weekday: holidays, the days
// before and after them, and days off that are worked to make up for a holiday.
type Calendar struct {
	zone *time.Location    // nil: that of the days of a series
	days map[string]dayRow // by date
}

// A DayKind says in which way a day is special.
type DayKind string

// The kinds of special days.
const (
	Holiday DayKind = "holiday"
	Before  DayKind = "day before a holiday"
	After   DayKind = "day after a holiday"
	Working DayKind = "make-up working day"
)

// dayRow is what a calendar says of one date. Days with the same name, kind and
// offset are expected to be alike from year to year.
type dayRow struct {
	name     string
	kind     DayKind
	offset   int  // days since the holiday began, or to it, or since it ended
	expected bool // not announced yet: the usual dates
}

// A SpecialDay is one that a forecast was changed for.
type SpecialDay struct {
	Date     time.Time // in the zone of the calendar
	Name     string
	Kind     DayKind
	Ratio    float64 // to the same step of the nearest weekend day, working day, or itself
	Seen     int     // days of this kind in the history
	Expected bool    // not announced yet
}

// ErrCalendar says that a calendar cannot be used.
var ErrCalendar = errors.New("unusable calendar")

// maxHoliday bounds the days of one holiday with those before and after it.
const maxHoliday = 60

const dateLayout = "2006-01-02"

// calendarFile is a calendar as people write it.
type calendarFile struct {
	Zone     string    `yaml:"zone"`
	Holidays []holiday `yaml:"holidays"`
	Working  []string  `yaml:"working"`
}

type holiday struct {
	Name      string `yaml:"name"`
	From      string `yaml:"from"`
	To        string `yaml:"to"` // default: From
	Before    int    `yaml:"before"`
	After     int    `yaml:"after"`
	Announced *bool  `yaml:"announced"` // default: true
}

// ReadCalendar reads a calendar in YAML: zone, holidays (name, from, to, before,
// after, announced) and working, a list of dates. Where it names no zone its dates
// are of the given one; nil: of the zone by which the days of a series go. The
// error wraps ErrCalendar.
func ReadCalendar(r io.Reader, zone *time.Location) (*Calendar, error) {
	var f calendarFile
	d := yaml.NewDecoder(r)
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil && !errors.Is(err, io.EOF) { // an empty file names no day
		return nil, fmt.Errorf("%w: %w", ErrCalendar, err)
	}
	c, err := f.calendar()
	if err == nil && f.Zone == "" {
		c.zone = zone
	}
	return c, err
}

func (f calendarFile) calendar() (*Calendar, error) {
	zone, err := time.LoadLocation(f.Zone)
	if err != nil {
		return nil, fmt.Errorf("%w: zone %q is not known", ErrCalendar, f.Zone)
	}
	c := &Calendar{zone: zone, days: map[string]dayRow{}}
	if len(f.Holidays) == 0 && len(f.Working) == 0 {
		return nil, fmt.Errorf("%w: it names no day", ErrCalendar)
	}
	type span struct {
		holiday
		first time.Time
		days  int
	}
	var spans []span
	for i, h := range f.Holidays {
		if h.To == "" {
			h.To = h.From
		}
		from, err := time.Parse(dateLayout, h.From)
		to, err2 := time.Parse(dateLayout, h.To)
		days := int(to.Sub(from)/(24*time.Hour)) + 1
		switch {
		case h.Name == "":
			return nil, fmt.Errorf("%w: holiday %d has no name", ErrCalendar, i+1)
		case err != nil || err2 != nil:
			return nil, fmt.Errorf("%w: holiday %q: from %q to %q are not dates as 2026-10-01", ErrCalendar, h.Name, h.From, h.To)
		case days < 1 || h.Before < 0 || h.After < 0 || days+h.Before+h.After > maxHoliday:
			return nil, fmt.Errorf("%w: holiday %q has %d days, %d before and %d after it; in all 1 to %d", ErrCalendar, h.Name, days, h.Before, h.After, maxHoliday)
		}
		spans = append(spans, span{h, from, days})
	}
	// What says more wins: a holiday over a working day over a day around one.
	put := func(at time.Time, row dayRow) {
		key := at.Format(dateLayout)
		if _, taken := c.days[key]; !taken {
			c.days[key] = row
		}
	}
	for _, s := range spans {
		for d := range s.days {
			put(s.first.AddDate(0, 0, d), dayRow{s.Name, Holiday, d, s.Announced != nil && !*s.Announced})
		}
	}
	for _, text := range f.Working {
		at, err := time.Parse(dateLayout, text)
		if err != nil {
			return nil, fmt.Errorf("%w: working day %q is not a date as 2026-10-10", ErrCalendar, text)
		}
		put(at, dayRow{kind: Working, name: "working"})
	}
	for _, s := range spans {
		expected := s.Announced != nil && !*s.Announced
		for d := 1; d <= s.Before; d++ {
			put(s.first.AddDate(0, 0, -d), dayRow{s.Name, Before, d, expected})
		}
		for d := range s.After {
			put(s.first.AddDate(0, 0, s.days+d), dayRow{s.Name, After, d + 1, expected})
		}
	}
	return c, nil
}

// at returns what the calendar says of the day of t.
func (c *Calendar) at(t time.Time) (string, dayRow, bool) {
	key := t.In(c.zone).Format(dateLayout)
	row, ok := c.days[key]
	return key, row, ok
}

// alike returns how many days away the nearest day is whose weekday a special
// day is like: a weekend day for a holiday, Monday to Friday for a working day.
func (c *Calendar) alike(t time.Time, kind DayKind) int {
	if kind == Before || kind == After {
		return 0
	}
	for d := range 7 {
		for _, days := range []int{d, -d} {
			w := t.In(c.zone).AddDate(0, 0, days).Weekday()
			if weekend := w == time.Saturday || w == time.Sunday; weekend == (kind == Holiday) {
				return days
			}
		}
	}
	return 0
}

// withCalendar forecasts an ordinary future from the ordinary days and then puts
// the special days in: each takes the step of the day it is like, times the
// ratio that such days had in the history.
func withCalendar(s Series, o Options) (*Forecast, error) {
	c := *o.Holidays
	if c.zone == nil {
		c.zone = s.wall().location()
	}
	day := int(24 * time.Hour / s.Step)
	ordinary := s
	ordinary.Values = slices.Clone(s.Values)
	special := false
	for i := range s.Values {
		if _, _, ok := c.at(s.At(i)); ok {
			ordinary.Values[i] = math.NaN()
		}
	}
	if o.Horizon == 0 {
		short, long := seasonsByStep(s.Step)
		o.Horizon = defaultHorizon(s.Step, short, long)
	}
	for h := range min(max(o.Horizon, 0), MaxHorizon) {
		_, _, ok := c.at(s.At(len(s.Values) + h))
		special = special || ok
	}
	if len(ordinary.known()) < max(minPool, 2*7*day) { // too few ordinary days to learn from
		return plain(s, o)
	}
	steps := o.Horizon
	if special && o.Horizon > 0 { // the nearest weekend may lie behind the horizon
		o.Horizon = min(max(o.Horizon+7*day, 14*day), max(MaxHorizon, o.Horizon))
	}
	f, err := plain(ordinary, o)
	if err != nil {
		return nil, err
	}
	f.Series = s
	known := s.known()
	f.HistoryMin, f.HistoryMax = slices.Min(known), slices.Max(known)
	if special {
		f.Special = c.apply(f, ordinary, steps, day)
	}
	f.cut(steps)
	return f, nil
}

// cut shortens the paths to the first steps.
func (f *Forecast) cut(steps int) {
	f.Mean = f.Mean[:steps]
	for i := range f.Bands {
		f.Bands[i].Low, f.Bands[i].High = f.Bands[i].Low[:steps], f.Bands[i].High[:steps]
	}
	if f.PeakQ95 != nil {
		f.PeakQ95 = f.PeakQ95[:steps]
	}
}

// An effect is what the history says of days alike: the sum of the logarithms of
// their ratios, and how many there were.
type effect struct {
	sum float64
	n   int
}

// effects compares the special days of the history with the days they are like,
// by day and by kind.
func (c *Calendar) effects(f *Forecast, ordinary Series, day int) (byDay map[dayRow]effect, byKind map[DayKind]effect) {
	byDay, byKind = map[dayRow]effect{}, map[DayKind]effect{}
	values := f.Series.Values
	lead := len(ordinary.Values) - len(trimLeading(ordinary.Values))
	base := fill(ordinary.Values[lead:], f.Short, f.Long)
	for i := lead; i < len(values); {
		key, row, ok := c.at(f.Series.At(i))
		end, actual, usual := i, 0.0, 0.0
		for ; end < len(values); end++ {
			if k, _, _ := c.at(f.Series.At(end)); k != key {
				break
			}
			t := end - lead + c.alike(f.Series.At(end), row.kind)*day
			if ok && !math.IsNaN(values[end]) && t >= 0 && t < len(base) {
				actual += values[end]
				usual += base[t]
			}
		}
		if ok && actual > 0 && usual > 0 && 2*(end-i) > day {
			r := min(max(math.Log(actual/usual), -3), 3)
			row.expected = false
			e, k := byDay[row], byKind[row.kind]
			byDay[row], byKind[row.kind] = effect{e.sum + r, e.n + 1}, effect{k.sum + r, k.n + 1}
		}
		i = end
	}
	return byDay, byKind
}

// apply changes the special days of the first steps of f.
func (c *Calendar) apply(f *Forecast, ordinary Series, steps, day int) []SpecialDay {
	byDay, byKind := c.effects(f, ordinary, day)
	var out []SpecialDay
	from := *f
	from.Mean, from.PeakQ95 = slices.Clone(f.Mean), slices.Clone(f.PeakQ95)
	from.Bands = nil
	for _, b := range f.Bands {
		from.Bands = append(from.Bands, Band{b.Level, slices.Clone(b.Low), slices.Clone(b.High)})
	}
	peaks := map[int]float64{} // by day of the peaks, which begin at the first step
	last := ""
	for h := range f.Mean[:steps] {
		at := f.At(h + 1)
		key, row, ok := c.at(at)
		like, ratio, seen := h, 1.0, effect{}
		if ok {
			row2 := row
			row2.expected = false
			kind := byKind[row.kind]
			seen = byDay[row2]
			// One day's worth of doubt at each level: towards the kind, and towards
			// no effect at all.
			prior := kind.sum / float64(kind.n+1)
			ratio = math.Exp((seen.sum + prior) / float64(seen.n+1))
			if t := h + c.alike(at, row.kind)*day; t >= 0 && t < len(from.Mean) {
				like = t
			}
			if key != last {
				out = append(out, SpecialDay{Date: at.In(c.zone), Name: row.name, Kind: row.kind, Ratio: ratio, Seen: seen.n, Expected: row.expected})
				last = key
			}
			f.Mean[h] = bounded(from.Mean[like]*ratio, f.HistoryMax)
			// A day that was never seen, or that may move, can go either way.
			doubt := 1.0
			if seen.n == 0 || row.expected {
				doubt = 1.5
			}
			for i, b := range from.Bands {
				low := from.Mean[like] - doubt*(from.Mean[like]-b.Low[like])
				if b.Low[like] >= 0 {
					low = max(low, 0)
				}
				f.Bands[i].Low[h] = bounded(low*ratio, f.HistoryMax)
				f.Bands[i].High[h] = bounded((from.Mean[like]+doubt*(b.High[like]-from.Mean[like]))*ratio, f.HistoryMax)
			}
		}
		if f.PeakQ95 != nil {
			p := bounded(from.PeakQ95[like]*ratio, f.HistoryMax)
			if v, there := peaks[h/f.Short]; !there || p > v {
				peaks[h/f.Short] = p
			}
		}
	}
	for h := range f.PeakQ95 {
		if p, ok := peaks[h/f.Short]; ok {
			f.PeakQ95[h] = p
		}
	}
	return out
}

// bounded keeps v at most ten times as high as the history.
func bounded(v, highest float64) float64 { return min(v, max(10*highest, highest)) }
