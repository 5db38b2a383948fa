package naming

import (
	"errors"
	"fmt"
	"math"
	"math/rand"
	"slices"
	"testing"
)

// bruteForce tries every combination of weights up to most and returns the
// least error there is.
func bruteForce(base []Weight, i int, share float64, most Weight) float64 {
	want, _ := wanted(base, i, share)
	least := math.Inf(1)
	w := make([]Weight, len(base))
	var walk func(j int)
	walk = func(j int) {
		if j == len(base) {
			least = min(least, shareError(w, want))
			return
		}
		if want[j] == 0 {
			w[j] = 0
			walk(j + 1)
			return
		}
		for v := Weight(1); v <= most; v++ {
			w[j] = v
			walk(j + 1)
		}
	}
	walk(0)
	return least
}

func TestPlanFindsTheLeastErrorOfBruteForce(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	const most = 9
	worse := 0
	for run := range 400 {
		base := make([]Weight, 2+rng.Intn(3))
		for j := range base {
			base[j] = Weight(rng.Intn(most + 1))
		}
		i := rng.Intn(len(base))
		_, peers := wanted(base, i, 0.5)
		if peers == 0 {
			continue
		}
		share := rng.Float64() * float64(most) / float64(most+peers)
		if share < 0.02 {
			continue
		}
		want, _ := wanted(base, i, share)
		w, err := planWeights(base, base, i, share, most, 0)
		if err != nil {
			t.Fatalf("run %d: planWeights(%v, %d, %.3f): %v", run, base, i, share, err)
		}
		got, least := shareError(w, want), bruteForce(base, i, share, most)
		if got > least+1e-12 {
			worse++
			// Only where a weight was held at 1 or at most may brute force do better.
			if slices.Max(w) < most && slices.Min(w) > 1 {
				t.Errorf("run %d: planWeights(%v, %d, %.3f) = %v errs by %.4f, brute force by %.4f", run, base, i, share, w, got, least)
			}
		}
	}
	if worse > 20 {
		t.Errorf("brute force did better in %d of 400 runs", worse)
	}
}

func TestPlanErrsByLessThanItsBoundInTheRangeOfHAProxy(t *testing.T) {
	rng := rand.New(rand.NewSource(2))
	worst := 0.0
	for range 300 {
		base := make([]Weight, 2+rng.Intn(10))
		for j := range base {
			base[j] = Weight(1 + rng.Intn(256))
		}
		i := rng.Intn(len(base))
		share := 0.02 + 0.7*rng.Float64()
		want, peers := wanted(base, i, share)
		if share > 256/float64(256+peers) {
			continue
		}
		w, err := planWeights(base, base, i, share, 256, 0)
		if err != nil {
			t.Fatalf("planWeights(%v, %d, %.3f): %v", base, i, share, err)
		}
		for j, v := range w {
			if v < 1 || v > 256 {
				t.Fatalf("planWeights(%v, %d, %.3f) = %v: weight %d", base, i, share, w, w[j])
			}
		}
		bound := 1 / math.Floor(256/slices.Max(want))
		e := shareError(w, want)
		worst = max(worst, e/bound)
		if e > bound && slices.Min(want) > bound {
			t.Errorf("planWeights(%v, %d, %.3f) = %v errs by %.5f, bound %.5f", base, i, share, w, e, bound)
		}
	}
	t.Logf("worst error is %.2f of the bound", worst)
}

func TestPlanPrefersToChangeOneWeight(t *testing.T) {
	base := []Weight{100, 100, 100}
	w, err := planWeights(base, base, 0, 0.5, 256, 0.002)
	if err != nil || !slices.Equal(w, []Weight{200, 100, 100}) {
		t.Errorf("Plan = %v, %v; want only the first changed", w, err)
	}
	// HAProxy's default weight is too coarse for anything but 1/3, 1/2, 3/5.
	base = []Weight{1, 1, 1}
	w, err = planWeights(base, base, 0, 0.4, 256, 0.002)
	if err != nil || !slices.Equal(w, []Weight{4, 3, 3}) {
		t.Errorf("Plan = %v, %v; want 4:3:3", w, err)
	}
}

func TestPlanRefuses(t *testing.T) {
	for _, c := range []struct {
		base  []Weight
		i     int
		share float64
	}{
		{[]Weight{1, 1}, 2, 0.5},
		{[]Weight{1, 1}, 0, 0},
		{[]Weight{1, 1}, 0, 1},
		{[]Weight{1, 1}, 0, math.NaN()},
		{[]Weight{1, 1}, 0, 0.999},
		{[]Weight{1, 0}, 0, 0.5},
		{[]Weight{1}, 0, 0.5},
	} {
		if w, err := planWeights(c.base, c.base, c.i, c.share, 256, 0); err == nil {
			t.Errorf("planWeights(%v, %d, %v) = %v, want an error", c.base, c.i, c.share, w)
		}
	}
	if _, err := planWeights([]Weight{5, 0}, []Weight{5, 0}, 0, 0.5, 256, 0); !errors.Is(err, ErrUnsuitable) {
		t.Errorf("one instance alone: %v, want ErrUnsuitable", err)
	}
}

func TestLadderNeverOverloadsOnTheWay(t *testing.T) {
	rng := rand.New(rand.NewSource(3))
	worst := 0.0
	for range 2000 {
		n := 2 + rng.Intn(6)
		names := make([]string, n)
		from, to := make([]Weight, n), make([]Weight, n)
		scale := 1 + rng.Intn(64)
		for j := range names {
			names[j] = fmt.Sprint("i", j)
			from[j] = Weight(1 + rng.Intn(4))
			to[j] = from[j] * Weight(scale)
		}
		i := rng.Intn(n)
		to[i] = max(1, Weight(float64(to[i])*(0.7+rng.Float64())))
		if rng.Intn(2) == 0 {
			from, to = to, from
		}
		now := slices.Clone(from)
		limit := max(share(from, i), share(to, i))
		for k, c := range ladder(names, from, to, i) {
			j := slices.Index(names, c.Instance)
			if now[j] != c.From {
				t.Fatalf("%v -> %v: write %d is from %d, weight is %d", from, to, k, c.From, now[j])
			}
			now[j] = c.To
			if s := share(now, i); s > limit+1e-12 {
				t.Fatalf("%v -> %v (instance %d): share %.4f above %.4f after write %d: %v", from, to, i, s, limit, k, now)
			}
			for p := range names {
				if p != i {
					worst = max(worst, share(now, p)/max(share(from, p), share(to, p)))
				}
			}
		}
		if !slices.Equal(now, to) {
			t.Fatalf("%v -> %v ends at %v", from, to, now)
		}
	}
	t.Logf("a peer got at most %.2f of the larger of its shares before and after", worst)
	if worst > 2.5 {
		t.Errorf("a peer got %.2f times its share", worst)
	}
}
