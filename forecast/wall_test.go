package forecast

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// wallZones change their clocks by an hour and by half an hour, on both halves of
// the Earth.
var wallZones = []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe"}

// datesOf are n dates, every so many days, of which the last is last.
func datesOf(last string, every, n int) []string {
	t, err := time.Parse(time.DateOnly, last)
	if err != nil {
		panic(err)
	}
	var out []string
	for i := range n {
		out = append(out, t.AddDate(0, 0, -every*(n-1-i)).Format(time.DateOnly))
	}
	return out
}

// stampForms are the ways in which midnights come.
var stampForms = map[string]func(midnight time.Time) string{
	"dates":        func(t time.Time) string { return t.Format(time.DateOnly) },
	"offsets":      func(t time.Time) string { return t.Format(time.RFC3339) },
	"pandas":       func(t time.Time) string { return t.Format("2006-01-02 15:04:05Z07:00") },
	"UTC":          func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"seconds":      func(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) },
	"milliseconds": func(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) },
}

// Days and weeks begin at local midnight on both sides of a change of clocks, in
// the history, the forecast, its plan and the replay, however stamps are written.
// The zone is told by dates and --zone, or seen where the history has a change.
func TestDaysFollowTheClocksOfTheirZone(t *testing.T) {
	for _, name := range wallZones {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, last := range []string{"2026-03-31", "2026-04-20", "2026-10-06", "2026-11-08", "2026-12-20", "2026-07-10"} {
			for every, horizon := range map[int]int{1: 240, 7: 40} {
				for form, write := range stampForms {
					dates := datesOf(last, every, 70)
					var b strings.Builder
					b.WriteString("t,a\n")
					offsets := map[int]bool{}
					for i, d := range dates {
						at, err := time.ParseInLocation(time.DateOnly, d, zone)
						if err != nil {
							t.Fatal(err)
						}
						_, offset := at.Zone()
						offsets[offset] = true
						fmt.Fprintf(&b, "%s,%d\n", write(at), 100+i%7)
					}
					o := ReadOptions{Zone: zone}
					if form != "dates" && len(offsets) > 1 {
						o.Zone = nil
					}
					checkMidnights(t, fmt.Sprintf("%s, %s every %d days until %s", name, form, every, last), o, zone, b.String(), dates, every, horizon)
				}
			}
		}
	}
}

func checkMidnights(t *testing.T, name string, o ReadOptions, zone *time.Location, text string, dates []string, every, horizon int) {
	t.Helper()
	series, warnings, err := read(t, o, text)
	if err != nil || len(series) != 1 {
		t.Fatalf("%s: %v %v", name, series, err)
	}
	s := series[0]
	for _, w := range warnings {
		if w.Kind != "zone" {
			t.Errorf("%s: %s", name, w)
		}
	}
	want := slices.Clone(dates)
	for h := range horizon {
		last, _ := time.Parse(time.DateOnly, dates[len(dates)-1])
		want = append(want, last.AddDate(0, 0, every*(h+1)).Format(time.DateOnly))
	}
	if len(s.Values) != len(dates) || s.Step != time.Duration(every)*oneDay {
		t.Fatalf("%s: %d values by %s, want %d by %d days", name, len(s.Values), s.Step, len(dates), every)
	}
	for i, v := range s.Values {
		if v != float64(100+i%7) {
			t.Fatalf("%s: value %d is %v", name, i, v)
		}
	}
	for i, date := range want {
		if got := s.At(i).In(zone).Format("2006-01-02 15:04:05"); got != date+" 00:00:00" {
			t.Fatalf("%s: step %d begins at %s, want %s", name, i, got, date)
		}
		if s.At(i).Location() != time.UTC || s.stepAt(s.At(i)) != i || s.stepAt(s.At(i).Add(-1)) != i-1 {
			t.Fatalf("%s: step %d is at %s, which is said to be in %d", name, i, s.At(i), s.stepAt(s.At(i)))
		}
	}
}

