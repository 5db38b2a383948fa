package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/forecast"
	"github.com/wxops/wxops/internal/chart"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
)

// kindPlan is carried out by apply and scored by replay.
var kindPlan = doc.Kind{Name: "plan", Version: 1, Title: "Dated scaling steps", Data: planData{}}

type planData struct {
	Target   float64       `json:"target_utilization_ratio" doc:"utilization planned for"`
	Services []planService `json:"services" doc:"one for each service"`
	Steps    []planStep    `json:"steps" doc:"in the order of services, then of time"`
}

type planService struct {
	Service     string    `json:"service" doc:"the service"`
	Instances   int       `json:"instances" doc:"instances at the start"`
	Peak        float64   `json:"last_week_peak_per_second" doc:"highest demand of the last 168 h"`
	PerInstance float64   `json:"capacity_per_instance_per_second" doc:"capacity of one instance"`
	Start       time.Time `json:"start" doc:"begin of the plan"`
	End         time.Time `json:"end" doc:"end of the plan"`
}

type planStep struct {
	Service     string      `json:"service" doc:"the service"`
	At          time.Time   `json:"at" doc:"when, UTC"`
	From        int         `json:"from" doc:"instances before"`
	To          int         `json:"to" doc:"instances after"`
	Reason      string      `json:"reason" doc:"why, in words"`
	Utilization float64     `json:"expected_utilization_ratio" doc:"expected at the peak until the next step"`
	Inverse     planInverse `json:"inverse" doc:"the step that takes this one back"`
}

type planInverse struct {
	From int `json:"from" doc:"instances before"`
	To   int `json:"to" doc:"instances after"`
}

// kindReplay scores a plan.
var kindReplay = doc.Kind{Name: "replay", Version: 1, Title: "Score of a plan on what happened", Data: replayData{}}

type replayData struct {
	Hours     float64         `json:"hours" doc:"service-hours scored"`
	Under     float64         `json:"under_provisioned_ratio" doc:"share of hours with demand above the capacity of the plan"`
	Replica   float64         `json:"replica_hours" doc:"instances x hours of the plan"`
	Baselines replayBaselines `json:"baselines" doc:"other policies on the same demand"`
}

type replayBaselines struct {
	Reactive replayOutcome `json:"reactive" doc:"autoscaler that follows the hour before at 60 %"`
	LastWeek replayOutcome `json:"last_week" doc:"last week's peak + 66 %, held all the time"`
}

type replayOutcome struct {
	Replica float64 `json:"replica_hours" doc:"instances x hours"`
	Under   float64 `json:"under_provisioned_ratio" doc:"share of hours with demand above capacity"`
}

func newForecastPlan(s *cli.IO) *cobra.Command {
	var in seriesInput
	var model modelFlags
	var plan planFlags
	var out cli.Output
	var to string
	cmd := &cobra.Command{
		Use:   "plan FILE...",
		Short: "Turn forecasts into dated scaling steps",
		Long: `plan forecasts the demand of each service and writes few, early steps: up before
the demand, down late. Each has its reason, its expected utilization and the
step that takes it back. --to writes it for the system that carries it out.`,
		Example: `  wxops forecast plan demand.csv --capacity-per-instance 480 --horizon 7d
  wxops forecast plan demand.csv --capacity curve.json --target 0.55 -o json
  wxops forecast plan demand.csv --capacity-per-instance 480 --to keda`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.Check(); err != nil {
				return err
			}
			if to != "" {
				if err := cli.OneOf("--to", to, forecast.Exports); err != nil {
					return err
				}
				if cmd.Flags().Changed("output") {
					return cli.Usagef("either --to %s or -o %s: both say how the plan is written", to, out.Format).WithHint("leave -o out")
				}
			}
			zone, err := in.location()
			if err != nil {
				return err
			}
			o, inputs, err := plan.complete(s, zone)
			if err != nil {
				return err
			}
			forecasts, warnings, files, err := model.forecastFiles(cmd.Context(), s, &in, args)
			if err != nil {
				return err
			}
			plans, notes, err := makePlans(forecasts, o)
			if err != nil {
				return err
			}
			notes = append(notes, idleFreezes(o.Freezes, plans)...)
			printWarnings(s, notes)
			warnings = append(warnings, notes...)
			if to != "" {
				err = forecast.Export(s.Out, to, plans)
			} else {
				err = printPlans(s, &out, plans, o, warnings, append(files, inputs...))
			}
			if err != nil {
				return err
			}
			return model.strictly(warnings)
		},
	}
	in.addFlags(cmd)
	model.addFlags(cmd)
	plan.addFlags(cmd)
	out.AddFlag(cmd, "table", "json", "yaml", "csv")
	cmd.Flags().StringVar(&to, "to", "", "write it as `FORMAT` "+strings.Join(forecast.Exports, "|")+" instead")
	cli.Complete(cmd, "to", forecast.Exports)
	return cmd
}

