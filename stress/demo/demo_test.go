package demo

import (
	"io"
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
	router, err := StartRouter()
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
	router, err := StartRouter()
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
