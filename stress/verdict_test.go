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