// makePlans plans each service; one that cannot be planned becomes a warning,
// unless there is no other.
func makePlans(forecasts []*forecast.Forecast, o forecast.PlanOptions) ([]forecast.ServicePlan, []forecast.Warning, error) {
	var plans []forecast.ServicePlan
	var warnings []forecast.Warning
	var first error
	for _, f := range forecasts {
		p, err := forecast.MakePlan(f, o)
		if err != nil {
			if first == nil {
				e := cli.Usagef("no plan for %q", f.Series.Name).WithCause(err).WithHint("wxops forecast plan --help")
				if f.Series.Step == 0 {
					e = e.WithHint("give the times of the values: a column t of RFC 3339 or seconds since 1970")
				}
				first = e
			}
			warnings = append(warnings, forecast.Warning{Series: f.Series.Name, Kind: "series", Text: "left out: " + err.Error()})
			continue
		}
		for _, n := range p.Notes {
			warnings = append(warnings, forecast.Warning{Series: p.Service, Kind: "plan", Text: n})
		}
		plans = append(plans, p)
	}
	if len(plans) == 0 {
		return nil, nil, first
	}
	return plans, warnings, nil
}

func printPlans(s *cli.IO, out *cli.Output, plans []forecast.ServicePlan, o forecast.PlanOptions, warnings []forecast.Warning, inputs []doc.Input) error {
	data := planData{Target: o.Target, Steps: []planStep{}}
	for _, p := range plans {
		data.Services = append(data.Services, planService{p.Service, p.Instances, p.LastWeekPeak, p.PerInstance, p.Start, p.End})
		for _, st := range p.Steps {
			data.Steps = append(data.Steps, planStep{st.Service, st.At, st.From, st.To, st.Reason, st.Utilization, planInverse{st.To, st.From}})
		}
	}
	if out.Format == "csv" {
		return forecast.Export(s.Out, "csv", plans)
	}
	document, err := doc.Marshal(kindPlan, toolVersion(), time.Time{}, inputs, warningTexts(warnings), data)
	if err != nil {
		return err
	}
	if out.Format == "table" && len(plans) == 1 {
		if err := drawFigure(s, planFigure(&plans[0])); err != nil {
			return err
		}
	}
	return out.Print(s.Out, document, func() *cli.Table {
		if len(data.Steps) == 0 {
			t := cli.NewTable("SERVICE", ">INSTANCES", "FROM", "UNTIL").ShortNames(mostName).Fit(s.Columns())
			for _, p := range plans {
				t.Row(p.Service, p.Instances, p.Start.Format(chartTime), p.End.Format(chartTime))
			}
			return t.Note("No step is worth its change: the instances at the start carry the demand until the end.").Note("%s Times are UTC.", costNote(plans))
		}
		t := cli.NewTable("SERVICE", "AT", ">FROM", ">TO", ">PEAK USE", "REASON").ShortNames(mostName).Fit(s.Columns())
		for _, st := range data.Steps {
			t.Row(st.Service, st.At.Format(chartTime), st.From, st.To, fmt.Sprintf("%.0f %%", 100*st.Utilization), st.Reason)
		}
		noteStarts(t, plans)
		t.Note("%s", costNote(plans))
		t.Note("PEAK USE: expected demand / planned capacity at the highest until the next step. Times are UTC.")
		return t
	})
}

