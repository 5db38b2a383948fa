package capacity

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat"
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
// 95 % of histories, however long they are, however much the noise remembers,
// though one window in 30 has something else in it, or the noise grows with the
// rate. It is no wider than it must be: of noise whose memory is known the middle
// interval of least squares is 0.7 to 1 of width. Chance is 1.3 % at one standard
// error of 300 histories; those of one length are the same ones for each other
// thing that is in them, so that a difference says more than its two shares.
func TestFitIntervalHoldsTheTruth(t *testing.T) {
	for _, c := range []struct {
		n      int
		runs   int
		phi    float64
		other  string  // outliers, growing
		least  float64 // share that holds
		widest float64 // of the middle interval, in the capacity
	}{
		{30, 400, 0, "", 0.93, 0.10},
		{30, 800, 0.6, "", 0.93, 0.155},
		{30, 800, 0.6, "outliers", 0.93, 0.155},
		{30, 800, 0.6, "growing", 0.915, 0.21},
		{60, 300, 0, "", 0.92, 0.06},
		{60, 300, 0.3, "", 0.92, 0.08},
		{60, 300, 0.6, "", 0.92, 0.105},
		{60, 300, 0.6, "outliers", 0.92, 0.105},
		{60, 300, 0.8, "", 0.92, 0.125},
		{120, 200, 0.6, "", 0.91, 0.07},
		{120, 200, 0.8, "", 0.91, 0.09},
		{200, 200, 0, "", 0.92, 0.032},
		{200, 200, 0.6, "growing", 0.91, 0.085},
		{200, 200, 0.8, "", 0.91, 0.065},
		{500, 150, 0.6, "outliers", 0.91, 0.035},
		{1000, 100, 0.8, "", 0.90, 0.03},
	} {
		rng, others := rand.New(rand.NewPCG(77, uint64(c.n))), rand.New(rand.NewPCG(78, uint64(c.n)))
		held, slope, fits := 0.0, 0.0, 0.0
		var widths []float64
		for range c.runs {
			rows := autocorrelated(rng, c.n, c.phi, 0.08)
			for i, r := range rows {
				switch {
				case c.other == "growing":
					line := 0.5 + 0.002*r.Rate
					rows[i].Cores = line + (r.Cores-line)*r.Rate/500
				case c.other == "outliers" && others.IntN(30) == 0:
					rows[i].Cores += 0.3 + 0.5*others.Float64()
				}
			}
			f, err := Fit(rows, Limits{Cores: 4, CPUCeiling: 0.6})
			if err != nil {
				if !errors.Is(err, ErrNoFit) {
					t.Fatal(err)
				}
				continue
			}
			fits++
			cpu := f.Resources[0]
			if cpu.Low <= 950 && 950 <= cpu.High {
				held++
			}
			if cpu.Line.SlopeLow <= 0.002 && 0.002 <= cpu.Line.SlopeHigh {
				slope++
			}
			widths = append(widths, (cpu.High-cpu.Low)/950)
		}
		slices.Sort(widths)
		got, cost, width := held/fits, slope/fits, widths[len(widths)/2]
		t.Logf("%d windows, phi %.1f %s: capacity held in %.3f, cost in %.3f, width %.4f, %.0f fits", c.n, c.phi, c.other, got, cost, width, fits)
		if got < c.least || got > 0.99 || cost < c.least-0.01 || width > c.widest || fits < 0.98*float64(c.runs) {
			t.Errorf("%d windows, phi %.1f %s: the interval of the capacity holds in %.3f, of the cost in %.3f, is %.3f wide, of %.0f fits", c.n, c.phi, c.other, got, cost, width, fits)
		}
	}
}

// A quantile is that of the sorted values.
func TestQuantileIsThatOfTheSortedValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	for range 2000 {
		v := make([]float64, 1+rng.IntN(40))
		for i := range v {
			v[i] = float64(rng.IntN(20)) - 10 // many are equal
		}
		p := []float64{0, 0.025, 0.5, 0.975, 1, rng.Float64()}[rng.IntN(6)]
		sorted := slices.Sorted(slices.Values(v))
		if want, got := stat.Quantile(p, stat.Empirical, sorted, nil), quantile(slices.Clone(v), p); got != want {
			t.Fatalf("quantile %v of %v is %v, want %v", p, v, got, want)
		}
	}
}

