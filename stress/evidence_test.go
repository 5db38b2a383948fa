package stress

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// Spans that begin with a backlog complete requests that are slower than the
// rest although nothing slows the service down. What fit takes off for that must
// be what a simulated queue shows, or healthy services pass for metastable.
func TestSpansOfAHealthyServiceShowNoSlowDown(t *testing.T) {
	t.Parallel() // it computes only, in virtual time
	for _, st := range []station{
		{workers: 8, mean: 0.010, cv: 1},
		{workers: 16, mean: 0.008, cv: 1},
		{workers: 11, mean: 0.0326, cv: 0.9},
		{workers: 4, mean: 0.020, cv: 0.5},
	} {
		sat := float64(st.workers) / st.mean
		for _, rho := range []float64{0.85, 0.92, 0.96} {
			q := newQueue(st, arrivals{}, 1, rand.New(rand.NewPCG(1, 2)))
			q.setRate(rho * sat)
			q.run(10)
			q.take()
			var spans surges
			before := Unmeasured()
			for i := range 15000 {
				end := time.Duration(i+1) * guardPeriod
				q.run(10 + end.Seconds())
				n := q.take()
				s := Unmeasured()
				s.End, s.Window, s.Backlog, s.Offered = end, guardPeriod, float64(q.queued()), n.arrived/guardPeriod.Seconds()
				s.Mean, s.QueueWait = n.response/n.done, n.wait/n.done
				spans.add(before, s, rho*sat)
				before = s
			}
			m := model{k: float64(st.workers), alone: st.mean, cs2: st.cv * st.cv, ca2: 1}
			seen, taken, done := 0.0, 0.0, 0.0
			full, due := 0.0, 0.0
			for _, u := range spans.spans {
				if m.emptied(u) <= mayHaveEmptied {
					full += u.done
					n, _ := m.due(u, 0)
					due += n
				}
				seen += u.done * (u.service/st.mean - 1)
				taken += u.done * m.aged(u)
				done += u.done
			}
			if raw, left := seen/done, (seen-taken)/done; raw < 0.0005 || math.Abs(left) > 0.4*raw+0.001 {
				t.Errorf("%d workers, cv %v at %.0f %%: service times in spans are off by %.2f %%, of which %.2f %% are left",
					st.workers, st.cv, 100*rho, 100*raw, 100*left)
			}
			if full > 0 && math.Abs(full/due-1) > 0.02 {
				t.Errorf("%d workers, cv %v at %.0f %%: spans in which all are to work did %.1f %% of what is due", st.workers, st.cv, 100*rho, 100*full/due)
			}
		}
	}
}

// A response that holds a wait is more even than the service alone. Taken for
// service times, those of two or five workers at half of their saturation gave a
// coefficient of variation so low that their capacity came out 2 to 8 % too high.
func TestServiceTimesAreToldFromResponsesWithWaits(t *testing.T) {
	t.Parallel() // it computes only, in virtual time
	for _, st := range []station{
		{workers: 2, mean: 0.004, cv: 1},
		{workers: 2, mean: 0.006, cv: 0.3},
		{workers: 5, mean: 0.0134, cv: 0.7},
		{workers: 8, mean: 0.010, cv: 1.2},
	} {
		for _, rho := range []float64{0.3, 0.55, 0.7} {
			m := model{k: float64(st.workers), alone: st.mean, cs2: st.cv * st.cv, ca2: 1}
			rate := rho * m.saturation()
			q := newQueue(st, arrivals{}, 1, rand.New(rand.NewPCG(3, 4)))
			q.count.buckets = make([]float64, len(simBounds)+1)
			q.setRate(rate)
			q.run(200000 / rate)
			n := q.take()
			var h, raw histogram
			h.add(bucketsOf(n.buckets), n.wait/n.done, rate)
			raw.add(bucketsOf(n.buckets), 0, rate)
			got, without := variance(h.service(m)), variance(raw.service(m))
			if want := m.cs2; math.Abs(got-want) > 0.3*math.Abs(without-want)+0.03*want {
				t.Errorf("%d workers, cv %v at %.0f %%: squared cv %.3f, without taking waits off %.3f, want %.3f", st.workers, st.cv, 100*rho, got, without, want)
			}
		}
	}
}
