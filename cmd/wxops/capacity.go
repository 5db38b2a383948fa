package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
)

// kindCapacity answers one question about capacity; only the keys that belong to
// the question are there.
var kindCapacity = doc.Kind{Name: "capacity", Version: 1, Title: "Answer to a question about capacity", Data: capacityData{}}

type capacityData struct {
	Question string `json:"question" doc:"formula, fit, ceiling, size or machines"`

	PeakUtilization *float64 `json:"peak_utilization_ratio,omitempty" doc:"cores busy at the peak / cores"`
	LoadRatio       *float64 `json:"load_ratio,omitempty" doc:"peak utilization / ceiling"`
	RequiredCores   *float64 `json:"required_cores,omitempty" doc:"cores busy at the peak / ceiling"`
	Supply          *float64 `json:"supply_per_second,omitempty" doc:"peak rate x ceiling / peak utilization"`

	CeilingRatio *float64 `json:"ceiling_ratio,omitempty" doc:"highest utilization that meets the objective; 0 when unreachable"`
	Reachable    *bool    `json:"reachable,omitempty" doc:"whether the objective can be met at all"`
	PerSecond    *float64 `json:"per_second,omitempty" doc:"capacity of one instance that was used"`

	Instances   *int           `json:"instances,omitempty" doc:"instances needed"`
	Binding     string         `json:"binding_rule,omitempty" doc:"the rule that needs most"`
	Rules       []capacityRule `json:"rules,omitempty" doc:"every rule that was asked for"`
	Demand      *float64       `json:"demand_per_second,omitempty" doc:"demand that was sized for"`
	Utilization *float64       `json:"utilization_ratio,omitempty" doc:"demand / (instances x capacity)"`

	Idle      *float64           `json:"idle_cores,omitempty" doc:"cores busy without a request"`
	Cost      *float64           `json:"core_seconds_per_request,omitempty" doc:"CPU cost of a request"`
	CostLow   *float64           `json:"core_seconds_per_request_low,omitempty" doc:"lower end of its 95 % interval"`
	CostHigh  *float64           `json:"core_seconds_per_request_high,omitempty" doc:"upper end of its 95 % interval"`
	Robust    *float64           `json:"core_seconds_per_request_theil_sen,omitempty" doc:"median slope, which outliers do not move"`
	Capacity  *fittedCapacity    `json:"capacity,omitempty" doc:"rate at which the first resource is used up"`
	Second    *capacityResource  `json:"second,omitempty" doc:"the resource that is used up next"`
	Resources []capacityResource `json:"resources,omitempty" doc:"every resource that grows with the rate"`
	Agreement *agreement         `json:"agreement,omitempty" doc:"stress test against hardware"`

	Mix    []mixPart `json:"mix,omitempty" doc:"machines of the cheapest mix"`
	Price  *float64  `json:"price_per_hour,omitempty" doc:"of the cheapest mix"`
	Regret *float64  `json:"regret_ratio,omitempty" doc:"how much dearer the second mix is"`
	Next   []mixPart `json:"second_mix,omitempty" doc:"machines of the next cheaper mix"`
	Single []mixPart `json:"single_type,omitempty" doc:"the cheapest fleet of one type"`
	Extra  *float64  `json:"single_type_regret_ratio,omitempty" doc:"how much dearer one type is"`
	Proven *bool     `json:"proven,omitempty" doc:"whether no cheaper mix can exist"`
}

type capacityRule struct {
	Rule      string `json:"rule" doc:"load, spares, zone, rolling or floor"`
	Instances int    `json:"instances" doc:"instances that the rule needs"`
	Why       string `json:"arithmetic" doc:"the arithmetic"`
}

type fittedCapacity struct {
	PerSecond float64 `json:"per_second" doc:"requests per second"`
	Low       float64 `json:"low_per_second" doc:"lower end of the 95 % interval"`
	High      float64 `json:"high_per_second" doc:"upper end of the 95 % interval"`
	LimitedBy string  `json:"limited_by" doc:"cpu, memory, disk or network"`
}