// fixture draws windows of a service with known costs.
func fixture(n int, noise float64) []Metric {
	rng := rand.New(rand.NewPCG(5, 6))
	rows := make([]Metric, n)
	e := 0.0
	for i := range rows {
		r := 500 + 400*math.Sin(float64(i)/24*2*math.Pi)
		e = 0.7*e + noise*rng.NormFloat64()
		rows[i] = Metric{Rate: r, Cores: 0.2 + 0.002*r + e, Memory: 1e9 + 4e6*r, Disk: math.NaN(), Network: 1e5 * r}
	}
	return rows
}

func TestFitFindsCostsAndTheBottleneck(t *testing.T) {
	f, err := Fit(fixture(500, 0.02), Limits{Cores: 4, Memory: 8 << 30, Network: 125e6, CPUCeiling: 0.6})
	if err != nil {
		t.Fatal(err)
	}
	cpu := f.Resources[0]
	near(t, "slope", cpu.Line.Slope, 0.002, 2e-5)
	near(t, "idle", cpu.Line.Idle, 0.2, 0.02)
	near(t, "Theil-Sen", cpu.Line.TheilSen, 0.002, 4e-5)
	near(t, "capacity", cpu.PerSecond, (2.4-0.2)/0.002, 15)
	if !(cpu.Low < 1100 && cpu.High > 1100 && cpu.High-cpu.Low < 60) {
		t.Errorf("interval [%v, %v]", cpu.Low, cpu.High)
	}
	if b, s := f.Resources[f.Bottleneck].Name, f.Resources[f.Second].Name; b != "cpu" || s != "network" {
		t.Errorf("bottleneck %s, second %s", b, s)
	}
	f, err = Fit(fixture(500, 0.02), Limits{Cores: 4, Memory: 4 << 30, CPUCeiling: 0.6})
	if err != nil {
		t.Fatal(err)
	}
	m := f.Resources[f.Bottleneck]
	if m.Name != "memory" {
		t.Errorf("bottleneck %s, want memory", m.Name)
	}
	near(t, "memory capacity", m.PerSecond, (0.85*4*(1<<30)-1e9)/4e6, 1)
}

func TestFitRefusesWithTheReason(t *testing.T) {
	with := func(change func(i int, m *Metric)) []Metric {
		rows := fixture(100, 0.02)
		for i := range rows {
			change(i, &rows[i])
		}
		return rows
	}
	rng := rand.New(rand.NewPCG(7, 8))
	for name, c := range map[string]struct {
		rows []Metric
		why  string
	}{
		"none":      {nil, "0 windows, at least 30"},
		"few":       {fixture(29, 0.02), "29 windows, at least 30"},
		"blank":     {with(func(i int, m *Metric) { m.Cores = map[bool]float64{true: math.NaN(), false: m.Cores}[i >= 20] }), "20 windows, at least 30"},
		"flat":      {with(func(i int, m *Metric) { m.Rate = 100 + float64(i%50) }), "only moves from 100 to 149 per second"},
		"idle":      {with(func(_ int, m *Metric) { m.Rate = 0 }), "no traffic"},
		"minus":     {with(func(i int, m *Metric) { m.Rate -= 150 }), "negative"},
		"unrelated": {with(func(_ int, m *Metric) { m.Cores = 1 + rng.Float64() }), "the cost of a request may be 0"},
		"falling":   {with(func(_ int, m *Metric) { m.Cores = 3 - 0.002*m.Rate }), "the cost of a request may be 0"},
		"busy":      {with(func(_ int, m *Metric) { m.Cores += 3 }), "cores are busy without a request, the ceiling is 2.4"},
	} {
		if _, err := Fit(c.rows, Limits{Cores: 4, CPUCeiling: 0.6}); !errors.Is(err, ErrNoFit) || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want ErrNoFit with %q", name, err, c.why)
		}
	}
	for _, l := range []Limits{{CPUCeiling: 0.6}, {Cores: 4}, {Cores: 4, CPUCeiling: 1.1}, {Cores: math.NaN(), CPUCeiling: 0.6}} {
		if _, err := Fit(fixture(100, 0.02), l); !errors.Is(err, ErrRange) {
			t.Errorf("%+v: %v, want ErrRange", l, err)
		}
	}
	// half again as much is enough
	if _, err := Fit(with(func(i int, m *Metric) { m.Rate = 100 + float64(i%51); m.Cores = m.Rate / 100 }), Limits{Cores: 4, CPUCeiling: 0.6}); err != nil {
		t.Errorf("a rate that moves by a half: %v", err)
	}
}

