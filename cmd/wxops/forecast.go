package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/forecast"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
)

// kindForecast is what a forecast hands to sizing and to people.
var kindForecast = doc.Kind{Name: "forecast", Version: 1, Title: "Quantile paths of series", Data: forecastData{}}

type forecastData struct {
	Horizon int              `json:"horizon_steps" doc:"steps that are forecast"`
	Series  []forecastSeries `json:"series" doc:"one for each series, in the order of the input"`
}

type forecastSeries struct {
	Name    string         `json:"series" doc:"name of the series"`
	Start   *time.Time     `json:"start,omitempty" doc:"time of the first step; absent for an index"`
	Times   []time.Time    `json:"times,omitempty" doc:"times of the steps where they are not equally long, as months and days of a zone with summer time; absent: start + i x step_seconds"`
	Index   *int           `json:"start_index,omitempty" doc:"index of the first step; absent for a clock"`
	Step    float64        `json:"step_seconds" doc:"length of a step, of a month a twelfth of a year; 0 for an index"`
	Seasons []int          `json:"season_steps" doc:"seasonal periods used"`
	History int            `json:"history_steps" doc:"length of the history"`
	Max     float64        `json:"history_max" doc:"highest value of the history"`
	Mean    []float64      `json:"mean" doc:"median path"`
	Bands   []forecastBand `json:"intervals" doc:"central intervals"`
	Peak    []float64      `json:"peak_q95,omitempty" doc:"95 % quantile of the peak of each step's day"`
	Models  []string       `json:"models" doc:"models whose median the path is"`
	Test    forecastTest   `json:"backtest" doc:"what the chosen models would have said before"`
}

type forecastBand struct {
	Level float64   `json:"level_ratio" doc:"share of actual values that should lie inside"`
	Low   []float64 `json:"low" doc:"lower bounds by step"`
	High  []float64 `json:"high" doc:"upper bounds by step"`
}

type forecastTest struct {
	Windows  int       `json:"windows" doc:"origins forecast from"`
	Steps    int       `json:"steps" doc:"steps of each, at most"`
	MAE      float64   `json:"mean_absolute_error" doc:"in the unit of the series"`
	MASE     float64   `json:"mase_ratio" doc:"the same relative to seasonal naive steps"`
	Bias     float64   `json:"bias" doc:"mean of actual less forecast"`
	Coverage []float64 `json:"coverage_ratio" doc:"share inside each interval"`
}

// modelFlags are the flags that shape a forecast.
type modelFlags struct {
	horizon, season, levels string
	holidays                string
	floor                   float64
	jobs                    int
	strict                  bool
}

func (f *modelFlags) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.horizon, "horizon", "", "`STEPS`, or a time as 7d or 48h (default one week; 13 steps where they are longer than a day)")
	flags.StringVar(&f.season, "season", "auto", "seasonal periods in `STEPS`, as 24,168; auto; or none")
	flags.StringVar(&f.levels, "levels", "80,95", "intervals in `PERCENT`")
	flags.Float64Var(&f.floor, "floor", math.Inf(-1), "least value (default 0 for a history that is nowhere negative)")
	flags.Lookup("floor").DefValue = "" // the words above say it
	flags.StringVar(&f.holidays, "holidays", "", "CN, or a YAML `FILE` of holidays and make-up working days")
	flags.IntVar(&f.jobs, "jobs", runtime.GOMAXPROCS(0), "series worked on at a time; the result is the same")
	flags.BoolVar(&f.strict, "strict", false, "exit 3 when a series cannot be forecast")
}

