package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

const weekOfHours = 168

// fleets are the sizes that plans are measured at: instances that carry the
// highest value of the last four weeks at full use.
var fleets = []float64{10, 20, 50}

// A bill is what plans of a week cost and what they missed.
type bill struct {
	services, steps          int
	hours, under             float64
	replicaHours, asLastWeek float64
}

func (b *bill) add(c bill) {
	b.services += c.services
	b.steps += c.steps
	b.hours += c.hours
	b.under += c.under
	b.replicaHours += c.replicaHours
	b.asLastWeek += c.asLastWeek
}

// measurePlans prints, for every build and fleet size, the share of hours that
// plans leave under-provisioned, their replica-hours beside last week's peak
// + 66 %, and their steps for each service and week: at the ends of the
// histories, then on all windows.
func (s set) measurePlans(data string, past int, builds, flags []string) error {
	histories, err := s.load(data)
	if err != nil {
		return err
	}
	windows := s.windows(histories, past)
	for _, upto := range slices.Compact([]int{0, past}) {
		fmt.Printf("%s, plans from %d origins: hours under-provisioned, replica-hours of last week + 66 %%, steps\n", s.name, upto+1)
		for _, build := range builds {
			fmt.Printf("  %-14s", filepath.Base(build))
			for _, fleet := range fleets {
				var sum bill
				for _, batch := range windows[:upto+1] {
					b, err := s.plan(build, batch, fleet, flags)
					if err != nil {
						return fmt.Errorf("%s: %w", build, err)
					}
					sum.add(b)
				}
				fmt.Printf("  %2g: %.3f %% at %.1f %%, %.1f", fleet, 100*sum.under/sum.hours, 100*sum.replicaHours/sum.asLastWeek, float64(sum.steps)/float64(sum.services))
			}
			fmt.Println()
		}
	}
	return nil
}

// plan makes and replays the plans of one build for one fleet size.
func (s set) plan(build string, batch []history, fleet float64, flags []string) (bill, error) {
	scaled := make([]history, len(batch))
	for i, h := range batch {
		factor := fleet / highest(h.values[max(0, len(h.values)-4*s.season):])
		h.values, h.future = times(h.values, factor), times(h.future, factor)
		scaled[i] = h
	}
	text, err := run(build, longCSV(scaled, false), slices.Concat([]string{"forecast", "plan", "-", "--horizon", fmt.Sprint(s.horizon), "--capacity-per-instance", "1", "-o", "json", "--quiet"}, flags)...)
	if err != nil {
		return bill{}, err
	}
	file, err := os.CreateTemp("", "plan-*.json")
	if err != nil {
		return bill{}, err
	}
	defer os.Remove(file.Name())
	if err := os.WriteFile(file.Name(), text, 0o600); err != nil {
		return bill{}, err
	}
	score, err := run(build, longCSV(scaled, true), "forecast", "replay", file.Name(), "-", "-o", "json", "--quiet")
	if err != nil {
		return bill{}, err
	}
	var plan struct {
		Data struct{ Services, Steps []struct{} }
	}
	var replay struct {
		Data struct {
			Hours        float64
			Under        float64 `json:"under_provisioned_ratio"`
			ReplicaHours float64 `json:"replica_hours"`
			Baselines    struct {
				LastWeek struct {
					ReplicaHours float64 `json:"replica_hours"`
				} `json:"last_week"`
			}
		}
	}
	if err := json.Unmarshal(text, &plan); err != nil {
		return bill{}, err
	}
	if err := json.Unmarshal(score, &replay); err != nil {
		return bill{}, err
	}
	r := replay.Data
	return bill{len(plan.Data.Services), len(plan.Data.Steps), r.Hours, r.Hours * r.Under, r.ReplicaHours, r.Baselines.LastWeek.ReplicaHours}, nil
}

func highest(values []float64) float64 {
	top := 0.0
	for _, v := range values {
		if v > top {
			top = v
		}
	}
	return top
}

func times(values []float64, factor float64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = v * factor
	}
	return out
}
