package stress

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// meanWaitOf simulates a station and returns the mean wait in seconds.
func meanWaitOf(s station, rate, seconds float64) float64 {
	q := newQueue(s, arrivals{}, 1, rand.New(rand.NewPCG(1, 2)))
	q.setRate(rate)
	q.run(100)
	q.take()
	q.run(100 + seconds)
	t := q.take()
	return t.wait / t.done
}

// Erlang C gives the mean wait of M/M/c, Pollaczek and Khinchine that of M/D/1
// and M/G/1 (Kleinrock, Queueing Systems, volume 1, 1975, chapters 3 and 5).
func TestSimulatorMeetsClosedForms(t *testing.T) {
	t.Parallel() // it computes only, in virtual time
	mmc := func(k, rho, mean float64) float64 {
		return erlangC(k, k*rho) * mean / (k * (1 - rho))
	}
	for _, x := range []struct {
		name   string
		s      station
		rate   float64
		want   float64
		within float64
	}{
		{"M/M/1 at 0.7", station{workers: 1, mean: 0.01, cv: 1}, 70, mmc(1, 0.7, 0.01), 0.04},
		{"M/M/8 at 0.8", station{workers: 8, mean: 0.01, cv: 1}, 640, mmc(8, 0.8, 0.01), 0.04},
		{"M/D/1 at 0.7", station{workers: 1, mean: 0.01}, 70, 0.7 * 0.01 / (2 * 0.3), 0.04},
		{"M/G/1 lognormal, cv 1.2, at 0.6", station{workers: 1, mean: 0.01, cv: 1.2}, 60, 0.6 * 0.01 / 0.4 * (1 + 1.44) / 2, 0.06},
		{"M/G/1 gamma, cv 0.5, at 0.6", station{workers: 1, mean: 0.01, cv: 0.5}, 60, 0.6 * 0.01 / 0.4 * 1.25 / 2, 0.04},
	} {
		if got := meanWaitOf(x.s, x.rate, 6000); math.Abs(got/x.want-1) > x.within {
			t.Errorf("%s: mean wait %.6f s, closed form %.6f s", x.name, got, x.want)
		}
	}
}

func TestErlangCOfPublishedValue(t *testing.T) {
	// M/M/2 at utilization 0.5: C = 1/3; M/M/1: C = rho.
	if got := erlangC(2, 1); math.Abs(got-1.0/3) > 1e-12 {
		t.Errorf("C(2, 1) = %v, want 1/3", got)
	}
	if got := erlangC(1, 0.7); math.Abs(got-0.7) > 1e-12 {
		t.Errorf("C(1, 0.7) = %v, want 0.7", got)
	}
}

// The capacity of the model against brute force over the scenarios without a
// slow-down: the approximation that the estimate rests on.
func TestModelCapacityMeetsBruteForce(t *testing.T) {
	var exponential histogram
	for _, x := range []struct {
		name  string
		m     model
		bound float64
		want  float64
	}{
		{"A", model{k: 8, alone: 0.010, cs2: 1, ca2: 1, service: exponential.service(model{})}, 0.1, 748},
		{"bursty", model{k: 8, alone: 0.010, cs2: 1, ca2: 4, service: exponential.service(model{})}, 0.1, 686},
		{"E", model{k: 16, alone: 0.008, slope: 0.00015, cs2: 1, ca2: 1, service: exponential.service(model{})}, 0.08, 1470},
	} {
		if got := x.m.capacity(x.bound, 0.01); math.Abs(got/x.want-1) > 0.015 {
			t.Errorf("%s: capacity %.0f/s, brute force %.0f/s", x.name, got, x.want)
		}
	}
}

// servedAs returns the distribution of the service times of a station, mean 1, by
// its thousandths; the longest hundredth by parts of two in a million.
func servedAs(s station) (service []atom) {
	const n = 1_000_000
	q := newQueue(s, arrivals{}, 1, rand.New(rand.NewPCG(9, 9)))
	times := make([]float64, n)
	for i := range times {
		times[i] = q.work()
	}
	slices.Sort(times)
	for i := 0; i < n; {
		step := n / 1000
		if i >= n-n/100 {
			step /= 500
		}
		sum := 0.0
		for _, x := range times[i : i+step] {
			sum += x
		}
		service = append(service, atom{sum / float64(step), float64(step) / n})
		i += step
	}
	return service
}

