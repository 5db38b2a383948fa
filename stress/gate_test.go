package stress

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// noise is a first-order autoregression on the logarithm with a standard
// deviation of sd, around level.
func noise(random *rand.Rand, n int, level, sd, phi float64) []float64 {
	out := make([]float64, n)
	x := random.NormFloat64()
	for i := range out {
		out[i] = level * math.Exp(sd*x)
		x = phi*x + math.Sqrt(1-phi*phi)*random.NormFloat64()
	}
	return out
}

// common multiplies both sides by one disturbance, as a busy machine does.
func common(random *rand.Rand, a, b []float64, sd, phi float64) {
	for i, v := range noise(random, len(a), 1, sd, phi) {
		a[i] *= v
		b[i] *= v
	}
}

// decide runs one side-by-side test of a minute with three metrics, of which
// cpu and p99 are changed by ratios.
func decide(t *testing.T, random *rand.Rand, phi, cpu, p99, capacity float64, paired bool) (GateVerdict, []Effect) {
	t.Helper()
	const n = 60
	c := []Comparison{
		{Name: "cpu", Base: noise(random, n, 2e-4, 0.015, phi), New: noise(random, n, 2e-4*(1+cpu), 0.015, phi), Paired: paired},
		{Name: "p99", Base: noise(random, n, 0.05, 0.08, phi/2), New: noise(random, n, 0.05*(1+p99), 0.08, phi/2), Paired: paired, Margin: 0.1},
		{Name: "capacity", Base: noise(random, 1, 1000, 0.02, 0), New: noise(random, 1, 1000*(1+capacity), 0.02, 0), BaseDeviation: 0.02, NewDeviation: 0.02, MoreIsBetter: true, Margin: 0.1},
	}
	if paired {
		common(random, c[0].Base, c[0].New, 0.03, 0.9)
	}
	v, e, err := Gate(c)
	if err != nil {
		t.Fatal(err)
	}
	return v, e
}

// The bars of the gate, on 1000 seeded runs each: fewer than 1 % false alarms
// whatever the correlation of the noise, and the two shifts found in at least
// 95 % of the runs.
func TestGateKeepsItsFalseAlarmRate(t *testing.T) {
	const runs = 1000
	for _, phi := range []float64{0, 0.3, 0.6} {
		for _, paired := range []bool{true, false} {
			random := rand.New(rand.NewPCG(uint64(100*phi), 7))
			alarms, passes := 0, 0
			for range runs {
				v, _ := decide(t, random, phi, 0, 0, 0, paired)
				switch v {
				case GateRegression:
					alarms++
				case GatePass:
					passes++
				}
			}
			t.Logf("phi %.1f paired %v: %d false alarms, %d passes of %d", phi, paired, alarms, passes, runs)
			if alarms*100 >= runs {
				t.Errorf("phi %.1f, paired %v: %d false alarms in %d runs, want fewer than 1 %%", phi, paired, alarms, runs)
			}
		}
	}
}

func TestGateFindsRegressions(t *testing.T) {
	t.Parallel() // it computes only, in virtual time
	const runs = 1000
	for _, c := range []struct {
		name                    string
		atLeast                 int // percent
		phi, cpu, p99, capacity float64
	}{
		{"CPU per request +3 %", 95, 0, 0.03, 0, 0},
		{"CPU per request +3 %, correlated", 80, 0.6, 0.03, 0, 0},
		{"p99 +10 %", 95, 0, 0, 0.1, 0},
		{"p99 +10 %, correlated", 85, 0.6, 0, 0.1, 0},
		{"capacity -15 %", 95, 0, 0, 0, -0.15},
	} {
		for _, paired := range []bool{true, false} {
			random := rand.New(rand.NewPCG(11, 13))
			found := 0
			for range runs {
				if v, _ := decide(t, random, c.phi, c.cpu, c.p99, c.capacity, paired); v == GateRegression {
					found++
				}
			}
			t.Logf("%s paired %v: %d of %d", c.name, paired, found, runs)
			if found*100 < c.atLeast*runs {
				t.Errorf("%s, paired %v: found in %d of %d runs, want %d %%", c.name, paired, found, runs, c.atLeast)
			}
		}
	}
}

// An interval must hold the truth as often as it says.
func TestGateIntervalsHoldTheTruth(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	const runs = 500
	missed := 0
	for range runs {
		_, e := decide(t, random, 0.6, 0.02, 0, 0, true)
		if e[0].Low > 0.02 || e[0].High < 0.02 {
			missed++
		}
	}
	if missed > runs/100 {
		t.Errorf("%d of %d intervals miss the truth", missed, runs)
	}
}

func TestGateNeedsValues(t *testing.T) {
	if _, _, err := Gate([]Comparison{{Name: "p99", Base: []float64{1}}}); !errors.Is(err, ErrNothingCompared) {
		t.Errorf("error %v, want %v", err, ErrNothingCompared)
	}
	if _, _, err := Gate([]Comparison{{Name: "p99", Base: []float64{1}, New: []float64{0}}}); err == nil {
		t.Error("a value of 0 was compared")
	}
	// One run on each side without an interval says nothing about its noise.
	if v, e, err := Gate([]Comparison{{Name: "p99", Base: []float64{1}, New: []float64{3}}}); err != nil || v != GateUndecided {
		t.Errorf("verdict %s of %v, %v; want undecided", v, e, err)
	}
}

func TestGateIsSymmetric(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	a, b := noise(random, 60, 1, 0.02, 0.5), noise(random, 60, 1.2, 0.02, 0.5)
	_, there, err := Gate([]Comparison{{Name: "x", Base: a, New: b, Paired: true}})
	if err != nil {
		t.Fatal(err)
	}
	_, back, err := Gate([]Comparison{{Name: "x", Base: b, New: a, Paired: true}})
	if err != nil {
		t.Fatal(err)
	}
	if d := (1+there[0].Effect)*(1+back[0].Effect) - 1; math.Abs(d) > 1e-9 || there[0].Verdict != GateRegression || back[0].Verdict != GatePass {
		t.Errorf("there %+v, back %+v", there[0], back[0])
	}
}
