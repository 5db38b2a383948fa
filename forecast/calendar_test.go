package forecast_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/wxops/wxops/forecast"
)

const day = 24 * time.Hour

// shanghai is the start of a day there.
func shanghai(year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, 0, 0, 0, 0, time.FixedZone("", 8*60*60))
}

// office is a load of working days, 100 by day on 5 days a week and 40 on 2.
func office(start time.Time, days int, change func(at time.Time, usual float64) float64) forecast.Series {
	s := forecast.Series{Name: "office", Start: start.UTC(), Step: time.Hour}
	for h := range days * 24 {
		at := start.Add(time.Duration(h) * time.Hour)
		v := 100.0
		if at.Weekday() == time.Saturday || at.Weekday() == time.Sunday {
			v = 40
		}
		v *= 1 + 0.5*math.Sin(2*math.Pi*float64(at.Hour())/24)
		s.Values = append(s.Values, change(at, v))
	}
	return s
}

func dayMean(f *forecast.Forecast, d int) float64 {
	sum := 0.0
	for _, v := range f.Mean[d*24 : (d+1)*24] {
		sum += v / 24
	}
	return sum
}

func TestHolidayIsForecastAsTheLastOneWas(t *testing.T) {
	// A fair of May at half of a weekend day teaches that of October; the history
	// has no other one of October, so what is learnt is held back.
	closed := map[string]bool{}
	for d := range 5 {
		closed[shanghai(2026, 5, 1+d).Format("2006-01-02")] = true
	}
	s := office(shanghai(2026, 3, 1), 214, func(at time.Time, usual float64) float64 {
		swing := 1 + 0.5*math.Sin(2*math.Pi*float64(at.Hour())/24)
		switch {
		case closed[at.Format("2006-01-02")]:
			return 20 * swing
		case at.Format("2006-01-02") == "2026-05-09":
			return 100 * swing
		}
		return usual
	})
	c, err := forecast.ReadCalendar(strings.NewReader(`
zone: Asia/Shanghai
holidays:
  - {name: May, from: 2026-05-01, to: 2026-05-05}
  - {name: October, from: 2026-10-01, to: 2026-10-07}
working: [2026-05-09, 2026-10-10]`), nil)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := forecast.New(s, forecast.Options{Horizon: 240})
	if err != nil {
		t.Fatal(err)
	}
	f, err := forecast.New(s, forecast.Options{Horizon: 240, Holidays: c})
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Mean) != 240 || len(f.PeakQ95) != 240 || len(f.Bands[1].High) != 240 {
		t.Fatalf("paths of %d, %d and %d steps, want 240", len(f.Mean), len(f.PeakQ95), len(f.Bands[1].High))
	}
	// 2026-10-01 is a Thursday: without a calendar a full working day.
	if got := dayMean(plain, 0); math.Abs(got-100) > 10 {
		t.Errorf("without a calendar October 1 has a mean of %.0f, want about 100", got)
	}
	if got := dayMean(f, 0); got > 38 || got < 18 {
		t.Errorf("October 1 has a mean of %.0f, want between 20 (as in May) and 40 (a weekend day)", got)
	}
	// 2026-10-10 is a Saturday that is worked.
	if got := dayMean(f, 9); math.Abs(got-100) > 15 {
		t.Errorf("the make-up working day has a mean of %.0f, want about 100", got)
	}
	if got := dayMean(plain, 9); got > 60 {
		t.Errorf("without a calendar October 10 has a mean of %.0f, want about 40", got)
	}
	if f.PeakQ95[0] > 100 {
		t.Errorf("the peak of October 1 is below %.0f, want less than a working day's 150", f.PeakQ95[0])
	}
	for h := range f.Mean {
		for _, b := range f.Bands {
			if !(b.Low[h] <= f.Mean[h] && f.Mean[h] <= b.High[h]) || b.Low[h] < 0 {
				t.Fatalf("step %d: %g is not inside [%g, %g]", h, f.Mean[h], b.Low[h], b.High[h])
			}
		}
	}
}