// Capacities of one to three workers against brute force, which the formulas
// alone miss by up to 28 % here.
func TestFewWorkersMeetBruteForce(t *testing.T) {
	t.Parallel() // it computes only, in virtual time
	for _, x := range []struct {
		workers int
		cv      float64
		bound   float64 // in mean service times
		robin   bool    // of a stream of 1.5 times what the instance can do
		want    float64 // capacity over saturation, of bruteTruth with 7.5 million requests
	}{
		{1, 0.3, 2.9, false, 0.2313},
		{1, 0.3, 2.9, true, 0.5529},
		{1, 0.7, 5.2, true, 0.5610},
		{1, 1, 7.3, true, 0.5267},
		{1, 1.2, 16.8, false, 0.6041},
		{1, 1.5, 20, true, 0.5808},
		{2, 0.3, 2.9, false, 0.5099},
		{2, 0.3, 2.9, true, 0.7050},
		{2, 0.7, 5.2, true, 0.7391},
		{2, 1, 7.3, true, 0.7295},
		{2, 1.2, 16.8, false, 0.8158},
		{2, 1.5, 20, true, 0.8071},
		{3, 0.3, 2.9, false, 0.6420},
		{3, 0.3, 2.9, true, 0.7769},
		{3, 0.7, 5.2, true, 0.8127},
		{3, 1, 7.3, true, 0.8081},
		{3, 1.2, 16.8, false, 0.8783},
		{3, 1.5, 20, true, 0.8766},
	} {
		s := station{workers: x.workers, mean: 0.01, cv: x.cv}
		service := servedAs(s)
		m := model{k: float64(x.workers), alone: s.mean, cs2: variance(service), ca2: 1, overlap: overlap(service), service: service}
		if x.robin {
			m.dealt = 1.5 * m.saturation()
		}
		got := m.carries(x.bound*s.mean, 0.01) / m.saturation()
		if math.Abs(got/x.want-1) > 0.025 { // 17 of the 18 are within 2 %
			t.Errorf("%d workers, cv %.1f, bound %.1f, round robin %v: capacity %.3f of saturation, brute force %.3f", x.workers, x.cv, x.bound, x.robin, got, x.want)
		}
	}
}

// A histogram ends with buckets of many seconds, of which nothing is in most.
func TestEmptyBucketsChangeNoCapacity(t *testing.T) {
	s := station{workers: 2, mean: 0.006, cv: 0.3}
	service := servedAs(s)
	m := model{k: 2, alone: s.mean, cs2: variance(service), ca2: 1, dealt: 454, overlap: overlap(service), service: service}
	want := m.carries(0.02, 0.01)
	m.service = append(m.service, atom{1000, 0}, atom{2000, 1e-7})
	if got := m.carries(0.02, 0.01); math.Abs(got/want-1) > 0.01 || math.Abs(want/243.8-1) > 0.02 {
		t.Errorf("capacity %.1f with far buckets, %.1f without; brute force finds 243.8", got, want)
	}
}

// A short version of bench/stress, which finds every truth again.
func TestBruteForceFindsTheTruths(t *testing.T) {
	t.Parallel() // it computes only, in virtual time
	for _, sc := range Scenarios() {
		if sc.Name != "A" && sc.Name != "C" {
			continue
		}
		bound, miss := sc.config().bound()
		if got := bruteTruth(sc.station, sc.arrivals, bound, miss, 400, 2, 3); math.Abs(got/sc.Truth-1) > 0.02 {
			t.Errorf("%s: brute force finds %.0f/s, the table says %.0f/s", sc.Name, got, sc.Truth)
		}
	}
}

func TestSimulatorIsAPureFunctionOfItsSeed(t *testing.T) {
	sc := Scenarios()[0]
	run := func() outcome { return sc.simulate(NewController(sc.config()), 7, 1e12) }
	if a, b := run(), run(); a.estimate.PerSecond != b.estimate.PerSecond || a.violations != b.violations || a.seconds != b.seconds {
		t.Errorf("two runs of one seed differ: %+v and %+v", a, b)
	}
}
