package forecast

import (
	"bytes"
	"fmt"
	"math"
	"slices"
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
	layout   layout         // of the last stamp that a layout was needed for: the next has it too
	text     []byte         // of the last stamp: the next row often has it too
	before   stamp
}

// A layout is a form of stamps, as package time writes it.
type layout struct {
	text  string
	zoned bool
}

// layouts are tried in turn. Fractions of a second are read wherever a layout
// ends in seconds, and days, months and hours of one digit where it has one.
var layouts = func() []layout {
	var out []layout
	for _, zoned := range []string{time.RFC3339Nano, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z0700", "2006-01-02 15:04:05 Z0700 MST", "2006-01-02 15:04:05 Z0700", "2006-01-02 15:04:05 Z07:00", "2006-01-02 15:04:05Z07", "2006-01-02T15:04Z07:00", "20060102T150405Z0700", time.RFC1123Z, "02/Jan/2006:15:04:05 -0700"} {
		out = append(out, layout{zoned, true})
	}
	for _, date := range []string{"2006-1-2", "2006/1/2", "2006.1.2", "20060102", "2-Jan-2006", "2-Jan-06", "2 Jan 2006", "2 January 2006", "Mon, 2 Jan 2006", "Jan 2, 2006", "Jan 2 2006", "January 2, 2006", "2006年1月2日"} {
		for _, clock := range []string{"", " 15:04:05", " 15:04", "T15:04:05", "T15:04", " 3:04:05 PM", " 3:04 PM", ", 15:04:05", ", 15:04", ", 3:04:05 PM", ", 3:04 PM"} {
			out = append(out, layout{date + clock, false})
		}
	}
	for _, month := range []string{"2006-1", "2006/1", "Jan 2006", "January 2006", "2006年1月"} {
		out = append(out, layout{month, false})
	}
	return append(out, layout{"20060102T150405", false}, layout{"2006年1月2日15:04", false}, layout{"2006年1月2日15时04分", false}, layout{"Mon Jan _2 15:04:05 2006", false}, layout{"Mon Jan _2 03:04:05 PM 2006", false}, layout{"Mon _2 Jan 2006 15:04:05", false}, layout{"Mon _2 Jan 2006 03:04:05 PM", false})
}()

// read takes RFC 3339 and its relatives, dates as 31/12/2026, 31.12.2026 or
// 31-Dec-2026 with or without a time, seconds, milliseconds, microseconds or
// nanoseconds since 1970, or a small whole number, which is an index.
func (r *stampReader) read(b []byte) (stamp, bool) {
	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return stamp{}, false
	}
	if len(r.text) > 0 && bytes.Equal(b, r.text) {
		return r.before, true
	}
	s, ok := r.quick(b)
	if !ok {
		s, ok = r.slow(string(b))
	}
	if ok {
		r.text, r.before = append(r.text[:0], b...), s
	}
	return s, ok
}

// quick reads what most files have: whole numbers, and dates as 2026-12-31 with
// a time and an offset, or none, behind them.
func (r *stampReader) quick(b []byte) (stamp, bool) {
	if n, ok := digits(b); ok && len(b) < 19 {
		if s, ok := compactDate(b); ok {
			return r.inZone(s), true
		}
		return numberStamp(float64(n), n)
	}
	if len(b) < 16 || b[4] != '-' || b[7] != '-' || b[10] != 'T' && b[10] != ' ' || b[13] != ':' {
		return stamp{}, false
	}
	year, ok1 := digits(b[:4])
	month, ok2 := digits(b[5:7])
	day, ok3 := digits(b[8:10])
	hour, ok4 := digits(b[11:13])
	minute, ok5 := digits(b[14:16])
	ok := ok1 && ok2 && ok3 && ok4 && ok5
	second, ok6, rest := int64(0), true, b[16:]
	if len(rest) >= 3 && rest[0] == ':' {
		second, ok6 = digits(rest[1:3])
		rest = rest[3:]
	}
	if !ok || !ok6 || hour > 23 || minute > 59 || second > 59 {
		return stamp{}, false
	}
	t := time.Date(int(year), time.Month(month), int(day), int(hour), int(minute), int(second), 0, time.UTC)
	if t.Day() != int(day) || t.Month() != time.Month(month) || !inRange(t) {
		return stamp{}, false
	}
	if len(rest) > 1 && rest[0] == '.' {
		end := 1
		for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
			end++
		}
		if fraction, ok := digits(rest[1:end]); ok && end <= 10 {
			for range 10 - end {
				fraction *= 10
			}
			t = t.Add(time.Duration(fraction))
			rest = rest[end:]
		}
	}
	offset := int64(0)
	switch {
	case len(rest) == 0:
		return r.inZone(t), true
	case len(rest) == 1 && rest[0] == 'Z':
	case len(rest) == 6 && (rest[0] == '+' || rest[0] == '-') && rest[3] == ':':
		hours, ok1 := digits(rest[1:3])
		minutes, ok2 := digits(rest[4:6])
		if !ok1 || !ok2 || hours > 23 || minutes > 59 {
			return stamp{}, false
		}
		offset = hours*3600 + minutes*60
		if rest[0] == '-' {
			offset = -offset
		}
	default:
		return stamp{}, false
	}
	r.offsets[int(offset)]++
	return stamp{at: t.UnixNano() - offset*1e9, clock: true}, true
}

// digits reads a number without a sign; false where a byte is no digit.
func digits(b []byte) (int64, bool) {
	n := int64(0)
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, len(b) > 0
}