func TestCalendarWithoutADayInTheHorizonChangesNothing(t *testing.T) {
	s := office(shanghai(2026, 5, 20), 21, func(_ time.Time, usual float64) float64 { return usual })
	c, err := forecast.ReadCalendar(strings.NewReader("holidays: [{name: Far, from: 2029-01-01}]"), nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := forecast.New(s, forecast.Options{Horizon: 48})
	if err != nil {
		t.Fatal(err)
	}
	b, err := forecast.New(s, forecast.Options{Horizon: 48, Holidays: c})
	if err != nil {
		t.Fatal(err)
	}
	for h := range a.Mean {
		if a.Mean[h] != b.Mean[h] || a.PeakQ95[h] != b.PeakQ95[h] {
			t.Fatalf("step %d: %g with the calendar, %g without", h, b.Mean[h], a.Mean[h])
		}
	}
}

func TestUnannouncedHolidayFollowsTheMoon(t *testing.T) {
	// The lunar year begins at a new moon; mean new moons are 29.530589 days apart
	// (Meeus, Astronomical Algorithms, chapter 49; one was on 2000-01-06 18:14 UTC),
	// and the true one is at most 15 hours off.
	const month = 29.530589
	epoch := time.Date(2000, 1, 6, 18, 14, 0, 0, time.UTC)
	for _, year := range []int{2021, 2022, 2023, 2024, 2025, 2026, 2027, 2028, 2029, 2030} {
		s := office(shanghai(year-1, 12, 1), 45, func(_ time.Time, usual float64) float64 { return usual })
		f, err := forecast.New(s, forecast.Options{Horizon: 60 * 24, Holidays: forecast.China()})
		if err != nil {
			t.Fatal(err)
		}
		near := false
		for _, d := range f.Special {
			if d.Name != "Spring Festival" || d.Kind != forecast.Holiday {
				continue
			}
			if d.Expected != (year > 2026) {
				t.Errorf("%d: Spring Festival expected %t", year, d.Expected)
			}
			noon := d.Date.Add(12 * time.Hour)
			age := math.Mod(noon.Sub(epoch).Hours()/24, month)
			if min(age, month-age) < 1.2 {
				near = true
			}
		}
		if !near {
			t.Errorf("%d: no day of the Spring Festival is at a new moon: %v", year, f.Special)
		}
	}
}

// Each notice gives a year's days off and the weekend days worked for them; what
// is checked here was counted in the notices of 2020 to 2025 (国办发明电), by year.
func TestChinaHasTheDaysOfTheNotices(t *testing.T) {
	for year, want := range map[int]struct{ off, worked int }{
		2021: {31, 7}, 2022: {32, 7}, 2023: {28, 7}, 2024: {30, 8}, 2025: {28, 5}, 2026: {33, 6},
	} {
		off, worked := 0, 0
		s := forecast.Series{Name: "s", Start: shanghai(year-1, 11, 1), Step: day}
		for range 61 {
			s.Values = append(s.Values, 1+float64(len(s.Values)%7))
		}
		f, err := forecast.New(s, forecast.Options{Horizon: 365, Holidays: forecast.China()})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Special {
			at := d.Date.In(time.FixedZone("", 8*60*60))
			if at.Year() != year {
				continue
			}
			if d.Expected && d.Kind == forecast.Holiday {
				t.Errorf("%s is not announced", at)
			}
			switch d.Kind {
			case forecast.Holiday:
				off++
			case forecast.Working:
				worked++
				if w := at.Weekday(); w != time.Saturday && w != time.Sunday {
					t.Errorf("%s is worked and no weekend day", at)
				}
			}
		}
		if off != want.off || worked != want.worked {
			t.Errorf("%d: %d days off and %d worked, want %d and %d", year, off, worked, want.off, want.worked)
		}
	}
}

func TestCalendarRefusesWhatItCannotRead(t *testing.T) {
	for _, text := range []string{
		"", "words", "holidays: []", "holidays: [{from: 2026-01-01}]", "holidays: [{name: a, from: yesterday}]",
		"holidays: [{name: a, from: 2026-01-02, to: 2026-01-01}]", "holidays: [{name: a, from: 2026-01-01, before: -1}]",
		"holidays: [{name: a, from: 0001-01-01, to: 9999-01-01}]", "zone: Nowhere/Else\nworking: [2026-01-01]", "working: [x]", "days: 3",
	} {
		if _, err := forecast.ReadCalendar(strings.NewReader(text), nil); !errors.Is(err, forecast.ErrCalendar) {
			t.Errorf("%q: %v, want ErrCalendar", text, err)
		}
	}
}

func FuzzReadCalendar(f *testing.F) {
	f.Add("zone: Asia/Shanghai\nholidays: [{name: a, from: 2026-01-01, to: 2026-01-03, before: 1, after: 1, announced: false}]\nworking: [2026-01-04]", uint8(30))
	f.Add("working: [2026-06-06]", uint8(200))
	f.Fuzz(func(t *testing.T, text string, days uint8) {
		c, err := forecast.ReadCalendar(strings.NewReader(text), nil)
		if err != nil {
			return
		}
		s := forecast.Series{Name: "s", Start: shanghai(2026, 1, 1), Step: day}
		for i := range int(days) {
			s.Values = append(s.Values, float64(i%7))
		}
		v, err := forecast.New(s, forecast.Options{Horizon: 9, Holidays: c})
		if err != nil {
			return
		}
		for h, m := range v.Mean {
			if !(m >= 0) || v.Bands[1].High[h] > 10*v.HistoryMax {
				t.Fatalf("step %d: mean %g, upper %g of a history up to %g", h, m, v.Bands[1].High[h], v.HistoryMax)
			}
		}
	})
}

// A calendar without a zone has the days of the series: the first of May is the
// one of Berlin, which begins on the 30th of April in UTC.
func TestCalendarHasTheDaysOfTheSeries(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	s := forecast.Series{Name: "days", Start: time.Date(2026, 1, 5, 0, 0, 0, 0, zone).UTC(), Step: day, Zone: zone}
	for at := range 100 { // until 14 April
		s.Values = append(s.Values, 1000+float64(at%7)+float64(at*at%11))
	}
	for _, given := range []*time.Location{nil, zone, time.UTC} {
		c, err := forecast.ReadCalendar(strings.NewReader("holidays: [{name: May, from: 2026-05-01}]"), given)
		if err != nil {
			t.Fatal(err)
		}
		f, err := forecast.New(s, forecast.Options{Horizon: 30, Holidays: c})
		if err != nil {
			t.Fatal(err)
		}
		want := "1 May"
		if given == time.UTC {
			want = "2 May"
		}
		if len(f.Special) != 1 || f.Special[0].Date.In(zone).Format("2 January") != want {
			t.Errorf("zone %v: special days %v, want %s of Berlin", given, f.Special, want)
		}
	}
}
