package forecast

import (
	"math"
	"sync"
	"time"
)

// A wall is the clock by which steps of whole days or months are evenly apart: a
// day of a zone with summer time has 23 or 25 hours twice a year, and a month 28
// to 31 days, but each begins at the same time on the wall. The zero wall is for
// steps that are evenly apart as instants.
type wall struct {
	zone   *time.Location // nil: steps are instants evenly apart, or months of UTC
	months bool
}

const oneDay = 24 * time.Hour

// meanMonth is the length of a step of a month: a year of the Gregorian calendar
// / 12. Steps of several months are as many times as long.
const meanMonth = 2629746 * time.Second

// monthsOf is how many months a step has; 0 for a step of hours, days or weeks.
func monthsOf(step time.Duration) int {
	if step%meanMonth != 0 {
		return 0
	}
	return int(step / meanMonth)
}

// at returns the beginning of step i when step 0 begins at start: so many months
// or days on by the calendar of the zone, or so much time. The last day of a
// month stays the last one.
func (w wall) at(start time.Time, step time.Duration, i int) time.Time {
	switch {
	case w.months:
		local := start.In(w.location())
		year, month, first := local.Date()
		month += time.Month(i * monthsOf(step))
		last := daysIn(year, month)
		if first == daysIn(year, local.Month()) {
			first = last
		}
		return w.on(year, month, min(first, last), local)
	case w.zone != nil:
		local := start.In(w.zone)
		year, month, first := local.Date()
		return w.on(year, month, first+i*int(step/oneDay), local)
	}
	return start.Add(time.Duration(i) * step)
}

// on is the instant of a date at the time of day of clock.
func (w wall) on(year int, month time.Month, d int, clock time.Time) time.Time {
	return time.Date(year, month, d, clock.Hour(), clock.Minute(), clock.Second(), clock.Nanosecond(), w.location()).UTC()
}

func daysIn(year int, month time.Month) int {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

func (w wall) location() *time.Location {
	if w.zone == nil {
		return time.UTC
	}
	return w.zone
}

// reading turns an instant into what the wall shows, in nanoseconds: readings of
// steps that begin one behind the other are a step apart. Instants and readings
// count from 1970.
func (w wall) reading(at int64) int64 {
	if w == (wall{}) {
		return at
	}
	local := time.Unix(0, at).In(w.location())
	shown := time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), local.Second(), local.Nanosecond(), time.UTC)
	if !w.months {
		return shown.UnixNano()
	}
	first := time.Date(local.Year(), local.Month(), 1, 0, 0, 0, 0, time.UTC)
	passed := float64(shown.Sub(first)) / float64(first.AddDate(0, 1, 0).Sub(first))
	months := int64(local.Year()-1970)*12 + int64(local.Month()) - 1
	return months*int64(meanMonth) + int64(math.Round(passed*float64(meanMonth)))
}

// instant is when the wall shows a reading, to the second for months.
func (w wall) instant(reading int64) time.Time {
	if w == (wall{}) {
		return time.Unix(0, reading).UTC()
	}
	shown := time.Unix(0, reading).UTC()
	if w.months {
		passed := mod(reading, int64(meanMonth))
		first := time.Date(1970, time.Month(1+(reading-passed)/int64(meanMonth)), 1, 0, 0, 0, 0, time.UTC)
		length := float64(first.AddDate(0, 1, 0).Sub(first))
		shown = first.Add(time.Duration(float64(passed) / float64(meanMonth) * length)).Round(time.Second)
	}
	return w.on(shown.Year(), shown.Month(), shown.Day(), shown)
}

// changing are zones of the rules by which clocks are put forward and back, or
// were in the last twenty years. Zones that change at the same time have the one
// of most people: their days begin at instants that tell them apart no better.
var changing = []string{
	"Europe/Berlin", "America/New_York", "Europe/London", "Europe/Athens", "Europe/Moscow", "Europe/Istanbul", "America/Chicago", "America/Denver", "America/Los_Angeles",
	"America/Anchorage", "America/Adak", "America/Halifax", "America/St_Johns", "America/Havana", "America/Mexico_City", "America/Sao_Paulo", "America/Santiago",
	"America/Asuncion", "America/Montevideo", "America/Nuuk", "Atlantic/Azores", "Africa/Cairo", "Africa/Casablanca", "Asia/Jerusalem", "Asia/Beirut", "Asia/Amman",
	"Asia/Damascus", "Asia/Tehran", "Asia/Gaza", "Australia/Sydney", "Australia/Adelaide", "Australia/Lord_Howe", "Pacific/Auckland", "Pacific/Chatham", "Pacific/Norfolk", "Pacific/Easter",
}

