package capacity

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

func TestFormulaGivesThreeReadings(t *testing.T) {
	got, err := Formula(20, 14.4, 9000, 0.6)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "peak utilization", got.PeakUtilization, 0.72, 1e-12)
	near(t, "load ratio", got.LoadRatio, 1.2, 1e-12)
	near(t, "required cores", got.RequiredCores, 24, 1e-9)
	near(t, "supply", got.SupplyPerSecond, 7500, 1e-9)
	for _, bad := range [][4]float64{{0, 1, 1, 0.6}, {2, 3, 1, 0.6}, {2, 1, 1, 1.1}, {2, 1, math.NaN(), 0.5}, {2, 1, math.Inf(1), 0.5}, {-1, -2, 1, 0.5}} {
		if _, err := Formula(bad[0], bad[1], bad[2], bad[3]); !errors.Is(err, ErrRange) {
			t.Errorf("Formula%v: error %v, want ErrRange", bad, err)
		}
	}
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %v, want %v ± %v", what, got, want, tolerance)
	}
}

// Published by the closed form of the wait in M/M/c: P(W > 5 s) = 1 %.
func TestCeilingOfWaitForFewCores(t *testing.T) {
	for servers, want := range map[int]float64{1: 0.31, 2: 0.62, 4: 0.80, 8: 0.89} {
		got, err := Ceiling(Station{Servers: servers, Service: 0.005, ServiceCV: 1}, []Goal{{0.99, 0.025, true}})
		if err != nil {
			t.Fatal(err)
		}
		near(t, "ceiling", got.Ratio, want, 0.006)
	}
}

// M/M/1: the response time is exponential with rate mu - lambda.
func TestCeilingOfResponseInMM1(t *testing.T) {
	got, err := Ceiling(Station{Servers: 1, Service: 0.01, ServiceCV: 1}, []Goal{{0.99, 0.1, false}})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "ceiling", got.Ratio, 1-math.Log(100)/10, 0.001)
}

// The mean wait of M/G/1 is rho*s*(1+cv^2)/(2*(1-rho)) (Pollaczek and Khinchine);
// it covers M/D/1 and the simulation of every service distribution.
func TestCeilingOfMeanWaitInMG1(t *testing.T) {
	for _, cv := range []float64{0, 0.5, 1, 2} {
		const rho = 0.6
		bound := rho * 0.01 * (1 + cv*cv) / (2 * (1 - rho))
		got, err := Ceiling(Station{Servers: 1, Service: 0.01, ServiceCV: cv}, []Goal{{math.NaN(), bound, true}})
		if err != nil {
			t.Fatal(err)
		}
		near(t, "ceiling", got.Ratio, rho, 0.02)
	}
}

// P(W > t) of M/D/1 with t below one service time is 1 - (1-rho)*exp(lambda*t)
// (Erlang 1909, the first piece of the sum).
func TestCeilingOfWaitInMD1(t *testing.T) {
	const rho, service, at = 0.3, 0.01, 0.006
	q := (1 - rho) * math.Exp(rho/service*at)
	got, err := Ceiling(Station{Servers: 1, Service: service}, []Goal{{q, at, true}})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "ceiling", got.Ratio, rho, 0.006)
}

// The quantile of the wait in M/D/1 by Crommelin's sum (Tijms, A First Course in
// Stochastic Models, 9.6.2): P(W <= t) = (1-rho) sum_j (lambda (j D - t))^j / j! *
// exp(-lambda (j D - t)) over j up to t/D.
func TestCeilingOfLongWaitInMD1(t *testing.T) {
	const service = 0.01
	tail := func(rho, at float64) float64 {
		sum, lambda := 0.0, rho/service
		for j := 0; float64(j)*service <= at; j++ {
			x := lambda * (float64(j)*service - at)
			term := math.Exp(-x)
			for k := 1; k <= j; k++ {
				term *= x / float64(k)
			}
			sum += term
		}
		return 1 - (1-rho)*sum
	}
	for _, at := range []float64{0.02, 0.035, 0.05} {
		lo, hi := 0.01, 0.99
		for hi-lo > 1e-6 {
			if mid := (lo + hi) / 2; tail(mid, at) <= 0.01 {
				lo = mid
			} else {
				hi = mid
			}
		}
		got, err := Ceiling(Station{Servers: 1, Service: service}, []Goal{{0.99, at, true}})
		if err != nil {
			t.Fatal(err)
		}
		near(t, "ceiling", got.Ratio, lo, 0.02*lo)
	}
}