// noteStarts says what plans begin with: of each service where they are few.
func noteStarts(t *cli.Table, plans []forecast.ServicePlan) {
	const few = 5
	instances := 0
	for _, p := range plans {
		instances += p.Instances
		if len(plans) <= few {
			t.Note("%s begins with %d instances of %s per second each at %s; last week's peak was %s per second.", p.Service, p.Instances, short(p.PerInstance), p.Start.Format(chartTime), short(p.LastWeekPeak))
		}
	}
	if len(plans) > few {
		t.Note("%d services begin with %d instances in all; -o json has each.", len(plans), instances)
	}
}

// costNote sums up what plans cost beside the practice that they replace.
func costNote(plans []forecast.ServicePlan) string {
	sum, habit, steps := 0.0, 0.0, 0
	for _, p := range plans {
		sum += p.ReplicaHours(p.Start, p.End)
		habit += float64(p.LastWeekHabit()) * p.End.Sub(p.Start).Hours()
		steps += len(p.Steps)
	}
	return fmt.Sprintf("In all %d steps and %.0f replica-hours, %.0f %% of last week's peak + 66 %% held all the time.", steps, sum, 100*sum/habit)
}

// planFigure draws demand against planned capacity.
func planFigure(p *forecast.ServicePlan) chart.Figure {
	axis, step := xAxis(p.Demand.Step, len(p.Demand.Values), p.Start.Format(chartTime))
	demand := chart.Series{Name: "demand", Y: p.Demand.Values}
	for h := range p.Demand.Values {
		demand.X = append(demand.X, step*float64(h))
	}
	capacity := chart.Series{Name: "planned capacity", Style: chart.Step, Role: chart.Good}
	put := func(at time.Time, instances int) {
		capacity.X = append(capacity.X, step*float64(at.Sub(p.Start))/float64(p.Demand.Step))
		capacity.Y = append(capacity.Y, float64(instances)*p.PerInstance)
	}
	put(p.Start, p.Instances)
	for _, s := range p.Steps {
		put(s.At, s.To)
	}
	put(p.End, p.InstancesAt(p.End))
	return chart.Figure{
		Title:  "plan for " + p.Service,
		About:  "demand and planned capacity, per second, over the time of the plan",
		X:      axis,
		Y:      chart.Axis{Label: "load", Unit: "req/s"},
		Series: []chart.Series{demand, capacity},
	}
}

