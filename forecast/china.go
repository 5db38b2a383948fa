package forecast

import (
	"fmt"
	"time"
)

// The holidays of mainland China. The days off of a year, and the weekend days
// that are worked for them, are announced by the General Office of the State
// Council in the autumn before; until then only the statutory dates are known:
// solar ones, Qingming, and those of the lunar calendar.

// announcedChina are the announced years: name, first and last day off. Where a
// notice joins a day off with the weekend beside it (New Year and Dragon Boat of
// 2024), the weekend is part of the holiday.
var announcedChina = [][3]string{
	{newYear, "2021-01-01", "2021-01-03"},
	{springFestival, "2021-02-11", "2021-02-17"},
	{qingming, "2021-04-03", "2021-04-05"},
	{labourDay, "2021-05-01", "2021-05-05"},
	{dragonBoat, "2021-06-12", "2021-06-14"},
	{midAutumn, "2021-09-19", "2021-09-21"},
	{nationalDay, "2021-10-01", "2021-10-07"},
	{newYear, "2022-01-01", "2022-01-03"},
	{springFestival, "2022-01-31", "2022-02-06"},
	{qingming, "2022-04-03", "2022-04-05"},
	{labourDay, "2022-04-30", "2022-05-04"},
	{dragonBoat, "2022-06-03", "2022-06-05"},
	{midAutumn, "2022-09-10", "2022-09-12"},
	{nationalDay, "2022-10-01", "2022-10-07"},
	{newYear, "2022-12-31", "2023-01-02"},
	{springFestival, "2023-01-21", "2023-01-27"},
	{qingming, "2023-04-05", "2023-04-05"},
	{labourDay, "2023-04-29", "2023-05-03"},
	{dragonBoat, "2023-06-22", "2023-06-24"},
	{nationalDay, "2023-09-29", "2023-10-06"},
	{newYear, "2023-12-30", "2024-01-01"},
	{springFestival, "2024-02-10", "2024-02-17"},
	{qingming, "2024-04-04", "2024-04-06"},
	{labourDay, "2024-05-01", "2024-05-05"},
	{dragonBoat, "2024-06-08", "2024-06-10"},
	{midAutumn, "2024-09-15", "2024-09-17"},
	{nationalDay, "2024-10-01", "2024-10-07"},
	{newYear, "2025-01-01", "2025-01-01"},
	{springFestival, "2025-01-28", "2025-02-04"},
	{qingming, "2025-04-04", "2025-04-06"},
	{labourDay, "2025-05-01", "2025-05-05"},
	{dragonBoat, "2025-05-31", "2025-06-02"},
	{nationalDay, "2025-10-01", "2025-10-08"},
	{newYear, "2026-01-01", "2026-01-03"},
	{springFestival, "2026-02-15", "2026-02-23"},
	{qingming, "2026-04-04", "2026-04-06"},
	{labourDay, "2026-05-01", "2026-05-05"},
	{dragonBoat, "2026-06-19", "2026-06-21"},
	{midAutumn, "2026-09-25", "2026-09-27"},
	{nationalDay, "2026-10-01", "2026-10-07"},
}

// workingChina are the weekend days worked in the announced years.
var workingChina = []string{
	"2021-02-07", "2021-02-20", "2021-04-25", "2021-05-08", "2021-09-18", "2021-09-26", "2021-10-09",
	"2022-01-29", "2022-01-30", "2022-04-02", "2022-04-24", "2022-05-07", "2022-10-08", "2022-10-09",
	"2023-01-28", "2023-01-29", "2023-04-23", "2023-05-06", "2023-06-25", "2023-10-07", "2023-10-08",
	"2024-02-04", "2024-02-18", "2024-04-07", "2024-04-28", "2024-05-11", "2024-09-14", "2024-09-29", "2024-10-12",
	"2025-01-26", "2025-02-08", "2025-04-27", "2025-09-28", "2025-10-11",
	"2026-01-04", "2026-02-14", "2026-02-28", "2026-05-09", "2026-09-20", "2026-10-10",
}

// lunarChina are the dates of the years that are not announced yet: Qingming (a
// solar term), the first day of the lunar year, the 5th of the 5th and the 15th
// of the 8th lunar month.
var lunarChina = []struct {
	year                               int
	qingming, spring, dragon, midAutum string
}{
	{2027, "04-05", "02-06", "06-09", "09-15"},
	{2028, "04-04", "01-26", "05-28", "10-03"},
	{2029, "04-04", "02-13", "06-16", "09-22"},
	{2030, "04-05", "02-03", "06-05", "09-12"},
}

const (
	newYear        = "New Year"
	springFestival = "Spring Festival"
	qingming       = "Qingming"
	labourDay      = "Labour Day"
	dragonBoat     = "Dragon Boat"
	midAutumn      = "Mid-Autumn"
	nationalDay    = "National Day"
)

// China returns the holidays of mainland China from 2021 to 2030, in the time of
// Shanghai. What is not announced yet has its statutory dates and usual length,
// and no make-up working days.
func China() *Calendar {
	f := calendarFile{Working: workingChina}
	add := func(name, from, to string, announced bool) {
		around := 1
		if name == springFestival { // the country travels for days
			around = 3
		}
		f.Holidays = append(f.Holidays, holiday{Name: name, From: from, To: to, Before: around, After: around, Announced: &announced})
	}
	for _, h := range announcedChina {
		add(h[0], h[1], h[2], true)
	}
	for _, l := range lunarChina {
		span := func(name, monthDay string, first, days int) {
			at, err := time.Parse(dateLayout, fmt.Sprintf("%d-%s", l.year, monthDay))
			if err != nil {
				panic(err) // the table above
			}
			from := at.AddDate(0, 0, first)
			add(name, from.Format(dateLayout), from.AddDate(0, 0, days-1).Format(dateLayout), false)
		}
		span(newYear, "01-01", 0, 1)
		span(springFestival, l.spring, -1, 8)
		span(qingming, l.qingming, 0, 1)
		span(labourDay, "05-01", 0, 5)
		span(dragonBoat, l.dragon, 0, 1)
		span(nationalDay, "10-01", 0, 7)
		span(midAutumn, l.midAutum, 0, 1)
	}
	c, err := f.calendar()
	if err != nil {
		panic(err) // the tables above
	}
	c.zone = time.FixedZone("Asia/Shanghai", 8*60*60) // no summer time since 1991
	return c
}