// A plan for days steps down at their midnights, and scores whole days of 23, 24
// and 25 hours against the demand that comes with the same stamps.
func TestPlanOfDaysThatClocksChange(t *testing.T) {
	for _, name := range wallZones {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, last := range []string{"2026-03-05", "2026-09-30"} { // a change comes in the month after
			rows := func(dates []string) string {
				var b strings.Builder
				b.WriteString("t,a\n")
				for _, d := range dates {
					at, _ := time.Parse(time.DateOnly, d)
					fmt.Fprintf(&b, "%s,%d\n", d, 1000+500*int(at.Weekday()/3))
				}
				return b.String()
			}
			series, _, err := read(t, ReadOptions{Zone: zone}, rows(datesOf(last, 1, 70)))
			if err != nil {
				t.Fatal(err)
			}
			f, err := New(series[0], Options{Horizon: 40})
			if err != nil {
				t.Fatal(err)
			}
			p, err := MakePlan(f, PlanOptions{PerInstance: 50})
			if err != nil {
				t.Fatal(err)
			}
			downs := 0
			for _, step := range p.Steps {
				at := step.At
				if step.To > step.From {
					at = at.Add(time.Hour) // they come that early
				} else {
					downs++
				}
				if clock := at.In(zone).Format(time.TimeOnly); clock != "00:00:00" {
					t.Errorf("%s after %s: the demand of step %v begins at %s", name, last, step, clock)
				}
				if day := at.In(zone).Format("Mon 2 Jan"); step.To > step.From && !strings.Contains(step.Reason, "by "+day) {
					t.Errorf("%s after %s: %q names another day than %s", name, last, step.Reason, day)
				}
			}
			if downs == 0 {
				t.Errorf("%s after %s: no step down in %v", name, last, p.Steps)
			}
			end, _ := time.Parse(time.DateOnly, last)
			actual, _, err := read(t, ReadOptions{Zone: zone}, rows(datesOf(end.AddDate(0, 0, 40).Format(time.DateOnly), 1, 40)))
			if err != nil {
				t.Fatal(err)
			}
			scored, warnings, err := Replay([]ServicePlan{p}, actual)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range warnings {
				if w.Kind != "step" { // of a day
					t.Errorf("%s after %s: %s", name, last, w)
				}
			}
			if hours := p.End.Sub(p.Start).Hours(); scored.Plan.Hours != hours || hours == 960 {
				t.Errorf("%s after %s: %g hours scored of %g", name, last, scored.Plan.Hours, hours)
			}
		}
	}
}

// Midnights of UTC, and stamps that keep one offset, go on as they are, whatever
// the zone of other stamps is.
func TestDaysOfOneOffsetStay(t *testing.T) {
	for name, offset := range map[string]int{"UTC": 0, "+08:00": 8 * 3600} {
		var b strings.Builder
		b.WriteString("t,a\n")
		start := time.Date(2026, 1, 5, 0, 0, 0, 0, time.FixedZone("", offset))
		for i := range 200 {
			fmt.Fprintf(&b, "%s,%d\n", start.AddDate(0, 0, i).Format(time.RFC3339), i%7)
		}
		series, warnings, err := read(t, ReadOptions{Zone: berlin(t)}, b.String())
		if err != nil || len(warnings) > 0 {
			t.Fatalf("%s: %v %v", name, warnings, err)
		}
		for i := range 600 {
			if want := start.AddDate(0, 0, i); !series[0].At(i).Equal(want) {
				t.Fatalf("%s: step %d at %s, want %s", name, i, series[0].At(i), want)
			}
		}
	}
}

// Hours that become days or weeks take those of --zone, whole ones.
func TestHoursBecomeLocalDays(t *testing.T) {
	zone := berlin(t)
	var b strings.Builder
	b.WriteString("t,a\n")
	start := time.Date(2026, 3, 24, 15, 0, 0, 0, zone) // a Tuesday
	for at := start; at.Before(time.Date(2026, 4, 21, 7, 0, 0, 0, zone)); at = at.Add(time.Hour) {
		fmt.Fprintf(&b, "%s,%d\n", at.UTC().Format(time.RFC3339), at.YearDay()-82) // 1 on that day
	}
	for _, c := range []struct {
		step  time.Duration
		start string
		want  []float64
	}{
		{oneDay, "2026-03-25 00:00", []float64{2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28}},
		{7 * oneDay, "2026-03-23 00:00", []float64{(1*9 + 24*(2+3+4+5) + 23*6) / (9 + 96 + 23.0), 10, 17, 24}},
	} {
		series, warnings, err := read(t, ReadOptions{Zone: zone, Step: c.step}, b.String())
		if err != nil {
			t.Fatal(err)
		}
		s := series[0]
		if got := s.Start.In(zone).Format("2006-01-02 15:04"); got != c.start || !slices.EqualFunc(s.Values, c.want, func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }) {
			t.Errorf("by %s from %s: %v, want %v from %s; %v", c.step, got, s.Values, c.want, c.start, warnings)
		}
	}
}

// Clocks of Lord Howe go back by half an hour, so hours show 01:00, 01:30, 02:30.
func TestHalfAnHourThatClocksShowTwice(t *testing.T) {
	zone, err := time.LoadLocation("Australia/Lord_Howe")
	if err != nil {
		t.Fatal(err)
	}
	want := []float64{0, 1, 2, 3, 4, 5}
	rows := []string{"2026-04-04 23:00", "2026-04-05 00:00", "2026-04-05 01:00", "2026-04-05 01:30", "2026-04-05 02:30", "2026-04-05 03:30"}
	for _, falling := range []bool{false, true} {
		var b strings.Builder
		b.WriteString("t,a\n")
		for i := range rows {
			if falling {
				i = len(rows) - 1 - i
			}
			fmt.Fprintf(&b, "%s,%d\n", rows[i], i)
		}
		c := inputCase{name: fmt.Sprintf("falling %v", falling), text: b.String(), o: ReadOptions{Zone: zone}, series: map[string][]float64{"a": want}, start: "2026-04-04T12:00:00Z", step: time.Hour, kinds: []string{"zone"}}
		if falling {
			c.kinds = []string{"order", "zone"}
		}
		c.check(t)
	}
}