func newForecastReplay(s *cli.IO) *cobra.Command {
	var in seriesInput
	var out cli.Output
	cmd := &cobra.Command{
		Use:   "replay PLAN ACTUAL...",
		Short: "Score a plan on what then happened",
		Long: `replay counts the hours in which demand passed the capacity of the plan, and its
replica-hours, beside a reactive autoscaler at 60 % and beside last week's peak
plus 66 % held all week.`,
		Example: `  wxops forecast replay plan.json actual.csv
  wxops forecast replay plan.json actual.csv -o json
  zcat actual.csv.gz | wxops forecast replay plan.json -`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.Check(); err != nil {
				return err
			}
			var data planData
			planIn, err := readDocument(s, args[0], kindPlan, &data)
			if err != nil {
				return err
			}
			plans, err := plansOf(data)
			if err != nil {
				return cli.Usagef("%q cannot be replayed", args[0]).WithCause(err).WithHint("wxops forecast plan -o json writes one")
			}
			series, warnings, files, err := in.read(cmd.Context(), s, args[1:])
			printWarnings(s, warnings)
			if err != nil {
				return err
			}
			scored, more, err := forecast.Replay(plans, series)
			printWarnings(s, more)
			if err != nil {
				return cli.Usagef("nothing was compared").WithCause(err).WithHint("give the demand of the services in the plan, in its time")
			}
			d := replayData{
				Hours: scored.Plan.Hours, Under: scored.Plan.UnderProvision, Replica: scored.Plan.ReplicaHours,
				Baselines: replayBaselines{
					Reactive: replayOutcome{scored.Reactive.ReplicaHours, scored.Reactive.UnderProvision},
					LastWeek: replayOutcome{scored.LastWeek.ReplicaHours, scored.LastWeek.UnderProvision},
				},
			}
			document, err := doc.Marshal(kindReplay, toolVersion(), time.Time{}, append([]doc.Input{planIn}, files...), warningTexts(append(warnings, more...)), d)
			if err != nil {
				return err
			}
			return out.Print(s.Out, document, func() *cli.Table {
				return replayTable(scored, out.Format == "csv").Fit(s.Columns(), "OF LAST WEEK +66 %")
			})
		},
	}
	in.addFlags(cmd)
	out.AddFlag(cmd, "table", "json", "yaml", "csv")
	return cmd
}

// replayTable compares the policies, with units for people and bare numbers for CSV.
func replayTable(scored forecast.Scored, bare bool) *cli.Table {
	t := cli.NewTable("POLICY", ">REPLICA-HOURS", ">OF LAST WEEK +66 %", ">UNDER-PROVISIONED")
	if bare {
		t = cli.NewTable("policy", "hours", "replica_hours", "of_last_week_ratio", "under_provisioned_ratio")
	}
	for _, row := range []struct {
		key, name string
		o         forecast.Outcome
	}{{"plan", "plan", scored.Plan}, {"reactive", "reactive at 60 %", scored.Reactive}, {"last_week", "last week + 66 %", scored.LastWeek}} {
		share := row.o.ReplicaHours / scored.LastWeek.ReplicaHours // of at least one instance
		if bare {
			t.Row(row.key, row.o.Hours, row.o.ReplicaHours, share, row.o.UnderProvision)
			continue
		}
		t.Row(row.name, fmt.Sprintf("%.1f", row.o.ReplicaHours), fmt.Sprintf("%.1f %%", 100*share), fmt.Sprintf("%.2f %% of hours", 100*row.o.UnderProvision))
	}
	return t.Note("%.0f service-hours scored", scored.Plan.Hours)
}

// plansOf turns a document back into plans.
func plansOf(data planData) ([]forecast.ServicePlan, error) {
	var out []forecast.ServicePlan
	index := map[string]int{}
	for _, v := range data.Services {
		if _, twice := index[v.Service]; twice {
			return nil, fmt.Errorf("service %q is there twice", v.Service)
		}
		if v.Instances < 0 {
			return nil, fmt.Errorf("service %q begins with %d instances", v.Service, v.Instances)
		}
		index[v.Service] = len(out)
		out = append(out, forecast.ServicePlan{Service: v.Service, Instances: v.Instances, LastWeekPeak: v.Peak, PerInstance: v.PerInstance, Start: v.Start, End: v.End})
	}
	for _, st := range data.Steps {
		i, ok := index[st.Service]
		if !ok {
			return nil, fmt.Errorf("a step belongs to %q, which is not among the services", st.Service)
		}
		p := &out[i]
		if n := len(p.Steps); n > 0 && st.At.Before(p.Steps[n-1].At) {
			return nil, fmt.Errorf("the steps of %q are not in order of time", st.Service)
		}
		if st.To < 0 || st.From < 0 {
			return nil, errors.New("a step has a negative number of instances")
		}
		p.Steps = append(p.Steps, forecast.PlanStep{Service: st.Service, At: st.At, From: st.From, To: st.To, Reason: st.Reason, Utilization: st.Utilization})
	}
	return out, nil
}
