package main

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/wxops/wxops/forecast"
	"github.com/wxops/wxops/internal/cli"
)

// explainForecast says what the forecast of one series rests on.
func explainForecast(s *cli.IO, forecasts []*forecast.Forecast, name string) error {
	i := slices.IndexFunc(forecasts, func(f *forecast.Forecast) bool { return f.Series.Name == name })
	if i < 0 {
		return noSuchSeries(forecasts, name)
	}
	f := forecasts[i]
	if err := drawFigure(s, forecastFigure(f)); err != nil {
		return err
	}
	why := cli.NewTable("WHAT", "FINDING").Fit(s.Columns())
	for _, r := range append(reasons(f), holidayReasons(f)...) {
		why.Row(r[0], r[1])
	}
	if err := why.Write(s.Out); err != nil {
		return err
	}
	fmt.Fprintln(s.Out)
	ranked := slices.Clone(f.Models)
	slices.SortStableFunc(ranked, func(a, b forecast.ModelScore) int { return cmp.Compare(a.Ratio, b.Ratio) })
	t := cli.NewTable("MODEL", ">ERROR TO BEST", "USED", "WHAT IT SAYS").Fit(s.Columns())
	for _, m := range ranked {
		used := "no"
		if m.Chosen {
			used = "yes"
		}
		t.Row(m.Name, fmt.Sprintf("%.3f", m.Ratio), used, modelWords(m.Name))
	}
	return t.Write(s.Out)
}

func noSuchSeries(forecasts []*forecast.Forecast, name string) error {
	var names []string
	for _, f := range forecasts {
		names = append(names, f.Series.Name)
	}
	e := cli.Usagef("--explain %q is not a series of the input", name)
	if near := cli.Closest(name, names, 1); len(near) > 0 {
		return e.WithHint("--explain %q", near[0])
	}
	return e.WithHint("--explain %q, the first of %d", names[0], len(names))
}

// reasons say how far a forecast can be believed, each with what it is about.
func reasons(f *forecast.Forecast) [][2]string {
	seasons := "no season"
	if f.Short > 1 {
		seasons = fmt.Sprintf("season of %d steps", f.Short)
		if f.Long > 1 {
			seasons = fmt.Sprintf("seasons of %d and %d steps", f.Short, f.Long)
		}
	}
	out := [][2]string{
		{"history", fmt.Sprintf("%d steps, from %s to %s, %s", len(f.Series.Values), short(f.HistoryMin), short(f.HistoryMax), seasons)},
	}
	b := f.Backtest
	if b.Windows == 0 {
		return append(out, [2]string{"backtests", "none: the history is too short or constant; its last value goes on"})
	}
	miss := ""
	if share := b.MAE / meanSize(f.Series.Values); !math.IsNaN(share) && !math.IsInf(share, 0) {
		miss = fmt.Sprintf(" (%.1f %% of the mean)", 100*share)
	}
	out = append(out,
		[2]string{"backtests", fmt.Sprintf("the same was done at %d earlier times, %d steps each", b.Windows, b.Steps)},
		[2]string{"error", fmt.Sprintf("a step was off by %s%s on average, %.2f of the seasonal naive steps; bias %s", short(b.MAE), miss, b.MASE, short(b.Bias))},
	)
	for i, band := range f.Bands {
		if i < len(b.Coverage) {
			out = append(out, [2]string{"interval", fmt.Sprintf("that of %s held %s of the steps", percent(band.Level), percent(math.Round(100*b.Coverage[i])/100))})
		}
	}
	return append(out, [2]string{"choice", "the weighted middle of the models marked yes: the nearer to the best, the more one weighs; see docs/formulas.md"})
}

// meanSize is the mean distance of known values from zero.
func meanSize(values []float64) float64 {
	sum, n := 0.0, 0.0
	for _, v := range values {
		if !math.IsNaN(v) {
			sum += math.Abs(v)
			n++
		}
	}
	return sum / n
}

// profileName is the part of a model's name that says which profile it has: the
// season, and the weight of the newest one.
var profileName = regexp.MustCompile(`^(day|week|year)-(naive|[0-9.]+)$`)

// modelWords says in words what a model of the pool does, from its name; empty
// for a name that says nothing more.
func modelWords(name string) string {
	scale, rest, scaled := strings.Cut(name, "/")
	if !scaled {
		rest, scale = name, ""
	}
	rest, _, _ = strings.Cut(rest, "#")
	words := ""
	base, onTop, _ := strings.Cut(rest, "+")
	if m := profileName.FindStringSubmatch(base); m != nil {
		words = "as the " + m[1] + " before"
		if rate, err := strconv.ParseFloat(m[2], 64); err == nil && rate < 1 {
			words = fmt.Sprintf("a usual %s, of which the newest counts %.0f %%", m[1], 100*rate)
		}
		kind, _, _ := strings.Cut(onTop, "-")
		words += map[string]string{
			"ar": ", and how deviations from it went on", "level": ", and their smoothed level", "day": ", moved by how the last day was off",
			"week": ", moved by how the last week was off", "month": ", moved by how the last month was off", "fading": ", moved by how it was off lately, which fades",
		}[kind]
	} else {
		kind, _, _ := strings.Cut(base, "-")
		words = map[string]string{
			"ar": "how values went on from earlier ones", "change": "how changes went on from earlier ones", "level": "the smoothed level", "last": "the last value",
			"damped": "a trend that dies down", "median": "the middle of a " + strings.TrimPrefix(base, "median-"), "coarse": "the same models on 24ths of a day",
		}[kind]
	}
	if scale == "log" && words != "" {
		words += ", in proportion"
	}
	return words
}
