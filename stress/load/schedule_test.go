package load

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func instants(s *scheduled) []int64 {
	var out []int64
	for t := s.due(); t != never; t = s.due() {
		out = append(out, t)
		s.advance()
	}
	return out
}

// steer returns a schedule that begins at instant 0.
func steer(stages ...Stage) *steered {
	s := &steered{}
	s.now.Store(newPlan(stages))
	return s
}

// The i-th request is due when the integral of the rate curve is i; the
// integral is checked against a sum over microseconds.
func TestRequestsAreDueByTheIntegralOfTheRate(t *testing.T) {
	stages := []Stage{{0, 200, time.Second}, {50, 50, time.Second}, {0, 0, time.Second}, {100, 0, 2 * time.Second}}
	got := instants(newScheduled(steer(stages...), 0, 1, math.MaxInt64, int64(5*time.Second), nil))
	var want []int64
	sum, begin := 0.0, int64(0)
	for _, s := range stages {
		n := int64(s.For / time.Microsecond)
		for us := range n {
			if sum >= float64(len(want)) && s.From+s.To > 0 {
				want = append(want, (begin+us)*1000)
			}
			sum += (s.From + (s.To-s.From)*(float64(us)+0.5)/float64(n)) / 1e6
		}
		begin += n
	}
	if len(got) != len(want) && len(got) != len(want)+1 {
		t.Fatalf("%d requests, the integral says %d", len(got), len(want))
	}
	for i, w := range want {
		if d := got[i] - w; d < -400_000 && i > 0 || d > 400_000 {
			t.Errorf("request %d is due at %d, the integral says %d", i, got[i], w)
		}
	}
}

func TestWorkersShareAScheduleWithoutLoss(t *testing.T) {
	all := instants(newScheduled(steer(Constant(1000, time.Second)...), 0, 1, math.MaxInt64, int64(time.Second), nil))
	seen := map[int64]int{}
	for w := range 3 {
		for _, at := range instants(newScheduled(steer(Constant(1000, time.Second)...), w, 3, math.MaxInt64, int64(time.Second), nil)) {
			seen[at]++
		}
	}
	if len(all) != 1000 || len(seen) != 1000 {
		t.Fatalf("%d and %d instants, want 1000", len(all), len(seen))
	}
	for _, at := range all {
		if seen[at] != 1 {
			t.Errorf("instant %d is due %d times", at, seen[at])
		}
	}
}

func TestPoissonArrivalsHaveTheRateAndTheSpread(t *testing.T) {
	s := newScheduled(steer(Constant(1000, time.Minute)...), 0, 1, math.MaxInt64, int64(time.Minute), rand.New(rand.NewPCG(1, 2)))
	at := instants(s)
	// 60000 expected, standard deviation 245; gaps of an exponential have a
	// coefficient of variation of 1
	if n := len(at); math.Abs(float64(n)-60000) > 5*245 {
		t.Errorf("%d arrivals, want about 60000", n)
	}
	sum, squares := 0.0, 0.0
	for i := 1; i < len(at); i++ {
		gap := float64(at[i] - at[i-1])
		sum += gap
		squares += gap * gap
	}
	n := float64(len(at) - 1)
	mean := sum / n
	if cv := math.Sqrt(squares/n-mean*mean) / mean; math.Abs(cv-1) > 0.03 {
		t.Errorf("coefficient of variation %.3f, want 1", cv)
	}
}

func TestAChangedRateKeepsWhatWasDue(t *testing.T) {
	st := steer(Constant(100, time.Minute)...)
	s := newScheduled(st, 0, 1, math.MaxInt64, int64(4*time.Second), nil)
	for s.due() < int64(time.Second) {
		s.advance()
	}
	st.set(1e9, 0)
	if s.due() != never {
		t.Fatalf("due at %d in a pause", s.due())
	}
	st.set(2e9, 1000)
	if got := len(instants(s)); got != 2000 {
		t.Errorf("%d requests in 2 s at 1000/s, want 2000", got)
	}
}

func TestRates(t *testing.T) {
	for text, want := range map[string]float64{"5000": 5000, "50/s": 50, "10/ms": 10000, "600/m": 10, "1/2s": 0.5, " 7 ": 7, "max": 0, "1e3": 1000, "5k": 5000, "1.5k/m": 25} {
		if got, err := ParseRate(text); err != nil || math.Abs(got-want) > 1e-9*want {
			t.Errorf("rate %q is %v, %v; want %v", text, got, err, want)
		}
	}
	for text, position := range map[string]int{"": 1, "fast": 1, "-5": 1, "0": 1, "1e12": 1, "5/": 3, "5/x": 3, "5/0s": 3, "NaN": 1, "Inf": 1} {
		_, err := ParseRate(text)
		var e *SyntaxError
		if !errors.As(err, &e) || e.Position != position {
			t.Errorf("rate %q: %v, want an error at position %d", text, err, position)
		}
	}
}

func FuzzSchedules(f *testing.F) {
	for _, s := range []string{"5000", "50/s", "0:10:1s", "1s@50,2s@0..7/ms", "@", "::", "1/1ns"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if r, err := ParseRate(s); err == nil && (r < 0 || r > maxRate) {
			t.Errorf("rate %v", r)
		}
		for _, parse := range []func(string) ([]Stage, error){ParseRamp, ParseStages} {
			stages, err := parse(s)
			if err != nil {
				continue
			}
			n, d := Total(stages)
			if !(n >= 0) || d <= 0 {
				t.Errorf("stages %v: %v requests in %v", stages, n, d)
			}
		}
	})
}

func TestOrderFollowsWeights(t *testing.T) {
	got := order([]Target{{Weight: 3}, {}, {Weight: 2}})
	count := map[int32]int{}
	for _, i := range got {
		count[i]++
	}
	if count[0] != 3 || count[1] != 1 || count[2] != 2 {
		t.Errorf("order %v", got)
	}
	for i := 1; i < len(got); i++ {
		if got[i] == got[i-1] && got[i] != 0 {
			t.Errorf("order %v is not spread", got)
		}
	}
}