// Steps of months, quarters and years begin at the same day of the month, or at
// its end, and not at twelfths of a mean year.
func TestMonthsFollowTheCalendar(t *testing.T) {
	for _, c := range []struct {
		name, first string
		months      int
		end         bool   // of the month
		form        string // of stamps, if they are no dates
	}{
		{"months", "2023-02-01", 1, false, ""},
		{"ends of months", "2024-01-31", 1, true, ""},
		{"ends of months from February", "2023-02-28", 1, true, ""},
		{"middles", "2023-12-15", 1, false, ""},
		{"months without a day", "2023-02-01", 1, false, "2006-01"},
		{"names of months", "2023-02-01", 1, false, "Jan 2006"},
		{"quarters", "2015-01-01", 3, false, ""},
		{"years", "1990-01-01", 12, false, ""},
	} {
		first, err := time.Parse(time.DateOnly, c.first)
		if err != nil {
			t.Fatal(err)
		}
		at := func(i int) time.Time {
			if c.end {
				return time.Date(first.Year(), first.Month()+time.Month(i*c.months)+1, 0, 0, 0, 0, 0, time.UTC)
			}
			return first.AddDate(0, i*c.months, 0)
		}
		for _, zone := range []*time.Location{time.UTC, berlin(t)} {
			var b strings.Builder
			b.WriteString("t,a\n")
			form := time.DateOnly
			if c.form != "" {
				form = c.form
			}
			for i := range 30 {
				fmt.Fprintf(&b, "%s,%d\n", at(i).Format(form), i)
			}
			series, warnings, err := read(t, ReadOptions{Zone: zone}, b.String())
			if err != nil || len(warnings) > 0 || len(series[0].Values) != 30 {
				t.Fatalf("%s: %v %v %v", c.name, series, warnings, err)
			}
			for i := range 60 {
				if got := series[0].At(i).In(zone).Format("2006-01-02 15:04:05"); got != at(i).Format(time.DateOnly)+" 00:00:00" {
					t.Errorf("%s in %s: step %d at %s, want %s", c.name, zone, i, got, at(i))
				}
			}
		}
	}
}

// The date of a shell and the times of R have abbreviations: they are those of
// --zone, and tell the two hours apart that clocks show twice.
func TestAbbreviationsOfTheZone(t *testing.T) {
	for _, c := range []inputCase{
		{name: "date", text: "t,a\nSat Oct 24 23:00:00 CEST 2026,0\nSun Oct 25 00:00:00 CEST 2026,1\nSun Oct 25 01:00:00 CEST 2026,2\nSun Oct 25 02:00:00 CEST 2026,3\nSun Oct 25 02:00:00 CET 2026,4\n"},
		{name: "date of Debian", text: "t,a\nSat Oct 24 11:00:00 PM CEST 2026,0\nSun Oct 25 12:00:00 AM CEST 2026,1\nSun Oct 25 01:00:00 AM CEST 2026,2\nSun Oct 25 02:00:00 AM CEST 2026,3\nSun Oct 25 02:00:00 AM CET 2026,4\n"},
		{name: "newest first", kinds: []string{"order"}, text: "t,a\n2026-10-25 02:00:00 CET,4\n2026-10-25 02:00:00 CEST,3\n2026-10-25 01:00:00 CEST,2\n2026-10-25 00:00:00 CEST,1\n2026-10-24 23:00:00 CEST,0\n"},
	} {
		c.o, c.series = ReadOptions{Zone: berlin(t)}, map[string][]float64{"a": {0, 1, 2, 3, 4}}
		c.start, c.step = "2026-10-24T21:00:00Z", time.Hour
		c.check(t)
	}
	days := inputCase{
		name: "days of R", text: "t,a\n2026-03-28 CET,0\n2026-03-29 CET,1\n2026-03-30 CEST,2\n", o: ReadOptions{Zone: berlin(t)},
		series: map[string][]float64{"a": {0, 1, 2}}, start: "2026-03-27T23:00:00Z", step: oneDay,
	}
	days.check(t)
	for _, stamp := range []string{"2026-10-25 02:00:00 CST", "2026-07-01 CET", "Sun Oct 25 02:00:00 IST 2026"} {
		_, warnings, err := read(t, ReadOptions{Zone: berlin(t)}, strings.ReplaceAll("series,t,value\na,X,1\na,X,2\na,X,3\n", "X", stamp))
		if err == nil || !strings.Contains(fmt.Sprint(warnings), "is not how clocks of Europe/Berlin are called then; name the zone by --zone") {
			t.Errorf("%s: %v %v", stamp, warnings, err)
		}
	}
}
