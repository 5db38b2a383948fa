package forecast

import (
	"bytes"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A stamp is the time, or the index, of one observation.
type stamp struct {
	at    int64 // nanoseconds since 1970, or the index
	clock bool  // at is a time
	// again is the second instant at which clocks of the zone show the same, as
	// they do once when summer time ends; 0 where there is none.
	again   int64
	skipped bool // clocks of the zone never show it: summer time began
}

// A stampReader turns text into stamps and counts what it met.
type stampReader struct {
	zone     *time.Location // of stamps that name none
	dayFirst bool           // of dates written with slashes
	slashes  int            // such dates
	offsets  map[int]int    // offsets from UTC that stamps named, in seconds, with their number
	local    int            // stamps without a zone
	layout   string         // of the last local stamp: the next one has it too
}

// Layouts of stamps with a zone and without one, tried in turn. Fractions of a
// second are read wherever a layout ends in seconds.
var (
	zonedLayouts = []string{time.RFC3339Nano, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z0700", "2006-01-02 15:04:05 Z0700 MST", "2006-01-02 15:04:05 Z0700", "2006-01-02 15:04:05Z07", "2006-01-02T15:04Z07:00"}
	localLayouts = []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02", "2006-01-02 15:04", "2006-01-02T15:04", "2006/01/02 15:04:05", "2006/01/02 15:04", "2006/01/02", "2006-01-02 3:04:05 PM", "2006-01-02 3:04 PM"}
)

// read takes RFC3339 and its relatives, dates as 31/12/2026 and 31.12.2026 with
// or without a time, seconds, milliseconds, microseconds or nanoseconds since
// 1970, or a small whole number, which is an index.
func (r *stampReader) read(s string) (stamp, bool) {
	s = strings.TrimSpace(s)
	if s == "" {
		return stamp{}, false
	}
	if !strings.ContainsAny(s[1:], "-:/T ") {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return numberStamp(float64(n), n)
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) < 9e18 {
			return numberStamp(f, int64(f))
		}
	}
	if len(s) > 2 && (s[1] == '/' || s[2] == '/' || s[1] == '.' || s[2] == '.') {
		s = r.isoDate(s)
	}
	if utc, ok := strings.CutSuffix(s, " UTC"); ok {
		s = utc + "Z"
	}
	if r.layout == "" || len(s) != len(r.layout) { // the usual local stamp is not tried as a zoned one
		for _, layout := range zonedLayouts {
			if t, err := time.Parse(layout, s); err == nil {
				_, offset := t.Zone()
				r.offsets[offset]++
				return stamp{at: t.UnixNano(), clock: true}, inRange(t)
			}
		}
	}
	if r.layout != "" {
		if t, err := time.Parse(r.layout, s); err == nil {
			return r.inZone(t), inRange(t)
		}
	}
	for _, layout := range localLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			r.layout = layout
			return r.inZone(t), inRange(t)
		}
	}
	return stamp{}, false
}

// inZone finds the instant, or both, at which clocks of the zone show wall.
func (r *stampReader) inZone(wall time.Time) stamp {
	r.local++
	if r.zone == time.UTC {
		return stamp{at: wall.UnixNano(), clock: true}
	}
	t := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), r.zone)
	out := stamp{at: t.UnixNano(), clock: true, skipped: t.Hour() != wall.Hour() || t.Minute() != wall.Minute()}
	_, here := t.Zone()
	for _, away := range []time.Duration{-3 * time.Hour, 3 * time.Hour} {
		_, there := t.Add(away).Zone()
		twin := t.Add(time.Duration(here-there) * time.Second)
		if _, offset := twin.Zone(); offset != there || there == here {
			continue
		}
		first, second := t.UnixNano(), twin.UnixNano()
		out.at, out.again = min(first, second), max(first, second)
	}
	return out
}

// isoDate writes a date as 31/12/2026 or 31.12.2026 as 2026-12-31, and leaves
// the time behind it. Dots mean that the day is first.
func (r *stampReader) isoDate(s string) string {
	separator := "/"
	if s[1] == '.' || s[2] == '.' {
		separator = "."
	}
	end := len(s)
	if i := strings.IndexAny(s, ", T"); i >= 0 {
		end = i
	}
	parts := strings.Split(s[:end], separator)
	if len(parts) != 3 || len(parts[2]) != 4 || len(parts[0]) > 2 || len(parts[1]) > 2 {
		return s
	}
	day, month := parts[0], parts[1]
	if separator == "/" {
		r.slashes++
		if !r.dayFirst {
			day, month = month, day
		}
	}
	two := func(d string) string {
		if len(d) == 1 {
			return "0" + d
		}
		return d
	}
	clock := strings.TrimLeft(s[end:], ", T")
	if clock != "" {
		clock = " " + clock
	}
	return parts[2] + "-" + two(month) + "-" + two(day) + clock
}

// inRange reports whether nanoseconds can hold the time.
func inRange(t time.Time) bool { return t.Year() > 1700 && t.Year() < 2200 }

// numberStamp tells an index from a time by its size: indexes end at 10^8, a
// time in seconds begins there (1973), milliseconds at 10^11, and so on.
func numberStamp(f float64, n int64) (stamp, bool) {
	a := math.Abs(f)
	switch {
	case math.IsNaN(f):
		return stamp{}, false
	case a < 1e8:
		return stamp{at: n}, f == math.Trunc(f)
	case a < 1e11:
		return stamp{at: int64(math.Round(f*1e3)) * 1e6, clock: true}, a < 7e9
	case a < 1e14:
		return stamp{at: n * 1e6, clock: true}, a < 7e12
	case a < 1e17:
		return stamp{at: n * 1e3, clock: true}, a < 7e15
	}
	return stamp{at: n, clock: true}, a < 7e18
}

var slashDate = regexp.MustCompile(`(?:^|[^0-9/])([0-9]{1,2})/([0-9]{1,2})/[0-9]{4}`)

// dayComesFirst tells from the beginning of a file whether its dates with
// slashes have the day first: a number above 12 decides, else the one that
// changes more often, which is the day. Where nothing decides, the month is first.
func dayComesFirst(sample []byte) bool {
	var before [2][]byte
	var changes [2]int
	for _, m := range slashDate.FindAllSubmatch(sample, -1) {
		for i := range before {
			if n, _ := strconv.Atoi(string(m[i+1])); n > 12 {
				return i == 0
			}
			if before[i] != nil && !bytes.Equal(before[i], m[i+1]) {
				changes[i]++
			}
			before[i] = m[i+1]
		}
	}
	return changes[0] > changes[1]
}
