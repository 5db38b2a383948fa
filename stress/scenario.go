package stress

import "time"

// Scenarios returns the simulated instances of `wxops stress simulate`, in the
// order of the table. The truths were found by brute force; bench/stress finds
// them again.
func Scenarios() []Scenario {
	a := station{workers: 8, mean: 0.010, cv: 1}
	return []Scenario{
		{Name: "A", Text: "8 workers, 10 ms exponential, p99 <= 100 ms", Truth: 748, objective: "p99<=100ms", station: a},
		{Name: "B", Text: "32 workers, 5 ms, cv 1.2, p99 <= 50 ms", Truth: 6263, objective: "p99<=50ms", station: station{workers: 32, mean: 0.005, cv: 1.2}},
		{Name: "C", Text: "4 workers, 20 ms, cv 0.5, p99 <= 150 ms", Truth: 179, objective: "p99<=150ms", station: station{workers: 4, mean: 0.020, cv: 0.5}},
		{
			Name: "D", Text: "8 workers, 10 ms, slows down by 0.5 % per queued request, p99 <= 100 ms", Truth: 592, Unstable: true, objective: "p99<=100ms",
			station: station{workers: 8, mean: 0.010, cv: 1, degradation: 0.005, limit: 2000},
		},
		{
			Name: "E", Text: "16 workers, 8 ms, slows down by 2 % per busy worker, p99 <= 80 ms", Truth: 1470, objective: "p99<=80ms",
			station: station{workers: 16, mean: 0.008, cv: 1, contention: 0.02},
		},
		{Name: "bursty", Text: "A with bursty arrivals, cv 2", Truth: 686, objective: "p99<=100ms", station: a, arrivals: arrivals{cv: 2}},
		{Name: "robin", Text: "A behind a round robin", Truth: 753, objective: "p99<=100ms", station: a, arrivals: arrivals{robin: true}},
		{Name: "lag", Text: "A, weights take effect after 1 s", Truth: 748, objective: "p99<=100ms", station: a, lag: time.Second},
		{Name: "window", Text: "A, signals every 6 s", Truth: 748, objective: "p99<=100ms", station: a, window: 6 * time.Second},
		{Name: "hidden", Text: "A, the CPU is at 60 % when all workers are busy", Truth: 748, objective: "p99<=100ms", station: a, ceil: 0.6},
		{Name: "drift", Text: "A, natural traffic grows by 1 % per second", Truth: 748, objective: "p99<=100ms", station: a, drift: 0.01},
		{Name: "pause", Text: "A with p99 <= 400 ms, all workers stop for 300 ms in mid-test", Truth: 789, objective: "p99<=400ms", station: a, pause: 0.3},
		{
			Name: "poor", Text: "8 workers, 20 ms, p99 <= 150 ms, round robin, at 57 % before the test, CPU at 6 % when all workers are busy; seen from outside",
			Truth: 371, objective: "p99<=150ms", base: 0.57, reach: 1.15, ceil: 0.06, poor: true,
			station: station{workers: 8, mean: 0.020, cv: 1, limit: 90}, arrivals: arrivals{robin: true, stream: 640},
		},
		{
			Name: "crowded", Text: "11 workers, 32.6 ms, cv 0.9, round robin, p99 <= 205 ms, at 57 % before the test, CPU at 50 % when all workers are busy",
			Truth: 317, objective: "p99<=205ms", base: 0.57, ceil: 0.5,
			station: station{workers: 11, mean: 0.0326, cv: 0.9, limit: 104}, arrivals: arrivals{robin: true},
		},
		{Name: "capped", Text: "A, the traffic suffices for 70 % of the capacity", Truth: 748, objective: "p99<=100ms", station: a, reach: 0.7},
	}
}
