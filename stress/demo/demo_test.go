package demo

import (
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat"
)

// Oracle: Erlang C. In M/M/c a request waits with probability C(c, a), and its
// mean wait is C / (c*mu - lambda).
func TestQueueFollowsErlangC(t *testing.T) {
	const c, lambda, service = 8, 320.0, 20 * time.Millisecond
	a := lambda * service.Seconds()
	b := 1.0
	for k := 1.0; k <= c; k++ {
		b = a * b / (k + a*b)
	}
	erlangC := b / (1 - a/c*(1-b))
	wantWait := erlangC / (c/service.Seconds() - lambda)

	rng := rand.New(rand.NewPCG(1, 2))
	var waits, busy, n float64
	q := queue{law: Law{Workers: c, Service: service, CV: 1, Queue: 1 << 20}, rng: rng}
	q.served = func(j *job) {
		n++
		waits += (j.started - j.arrived).Seconds()
	}
	var at time.Duration
	for range 1_000_000 {
		at += time.Duration(rng.ExpFloat64() / lambda * 1e9)
		q.arrive(at)
	}
	busy = q.workerTime(at).Seconds() / at.Seconds()
	if got := waits / n; math.Abs(got/wantWait-1) > 0.05 {
		t.Errorf("mean wait %.5f s, want %.5f s within 5 %%", got, wantWait)
	}
	if math.Abs(busy/a-1) > 0.01 {
		t.Errorf("busy workers %.3f, want %.3f within 1 %%", busy, a)
	}
}

func TestUnitGammaHasMeanOneAndItsCV(t *testing.T) {
	for _, cv := range []float64{0, 0.5, 1, 1.2, 2} {
		rng := rand.New(rand.NewPCG(3, 4))
		x := make([]float64, 200_000)
		for i := range x {
			x[i] = unitGamma(rng, cv)
		}
		mean, sd := stat.MeanStdDev(x, nil)
		if math.Abs(mean-1) > 0.02 || math.Abs(sd-cv) > 0.02*max(1, cv*cv) {
			t.Errorf("cv %g: mean %.3f, deviation %.3f", cv, mean, sd)
		}
	}
}