// changingZones are those of them that the machine has.
var changingZones = sync.OnceValue(func() []*time.Location {
	var out []*time.Location
	for _, name := range changing {
		if zone, err := time.LoadLocation(name); err == nil {
			out = append(out, zone)
		}
	}
	return out
})

// clockGrain is how far stamps may come early and late and still have the same
// time of day: half of it. All clocks change by multiples of it.
const clockGrain = 15 * time.Minute

// dayTimes are numbers of stamps by their time of day in grains.
type dayTimes [oneDay / clockGrain]int

// most returns the time that most stamps have, the earliest of several.
func (n *dayTimes) most() int {
	best := 0
	for t := range n {
		if n[t] > n[best] {
			best = t
		}
	}
	return best
}

// unchanged is a span without a change of clocks when there is none between its
// ends: no zone puts them forward and back within two weeks.
const unchanged = 14 * oneDay

// timesOfDay counts stamps, which must be in order, by the time of day that clocks
// of a zone show.
func timesOfDay(at []int64, zone *time.Location) *dayTimes {
	offset := func(ns int64) int64 {
		_, seconds := time.Unix(0, ns).In(zone).Zone()
		return int64(seconds) * 1e9
	}
	var number dayTimes
	for i := 0; i < len(at); {
		end := i + 1
		for end < len(at) && at[end]-at[i] <= int64(unchanged) {
			end++
		}
		first := offset(at[i])
		one := first == offset(at[end-1])
		for ; i < end; i++ {
			shift := first
			if !one {
				shift = offset(at[i])
			}
			number[mod(at[i]+shift+int64(clockGrain/2), int64(oneDay))/int64(clockGrain)]++
		}
	}
	return &number
}

// follow returns the wall by which steps of whole days go, and whether it had to
// be guessed: that of the zone, or of UTC, whichever gives more stamps the same
// time of day; of two that are alike the one where that is midnight, and else the
// zone where it is that of the stamps. Where UTC and the zone show two times of
// day half an hour or an hour apart, as a summer and a winter do, it is that of a
// zone that shows one.
func follow(at []int64, zone *time.Location, isOfStamps bool) (w wall, guessed bool) {
	type fit struct {
		zone     *time.Location
		most     int
		midnight bool
	}
	of := func(zone *time.Location) fit {
		number := timesOfDay(at, zone)
		t := number.most()
		return fit{zone, number[t], t == 0}
	}
	better := func(a, b fit) bool { return a.most > b.most || a.most == b.most && a.midnight && !b.midnight }
	if zone == time.UTC && haveOneTime(at) {
		return wall{}, false
	}
	best, other := of(time.UTC), of(zone)
	if isOfStamps {
		best, other = other, best
	}
	if better(other, best) {
		best = other
	}
	if best.most < len(at) && summerAndWinter(timesOfDay(at, time.UTC), len(at)) {
		for _, zone := range changingZones() {
			if f := of(zone); 20*f.most >= 19*len(at) && f.most > best.most || guessed && better(f, best) {
				best, guessed = f, true
			}
		}
	}
	if best.zone == time.UTC {
		return wall{}, false
	}
	return wall{zone: best.zone}, guessed
}

// haveOneTime reports whether all stamps are whole days apart.
func haveOneTime(at []int64) bool {
	for _, ns := range at {
		if (ns-at[0])%int64(oneDay) != 0 {
			return false
		}
	}
	return true
}

// summerAndWinter reports whether two times of day half an hour or an hour apart
// have nearly all of n stamps, and both have some.
func summerAndWinter(number *dayTimes, n int) bool {
	first := number.most()
	rest := *number
	rest[first] = 0
	second := rest.most()
	apart := time.Duration(mod(int64(first-second), int64(len(number)))) * clockGrain
	apart = min(apart, oneDay-apart)
	return number[second] > 0 && 20*(number[first]+number[second]) >= 19*n && (apart == time.Hour || apart == time.Hour/2)
}