// M/M/c by brute force: the chain of the number in the system, cut off where it
// is empty of probability, gives the wait that Erlang's C gives.
func TestCeilingOfMeanWaitInMMc(t *testing.T) {
	for _, servers := range []int{1, 3, 8, 32} {
		const rho, service = 0.7, 0.01
		p, sum, waiting := 1.0, 0.0, 0.0
		for n := range 4000 {
			sum += p
			waiting += p * float64(max(n-servers, 0))
			p *= rho * float64(servers) / float64(min(n+1, servers))
		}
		lambda := rho * float64(servers) / service
		wait := waiting / sum / lambda // Little
		got, err := Ceiling(Station{Servers: servers, Service: service, ServiceCV: 1}, []Goal{{math.NaN(), wait, true}})
		if err != nil {
			t.Fatal(err)
		}
		near(t, "ceiling", got.Ratio, rho, 0.001)
	}
}

// The simulation and the closed form must agree where both can answer.
func TestSimulationAgreesWithErlang(t *testing.T) {
	for _, servers := range []int{1, 2, 8} {
		st := Station{Servers: servers, Service: 0.005, ServiceCV: 1, ArrivalsCV: 1}
		g := Goal{0.99, 0.03, false}
		exact, err := Ceiling(st, []Goal{g})
		if err != nil {
			t.Fatal(err)
		}
		simulated, err := simulatedCeiling(st, []Goal{g})
		if err != nil {
			t.Fatal(err)
		}
		near(t, "ceiling", simulated.Ratio, exact.Ratio, 0.02*exact.Ratio)
	}
}

// The truths of the scenarios of stress simulate, an independent discrete-event
// simulation, hold within 5 %.
func TestCeilingAgreesWithTheQueueSimulator(t *testing.T) {
	for _, c := range []struct {
		st    Station
		bound float64
		truth float64
	}{
		{Station{8, 0.010, 1, 1}, 0.100, 748},
		{Station{32, 0.005, 1.2, 1}, 0.050, 6263},
		{Station{4, 0.020, 0.5, 1}, 0.150, 179},
		{Station{8, 0.010, 1, 2}, 0.100, 690},
	} {
		rho, err := Ceiling(c.st, []Goal{{0.99, c.bound, false}})
		if err != nil {
			t.Fatal(err)
		}
		near(t, "capacity", rho.Ratio*float64(c.st.Servers)/c.st.Service, c.truth, 0.05*c.truth)
	}
}

// Quantiles of the response, in mean service times, of 40 million requests to a
// queue in C with other random numbers: the ceiling at that quantile is the
// utilization at which it was found. Their standard errors are up to 0.5 %, 2.6 %
// for the last one.
func TestCeilingAgreesWithALongSimulation(t *testing.T) {
	for _, c := range []struct {
		servers         int
		cv, q, response float64
		rho             float64
	}{
		{1, 2, 0.95, 41.08, 0.8}, {4, 2, 0.95, 9.482, 0.8}, {8, 1.5, 0.99, 11.57, 0.9}, {32, 0.5, 0.99, 2.666, 0.9}, {2, 0.5, 0.999, 11.06, 0.8},
	} {
		got, err := Ceiling(Station{Servers: c.servers, Service: 1, ServiceCV: c.cv}, []Goal{{c.q, c.response, false}})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d servers, cv %g, quantile %g: %.4f (%.4f to %.4f), simulated %g", c.servers, c.cv, c.q, got.Ratio, got.Low, got.High, c.rho)
		near(t, "ceiling", got.Ratio, c.rho, 0.03*c.rho)
		if !(got.Low < got.Ratio && got.Ratio < got.High && got.High < 1.2*got.Low) {
			t.Errorf("interval %+v", got)
		}
	}
	// the longest stream, for which a search takes long: a p999 lies on both sides
	stream := newQueueTrace(Station{1, 1, 2, 1}, []Goal{{0.999, 92.87, false}}, simulatedRequests[len(simulatedRequests)-1])
	for _, ratio := range []float64{0.95, 1.05} {
		if excess, deviation := stream.excess(ratio * 0.6); (excess > 0) != (ratio > 1) {
			t.Errorf("p999 at %g of the utilization it was found at: excess %.3f ± %.3f", ratio, excess, deviation)
		}
	}
}

