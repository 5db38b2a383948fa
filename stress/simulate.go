package stress

import (
	"context"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/wxops/wxops/capacity"
)

// A Simulation is the data of the document wxops/simulate/v1: how laws did on
// simulated instances.
type Simulation struct {
	Seeds int             `json:"seeds" doc:"runs per row, each with random numbers of its own"`
	Quick bool            `json:"quick" doc:"whether it was the quick selection"`
	Rows  []SimulationRow `json:"rows" doc:"one per scenario and method"`
}

// A SimulationRow is one line of the table of `wxops stress simulate`.
type SimulationRow struct {
	Scenario   string   `json:"scenario" doc:"name of the simulated instance"`
	Method     string   `json:"method" doc:"law that drove the test"`
	Truth      float64  `json:"truth_per_second" doc:"capacity of the instance by brute force"`
	Seconds    float64  `json:"seconds_median" doc:"from the first sample to the verdict, median"`
	Error      *float64 `json:"error_median_ratio" doc:"capacity against truth, absolute, median of the runs that found one; null if none did"`
	ErrorP90   *float64 `json:"error_p90_ratio" doc:"the same, 90th percentile"`
	Violations float64  `json:"violation_ratio" doc:"share of the requests of a test that missed the objective or failed, mean"`
	Peak       float64  `json:"peak_p90_ratio" doc:"highest rate over truth, 90th percentile"`
	Coverage   *float64 `json:"coverage_ratio" doc:"share of the runs that found a capacity whose interval holds the truth; null without intervals"`
	Flagged    float64  `json:"flagged_ratio" doc:"share of the runs with the verdict metastable"`
	NoKnee     float64  `json:"no_knee_ratio" doc:"share of the runs with the verdict no-knee"`
}

// Methods returns the names of the laws that Simulate knows, the product's first.
func Methods() []string {
	var names []string
	for _, l := range laws {
		names = append(names, l.name)
	}
	return names
}

// SimulateOptions chooses what Simulate runs. Empty lists mean all.
type SimulateOptions struct {
	Scenarios, Methods []string // by name
	Seeds              int      // runs per row; 0: 20

	// Progress is called after each row, from several goroutines.
	Progress func(done, total int)
}

// Simulate runs laws on simulated instances in virtual time, on all processors,
// and returns one row per scenario and method in the order of [Scenarios] and
// [Methods]. The result is a pure function of the options.
func Simulate(ctx context.Context, o SimulateOptions) (Simulation, error) {
	if o.Seeds == 0 {
		o.Seeds = 20
	}
	type task struct {
		sc   Scenario
		name string
		make func(Config) method
	}
	var tasks []task
	for _, sc := range Scenarios() {
		for _, l := range laws {
			if (len(o.Scenarios) == 0 || slices.Contains(o.Scenarios, sc.Name)) && (len(o.Methods) == 0 || slices.Contains(o.Methods, l.name)) {
				tasks = append(tasks, task{sc, l.name, l.make})
			}
		}
	}
	out := Simulation{Seeds: o.Seeds, Rows: make([]SimulationRow, len(tasks))}
	next := make(chan int)
	var wait sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for range min(runtime.GOMAXPROCS(0), max(1, len(tasks))) {
		wait.Go(func() {
			for i := range next {
				t := tasks[i]
				out.Rows[i] = simulateRow(ctx, t.sc, t.name, t.make, o.Seeds)
				if o.Progress != nil {
					mu.Lock()
					done++
					o.Progress(done, len(tasks))
					mu.Unlock()
				}
			}
		})
	}
	for i := range tasks {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	wait.Wait()
	return out, ctx.Err()
}

// simulateRow runs a scenario with fresh laws, one per seed.
func simulateRow(ctx context.Context, sc Scenario, name string, make func(Config) method, seeds int) SimulationRow {
	const longest = 400 * time.Second // of virtual time; a law that needs more has failed
	var seconds, errs, peaks []float64
	row := SimulationRow{Scenario: sc.Name, Method: name, Truth: sc.Truth}
	n := float64(seeds)
	covered, intervals := 0.0, false
	for seed := range seeds {
		if ctx.Err() != nil {
			return row
		}
		o := sc.simulate(make(sc.config()), uint64(seed+1), longest)
		seconds = append(seconds, o.seconds)
		peaks = append(peaks, o.peak/sc.Truth)
		row.Violations += o.violations / n
		switch o.verdict {
		case capacity.VerdictMetastable:
			row.Flagged += 1 / n
		case capacity.VerdictNoKnee:
			row.NoKnee += 1 / n
		case capacity.VerdictOK:
			errs = append(errs, math.Abs(o.estimate.PerSecond/sc.Truth-1))
			intervals = intervals || !math.IsNaN(o.estimate.Low)
			if o.estimate.Low <= sc.Truth && sc.Truth <= o.estimate.High {
				covered++
			}
		}
	}
	row.Seconds, row.Peak = percentile(seconds, 0.5), percentile(peaks, 0.9)
	if len(errs) > 0 {
		p50, p90, c := percentile(errs, 0.5), percentile(errs, 0.9), covered/float64(len(errs))
		row.Error, row.ErrorP90 = &p50, &p90
		if intervals {
			row.Coverage = &c
		}
	}
	return row
}

// percentile returns a quantile of x by linear interpolation; it sorts x.
func percentile(x []float64, q float64) float64 {
	slices.Sort(x)
	at := q * float64(len(x)-1)
	i := int(at)
	if i+1 >= len(x) {
		return x[len(x)-1]
	}
	return x[i] + (at-float64(i))*(x[i+1]-x[i])
}
