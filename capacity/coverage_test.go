package capacity

import (
	"math"
	"math/rand/v2"
	"testing"
)

// autocorrelated draws windows of a service that costs 2 ms of CPU a request and
// 0.5 cores at rest; the rate has a day, and the noise remembers phi of its last
// value, as real load does.
func autocorrelated(rng *rand.Rand, n int, phi, noise float64) []Metric {
	rows := make([]Metric, n)
	e := noise * rng.NormFloat64()
	wander := 0.0
	for i := range rows {
		wander = 0.8*wander + 0.6*rng.NormFloat64()
		rate := 500 + 300*math.Sin(float64(i)/24*2*math.Pi) + 40*wander
		e = phi*e + math.Sqrt(1-phi*phi)*noise*rng.NormFloat64()
		rows[i] = Metric{Rate: rate, Cores: 0.5 + 0.002*rate + e, Memory: math.NaN(), Disk: math.NaN(), Network: math.NaN()}
	}
	return rows
}

// The 95 % interval of the capacity holds the truth, 950 per second, in about
// 95 % of histories, however long they are and however much the noise remembers;
// with a fifteen of independent windows, 60 that remember 0.6, in nearly 90 %.
func TestFitIntervalHoldsTheTruth(t *testing.T) {
	const runs = 200
	for _, c := range []struct {
		n     int
		phi   float64
		least float64
	}{{60, 0, 0.92}, {60, 0.6, 0.86}, {200, 0, 0.92}, {200, 0.6, 0.90}, {200, 0.8, 0.92}, {1000, 0.8, 0.92}} {
		rng := rand.New(rand.NewPCG(11, uint64(c.n)))
		held, slope := 0, 0
		for range runs {
			f, err := Fit(autocorrelated(rng, c.n, c.phi, 0.08), Limits{Cores: 4, CPUCeiling: 0.6})
			if err != nil {
				t.Fatal(err)
			}
			cpu := f.Resources[0]
			if cpu.Low <= 950 && 950 <= cpu.High {
				held++
			}
			if cpu.Line.SlopeLow <= 0.002 && 0.002 <= cpu.Line.SlopeHigh {
				slope++
			}
		}
		got, cost := float64(held)/runs, float64(slope)/runs
		if got < c.least || got > 0.995 || cost < c.least {
			t.Errorf("%d windows, phi %.1f: the interval of the capacity holds in %.3f, of the cost in %.3f", c.n, c.phi, got, cost)
		}
	}
}