// options returns the options for a series with the given step.
func (f *modelFlags) options(step time.Duration) (forecast.Options, error) {
	o := forecast.Options{}
	if !math.IsInf(f.floor, -1) {
		if math.IsNaN(f.floor) || math.IsInf(f.floor, 1) {
			return o, cli.Usagef("--floor %v is not a finite number", f.floor)
		}
		o.Floor = &f.floor
	}
	if f.jobs < 1 {
		return o, cli.Usagef("--jobs %d is less than 1", f.jobs).WithHint("--jobs %d", runtime.GOMAXPROCS(0))
	}
	if f.horizon != "" {
		n, err := parseHorizon(f.horizon, step)
		if err != nil {
			return o, err
		}
		o.Horizon = n
	}
	switch f.season {
	case "auto":
	case "none", "1":
		o.Seasons = []int{1}
	default:
		for _, part := range strings.Split(f.season, ",") {
			n, err := strconv.Atoi(strings.TrimSpace(part))
			if err != nil || n < 2 || n > 100_000 {
				return o, cli.Usagef("--season %q: %q is not a whole number of steps in [2, 100000]", f.season, part).WithHint("--season 24,168")
			}
			o.Seasons = append(o.Seasons, n)
		}
		slices.Sort(o.Seasons)
		if len(o.Seasons) > 2 {
			return o, cli.Usagef("--season %q names %d periods, at most 2 are used", f.season, len(o.Seasons)).WithHint("--season 24,168")
		}
	}
	for _, part := range strings.Split(f.levels, ",") {
		l, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
		if err != nil || !(l > 0 && l < 100) {
			return o, cli.Usagef("--levels %q: %q is outside (0, 100)", f.levels, part).WithHint("--levels 80,95")
		}
		o.Levels = append(o.Levels, l/100)
	}
	slices.Sort(o.Levels)
	o.Levels = slices.Compact(o.Levels)
	return o, nil
}

// parseHorizon reads steps, or a span: as many steps as reach its end.
func parseHorizon(text string, step time.Duration) (int, error) {
	refuse := func(why string) (int, error) {
		e := cli.Usagef("--horizon %q: %s", text, why)
		if step <= 0 {
			return 0, e.WithHint("--horizon 168")
		}
		return 0, e.WithHint("--horizon 168 or --horizon 7d")
	}
	if n, err := strconv.Atoi(text); err == nil {
		if n < 1 || n > forecast.MaxHorizon {
			return refuse(fmt.Sprintf("outside [1, %d] steps", forecast.MaxHorizon))
		}
		return n, nil
	}
	span, err := cli.ParseDuration(text)
	if err != nil {
		return refuse("neither steps nor a span")
	}
	if step <= 0 {
		return refuse("a span needs times in the input, and it has an index")
	}
	steps := (span + step - 1) / step
	if span <= 0 || steps > forecast.MaxHorizon {
		return refuse(fmt.Sprintf("outside [1, %d] steps of %s", forecast.MaxHorizon, cli.FormatDuration(step)))
	}
	return int(steps), nil
}

// forecastFiles reads series and forecasts them, and prints the warnings of both.
func (f *modelFlags) forecastFiles(ctx context.Context, s *cli.IO, in *seriesInput, args []string) ([]*forecast.Forecast, []forecast.Warning, []doc.Input, error) {
	series, warnings, inputs, err := in.read(ctx, s, args)
	printWarnings(s, warnings)
	if err != nil {
		return nil, nil, nil, err
	}
	zone, err := in.zoneOfDays()
	if err != nil {
		return nil, nil, nil, err
	}
	forecasts, more, err := f.forecastAll(ctx, s, series, zone)
	printWarnings(s, more)
	return forecasts, append(warnings, more...), inputs, err
}