// What is left out beside the CPU is named, with the reason, and does not limit.
func TestFitSaysWhatItLeavesOut(t *testing.T) {
	for name, c := range map[string]struct {
		change func(i int, m *Metric)
		limits Limits
		note   string
	}{
		"no limit":    {func(_ int, m *Metric) {}, Limits{Memory: 1 << 40}, "network is left out: its limit is unknown"},
		"no growth":   {func(i int, m *Metric) { m.Memory = 1e9 + 1e6*float64(i*7%11) }, Limits{Memory: 8 << 30, Network: 1e12}, "memory is left out: it does not grow with the rate"},
		"above":       {func(_ int, m *Metric) { m.Memory += 8 << 30 }, Limits{Memory: 8 << 30, Network: 1e12}, "memory is left out: it is above its ceiling without a request"},
		"few windows": {func(i int, m *Metric) { m.Disk = map[bool]float64{true: m.Rate, false: math.NaN()}[i < 12] }, Limits{Memory: 1 << 40, Disk: 10, Network: 1e12}, "disk is left out: 12 windows, at least 30 are needed"},
	} {
		rows := fixture(200, 0.02)
		for i := range rows {
			c.change(i, &rows[i])
		}
		c.limits.Cores, c.limits.CPUCeiling = 4, 0.6
		f, err := Fit(rows, c.limits)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(f.Notes, func(n string) bool { return strings.HasPrefix(n, c.note) }) {
			t.Errorf("%s: notes %q, want %q", name, f.Notes, c.note)
		}
		if f.Resources[f.Bottleneck].Name != "cpu" {
			t.Errorf("%s: limited by %s", name, f.Resources[f.Bottleneck].Name)
		}
	}
}

// Outliers are left out of the line and named; a second regime is too much of
// the windows to be left out.
func TestFitPassesOverOutliers(t *testing.T) {
	rows := fixture(200, 0.02)
	for i := range rows {
		if i%25 == 3 {
			rows[i].Cores += 1.5
		}
	}
	f, err := Fit(rows, Limits{Cores: 4, CPUCeiling: 0.6})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "capacity", f.Resources[0].PerSecond, 1100, 30)
	if want := "cpu: 8 of 200 windows lie far from the line and are left out of it"; !slices.Contains(f.Notes, want) {
		t.Errorf("notes %q, want %q", f.Notes, want)
	}
	for i := range rows {
		if i%5 == 3 {
			rows[i].Cores += 1.5
		}
	}
	f, err = Fit(rows, Limits{Cores: 4, CPUCeiling: 0.6})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(f.Notes, func(n string) bool { return strings.Contains(n, "too many to leave them out") }) {
		t.Errorf("notes %q", f.Notes)
	}
}

// A bent line is called bent, a straight one in at most one of 100 histories.
func TestFitTellsABentLineFromAStraightOne(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	bentNote := func(f Fitted) bool {
		return slices.ContainsFunc(f.Notes, func(n string) bool { return strings.Contains(n, "is bent") })
	}
	for _, n := range []int{30, 100} {
		wrong, seen, runs := 0, 0, 300
		for range runs {
			rows := autocorrelated(rng, n, 0.6, 0.05)
			f, err := Fit(rows, Limits{Cores: 4, CPUCeiling: 0.6})
			if err != nil {
				t.Fatal(err)
			}
			if bentNote(f) {
				wrong++
			}
			for i, r := range rows {
				rows[i].Cores += 1.5e-6 * r.Rate * r.Rate
			}
			if f, err = Fit(rows, Limits{Cores: 8, CPUCeiling: 0.6}); err == nil && bentNote(f) {
				seen++
			}
		}
		if wrong > runs/50 || n >= 100 && seen < runs*9/10 {
			t.Errorf("%d windows: %d of %d straight lines called bent, %d bent ones seen", n, wrong, runs, seen)
		}
		t.Logf("%d windows: %d of %d straight lines called bent, %d bent ones seen", n, wrong, runs, seen)
	}
}

// A line without noise has an interval of no width.
func TestFitOfExactMetricsIsExact(t *testing.T) {
	f, err := Fit(fixture(60, 0), Limits{Cores: 4, Memory: 8 << 30, Network: 125e6, CPUCeiling: 0.6})
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Notes) > 0 || len(f.Resources) != 3 {
		t.Errorf("%d resources, notes %q", len(f.Resources), f.Notes)
	}
	for _, r := range f.Resources {
		near(t, r.Name+" low", r.Low, r.PerSecond, 1e-6*r.PerSecond)
		near(t, r.Name+" high", r.High, r.PerSecond, 1e-6*r.PerSecond)
	}
}