type capacityResource struct {
	Resource  string  `json:"resource" doc:"cpu, memory, disk or network"`
	PerSecond float64 `json:"per_second" doc:"rate at which it is used up"`
	Low       float64 `json:"low_per_second" doc:"lower end of the 95 % interval"`
	High      float64 `json:"high_per_second" doc:"upper end of the 95 % interval"`
	Distance  float64 `json:"distance_ratio" doc:"how far above the bottleneck"`
}

type agreement struct {
	Ratio   float64 `json:"ratio" doc:"capacity of the stress test / capacity by CPU"`
	Verdict string  `json:"verdict" doc:"what the ratio says"`
}

type mixPart struct {
	Name  string `json:"name" doc:"type of the catalogue"`
	Count int    `json:"count" doc:"machines of it"`
}

func newCapacity(s *cli.IO) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "capacity",
		Short: "Turn measurements into a ceiling, a number of instances, a bill",
		Long: `capacity answers questions about what a service can carry and what it needs.
Every number comes with its unit and its arithmetic; --explain prints it.`,
		Example: `  wxops capacity formula --cores 20 --peak-cores 14.4 --peak-rate 9000
  wxops capacity ceiling --shape 2C4G --service-time 5ms --slo 'p99<30ms'
  wxops capacity size --curve curve.json --demand 12000 --target 0.55`,
		Args: cobra.ArbitraryArgs,
		RunE: cli.RequireSubcommand,
	}
	cmd.AddCommand(newCapacityFormula(s), newCapacityFit(s), newCapacityCeiling(s), newCapacitySize(s), newCapacityMachines(s))
	return cmd
}

// capacityOutput is what the five questions share: -o and --explain.
type capacityOutput struct {
	cli.Output
	explain bool
}

func (o *capacityOutput) addFlags(cmd *cobra.Command) {
	o.AddFlag(cmd, "table", "json", "yaml", "csv")
	cmd.Flags().BoolVar(&o.explain, "explain", false, "print the arithmetic of every number")
}

// answer prints data, or rows of name, value, unit and arithmetic.
func (o *capacityOutput) answer(s *cli.IO, data capacityData, inputs []doc.Input, warnings []string, rows [][4]string) error {
	for _, w := range warnings {
		fmt.Fprintf(s.Err, "warning: %s\n", w)
	}
	document, err := doc.Marshal(kindCapacity, toolVersion(), time.Time{}, inputs, warnings, data)
	if err != nil {
		return cli.Usagef("the answer is out of range").WithCause(err)
	}
	return o.Print(s.Out, document, func() *cli.Table {
		head := []string{"WHAT", ">VALUE", "UNIT"}
		if o.explain {
			head = append(head, "ARITHMETIC")
		}
		t := cli.NewTable(head...)
		for _, r := range rows {
			cells := []any{r[0], r[1], r[2]}
			if o.explain {
				cells = append(cells, r[3])
			}
			t.Row(cells...)
		}
		return t
	})
}

func newCapacityFormula(s *cli.IO) *cobra.Command {
	var out capacityOutput
	var cores, peakCores, peakRate, ceiling float64
	cmd := &cobra.Command{
		Use:   "formula",
		Short: "Print the three readings of capacity = peak / CPU ceiling",
		Example: `  wxops capacity formula --cores 20 --peak-cores 14.4 --peak-rate 9000
  wxops capacity formula --cores 4 --peak-cores 1 --peak-rate 800 --explain
  wxops capacity formula --cores 4 --peak-cores 1 --peak-rate 800 -o json`,
		Args: cobra.NoArgs,
		RunE: func(_ *cobra.Command, _ []string) error {
			if err := out.Check(); err != nil {
				return err
			}
			r, err := capacity.Formula(cores, peakCores, peakRate, ceiling)
			if err != nil {
				return cli.Usagef("no capacity from these numbers").WithCause(err).WithHint("wxops capacity formula --help")
			}
			data := capacityData{Question: "formula", PeakUtilization: &r.PeakUtilization, LoadRatio: &r.LoadRatio, RequiredCores: &r.RequiredCores, Supply: &r.SupplyPerSecond}
			return out.answer(s, data, nil, nil, [][4]string{
				{"load ratio", short(r.LoadRatio), "ratio", fmt.Sprintf("(%g / %g) / %g; above 1 the ceiling is passed", peakCores, cores, ceiling)},
				{"required cores", short(r.RequiredCores), "cores", fmt.Sprintf("%g / %g", peakCores, ceiling)},
				{"supply", short(r.SupplyPerSecond), "req/s", fmt.Sprintf("%g x %g / (%g / %g)", peakRate, ceiling, peakCores, cores)},
			})
		},
	}
	f := cmd.Flags()
	f.Float64Var(&cores, "cores", 0, "cores the service has")
	f.Float64Var(&peakCores, "peak-cores", 0, "cores busy at the peak")
	f.Float64Var(&peakRate, "peak-rate", 0, "requests per second at the peak")
	f.Float64Var(&ceiling, "ceiling", 0.6, "highest CPU utilization, 0..1")
	for _, name := range []string{"cores", "peak-cores", "peak-rate"} {
		_ = cmd.MarkFlagRequired(name) // the flag is there
	}
	out.addFlags(cmd)
	return cmd
}

