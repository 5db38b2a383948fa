package stress

import (
	"math"
	"sort"
	"time"

	"github.com/wxops/wxops/capacity"
)

// A SimulationRow is one line of the table of `wxops stress simulate`.
type SimulationRow struct {
	Scenario   string  `json:"scenario" doc:"name of the simulated instance"`
	Method     string  `json:"method" doc:"law that drove the test"`
	Runs       int     `json:"runs" doc:"seeds"`
	Seconds    float64 `json:"seconds_median" doc:"from the first sample to the verdict, median"`
	Error      float64 `json:"error_median_ratio" doc:"capacity against truth, absolute, median"`
	ErrorP90   float64 `json:"error_p90_ratio" doc:"the same, 90th percentile"`
	Violations float64 `json:"violation_ratio" doc:"share of the requests of the test that missed the objective, mean"`
	Peak       float64 `json:"peak_p90_ratio" doc:"highest rate over truth, 90th percentile"`
	Coverage   float64 `json:"coverage_ratio" doc:"share of the runs whose interval holds the truth"`
	Flagged    float64 `json:"flagged_ratio" doc:"share of the runs with the verdict metastable"`
}

// simulateRow runs a scenario with fresh laws, one per seed.
func simulateRow(sc Scenario, name string, make func(Config) method, seeds int) SimulationRow {
	var seconds, errs, peaks []float64
	row := SimulationRow{Scenario: sc.Name, Method: name, Runs: seeds}
	for seed := range seeds {
		o := sc.simulate(make(sc.config()), uint64(seed+1), 400*time.Second)
		seconds = append(seconds, o.seconds)
		peaks = append(peaks, o.peak/sc.Truth)
		row.Violations += o.violations / float64(seeds)
		if o.verdict == capacity.VerdictMetastable {
			row.Flagged += 1 / float64(seeds)
		}
		errs = append(errs, math.Abs(o.estimate.PerSecond/sc.Truth-1))
		if o.estimate.Low <= sc.Truth && sc.Truth <= o.estimate.High {
			row.Coverage += 1 / float64(seeds)
		}
	}
	row.Seconds, row.Error, row.ErrorP90, row.Peak = percentile(seconds, 0.5), percentile(errs, 0.5), percentile(errs, 0.9), percentile(peaks, 0.9)
	return row
}

// percentile returns a quantile of x by linear interpolation; it sorts x.
func percentile(x []float64, q float64) float64 {
	sort.Float64s(x)
	at := q * float64(len(x)-1)
	i := int(at)
	if i+1 >= len(x) {
		return x[len(x)-1]
	}
	return x[i] + (at-float64(i))*(x[i+1]-x[i])
}
