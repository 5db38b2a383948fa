package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/wxops/wxops/forecast"
	"github.com/wxops/wxops/internal/cli"
)

// calendar returns the calendar that --holidays names, nil for none. Dates of a
// file that names no zone are of the given one.
func (f *modelFlags) calendar(zone *time.Location) (*forecast.Calendar, error) {
	switch {
	case f.holidays == "":
		return nil, nil
	case strings.EqualFold(f.holidays, "CN"):
		return forecast.China(), nil
	}
	text, err := os.ReadFile(f.holidays)
	if err != nil && len(f.holidays) == 2 {
		return nil, cli.Usagef("--holidays %q: only CN is built in", f.holidays).WithHint("write the holidays into a file: holidays: [{name: Fair, from: 2026-10-01}]")
	}
	if err != nil {
		return nil, cli.Unreadable(f.holidays, err).WithHint("--holidays CN, or a YAML file")
	}
	c, err := forecast.ReadCalendar(bytes.NewReader(text), zone)
	if err != nil {
		return nil, cli.Usagef("--holidays %q", f.holidays).WithCause(err).WithHint("holidays: [{name: Fair, from: 2026-10-01, to: 2026-10-03, before: 1, after: 1}]")
	}
	return c, nil
}

// holidayWarnings name, once for all series, the holidays that are not announced.
func holidayWarnings(forecasts []*forecast.Forecast) []forecast.Warning {
	var out []forecast.Warning
	told := map[string]bool{}
	for _, f := range forecasts {
		for _, d := range f.Special {
			name := fmt.Sprintf("%s %d", d.Name, d.Date.Year())
			if !d.Expected || d.Kind != forecast.Holiday || told[name] {
				continue
			}
			told[name] = true
			out = append(out, forecast.Warning{Kind: "holiday", Text: name + " is not announced yet; its usual days are taken, without make-up working days, and wider intervals"})
		}
	}
	return out
}

// holidayReasons say what the calendar changed.
func holidayReasons(f *forecast.Forecast) [][2]string {
	var out [][2]string
	for _, d := range f.Special {
		like := map[forecast.DayKind]string{forecast.Holiday: "a weekend day", forecast.Working: "a working day"}[d.Kind]
		if like == "" {
			like = "itself"
		}
		out = append(out, [2]string{"calendar", fmt.Sprintf("%s %s, %s: %.2f of %s, seen before: %d", d.Date.Format("2006-01-02"), d.Name, d.Kind, d.Ratio, like, d.Seen)})
	}
	return out
}
