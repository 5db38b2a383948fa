package demo

import (
	"math"
	"testing"
	"time"

	"github.com/wxops/wxops/internal/realpart"
)

// Oracle: alone, an instance behind leastconn gets the Poisson stream itself. In
// M/M/c the response time exceeds t with the probability
// (1-C) exp(-mu t) + C (mu exp(-a t) - a exp(-mu t)) / (mu - a), where C is
// Erlang's and a = c mu - lambda.
func TestLeastConnWithoutPeersIsThePlainQueue(t *testing.T) {
	const c, lambda, mu, bound = 8, 340.0, 50.0, 0.06
	b := 1.0
	for k := 1.0; k <= c; k++ {
		b = lambda / mu * b / (k + lambda/mu*b)
	}
	erlangC := b / (1 - lambda/mu/c*(1-b))
	a := c*mu - lambda
	want := (1-erlangC)*math.Exp(-mu*bound) + erlangC*(mu*math.Exp(-a*bound)-a*math.Exp(-mu*bound))/(mu-a)

	law := Law{Workers: c, Service: time.Second / 50, CV: 1, Queue: 1 << 20}
	rate, missed := leastConn(law, 60*time.Millisecond, 1, lambda, 0, 1, 2_000_000)
	if math.Abs(rate/lambda-1) > 0.01 || math.Abs(missed/want-1) > 0.05 {
		t.Errorf("%.1f requests/s of which %.3f %% miss, want %.0f and %.3f %%", rate, 100*missed, lambda, 100*want)
	}
}

// The one that gets less when it has a queue carries more, but never more than
// its workers can do.
func TestLeastConnTruthLiesBetweenRoundRobinAndSaturation(t *testing.T) {
	s := Choose(0, false)
	turn, least := s.Truth(), TruthLeastConn(s.Law, s.Bound, 0.01, s.Rate, 2, s.Seed)
	saturation := float64(s.Law.Workers) / s.Law.Service.Seconds()
	if least < 1.02*turn || least > 1.005*saturation {
		t.Errorf("leastconn %.1f, round robin %.1f, saturation %.1f requests/s", least, turn, saturation)
	}
}

// TestLeastConnSimulationFollowsHAProxy compares with a real HAProxy what reaches
// an instance of four times the weight. A round robin would give it two thirds of
// the requests, more than it can serve; leastconn stops at what it can.
func TestLeastConnSimulationFollowsHAProxy(t *testing.T) {
	realpart.Binary(t, "haproxy", "apt-get install haproxy")
	s := Choose(0, false)
	var targets []Target
	var instances []*Process
	for i, weight := range []int{256, 64, 64} {
		name := string(rune('a' + i))
		p, err := StartProcess(name, s.Law, s.Bound, uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		instances = append(instances, p)
		targets = append(targets, Target{Name: name, Addr: p.Addr(), Weight: weight})
	}
	proxy, err := StartHAProxy(t.Context(), t.TempDir(), "checkout", targets, "balance leastconn")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	const rate, requests = 660, 3000
	from := time.Now()
	Users{URL: proxy.URL(), Rate: rate, Seed: 5}.Run(t.Context(), requests)
	tally, err := instances[0].Tally(from, time.Now(), s.Bound)
	if err != nil {
		t.Fatal(err)
	}
	at, _ := leastConn(s.Law, s.Bound, 4, rate, 2, 5, 1_000_000)
	if got, want := float64(tally.Requests)/requests, at/rate; math.Abs(got/want-1) > 0.07 {
		t.Errorf("HAProxy gives the instance %.3f of the requests, the simulation %.3f", got, want)
	} else {
		t.Logf("share %.3f, by simulation %.3f", got, want)
	}
}
