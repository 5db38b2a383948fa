package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/cli"
)

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
service times and Poisson arrivals, and simulated otherwise, with the interval
that chance leaves; a p999 takes seconds.

Exit codes: 1 the objective cannot be met at any utilization.`,
		Example: `  wxops capacity ceiling --shape 2C4G --service-time 5ms --cv 1 --slo 'p99<30ms'
  wxops capacity ceiling --shape 4C8G --service-time 5ms --wait-slo 'p99<=25ms'
  wxops capacity ceiling --shape 1C1G --service-time 2ms --slo 'mean<10ms'`,
		Args: cobra.NoArgs,
		RunE: func(_ *cobra.Command, _ []string) error {
			if err := first(out.Check(), checkPositive("--service-time", service.Seconds(), "5ms"), checkBetween("--cv", cv, 0, 10, 1), checkBetween("--arrivals-cv", arrivals, 0.1, 10, 1)); err != nil {
				return err
			}
			shape, err := parseShape(shapeText)
			if err != nil {
				return err
			}
			goals, warnings, err := ceilingGoals(slo, waitSLO)
			if err != nil {
				return err
			}
			st := capacity.StationOf(shape, service.Seconds(), cv, arrivals)
			reached, err := capacity.Ceiling(st, goals)
			ratio := reached.Ratio
			reachable := !errors.Is(err, capacity.ErrUnreachable)
			if err != nil && reachable {
				return cli.Usagef("no ceiling from these numbers").WithCause(err).WithHint("--shape 8C16G")
			}
			rate := ratio * float64(st.Servers) / st.Service
			data := capacityData{Question: "ceiling", CeilingRatio: &ratio, CeilingLow: &reached.Low, CeilingHigh: &reached.High, Reachable: &reachable, PerSecond: &rate}
			how := "exact"
			if reached.Low < reached.High {
				how = fmt.Sprintf("simulated, %.3f to %.3f", reached.Low, reached.High)
			}
			why := fmt.Sprintf("%d servers of %s, CV %g; %s", st.Servers, time.Duration(st.Service*1e9), cv, how)
			if !reachable {
				why = "not even an idle instance meets the objective"
				fmt.Fprintf(s.Err, "%s cannot be met: %s\n", strings.Trim(slo+","+waitSLO, ","), why)
			}
			if err := out.answer(s, data, nil, warnings, [][4]string{
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

// parseShape reads the shape of --shape.
func parseShape(text string) (capacity.Shape, error) {
	shape, err := capacity.ParseShape(text)
	if err != nil {
		return shape, cli.Usagef("--shape %q is not a shape", text).WithCause(err).WithHint("--shape 2C4G")
	}
	return shape, nil
}

// ceilingGoals reads the two objectives of ceiling, of which one may be empty;
// the warnings name the terms that say nothing about a queue.
func ceilingGoals(slo, waitSLO string) (goals []capacity.Goal, warnings []string, err error) {
	for _, o := range []struct {
		flag, text, example string
		wait                bool
	}{{"--slo", slo, "'p99<30ms'", false}, {"--wait-slo", waitSLO, "'p99<=25ms'", true}} {
		if o.text == "" {
			continue
		}
		objective, err := capacity.ParseObjective(o.text)
		if err != nil {
			return nil, nil, cli.Usagef("%s %q cannot be read", o.flag, o.text).WithCause(err).WithHint("%s %s", o.flag, o.example)
		}
		for _, t := range objective.Terms {
			if t.Metric == "max" || t.Metric == "errors" {
				warnings = append(warnings, fmt.Sprintf("%s: %s asks nothing of a queue and is passed over", o.flag, t))
			}
		}
		goals = append(goals, objective.Goals(o.wait)...)
	}
	if len(goals) == 0 {
		return nil, nil, cli.Usagef("no objective on a quantile or the mean of the time").WithHint("--slo 'p99<30ms', or --wait-slo 'p99<=25ms'")
	}
	return goals, warnings, nil
}
