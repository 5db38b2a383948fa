package main

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
)

func newCapacitySize(s *cli.IO) *cobra.Command {
	var out capacityOutput
	var curvePath, forecastPath string
	var needs capacity.Needs
	cmd := &cobra.Command{
		Use:   "size",
		Short: "Say how many instances a demand needs, and which rule binds",
		Long: `size takes the largest of the rules that were asked for: everyday load at the
target, spares, the loss of a zone, a rolling update, a floor. It uses the lower
end of the capacity's interval. Utilization means load / measured capacity.
With --demand and --forecast the higher of the two counts.`,
		Example: `  wxops capacity size --curve curve.json --demand 12000 --target 0.55
  wxops capacity size --curve curve.json --demand 12000 --zones 3 --spares 2
  wxops capacity size --curve curve.json --forecast forecast.json -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := first(out.Check(), checkNeeds(cmd, &needs)); err != nil {
				return err
			}
			curve, input, err := readCurve(s, curvePath)
			if err != nil {
				return err
			}
			inputs := []doc.Input{input}
			low, err := safeCapacity(curvePath, curve)
			if err != nil {
				return err
			}
			source := "--demand"
			var warnings []string
			if forecastPath != "" {
				f, in, err := forecastDemand(s, forecastPath, curve.Service)
				if err != nil {
					return err
				}
				if f.perSecond > needs.Demand || !cmd.Flag("demand").Changed {
					needs.Demand, source = f.perSecond, f.source
				}
				inputs, warnings = append(inputs, in), f.warnings
			} else if !cmd.Flag("demand").Changed {
				return cli.Usagef("no demand given").WithHint("--demand 12000, or --forecast forecast.json")
			}
			size, err := capacity.Size(low, needs)
			if err != nil {
				return cli.Usagef("no size from these numbers").WithCause(err).WithHint("--demand in requests per second of the whole service, against %s per second of one instance", short(low))
			}
			data, rows := sizeAnswer(size, needs.Demand, source, curve.Capacity.CPU)
			return out.answer(s, data, inputs, warnings, rows)
		},
	}
	f := cmd.Flags()
	f.StringVar(&curvePath, "curve", "", "`FILE` of a stress test (curve)")
	f.StringVar(&forecastPath, "forecast", "", "`FILE` of a forecast: its highest day peak (95 %) is the demand")
	f.Float64Var(&needs.Demand, "demand", 0, "requests per second at the peak")
	f.Float64Var(&needs.Target, "target", 0.55, "everyday load of an instance over its capacity, 0..1")
	f.Float64Var(&needs.Imbalance, "imbalance", 1, "busiest instance / mean instance")
	f.IntVar(&needs.Spares, "spares", 0, "instances that may be missing at once")
	f.IntVar(&needs.Zones, "zones", 0, "zones of which one may be lost")
	f.Float64Var(&needs.MaxUnavailable, "max-unavailable", 0, "share that a rolling update stops at a time, 0..1")
	f.IntVar(&needs.Floor, "floor", 0, "never fewer instances")
	_ = cmd.MarkFlagRequired("curve") // the flag is there
	out.addFlags(cmd, "rules")
	return cmd
}

// checkNeeds refuses needs that make no sense, and notes which rules were asked
// for with a number of 0.
func checkNeeds(cmd *cobra.Command, n *capacity.Needs) error {
	if cmd.Flag("spares").Changed {
		n.Asked = append(n.Asked, "spares")
	}
	if cmd.Flag("max-unavailable").Changed {
		n.Asked = append(n.Asked, "rolling")
	}
	if m := n.MaxUnavailable; !(m >= 0 && m < 1) {
		hint := "--max-unavailable 0.25"
		if m > 1 && m < 100 {
			hint = fmt.Sprintf("--max-unavailable %g for %g %%", m/100, m)
		}
		return cli.Usagef("--max-unavailable %g is outside [0, 1)", m).WithHint("%s", hint)
	}
	return first(
		checkZones(cmd, n.Zones),
		checkShare("--target", n.Target, 0.55),
		checkBetween("--demand", n.Demand, 0, math.Inf(1), 12000),
		checkBetween("--imbalance", n.Imbalance, 1, math.Inf(1), 1.2),
		checkBetween("--spares", float64(n.Spares), 0, math.Inf(1), 2),
		checkBetween("--floor", float64(n.Floor), 0, math.Inf(1), 3),
	)
}

// checkZones refuses a number of zones of which none can be lost.
func checkZones(cmd *cobra.Command, zones int) error {
	if cmd.Flag("zones").Changed && zones < 2 {
		return cli.Usagef("--zones %d is outside [2, inf)", zones).WithHint("--zones 3")
	}
	return nil
}

// sizeAnswer is the document and the table of a size; source says where the
// demand is from, cpu is the utilization of the CPU at the capacity, nil when it
// is unknown.
func sizeAnswer(size capacity.Sizing, demand float64, source string, cpu *float64) (capacityData, [][4]string) {
	data := capacityData{
		Question: "size", Instances: &size.Instances, Binding: size.Binding, PerSecond: &size.PerSecond,
		Demand: &demand, Utilization: &size.Utilization,
	}
	rows := [][4]string{
		{"instances", fmt.Sprint(size.Instances), "instances", "the largest rule: " + size.Binding},
		{"demand", short(demand), "req/s", source},
		{"utilization", fmt.Sprintf("%.3f", size.Utilization), "ratio", fmt.Sprintf("%s / (%d x %s)", capacity.Digits(demand, 10), size.Instances, capacity.Digits(size.PerSecond, 6))},
		{"capacity", short(size.PerSecond), "req/s", "lower end of the 95 % interval of one instance"},
	}
	for _, r := range size.Rules {
		data.Rules = append(data.Rules, capacityRule{r.Name, r.Instances, r.Why})
		rows = append(rows, [4]string{"rule " + r.Name, fmt.Sprint(r.Instances), "instances", r.Why})
	}
	if cpu != nil {
		rows = append(rows, [4]string{"CPU beside it", fmt.Sprintf("%.0f", 100*size.Utilization**cpu), "% of CPU", fmt.Sprintf("utilization x %.3f of CPU at capacity", *cpu)})
	}
	return data, rows
}

// safeCapacity is the lower end of a curve's capacity, or why there is none.
func safeCapacity(path string, c capacity.Curve) (float64, error) {
	low, err := c.Safe()
	switch {
	case errors.Is(err, capacity.ErrNoKnee):
		return 0, cli.Usagef("%q has no capacity to size with", path).WithCause(err).WithHint("measure further: wxops stress shift, until the verdict is ok")
	case err != nil:
		return 0, cli.Usagef("the capacity of %q cannot be used", path).WithCause(err).WithHint("measure longer, so that the interval lies above zero")
	}
	return low, nil
}

// A forecastPeak is the demand that a forecast says.
type forecastPeak struct {
	perSecond float64
	source    string // which value of the forecast it is
	warnings  []string
}

// forecastDemand is the highest day-peak quantile of the service in a forecast,
// or the highest upper bound where a step is a day or longer. The only series of
// a forecast is taken under any name, with a warning.
func forecastDemand(s *cli.IO, path, service string) (forecastPeak, doc.Input, error) {
	var data forecastData
	var p forecastPeak
	in, err := readDocument(s, path, kindForecast, &data)
	if err != nil {
		return p, in, err
	}
	at := slices.IndexFunc(data.Series, func(f forecastSeries) bool { return f.Name == service })
	switch {
	case at < 0 && len(data.Series) != 1:
		return p, in, cli.Usagef("%q has no forecast of service %q among its %d series", path, service, len(data.Series)).WithHint("name the series like the service of the curve")
	case at < 0:
		at = 0
		if service != "" {
			p.warnings = []string{fmt.Sprintf("the forecast is of %q, the curve of service %q", data.Series[0].Name, service)}
		}
	}
	f := data.Series[at]
	highest := slices.Clone(f.Peak)
	p.source = "highest day peak (95 %) of the forecast"
	if len(highest) == 0 {
		p.source = "highest upper bound of the forecast"
		for _, b := range f.Bands {
			highest = append(highest, b.High...)
		}
	}
	if len(highest) == 0 {
		return p, in, cli.Usagef("the forecast of %q in %q has no steps", f.Name, path).WithHint("wxops forecast FILE -o json")
	}
	if p.perSecond = slices.Max(highest); p.perSecond < 0 {
		return p, in, cli.Usagef("the %s of %q is %g, below 0", p.source, f.Name, p.perSecond).WithHint("forecast a demand, in requests per second")
	}
	return p, in, nil
}
