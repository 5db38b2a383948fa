package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/forecast"
	"github.com/wxops/wxops/internal/chart"
	"github.com/wxops/wxops/internal/cli"
)

// bandColumns are the CSV names of the bounds, as lo80,hi80.
func bandColumns(f *forecast.Forecast) []string {
	var out []string
	for _, b := range f.Bands {
		out = append(out, "lo"+levelName(b.Level), "hi"+levelName(b.Level))
	}
	return out
}

// levelName is a level in percent, as columns are called: 95.
func levelName(level float64) string {
	return strconv.FormatFloat(math.Round(level*1e6)/1e4, 'g', -1, 64)
}

// csvDigits are those of a number in CSV: what is behind them is noise of a forecast.
const csvDigits = 7

func writeForecastCSV(w io.Writer, forecasts []*forecast.Forecast) error {
	b := bufio.NewWriterSize(w, 1<<16)
	fmt.Fprintf(b, "series,h,t,mean,%s,peak_q95\n", strings.Join(bandColumns(forecasts[0]), ","))
	var row []byte
	for _, f := range forecasts {
		name := forecast.CSVField(f.Series.Name)
		for i, v := range f.Mean {
			row = append(row[:0], name...)
			row = append(row, ',')
			row = strconv.AppendInt(row, int64(i+1), 10)
			row = append(row, ',')
			row = append(row, stepName(f, i+1)...)
			row = append(row, ',')
			row = strconv.AppendFloat(row, v, 'g', csvDigits, 64)
			for _, band := range f.Bands {
				row = append(row, ',')
				row = strconv.AppendFloat(row, band.Low[i], 'g', csvDigits, 64)
				row = append(row, ',')
				row = strconv.AppendFloat(row, band.High[i], 'g', csvDigits, 64)
			}
			row = append(row, ',')
			if f.PeakQ95 != nil {
				row = strconv.AppendFloat(row, f.PeakQ95[i], 'g', csvDigits, 64)
			}
			row = append(row, '\n')
			if _, err := b.Write(row); err != nil {
				return err
			}
		}
	}
	return b.Flush()
}

// xAxis counts from the time, or the index, of x = 0: in hours, in days from five
// of them on, in steps where there is no clock. perStep is how many units a step has.
func xAxis(step time.Duration, steps int, zero string) (axis chart.Axis, perStep float64) {
	switch hours := step.Hours(); {
	case step <= 0:
		return chart.Axis{Label: "from " + zero, Unit: "steps"}, 1
	case hours*float64(steps) >= 5*24:
		return chart.Axis{Label: "from " + zero, Unit: "days"}, hours / 24
	default:
		return chart.Axis{Label: "from " + zero, Unit: "hours"}, hours
	}
}

// chartTime is a time as axes and tables show it.
const chartTime = "2006-01-02 15:04"

// tableTime is the time of a step, or its index, as axes and tables show it.
func tableTime(f *forecast.Forecast, h int) string {
	if f.Series.Step == 0 {
		return stepName(f, h)
	}
	return f.At(h).Format(chartTime)
}

// peakStep is where the highest of the values is first.
func peakStep(v []float64) int { return slices.Index(v, slices.Max(v)) }

// forecastFigure draws the end of the history and the fan after it.
func forecastFigure(f *forecast.Forecast) chart.Figure {
	n := len(f.Series.Values)
	past := f.Series.Values[max(0, n-2*len(f.Mean)):]
	axis, step := xAxis(f.Series.Step, len(past)+len(f.Mean), tableTime(f, 0))
	var px, fx []float64
	for i := range past {
		px = append(px, step*float64(i-len(past)+1))
	}
	for i := range f.Mean {
		fx = append(fx, step*float64(i+1))
	}
	fig := chart.Figure{
		Title: "forecast of " + f.Series.Name,
		About: fmt.Sprintf("%d steps of history and %d steps of forecast with its intervals", len(past), len(f.Mean)),
		X:     axis,
		Series: []chart.Series{
			{Name: "history", X: px, Y: past},
			{Name: "forecast", X: fx, Y: f.Mean, Role: chart.Good},
		},
		Rules: []chart.Rule{{Name: "now", Value: 0, Vertical: true}},
	}
	for i := len(f.Bands) - 1; i >= 0; i-- {
		b := f.Bands[i]
		fig.Bands = append(fig.Bands, chart.Interval{Name: percent(b.Level), X: fx, Low: b.Low, High: b.High})
	}
	return fig
}

// percent writes a level as 95 %.
func percent(level float64) string { return fmt.Sprintf("%g %%", math.Round(level*1e4)/100) }

// mostPictures is how many series one picture shows below each other; more are
// no picture that a person looks at.
const mostPictures = 20

// writeForecastSVG draws the forecasts below each other.
func writeForecastSVG(s *cli.IO, forecasts []*forecast.Forecast) error {
	const w, h = 960, 420
	if len(forecasts) == 1 {
		_, err := s.Out.Write(forecastFigure(forecasts[0]).SVG(w, h))
		return err
	}
	if more := len(forecasts) - mostPictures; more > 0 {
		fmt.Fprintf(s.Err, "warning: the picture has the first %d series, %d are left out\n", mostPictures, more)
		forecasts = forecasts[:mostPictures]
	}
	var figures []chart.Figure
	for _, f := range forecasts {
		figures = append(figures, forecastFigure(f))
	}
	_, err := s.Out.Write(chart.Stack("forecasts", fmt.Sprintf("%d forecasts below each other", len(figures)), figures, w, h))
	return err
}