// forecastAll forecasts every series with f.jobs workers; the results keep the
// order of the input. A series that cannot be forecast becomes a warning. Holidays
// are days of the zone where they name none.
func (f *modelFlags) forecastAll(ctx context.Context, s *cli.IO, series []forecast.Series, zone *time.Location) ([]*forecast.Forecast, []forecast.Warning, error) {
	if _, err := f.options(0); err != nil && !strings.Contains(err.Error(), "span") {
		return nil, nil, err
	}
	calendar, err := f.calendar(zone)
	if err != nil {
		return nil, nil, err
	}
	out := make([]*forecast.Forecast, len(series))
	failed := make([]error, len(series))
	progress := cli.NewProgress(s, "forecast")
	var next, done atomic.Int64
	var group sync.WaitGroup
	for range min(max(f.jobs, 1), len(series)) {
		group.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(series) || ctx.Err() != nil {
					return
				}
				o, err := f.options(series[i].Step)
				if err == nil {
					o.Holidays = calendar
					out[i], err = forecast.New(series[i], o)
				}
				failed[i] = err
				progress.Update(int(done.Add(1)), len(series))
			}
		})
	}
	group.Wait()
	progress.Done()
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	var warnings []forecast.Warning
	kept := out[:0]
	var first error
	for i, v := range out {
		if failed[i] != nil {
			var usage *cli.Error
			if errors.As(failed[i], &usage) {
				return nil, nil, failed[i]
			}
			if first == nil {
				first = failed[i]
			}
			reason := strings.TrimPrefix(failed[i].Error(), fmt.Sprintf("series %q: ", series[i].Name))
			warnings = append(warnings, forecast.Warning{Series: series[i].Name, Kind: "series", Text: "left out: " + reason, Count: 1})
			continue
		}
		kept = append(kept, v)
		warnings = append(warnings, f.doubts(v)...)
	}
	warnings = append(warnings, holidayWarnings(kept)...)
	if len(kept) == 0 {
		return nil, warnings, cli.Usagef("nothing to forecast").WithCause(first).WithHint("give at least 3 values for each series")
	}
	return kept, warnings, nil
}

// doubts are what was asked of a history that it is too short for.
func (f *modelFlags) doubts(v *forecast.Forecast) []forecast.Warning {
	var out []forecast.Warning
	history := len(v.Series.Values)
	if len(v.Mean) > history {
		out = append(out, forecast.Warning{
			Series: v.Series.Name, Kind: "horizon", Count: 1,
			Text: fmt.Sprintf("%d steps after a history of %d: the far ones rest on little", len(v.Mean), history),
		})
	}
	if f.season != "auto" {
		used := []int{v.Short, v.Long}
		for _, part := range strings.Split(f.season, ",") {
			if n, err := strconv.Atoi(strings.TrimSpace(part)); err == nil && !slices.Contains(used, n) {
				out = append(out, forecast.Warning{
					Series: v.Series.Name, Kind: "season", Count: 1,
					Text: fmt.Sprintf("a period of %d steps needs two of them, and the history has %d steps; left out", n, history),
				})
			}
		}
	}
	return out
}

func newForecast(s *cli.IO) *cobra.Command {
	var in seriesInput
	var model modelFlags
	var out cli.Output
	var explain string
	cmd := &cobra.Command{
		Use:   "forecast FILE...",
		Short: "Say how much will be needed, when, and how sure that is",
		Long: `forecast reads metric histories (CSV long or wide, Grafana's too, Prometheus,
VictoriaMetrics and CloudWatch JSON, sadf -j; also packed; - is standard input)
and gives for each series the median path, intervals, and the 95 % quantile of
the peak of each day.

A pool of models is backtested on the history of each series; the forecast is
the weighted middle of the models within a band of the best. Every repair of the
input is a warning on standard error.`,
		Example: `  wxops forecast metrics.csv --horizon 7d
  wxops forecast metrics.csv --horizon 168 -o csv > forecast.csv
  wxops forecast --prometheus http://127.0.0.1:9090 --query 'rate(requests[5m])'`,
		Args:        cobra.ArbitraryArgs,
		Annotations: map[string]string{"args": "files"},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.Check(); err != nil {
				return err
			}
			if explain != "" && out.Format != "table" {
				return cli.Usagef("--explain is for people, and -o %s is not", out.Format).WithHint("wxops forecast backtest -o %s has the figures", out.Format)
			}
			forecasts, warnings, inputs, err := model.forecastFiles(cmd.Context(), s, &in, args)
			if err != nil {
				return err
			}
			if explain != "" {
				err = explainForecast(s, forecasts, explain)
			} else {
				err = printForecasts(s, &out, forecasts, warnings, inputs)
			}
			if err != nil {
				return err
			}
			return model.strictly(warnings)
		},
	}
	in.addFlags(cmd)
	model.addFlags(cmd)
	out.AddFlag(cmd, "table", "csv", "json", "yaml", "svg")
	cmd.Flags().StringVar(&explain, "explain", "", "say why the forecast of this `SERIES` is what it is")
	cmd.AddCommand(newForecastBacktest(s), newForecastPlan(s), newForecastReplay(s))
	return cmd
}