func TestFullQueueRefusesAtOnce(t *testing.T) {
	in, err := StartInstance("s/a", Law{Workers: 1, Service: time.Hour, Queue: 2}, time.Second, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for range 3 {
		in.arrive()
	}
	resp, err := http.Get("http://" + in.Addr() + "/")
	if err != nil {
		t.Fatal(err)
	}
	closeBody(resp)
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get(header) != "s/a" {
		t.Errorf("got %s from %q, want 503 from s/a", resp.Status, resp.Header.Get(header))
	}
	resp, err = http.Get(in.MetricsURL())
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	for _, line := range []string{"http_backlog 2\n", "http_requests_in_flight 1\n", `http_requests_total{code="503"} 1` + "\n"} {
		if !strings.Contains(string(text), line) {
			t.Errorf("metrics lack %q", line)
		}
	}
}

func TestUsersReachInstancesByWeight(t *testing.T) {
	router, err := startRouter()
	if err != nil {
		t.Fatal(err)
	}
	defer router.Close()
	law := Law{Workers: 8, Service: 5 * time.Millisecond, CV: 1, Queue: 500}
	begin := time.Now()
	var targets []Target
	var instances []*Instance
	for i, name := range []string{"s/a", "s/b", "s/c"} {
		in, err := StartInstance(name, law, time.Second, uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		instances = append(instances, in)
		targets = append(targets, Target{Name: name, Addr: in.Addr(), Weight: i + 1})
	}
	router.Set(targets)
	r := Users{URL: router.URL(), Rate: 400, Seed: 5}.Run(t.Context(), 600)
	if len(r.Visits) != 600 || r.Unsent != 0 {
		t.Fatalf("%d visits, %d unsent, want 600 and 0", len(r.Visits), r.Unsent)
	}
	by := map[string]int{}
	for _, v := range r.Visits {
		if v.Status != http.StatusOK {
			t.Fatalf("visit %+v failed", v)
		}
		by[v.Instance]++
	}
	for i, in := range instances {
		tally := in.Tally(begin, time.Now(), time.Second)
		if want := 100 * (i + 1); by[in.Name()] != want || tally.Requests != want {
			t.Errorf("%s answered %d visits and counts %d requests, want %d", in.Name(), by[in.Name()], tally.Requests, want)
		}
	}
}

func TestRouterRetriesARefusalOnAnotherInstance(t *testing.T) {
	router, err := startRouter()
	if err != nil {
		t.Fatal(err)
	}
	defer router.Close()
	full, err := StartInstance("s/full", Law{Workers: 1, Service: time.Hour}, time.Second, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	full.arrive()
	free, err := StartInstance("s/free", Law{Workers: 8, Service: time.Millisecond, Queue: 100}, time.Second, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	router.Set([]Target{{"s/full", full.Addr(), 1}, {"s/free", free.Addr(), 1}})
	for _, v := range (Users{URL: router.URL(), Rate: 200}).Run(t.Context(), 20).Visits {
		if v.Status != http.StatusOK || v.Instance != "s/free" {
			t.Errorf("visit %+v, want 200 from s/free", v)
		}
	}
	if tally := full.Tally(time.Time{}, time.Now(), time.Second); tally.Refused != 10 {
		t.Errorf("the full instance refused %d, want 10", tally.Refused)
	}
}

// Oracle: the closed form of M/M/c. P(T > t) of the response time at rate
// lambda is known, and with it the rate at which it is 1 %.
func TestTruthOfAnMMcQueue(t *testing.T) {
	for _, c := range []struct {
		law   Law
		bound time.Duration
	}{
		{Law{Workers: 8, Service: 10 * time.Millisecond, CV: 1, Queue: 1 << 20}, 100 * time.Millisecond},
		{Law{Workers: 4, Service: 20 * time.Millisecond, CV: 1, Queue: 1 << 20}, 150 * time.Millisecond},
	} {
		want := mmcCapacity(c.law.Workers, c.law.Service.Seconds(), c.bound.Seconds(), 0.01)
		if got := Truth(c.law, c.bound, 0.01, 0, 3); math.Abs(got/want-1) > 0.01 {
			t.Errorf("%+v: %.1f/s, want %.1f within 1 %%", c.law, got, want)
		}
	}
}

// Two carryings-out of one law with the same random numbers: the events of a
// running instance, and the recursion of the simulation.
func TestRecursionAndEventsAgree(t *testing.T) {
	for _, law := range []Law{
		{Workers: 3, Service: 10 * time.Millisecond, CV: 1, Queue: 5},
		{Workers: 8, Service: 20 * time.Millisecond, CV: 0.5, Queue: 64, PerBusy: 0.02},
		{Workers: 1, Service: 3 * time.Millisecond, CV: 1.7, Queue: 0},
	} {
		const n = 20_000
		rate := 0.95 * float64(law.Workers) / law.Service.Seconds()
		tally := func(run func(take func(time.Duration))) map[time.Duration]int {
			m := map[time.Duration]int{}
			run(func(r time.Duration) { m[r]++ })
			return m
		}
		process := func() *arrivals { return &arrivals{rate: rate, total: 2 * rate, rng: rand.New(rand.NewPCG(9, 1))} }
		recursion := tally(func(take func(time.Duration)) { workload(law, process(), rand.New(rand.NewPCG(9, 2)), n, take) })
		events := tally(func(take func(time.Duration)) {
			q := queue{law: law, rng: rand.New(rand.NewPCG(9, 2)), virtual: true, served: func(j *job) { take(j.due - j.arrived) }}
			a := process()
			for range n {
				if q.arrive(a.next()) == nil {
					take(refusal)
				}
			}
			q.advance(time.Hour)
		})
		if !maps.Equal(recursion, events) {
			t.Errorf("%+v: %d and %d different response times, %d and %d refused", law, len(recursion), len(events), recursion[refusal], events[refusal])
		}
	}
}

func TestRoundRobinRaisesCapacity(t *testing.T) {
	law := Law{Workers: 8, Service: 20 * time.Millisecond, CV: 1, Queue: 1 << 20}
	poisson := Truth(law, 150*time.Millisecond, 0.01, 0, 3)
	dealt := Truth(law, 150*time.Millisecond, 0.01, 640, 3)
	if gain := dealt/poisson - 1; gain < 0.01 || gain > 0.06 {
		t.Errorf("%.1f/s dealt out in turn against %.1f/s: %.1f %%, want 1 to 6 %%", dealt, poisson, 100*gain)
	}
}

// mmcCapacity is the rate at which a share miss of the responses of an M/M/c
// queue takes longer than bound.
func mmcCapacity(c int, service, bound, miss float64) float64 {
	mu := 1 / service
	low, high := 0.0, float64(c)*mu
	for range 60 {
		lambda := (low + high) / 2
		a := lambda / mu
		b := 1.0
		for k := 1.0; k <= float64(c); k++ {
			b = a * b / (k + a*b)
		}
		wait := b / (1 - a/float64(c)*(1-b)) // Erlang C
		theta := float64(c)*mu - lambda      // decay of the wait
		// T = S + W, S exponential with mu, W with theta with probability wait.
		p := (1-wait)*math.Exp(-mu*bound) + wait*(theta*math.Exp(-mu*bound)-mu*math.Exp(-theta*bound))/(theta-mu)
		if p > miss {
			high = lambda
		} else {
			low = lambda
		}
	}
	return low
}