// drawFigure prints a figure as wide as the terminal, at most 120 columns.
func drawFigure(s *cli.IO, f chart.Figure) error {
	w, _ := s.Size()
	w = min(w, 120)
	const h = 14
	g := chart.NewGrid(w, h+2)
	g.PutMax(0, 0, w, chart.Plain, f.Title)
	g.PutMax(0, 1, w, chart.Dim, f.Legend())
	f.Draw(g, 0, 2, w, h, !s.UTF8())
	_, err := fmt.Fprintf(s.Out, "%s\n", g.String())
	return err
}

func writeForecastTable(s *cli.IO, forecasts []*forecast.Forecast) error {
	if len(forecasts) == 1 {
		if err := drawFigure(s, forecastFigure(forecasts[0])); err != nil {
			return err
		}
	}
	level := 0.0
	t := cli.NewTable("SERIES", ">STEPS", ">MEAN", ">PEAK", ">PEAK Q95", ">LOW", ">HIGH", ">MASE", ">MODELS", "PEAK AT").
		ShortNames(mostName).Fit(s.Columns(), "PEAK AT", "MODELS", "MASE", "STEPS")
	for _, f := range forecasts {
		b := f.Bands[len(f.Bands)-1]
		level = b.Level
		sum := 0.0
		for _, v := range f.Mean {
			sum += v / float64(len(f.Mean))
		}
		peak := "-"
		if f.PeakQ95 != nil {
			peak = scaled(slices.Max(f.PeakQ95))
		}
		chosen := 0
		for _, m := range f.Models {
			if m.Chosen {
				chosen++
			}
		}
		t.Row(f.Series.Name, len(f.Mean), scaled(sum), scaled(slices.Max(f.Mean)), peak, scaled(slices.Min(b.Low)), scaled(slices.Max(b.High)),
			fmt.Sprintf("%.2f", f.Backtest.MASE), fmt.Sprintf("%d of %d", chosen, len(f.Models)), tableTime(f, peakStep(f.Mean)+1))
	}
	t.Note("PEAK Q95: the highest day peak, not passed in 95 %% of cases.")
	t.Note("LOW, HIGH: widest ends of the %s interval, in the unit of the series.", percent(level))
	t.Note("MASE: error in backtests relative to the seasonal naive forecast.")
	t.Note("PEAK AT: where the path is highest; times are UTC.")
	return t.Write(s.Out)
}

// mostName is how wide the name of a series is in a table at most.
const mostName = 40

// short writes a number with the digits a forecast deserves.
func short(v float64) string { return capacity.Digits(v, 4) }

// scaled is short in a column of numbers: bytes and bits have so many digits that
// nobody counts them, so from a million on they are in M, G or T.
func scaled(v float64) string {
	for _, scale := range []struct {
		name string
		size float64
	}{{"T", 1e12}, {"G", 1e9}, {"M", 1e6}} {
		if size := math.Abs(v); size >= scale.size && size < 1000*scale.size {
			return short(v/scale.size) + scale.name
		}
	}
	return short(v)
}

func newForecastBacktest(s *cli.IO) *cobra.Command {
	var in seriesInput
	var model modelFlags
	var out cli.Output
	cmd := &cobra.Command{
		Use:   "backtest FILE...",
		Short: "Print what the chosen models would have said before",
		Long: `backtest forecasts every history from nine origins inside it, with models fitted
on what came before, and prints the errors, the coverage of the intervals and
the pool that was chosen.`,
		Example: `  wxops forecast backtest metrics.csv
  wxops forecast backtest metrics.csv --horizon 2d -o csv
  zcat metrics.csv.gz | wxops forecast backtest - --levels 90`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.Check(); err != nil {
				return err
			}
			forecasts, warnings, inputs, err := model.forecastFiles(cmd.Context(), s, &in, args)
			if err != nil {
				return err
			}
			if out.Format == "json" || out.Format == "yaml" {
				err = printForecasts(s, &out, forecasts, warnings, inputs)
			} else {
				err = out.Print(s.Out, nil, func() *cli.Table {
					return backtestTable(forecasts, out.Format == "csv").Fit(s.Columns(), "STEPS", "ORIGINS", "BIAS")
				})
			}
			if err != nil {
				return err
			}
			return model.strictly(warnings)
		},
	}
	in.addFlags(cmd)
	model.addFlags(cmd)
	out.AddFlag(cmd, "table", "csv", "json", "yaml")
	return cmd
}

// backtestTable shows the errors, rounded for people and bare for CSV.
func backtestTable(forecasts []*forecast.Forecast, bare bool) *cli.Table {
	head := []string{"SERIES", ">ORIGINS", ">STEPS", ">MAE", ">BIAS", ">MASE"}
	coverage, size, ratio := ">COVERAGE %s", scaled, func(v float64) string { return fmt.Sprintf("%.3f", v) }
	if bare {
		head = []string{"series", "origins", "steps", "mean_absolute_error", "bias", "mase_ratio"}
		exact := func(v float64) string { return strconv.FormatFloat(v, 'g', csvDigits, 64) }
		coverage, size, ratio = "coverage%s_ratio", exact, exact
	}
	for _, b := range forecasts[0].Bands {
		head = append(head, fmt.Sprintf(coverage, levelName(b.Level)))
	}
	t := cli.NewTable(append(head, "POOL")...).ShortNames(mostName)
	for _, f := range forecasts {
		row := []any{f.Series.Name, f.Backtest.Windows, f.Backtest.Steps, size(f.Backtest.MAE), size(f.Backtest.Bias), ratio(f.Backtest.MASE)}
		for i := range f.Bands {
			c := 0.0
			if i < len(f.Backtest.Coverage) {
				c = f.Backtest.Coverage[i]
			}
			row = append(row, ratio(c))
		}
		var pool []string
		for _, m := range f.Models {
			if m.Chosen {
				pool = append(pool, m.Name)
			}
		}
		t.Row(append(row, strings.Join(pool, " "))...)
	}
	return t
}
