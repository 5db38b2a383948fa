package stress

import (
	"testing"
	"time"

	"github.com/wxops/wxops/capacity"
)

// A spent budget ends a test at once. What is known by then is not thrown away,
// unless a slow-down is in doubt.
func TestSpentBudgetEndsTheTestWithWhatIsKnown(t *testing.T) {
	objective, err := capacity.ParseObjective("p99<50ms")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		missed, spread, slower float64
		near                   time.Duration
		want                   capacity.Verdict
	}{
		{missed: 5, spread: 0.01, near: 5 * time.Second, want: ""},
		{missed: 50, spread: 0.01, near: 5 * time.Second, want: capacity.VerdictOK},
		{missed: 50, spread: 0.01, near: 2 * time.Second, want: capacity.VerdictGuard},
		{missed: 50, spread: 0.05, near: 5 * time.Second, want: capacity.VerdictGuard},
		{missed: 50, spread: 0.01, slower: 0.1, near: 5 * time.Second, want: capacity.VerdictGuard},
		{missed: 50, spread: 0.01, slower: 0.4, near: 5 * time.Second, want: capacity.VerdictMetastable},
	} {
		c := NewController(Config{Objective: objective})
		c.phase, c.requests, c.target = PhaseHold, 4000, 300
		c.missed, c.near, c.post.spread = x.missed, x.near, x.spread
		got, why := c.stop(15*time.Second, suspicion{slower: x.slower, believed: credible, suspected: likely, wanted: 10})
		if got != x.want {
			t.Errorf("%+v: %q (%s)", x, got, why)
		}
	}
}

// Where ordinary traffic misses the objective there is no capacity to find, and
// every request more would do harm: the rate is never raised. A pause of the
// instance is no such thing.
func TestOrdinaryTrafficThatMissesTheObjectiveIsNotRaised(t *testing.T) {
	objective, err := capacity.ParseObjective("p99<50ms")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		slow, pause float64 // shares of the requests, of all windows and of the second
		want        capacity.Verdict
	}{{0.002, 0, ""}, {0.012, 0, ""}, {0.06, 0, capacity.VerdictGuard}, {0.9, 0, capacity.VerdictGuard}, {0.002, 0.4, ""}} {
		c := NewController(Config{Objective: objective})
		var d Decision
		for i := 1; i <= 5; i++ {
			s := Unmeasured()
			s.End, s.Window = time.Duration(i)*time.Second, time.Second
			s.Offered, s.Throughput, s.Mean, s.SlowRatio, s.Backlog, s.QueueWait = 100, 100, 0.02, x.slow, 0, 0
			if i == 2 && x.pause > 0 {
				s.Mean, s.SlowRatio, s.QueueWait = 0.08, x.pause, 0.06
			}
			d = c.Step(s)
			if d.Done() {
				break
			}
		}
		if d.Verdict != x.want || d.Done() && d.Target != 100 {
			t.Errorf("%g and %g of the requests miss it: %q at %g/s (%s)", x.slow, x.pause, d.Verdict, d.Target, d.Reason)
		}
	}
}
