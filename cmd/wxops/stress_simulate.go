package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
	"github.com/wxops/wxops/stress"
)

// kindSimulate is written by stress simulate.
var kindSimulate = doc.Kind{Name: "simulate", Version: 1, Title: "How laws of stress tests do on simulated instances", Data: stress.Simulation{}}

// quickSeeds is the number of runs per row with --quick: a minute of the full
// table in half a minute at most.
const quickSeeds = 5

func newStressSimulate(s *cli.IO) *cobra.Command {
	var scenarios, methods []string
	var seeds int
	var quick bool
	var out cli.Output
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Run the controller against simulated instances, beside other laws",
		Long: `simulate runs stress tests in virtual time against a queue simulator whose true
capacity is known by brute force, and prints for each scenario and method how
long a test took, how far off its capacity was and whom it hurt. Nothing is
sent anywhere. Equal arguments give equal results.

--quick is the product's own law on every scenario with 5 seeds.`,
		Example: `  wxops stress simulate --quick
  wxops stress simulate --scenario A,D --method wxops,staircase --seeds 5
  wxops stress simulate --seeds 20 -o json > simulate.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.Check(); err != nil {
				return err
			}
			for _, name := range scenarios {
				if err := cli.OneOf("--scenario", name, scenarioNames()); err != nil {
					return err
				}
			}
			for _, name := range methods {
				if err := cli.OneOf("--method", name, stress.Methods()); err != nil {
					return err
				}
			}
			if seeds < 1 || seeds > 10000 {
				return cli.Usagef("--seeds %d is outside [1, 10000]", seeds).WithHint("--seeds 20")
			}
			if quick {
				if !cmd.Flags().Changed("seeds") {
					seeds = quickSeeds
				}
				if len(methods) == 0 {
					methods = stress.Methods()[:1]
				}
			}
			return runSimulate(cmd.Context(), s, &out, stress.SimulateOptions{Scenarios: scenarios, Methods: methods, Seeds: seeds}, quick)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&scenarios, "scenario", nil, "`NAMES` of scenarios, such as A,B,hidden (default all)")
	f.StringSliceVar(&methods, "method", nil, "`NAMES` of methods: "+strings.Join(stress.Methods(), ",")+" (default all)")
	f.IntVar(&seeds, "seeds", 20, "runs per row")
	f.BoolVar(&quick, "quick", false, "a selection that takes less than half a minute")
	cli.Complete(cmd, "scenario", scenarioNames())
	cli.Complete(cmd, "method", stress.Methods())
	out.AddFlag(cmd, "table", "json", "yaml", "csv")
	out.Records("rows")
	return cmd
}

func scenarioNames() []string {
	var names []string
	for _, sc := range stress.Scenarios() {
		names = append(names, sc.Name)
	}
	return names
}

func runSimulate(ctx context.Context, s *cli.IO, out *cli.Output, o stress.SimulateOptions, quick bool) error {
	progress := cli.NewProgress(s, "simulate")
	o.Progress = progress.Update
	r, err := stress.Simulate(ctx, o)
	progress.Done()
	if err != nil {
		return err
	}
	r.Quick = quick
	b, err := doc.Marshal(kindSimulate, toolVersion(), time.Time{}, nil, nil, r)
	if err != nil {
		return err
	}
	return out.Print(s.Out, b, func() *cli.Table { return simulateTable(r) })
}

// simulateTable is what a person reads of a simulation.
func simulateTable(r stress.Simulation) *cli.Table {
	t := cli.NewTable("SCENARIO", "METHOD", ">TRUTH/S", ">SECONDS", ">ERROR %", ">P90 %", ">MISSED %", ">PEAK", ">COVERED %", ">METASTABLE %", ">NO KNEE %")
	percent := func(v *float64, digits int) string {
		if v == nil {
			return "-"
		}
		return fmt.Sprintf("%.*f", digits, 100**v)
	}
	for _, x := range r.Rows {
		t.Row(x.Scenario, x.Method, fmt.Sprintf("%.0f", x.Truth), fmt.Sprintf("%.1f", x.Seconds), percent(x.Error, 1), percent(x.ErrorP90, 1),
			percent(&x.Violations, 2), fmt.Sprintf("%.2f", x.Peak), percent(x.Coverage, 0), percent(&x.Flagged, 0), percent(&x.NoKnee, 0))
	}
	t.Note("%d seeds each; seconds, error and p90 of the error are over the runs, peak is its 90th percentile over the truth", r.Seeds)
	for _, sc := range stress.Scenarios() {
		if slices.ContainsFunc(r.Rows, func(x stress.SimulationRow) bool { return x.Scenario == sc.Name }) {
			t.Note("%s: %s", sc.Name, sc.Text)
		}
	}
	return t
}