// compactDate reads 20261231, 202612312300 and 20261231230000. As numbers of
// milliseconds since 1970 they would lie in 1976 and in 2612, and as an index no
// history begins there.
func compactDate(b []byte) (time.Time, bool) {
	layout := ""
	switch len(b) {
	case 8:
		layout = "20060102"
	case 12:
		layout = "200601021504"
	case 14:
		layout = "20060102150405"
	default:
		return time.Time{}, false
	}
	if b[0] != '1' && b[0] != '2' {
		return time.Time{}, false
	}
	t, err := time.Parse(layout, string(b))
	return t, err == nil && t.Year() >= 1970 && t.Year() < 2100
}

// slow reads everything else.
func (r *stampReader) slow(s string) (stamp, bool) {
	if !strings.ContainsAny(s[1:], "-:/T ") {
		if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) < 9e18 {
			return numberStamp(f, int64(f))
		}
	}
	if len(s) > 2 && (s[1] == '/' || s[2] == '/' || s[1] == '.' || s[2] == '.') {
		s = r.isoDate(s)
	}
	s = plainStamp(s)
	if t, err := time.Parse(r.layout.text, s); err == nil && r.layout.text != "" {
		return r.parsed(t)
	}
	for _, l := range layouts {
		if t, err := time.Parse(l.text, s); err == nil {
			r.layout = l
			return r.parsed(t)
		}
	}
	if short, rest := abbreviation(s); short != "" {
		for _, l := range layouts {
			if t, err := time.Parse(l.text, rest); err == nil && !l.zoned {
				return r.inShort(t, short)
			}
		}
	}
	return stamp{}, false
}

// abbreviation takes a word as CET or EST out of a stamp; empty without one.
func abbreviation(s string) (short, rest string) {
	words := strings.Fields(s)
	for i, w := range words {
		if i > 0 && len(w) >= 3 && len(w) <= 5 && strings.Trim(w, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
			return w, strings.Join(slices.Delete(words, i, i+1), " ")
		}
	}
	return "", s
}

// inShort finds the instant at which clocks of the zone show wall and call their
// time by the abbreviation: several zones have the same, so others are not taken.
func (r *stampReader) inShort(wall time.Time, short string) (stamp, bool) {
	s := r.inZone(wall)
	for _, at := range []int64{s.at, s.again} {
		if name, _ := time.Unix(0, at).In(r.zone).Zone(); at != 0 && name == short && inRange(wall) {
			return stamp{at: at, clock: true}, true
		}
	}
	r.local--
	return stamp{}, false
}

// why says what to do about a stamp that cannot be read; empty where that is not
// known.
func (r *stampReader) why(b []byte) string {
	if short, _ := abbreviation(plainStamp(string(b))); short != "" {
		return fmt.Sprintf(": %s is not how clocks of %s are called then; name the zone by --zone, as Europe/Berlin", short, r.zone)
	}
	return ""
}

// plainStamp spells what programs write in several ways as the layouts do:
// am as AM, the narrow space that browsers put before it, and UTC or GMT as Z.
func plainStamp(s string) string {
	s = strings.NewReplacer("\u202f", " ", "\u00a0", " ", " UTC 2", " 2").Replace(s)
	if n := len(s) - 2; n > 0 && (s[n] == 'a' || s[n] == 'p') && s[n+1] == 'm' {
		s = s[:n] + strings.ToUpper(s[n:])
	}
	for _, zone := range []string{" UTC", " GMT"} {
		if utc, ok := strings.CutSuffix(s, zone); ok && utc != "" {
			switch {
			case strings.HasSuffix(utc, "+0000"): // as Go prints times
				return s
			case strings.Contains(utc, ","): // as RFC 1123 has it
				return utc + " +0000"
			}
			return utc + "Z"
		}
	}
	return s
}

// parsed is the stamp of a time that was read by the layout of the reader.
func (r *stampReader) parsed(t time.Time) (stamp, bool) {
	if !r.layout.zoned {
		return r.inZone(t), inRange(t)
	}
	_, offset := t.Zone()
	r.offsets[offset]++
	return stamp{at: t.UnixNano(), clock: true}, inRange(t)
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

// isoDate writes a date as 31/12/2026, 31/12/26 or 31.12.2026 as 2026-12-31, and
// leaves the time behind it. Dots mean that the day is first.
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
	if len(parts) != 3 || len(parts[2]) != 4 && len(parts[2]) != 2 || len(parts[0]) > 2 || len(parts[1]) > 2 {
		return s
	}
	day, month, year := parts[0], parts[1], parts[2]
	if len(year) == 2 {
		year = "20" + year
	}
	if separator == "/" {
		r.slashes++
		if !r.dayFirst {
			day, month = month, day
		}
	}
	clock := strings.TrimLeft(s[end:], ", T")
	if clock != "" {
		clock = " " + clock
	}
	return year + "-" + month + "-" + day + clock
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

// dayComesFirst tells from stamps of a file whether its dates with slashes have
// the day first: a number above 12 decides, else the one that changes more often,
// which is the day. Where nothing decides, the month is first.
func dayComesFirst(stamps [][]byte) bool {
	var before [2]string
	var changes [2]int
	for _, s := range stamps {
		parts := strings.SplitN(strings.TrimSpace(string(s)), "/", 3)
		if len(parts) != 3 || len(parts[0]) > 2 || len(parts[1]) > 2 {
			continue
		}
		for i := range before {
			if n, _ := strconv.Atoi(parts[i]); n > 12 {
				return i == 0
			}
			if before[i] != "" && before[i] != parts[i] {
				changes[i]++
			}
			before[i] = parts[i]
		}
	}
	return changes[0] > changes[1]
}
