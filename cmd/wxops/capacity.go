package main

import (
	"fmt"
	"math"
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
	CeilingLow   *float64 `json:"ceiling_low_ratio,omitempty" doc:"lower end of the 95 % interval of a simulation; the ceiling itself where it is exact"`
	CeilingHigh  *float64 `json:"ceiling_high_ratio,omitempty" doc:"upper end"`
	Reachable    *bool    `json:"reachable,omitempty" doc:"whether the objective, or the demand, can be met at all"`
	PerSecond    *float64 `json:"per_second,omitempty" doc:"capacity of one instance that was used, or of all machines"`

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
	Zones  int       `json:"zones,omitempty" doc:"zones that have the same machines each; absent where they stand anywhere"`
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

// addFlags adds both; lists of the data are those whose entries are the rows of
// the CSV.
func (o *capacityOutput) addFlags(cmd *cobra.Command, lists ...string) {
	o.AddFlag(cmd, "table", "json", "yaml", "csv")
	o.Records(lists...)
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
			if err := first(out.Check(), checkPositive("--cores", cores, "20"), checkPositive("--peak-cores", peakCores, "14.4"), checkPositive("--peak-rate", peakRate, "9000"), checkShare("--ceiling", ceiling, 0.6)); err != nil {
				return err
			}
			r, err := capacity.Formula(cores, peakCores, peakRate, ceiling)
			if err != nil {
				return cli.Usagef("no capacity from these numbers").WithCause(err).WithHint("--cores %g, or a --peak-cores of at most %g", peakCores, cores)
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

// first returns the first of some refusals, nil when there is none.
func first(refusals ...error) error {
	for _, err := range refusals {
		if err != nil {
			return err
		}
	}
	return nil
}

// checkPositive refuses a flag whose value is not above 0, and shows one that is.
func checkPositive(flag string, v float64, example string) error {
	if v > 0 && !math.IsInf(v, 0) {
		return nil
	}
	return cli.Usagef("%s %g is outside (0, inf)", flag, v).WithHint("%s %s", flag, example)
}

// checkBetween refuses a flag whose value is outside [low, high], and shows one
// that is inside.
func checkBetween(flag string, v, low, high, example float64) error {
	if v >= low && v <= high && !math.IsInf(v, 0) {
		return nil
	}
	bounds := fmt.Sprintf("[%g, %g]", low, high)
	if math.IsInf(high, 1) {
		bounds = fmt.Sprintf("[%g, inf)", low)
	}
	return cli.Usagef("%s %g is outside %s", flag, v, bounds).WithHint("%s %g", flag, example)
}

// checkShare refuses a flag whose value is outside (0, 1], and says how a per
// cent is written.
func checkShare(flag string, v, example float64) error {
	switch {
	case v > 1 && v <= 100:
		return cli.Usagef("%s %g is outside (0, 1]", flag, v).WithHint("%s %g for %g %%", flag, v/100, v)
	case !(v > 0 && v <= 1):
		return cli.Usagef("%s %g is outside (0, 1]", flag, v).WithHint("%s %g", flag, example)
	}
	return nil
}