// strictly returns exit 3 with the list of series that were left out.
func (f *modelFlags) strictly(warnings []forecast.Warning) error {
	var left []string
	for _, w := range warnings {
		if w.Kind == "series" {
			left = append(left, w.Series)
		}
	}
	if !f.strict || len(left) == 0 {
		return nil
	}
	return cli.Failf("%d series could not be forecast: %s", len(left), strings.Join(left, ", ")).WithHint("leave --strict out to go on without them")
}

func printForecasts(s *cli.IO, out *cli.Output, forecasts []*forecast.Forecast, warnings []forecast.Warning, inputs []doc.Input) error {
	switch out.Format {
	case "csv":
		return writeForecastCSV(s.Out, forecasts)
	case "svg":
		return writeForecastSVG(s, forecasts)
	case "table":
		return writeForecastTable(s, forecasts)
	}
	data := forecastData{}
	for _, f := range forecasts {
		data.Horizon = max(data.Horizon, len(f.Mean))
		data.Series = append(data.Series, forecastDocument(f))
	}
	document, err := doc.Marshal(kindForecast, toolVersion(), time.Time{}, inputs, warningTexts(warnings), data)
	if err != nil {
		return err
	}
	return out.Print(s.Out, document, nil)
}

func forecastDocument(f *forecast.Forecast) forecastSeries {
	d := forecastSeries{
		Name: f.Series.Name, Step: f.Series.Step.Seconds(), History: len(f.Series.Values), Max: f.HistoryMax,
		Mean: f.Mean, Peak: f.PeakQ95, Seasons: []int{}, Models: []string{},
		Test: forecastTest{Windows: f.Backtest.Windows, Steps: f.Backtest.Steps, MAE: f.Backtest.MAE, MASE: f.Backtest.MASE, Bias: f.Backtest.Bias, Coverage: f.Backtest.Coverage},
	}
	if f.Series.Step > 0 {
		t := f.At(1)
		d.Start = &t
		d.Times = unevenTimes(f)
	} else {
		i := f.Series.First + len(f.Series.Values)
		d.Index = &i
	}
	for _, p := range []int{f.Short, f.Long} {
		if p > 1 {
			d.Seasons = append(d.Seasons, p)
		}
	}
	for _, b := range f.Bands {
		d.Bands = append(d.Bands, forecastBand{b.Level, b.Low, b.High})
	}
	for _, m := range f.Models {
		if m.Chosen {
			d.Models = append(d.Models, m.Name)
		}
	}
	return d
}

// unevenTimes are the times of the steps; nil where they are equally long.
func unevenTimes(f *forecast.Forecast) []time.Time {
	var times []time.Time
	uneven := false
	for h := range f.Mean {
		times = append(times, f.At(h+1))
		uneven = uneven || !times[h].Equal(times[0].Add(time.Duration(h)*f.Series.Step))
	}
	if !uneven {
		return nil
	}
	return times
}

// stepName is the t column: RFC3339, or the index.
func stepName(f *forecast.Forecast, h int) string {
	if f.Series.Step > 0 {
		return f.At(h).Format(time.RFC3339)
	}
	return strconv.Itoa(f.Series.First + len(f.Series.Values) - 1 + h)
}