// With a server for every request the response is the service time: where the
// bound is a little above its quantile by the law (lognormal, gamma) the ceiling
// is high, a little below it the objective cannot be met.
func TestCeilingKnowsTheTailOfTheServiceTime(t *testing.T) {
	// P(S > x) = 1 %: lognormal of CV 2 and mean 1, exp(2.3263 sigma - sigma^2/2)
	// with sigma^2 = ln 5; gamma of CV 0.5 (Erlang 4): half the chi-square
	// quantile of 8 degrees over 4, 20.0902 / 8
	sigma := math.Sqrt(math.Log(5))
	for cv, quantile := range map[float64]float64{2: math.Exp(2.326348*sigma - sigma*sigma/2), 0.5: 20.0902 / 8} {
		st := Station{Servers: 64, Service: 1, ServiceCV: cv}
		if got, err := Ceiling(st, []Goal{{0.99, 1.002 * quantile, false}}); err != nil || got.Ratio < 0.6 {
			t.Errorf("cv %v, just above: %v, %v", cv, got, err)
		}
		if got, err := Ceiling(st, []Goal{{0.99, 0.998 * quantile, false}}); !errors.Is(err, ErrUnreachable) {
			t.Errorf("cv %v, just below: %v, %v", cv, got, err)
		}
	}
}

func TestCeilingRefuses(t *testing.T) {
	if _, err := Ceiling(Station{Servers: 1, Service: 0.01, ServiceCV: 1}, []Goal{{0.99, 0.02, false}}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("p99 of 2 service times: %v, want ErrUnreachable", err)
	}
	for _, st := range []Station{{0, 1, 1, 1}, {1, 0, 1, 1}, {1, 1, -1, 1}, {1, 1, math.NaN(), 1}, {1, 1, 1, 99}} {
		if _, err := Ceiling(st, []Goal{{0.99, 10, false}}); !errors.Is(err, ErrRange) {
			t.Errorf("Ceiling(%v): %v, want ErrRange", st, err)
		}
	}
}

func TestSizeNamesTheBindingRule(t *testing.T) {
	got, err := Size(480, Needs{Demand: 12000, Target: 0.55, Imbalance: 1.1, Spares: 2, Zones: 3, MaxUnavailable: 0.25, Floor: 3})
	if err != nil {
		t.Fatal(err)
	}
	// by hand: 13200/264 = 50; f = ceil(13200/408) = 33; 33+2; 3*ceil(13200/816) = 51; ceil(33/0.75) = 44
	want := map[string]int{"load": 50, "spares": 35, "zone": 51, "rolling": 44, "floor": 3}
	for _, r := range got.Rules {
		if want[r.Name] != r.Instances {
			t.Errorf("rule %s needs %d, want %d", r.Name, r.Instances, want[r.Name])
		}
	}
	if len(got.Rules) != len(want) || got.Instances != 51 || got.Binding != "zone" {
		t.Errorf("got %+v", got)
	}
}

// More demand, less capacity and a lower target never need fewer instances.
func TestSizeIsMonotone(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		n := Needs{Demand: rng.Float64() * 1e5, Target: 0.1 + 0.9*rng.Float64(), Imbalance: 1 + rng.Float64(), Spares: rng.IntN(4), Zones: []int{0, 2, 3}[rng.IntN(3)], MaxUnavailable: 0.5 * rng.Float64(), Floor: rng.IntN(5)}
		c := 1 + rng.Float64()*1000
		base, err := Size(c, n)
		if err != nil {
			t.Fatal(err)
		}
		more := n
		more.Demand *= 1 + rng.Float64()
		if got, _ := Size(c, more); got.Instances < base.Instances {
			t.Fatalf("more demand needs %d instead of %d: %+v", got.Instances, base.Instances, more)
		}
		if got, _ := Size(c*(0.1+0.9*rng.Float64()), n); got.Instances < base.Instances {
			t.Fatalf("less capacity needs %d instead of %d", got.Instances, base.Instances)
		}
	}
}

func TestSizeRefuses(t *testing.T) {
	for _, c := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if _, err := Size(c, Needs{Demand: 1, Target: 0.5}); !errors.Is(err, ErrCapacity) {
			t.Errorf("capacity %v: %v", c, err)
		}
	}
	for _, n := range []Needs{{Demand: -1, Target: 0.5}, {Demand: 1}, {Demand: 1, Target: 1.2}, {Demand: math.NaN(), Target: 0.5}, {Demand: 1, Target: 0.5, Zones: 1}, {Demand: 1, Target: 0.5, MaxUnavailable: 1}, {Demand: 1e300, Target: 0.5}, {Demand: 1, Target: 0.5, Imbalance: 0.5}} {
		if _, err := Size(10, n); !errors.Is(err, ErrRange) {
			t.Errorf("%+v: %v, want ErrRange", n, err)
		}
	}
}