func newCapacityCeiling(s *cli.IO) *cobra.Command {
	var out capacityOutput
	var shapeText, slo, waitSLO string
	var service time.Duration
	var cv, arrivals float64
	cmd := &cobra.Command{
		Use:   "ceiling",
		Short: "Derive the highest utilization that an objective allows",
		Long: `ceiling treats an instance as a queue with one server for each core and returns
the highest utilization at which the objective is met. --slo bounds the response
time, --wait-slo the time in the queue. The answer is exact for exponential
service times and Poisson arrivals, and simulated otherwise.

Exit codes: 1 the objective cannot be met at any utilization.`,
		Example: `  wxops capacity ceiling --shape 2C4G --service-time 5ms --cv 1 --slo 'p99<30ms'
  wxops capacity ceiling --shape 4C8G --service-time 5ms --wait-slo 'p99<=25ms'
  wxops capacity ceiling --shape 1C1G --service-time 2ms --slo 'mean<10ms'`,
		Args: cobra.NoArgs,
		RunE: func(_ *cobra.Command, _ []string) error {
			if err := out.Check(); err != nil {
				return err
			}
			shape, err := capacity.ParseShape(shapeText)
			if err != nil {
				return cli.Usagef("--shape %q is not a shape", shapeText).WithCause(err).WithHint("--shape 2C4G")
			}
			var goals []capacity.Goal
			for _, o := range []struct {
				text string
				wait bool
			}{{slo, false}, {waitSLO, true}} {
				if o.text == "" {
					continue
				}
				objective, err := capacity.ParseObjective(o.text)
				if err != nil {
					return cli.Usagef("the objective %q cannot be read", o.text).WithCause(err).WithHint("--slo 'p99<30ms'")
				}
				goals = append(goals, objective.Goals(o.wait)...)
			}
			if len(goals) == 0 {
				return cli.Usagef("no objective on a quantile or the mean of the time").WithHint("--slo 'p99<30ms', or --wait-slo 'p99<=25ms'")
			}
			st := capacity.StationOf(shape, service.Seconds(), cv, arrivals)
			ratio, err := capacity.Ceiling(st, goals)
			reachable := !errors.Is(err, capacity.ErrUnreachable)
			if err != nil && reachable {
				return cli.Usagef("no ceiling from these numbers").WithCause(err).WithHint("wxops capacity ceiling --help")
			}
			rate := ratio * float64(st.Servers) / st.Service
			data := capacityData{Question: "ceiling", CeilingRatio: &ratio, Reachable: &reachable, PerSecond: &rate}
			why := fmt.Sprintf("queue of %d servers, service %s, CV %g; the objective is met up to here", st.Servers, time.Duration(st.Service*1e9), cv)
			if !reachable {
				why = "not even an idle instance meets the objective"
				fmt.Fprintf(s.Err, "%s %s cannot be met: %s\n", slo, waitSLO, why)
			}
			if err := out.answer(s, data, nil, nil, [][4]string{
				{"ceiling", fmt.Sprintf("%.3f", ratio), "ratio", why},
				{"capacity", short(rate), "req/s", fmt.Sprintf("%.3f x %d / %gs", ratio, st.Servers, st.Service)},
			}); err != nil {
				return err
			}
			if !reachable {
				return cli.Exit(cli.ExitNo)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&shapeText, "shape", "", "CPU and memory of the instance, a `SHAPE` as 2C4G")
	cli.Duration(f, &service, "service-time", "", 0, "mean time of one request alone")
	f.Float64Var(&cv, "cv", 1, "coefficient of variation of the service time")
	f.Float64Var(&arrivals, "arrivals-cv", 1, "coefficient of variation of the times between arrivals; 1 is Poisson")
	f.StringVar(&slo, "slo", "", "`OBJECTIVE` on the response time, as 'p99<30ms'")
	f.StringVar(&waitSLO, "wait-slo", "", "`OBJECTIVE` on the wait in the queue, as 'p99<=25ms'")
	_ = cmd.MarkFlagRequired("shape")        // the flags are there
	_ = cmd.MarkFlagRequired("service-time") // likewise
	out.addFlags(cmd)
	return cmd
}

// readCurve reads a curve document and the input entry for it.
func readCurve(s *cli.IO, path string) (capacity.Curve, doc.Input, error) {
	var curve capacity.Curve
	in, err := readDocument(s, path, kindCurve, &curve)
	return curve, in, err
}

// safeCapacity is the lower end of a curve's capacity, or why there is none.
func safeCapacity(path string, c capacity.Curve) (float64, error) {
	low, err := c.Capacity.Safe()
	switch {
	case errors.Is(err, capacity.ErrNoKnee):
		return 0, cli.Usagef("%q has no capacity to size with", path).WithCause(err).WithHint("measure further: wxops stress shift, until the verdict is ok")
	case err != nil:
		return 0, cli.Usagef("the capacity of %q cannot be used", path).WithCause(err).WithHint("measure longer, so that the interval lies above zero")
	}
	return low, nil
}

func newCapacitySize(s *cli.IO) *cobra.Command {
	var out capacityOutput
	var curvePath, forecastPath string
	var needs capacity.Needs
	cmd := &cobra.Command{
		Use:   "size",
		Short: "Say how many instances a demand needs, and which rule binds",
		Long: `size takes the largest of the rules that were asked for: everyday load at the
target, spares, the loss of a zone, a rolling update, a floor. It uses the lower
end of the capacity's interval. Utilization means load / measured capacity.`,
		Example: `  wxops capacity size --curve curve.json --demand 12000 --target 0.55
  wxops capacity size --curve curve.json --demand 12000 --zones 3 --spares 2
  wxops capacity size --curve curve.json --forecast forecast.json -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.Check(); err != nil {
				return err
			}
			if zones := cmd.Flag("zones"); zones.Changed && needs.Zones < 2 {
				return cli.Usagef("--zones %d is outside [2, inf)", needs.Zones).WithHint("--zones 3")
			}
			if !(needs.Imbalance >= 1) {
				return cli.Usagef("--imbalance %g is outside [1, inf)", needs.Imbalance).WithHint("--imbalance 1.2")
			}
			if err := checkTarget(needs.Target); err != nil {
				return err
			}
			if !(needs.Demand >= 0) {
				return cli.Usagef("--demand %g is outside [0, inf)", needs.Demand).WithHint("--demand 12000")
			}
			for flag, rule := range map[string]string{"spares": "spares", "max-unavailable": "rolling"} {
				if cmd.Flag(flag).Changed {
					needs.Asked = append(needs.Asked, rule)
				}
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
			switch {
			case forecastPath != "":
				demand, in, err := forecastDemand(s, forecastPath, curve.Service)
				if err != nil {
					return err
				}
				needs.Demand = max(needs.Demand, demand)
				inputs = append(inputs, in)
			case !cmd.Flag("demand").Changed:
				return cli.Usagef("no demand given").WithHint("--demand 12000, or --forecast forecast.json")
			}
			size, err := capacity.Size(low, needs)
			if err != nil {
				return cli.Usagef("no size from these numbers").WithCause(err).WithHint("wxops capacity size --help")
			}
			data := capacityData{
				Question: "size", Instances: &size.Instances, Binding: size.Binding, PerSecond: &size.PerSecond,
				Demand: &needs.Demand, Utilization: &size.Utilization,
			}
			rows := [][4]string{
				{"instances", fmt.Sprint(size.Instances), "instances", "the largest rule: " + size.Binding},
				{"utilization", fmt.Sprintf("%.3f", size.Utilization), "ratio", fmt.Sprintf("%s / (%d x %s)", capacity.Digits(needs.Demand, 10), size.Instances, capacity.Digits(size.PerSecond, 6))},
				{"capacity", short(size.PerSecond), "req/s", "lower end of the 95 % interval of one instance"},
			}
			for _, r := range size.Rules {
				data.Rules = append(data.Rules, capacityRule{r.Name, r.Instances, r.Why})
				rows = append(rows, [4]string{"rule " + r.Name, fmt.Sprint(r.Instances), "instances", r.Why})
			}
			if cpu := curve.Capacity.CPU; cpu != nil {
				rows = append(rows, [4]string{"CPU beside it", fmt.Sprintf("%.0f", 100*size.Utilization**cpu), "% of CPU", fmt.Sprintf("utilization x %.3f of CPU at capacity", *cpu)})
			}
			return out.answer(s, data, inputs, nil, rows)
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
	out.addFlags(cmd)
	return cmd
}

// checkTarget refuses a --target outside (0, 1], and says how a per cent is written.
func checkTarget(target float64) error {
	switch {
	case target > 1 && target <= 100:
		return cli.Usagef("--target %g is outside (0, 1]", target).WithHint("--target %g for %g %%", target/100, target)
	case !(target > 0 && target <= 1):
		return cli.Usagef("--target %g is outside (0, 1]", target).WithHint("--target 0.55")
	}
	return nil
}

// forecastDemand is the highest day-peak quantile of the service in a forecast,
// or the highest upper bound where a step is a day or longer.
func forecastDemand(s *cli.IO, path, service string) (float64, doc.Input, error) {
	var data forecastData
	in, err := readDocument(s, path, kindForecast, &data)
	if err != nil {
		return 0, in, err
	}
	for _, f := range data.Series {
		if f.Name != service && len(data.Series) > 1 {
			continue
		}
		switch {
		case len(f.Peak) > 0:
			return slices.Max(f.Peak), in, nil
		case len(f.Bands) > 0 && len(f.Bands[len(f.Bands)-1].High) > 0:
			return slices.Max(f.Bands[len(f.Bands)-1].High), in, nil
		}
		return 0, in, cli.Usagef("the forecast of %q has no steps", f.Name)
	}
	return 0, in, cli.Usagef("%q has no forecast of service %q among its %d series", path, service, len(data.Series)).WithHint("name the series like the service of the curve")
}

// readDocument reads one document of a kind; its errors are usage or I/O.
func readDocument(s *cli.IO, path string, k doc.Kind, data any) (doc.Input, error) {
	b, err := readInput(s, path)
	if err != nil {
		return doc.Input{}, err
	}
	if _, err := doc.Read(bytes.NewReader(b), k, data); err != nil {
		return doc.Input{}, cli.Usagef("%q cannot be used", path).WithCause(err).WithHint("wxops schema %s", k.Name)
	}
	return doc.Input{Name: path, SHA256: sha256Hex(b)}, nil
}

func newCapacityFit(s *cli.IO) *cobra.Command {
	var out capacityOutput
	var shapeText, curvePath string
	var ceiling, disk, network float64
	cmd := &cobra.Command{
		Use:   "fit METRICS.csv",
		Short: "Find cost per request, capacity and bottleneck in ordinary metrics",
		Long: `fit reads windows of one instance, columns t,rate,cores and, where they are
known, memory_bytes, disk_bytes_per_second and network_bytes_per_second, and
fits use = idle + cost x rate for each. The capacity is the rate at which the
first resource reaches its ceiling.

Exit codes: 2 the metrics cannot show it, for the reason given.`,
		Example: `  wxops capacity fit metrics.csv --shape 4C8G --ceiling 0.6
  wxops capacity fit metrics.csv --shape 4C8G --network-limit 125e6 --explain
  wxops capacity fit metrics.csv --shape 4C8G --curve curve.json -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := out.Check(); err != nil {
				return err
			}
			shape, err := capacity.ParseShape(shapeText)
			if err != nil {
				return cli.Usagef("--shape %q is not a shape", shapeText).WithCause(err).WithHint("--shape 4C8G")
			}
			rows, input, warnings, err := readMetrics(s, args[0])
			if err != nil {
				return err
			}
			f, err := capacity.Fit(rows, capacity.Limits{Cores: shape.Cores(), Memory: float64(shape.MemoryBytes), Disk: disk, Network: network, CPUCeiling: ceiling})
			if err != nil {
				return cli.Usagef("no capacity from %q", args[0]).WithCause(err).WithHint("give windows of one instance over several days, low and high load")
			}
			warnings = append(warnings, f.Notes...)
			inputs := []doc.Input{input}
			data, table := fitAnswer(f, ceiling, shape)
			if curvePath != "" {
				curve, in, err := readCurve(s, curvePath)
				if err != nil {
					return err
				}
				if _, err := safeCapacity(curvePath, curve); err != nil {
					return err
				}
				q, verdict := capacity.Agreement(*curve.Capacity.PerSecond, f.Resources[0].PerSecond)
				data.Agreement = &agreement{q, verdict}
				inputs = append(inputs, in)
				table = append(table, [4]string{"stress / CPU", fmt.Sprintf("%.2f", q), verdict, fmt.Sprintf("%s / %s req/s; 0.8 to 1.2 agree", short(*curve.Capacity.PerSecond), short(f.Resources[0].PerSecond))})
			}
			return out.answer(s, data, inputs, warnings, table)
		},
	}
	f := cmd.Flags()
	f.StringVar(&shapeText, "shape", "", "CPU and memory of the instance, a `SHAPE` as 4C8G")
	f.Float64Var(&ceiling, "ceiling", 0.6, "highest CPU utilization, 0..1")
	f.Float64Var(&disk, "disk-limit", 0, "`BYTES` per second that the disk moves at most")
	f.Float64Var(&network, "network-limit", 0, "`BYTES` per second that the network moves at most")
	f.StringVar(&curvePath, "curve", "", "`FILE` of a stress test (curve) of the same service to compare with")
	_ = cmd.MarkFlagRequired("shape") // the flag is there
	out.addFlags(cmd)
	return cmd
}

func fitAnswer(f capacity.Fitted, ceiling float64, shape capacity.Shape) (capacityData, [][4]string) {
	cpu, b := f.Resources[0], f.Resources[f.Bottleneck]
	data := capacityData{
		Question: "fit", Idle: &cpu.Line.Idle, Cost: &cpu.Line.Slope, CostLow: &cpu.Line.SlopeLow, CostHigh: &cpu.Line.SlopeHigh, Robust: &cpu.Line.TheilSen,
		Capacity: &fittedCapacity{b.PerSecond, b.Low, b.High, b.Name},
	}
	rows := [][4]string{
		{"idle", short(cpu.Line.Idle), "cores", "least squares: cores = idle + cost x rate"},
		{"cost", short(cpu.Line.Slope), "core-s/req", fmt.Sprintf("95 %% interval %s to %s; Theil-Sen %s", short(cpu.Line.SlopeLow), short(cpu.Line.SlopeHigh), short(cpu.Line.TheilSen))},
		{"capacity", fmt.Sprintf("%s (%s to %s)", short(b.PerSecond), short(b.Low), short(b.High)), "req/s", "limited by " + b.Name + "; 95 % interval by block bootstrap"},
	}
	for i, r := range f.Resources {
		res := capacityResource{r.Name, r.PerSecond, r.Low, r.High, r.PerSecond/b.PerSecond - 1}
		if math.IsNaN(res.Distance) || math.IsInf(res.Distance, 0) {
			res.Distance = 0
		}
		data.Resources = append(data.Resources, res)
		if i == f.Second {
			data.Second = &data.Resources[len(data.Resources)-1]
		}
		why := fmt.Sprintf("(%s - %s) / %s", short(r.Limit), short(r.Line.Idle), short(r.Line.Slope))
		switch r.Name {
		case "cpu":
			why += fmt.Sprintf("; ceiling %g x %g cores", ceiling, shape.Cores())
		case "memory":
			why += fmt.Sprintf(" bytes; ceiling %g x %d", capacity.MemoryCeiling, shape.MemoryBytes)
		default:
			why += " bytes per second"
		}
		rows = append(rows, [4]string{"by " + r.Name, short(r.PerSecond), "req/s", why})
	}
	if f.Second >= 0 {
		rows = append(rows, [4]string{"second", f.Resources[f.Second].Name, "resource", f.Distance()})
	}
	return data, rows
}