// A capacity is used only where the test that found it ended well and its
// interval is above zero, whatever a curve of another program says besides.
func TestSafeRefusesWhatNoTestFound(t *testing.T) {
	number := func(v float64) *float64 { return &v }
	good := Capacity{Found: true, PerSecond: number(10), Low: number(9), High: number(11)}
	if low, err := (Curve{Verdict: VerdictOK, Capacity: good}).Safe(); low != 9 || err != nil {
		t.Errorf("a good curve: %v, %v", low, err)
	}
	if low, err := (Curve{Capacity: good}).Safe(); low != 9 || err != nil {
		t.Errorf("a good curve without a verdict: %v, %v", low, err)
	}
	for _, v := range []Verdict{VerdictGuard, VerdictMetastable, VerdictClientLimited, VerdictNoKnee, VerdictInterrupted, "fine"} {
		if _, err := (Curve{Verdict: v, Capacity: good}).Safe(); !errors.Is(err, ErrNoKnee) {
			t.Errorf("verdict %q: %v, want ErrNoKnee", v, err)
		}
	}
	for name, c := range map[string]struct {
		capacity Capacity
		want     error
	}{
		"not found":      {Capacity{PerSecond: number(10), Low: number(9)}, ErrNoKnee},
		"no number":      {Capacity{Found: true, Low: number(9)}, ErrNoKnee},
		"no interval":    {Capacity{Found: true, PerSecond: number(10)}, ErrCapacity},
		"zero":           {Capacity{Found: true, PerSecond: number(0), Low: number(0)}, ErrCapacity},
		"negative":       {Capacity{Found: true, PerSecond: number(-10), Low: number(-11)}, ErrCapacity},
		"from zero":      {Capacity{Found: true, PerSecond: number(10), Low: number(0)}, ErrCapacity},
		"through zero":   {Capacity{Found: true, PerSecond: number(10), Low: number(-2)}, ErrCapacity},
		"above itself":   {Capacity{Found: true, PerSecond: number(10), Low: number(12)}, ErrCapacity},
		"not a number":   {Capacity{Found: true, PerSecond: number(math.NaN()), Low: number(9)}, ErrCapacity},
		"low not number": {Capacity{Found: true, PerSecond: number(10), Low: number(math.NaN())}, ErrCapacity},
	} {
		if _, err := (Curve{Verdict: VerdictOK, Capacity: c.capacity}).Safe(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// Every mix of a small catalogue is tried by brute force: the cheapest, the next
// one that has no machine too many, and the cheapest of one type.
func TestChooseFindsTheCheapestMix(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for run := range 400 {
		machines := make([]Machine, 1+rng.IntN(4))
		for i := range machines {
			machines[i] = Machine{Name: "m", Price: 0.5 + rng.Float64(), PerSecond: 50 + 200*rng.Float64(), Most: rng.IntN(3) * 4}
		}
		need := rng.Float64() * 900
		if run%50 == 0 {
			need = 0
		}
		got, err := Choose(machines, need, 0)
		best, second, single := math.Inf(1), math.Inf(1), math.Inf(1)
		counts := make([]int, len(machines))
		var try func(i int)
		try = func(i int) {
			if i < len(machines) {
				most := max(1, ceil(need/machines[i].PerSecond))
				if machines[i].Most > 0 {
					most = min(most, machines[i].Most)
				}
				for n := range most + 1 {
					counts[i] = n
					try(i + 1)
				}
				counts[i] = 0
				return
			}
			have, price, all, types := 0.0, 0.0, 0, 0
			for k, n := range counts {
				have += float64(n) * machines[k].PerSecond
				price += float64(n) * machines[k].Price
				all += n
				types += min(n, 1)
			}
			if all == 0 || have < need-1e-9 {
				return
			}
			for k, n := range counts {
				if n > 0 && all > 1 && have-machines[k].PerSecond >= need-1e-9 {
					return // a machine too many
				}
			}
			best, second = min(best, price), min(second, max(best, price))
			if types == 1 {
				single = min(single, price)
			}
		}
		try(0)
		if math.IsInf(best, 1) != errors.Is(err, ErrNotEnough) {
			t.Fatalf("best %v, error %v", best, err)
		}
		if err != nil {
			continue
		}
		priceOf := func(m *Mix) float64 {
			if m == nil {
				return math.Inf(1)
			}
			return m.Price
		}
		for what, pair := range map[string][2]float64{"best": {got.Best.Price, best}, "second": {priceOf(got.Second), second}, "single": {priceOf(got.Single), single}} {
			if pair[0] != pair[1] && !(math.Abs(pair[0]-pair[1]) <= 1e-9) {
				t.Fatalf("%+v for %v: the %s costs %v, want %v", machines, need, what, pair[0], pair[1])
			}
		}
		if !got.Proven || got.Best.PerSecond < need-1e-9 {
			t.Fatalf("%+v for %v: %+v", machines, need, got)
		}
	}
}

// In zones the mix is the cheapest of those with the same machines in each, by
// brute force, and what is left after the loss of one keeps below 0.85.
func TestChooseSpreadsAMixOverZones(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		machines := make([]Machine, 1+rng.IntN(3))
		for i := range machines {
			machines[i] = Machine{Name: "m", Price: 0.5 + rng.Float64(), PerSecond: 50 + 200*rng.Float64(), Most: rng.IntN(3) * 5}
		}
		zones, demand, target := 2+rng.IntN(3), rng.Float64()*900, 0.4+0.5*rng.Float64()
		required := Required(demand, target, zones)
		near(t, "required", required, max(demand/target, demand/0.85*float64(zones)/float64(zones-1)), 1e-9)
		best := math.Inf(1)
		var try func(i int, have, price float64)
		try = func(i int, have, price float64) { // of one zone
			if have*float64(zones) >= required-1e-9 && have > 0 {
				best = min(best, price*float64(zones))
				return
			}
			for k := i; k < len(machines); k++ {
				m := machines[k]
				most := ceil(required / m.PerSecond)
				if m.Most > 0 {
					most = m.Most / zones
				}
				for n := 1; n <= most; n++ {
					try(k+1, have+float64(n)*m.PerSecond, price+float64(n)*m.Price)
				}
			}
		}
		try(0, 0, 0)
		got, err := Choose(machines, required, zones)
		if errors.Is(err, ErrNotEnough) {
			if !math.IsInf(best, 1) {
				t.Fatalf("%+v in %d zones for %v: %v, but %v is possible", machines, zones, required, err, best)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		near(t, "price", got.Best.Price, best, 1e-9)
		for _, mix := range []*Mix{&got.Best, got.Second, got.Single} {
			if mix == nil {
				continue
			}
			have, price := 0.0, 0.0
			for i, n := range mix.Counts {
				if n%zones != 0 || machines[i].Most > 0 && n > machines[i].Most {
					t.Fatalf("%+v in %d zones: %+v", machines, zones, mix)
				}
				have, price = have+float64(n)*machines[i].PerSecond, price+float64(n)*machines[i].Price
			}
			near(t, "capacity", mix.PerSecond, have, 1e-9*have)
			near(t, "price of the counts", mix.Price, price, 1e-9*price)
			if left := have * float64(zones-1) / float64(zones); demand > 0.85*left*(1+1e-9) || demand > target*have*(1+1e-9) {
				t.Fatalf("%v per second on %v of %v", demand, left, have)
			}
		}
	}
	if _, err := Choose([]Machine{{"m", 1, 10, 2}}, 1, 3); !errors.Is(err, ErrNotEnough) {
		t.Errorf("two machines in three zones: %v", err)
	}
	if _, err := Choose([]Machine{{"m", 1, 10, 0}}, 1, -1); !errors.Is(err, ErrRange) {
		t.Errorf("-1 zones: %v", err)
	}
}

// A catalogue like that of a cloud, 30 families in ten sizes, of which some are
// worth their size and some are not, is searched to the end, and the price is
// that of dynamic programming over whole capacities.
func TestChooseSearchesALargeCatalogue(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, waste := range []float64{0, 0.05} {
		var machines []Machine
		for range 30 {
			each, price := 40+30*rng.Float64(), 0.04+0.02*rng.Float64() // of a core
			for _, cores := range []float64{1, 2, 4, 8, 16, 24, 32, 48, 64, 96} {
				machines = append(machines, Machine{Name: "m", Price: price * cores, PerSecond: math.Floor(each * cores * (1 - waste*rng.Float64()))})
			}
		}
		for _, need := range []int{500, 5000, 22000} {
			cheapest := make([]float64, need+1)
			for n := 1; n <= need; n++ {
				cheapest[n] = math.Inf(1)
				for _, m := range machines {
					cheapest[n] = min(cheapest[n], m.Price+cheapest[max(n-int(m.PerSecond), 0)])
				}
			}
			got, err := Choose(machines, float64(need), 0)
			if err != nil {
				t.Fatal(err)
			}
			if !got.Proven || got.Best.PerSecond < float64(need) {
				t.Errorf("%d per second: proven %v, capacity %v", need, got.Proven, got.Best.PerSecond)
			}
			near(t, "price", got.Best.Price, cheapest[need], 1e-9)
			if got.Second == nil || got.Second.Price < got.Best.Price-1e-9 || got.Second.PerSecond < float64(need) {
				t.Errorf("%d per second: second %+v", need, got.Second)
			}
		}
	}
}
