package stress

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/wxops/wxops/capacity"
)

// Oracle: the simulated queue, whose requests go elsewhere when every slot is
// taken.
func TestSpillFollowsTheSimulatedQueue(t *testing.T) {
	for _, x := range []struct {
		workers, slots int
		cv, wait       float64 // relative error of the wait that is borne
	}{{6, 10, 1, 0.05}, {6, 10, 0.5, 0.15}, {8, 40, 1, 0.05}, {16, 20, 1.2, 0.15}, {8, 8, 0.5, 0}, {8, 5, 1, 0}} {
		s := station{workers: x.workers, mean: 0.020, cv: x.cv, slots: x.slots}
		m := model{k: float64(x.workers), alone: s.mean, cs2: x.cv * x.cv, ca2: 1, overlap: 0.5, slots: float64(x.slots)}
		if x.cv == 0.5 {
			m.overlap = overlap(unitService(s, 1000))
		}
		for _, rho := range []float64{0.7, 0.95, 1.05, 1.5, 4} {
			q := newQueue(s, arrivals{}, 1, rand.New(rand.NewPCG(8, uint64(1000*rho))))
			q.setRate(rho * m.full())
			q.run(400)
			served, wait := m.spilled(rho * m.full())
			wantServed, wantWait := q.count.done/q.now, q.count.wait/q.count.done
			if math.Abs(served/wantServed-1) > 0.03 {
				t.Errorf("%d workers, %d slots, cv %v at %.2f: %.1f/s are served, the simulation says %.1f/s", x.workers, x.slots, x.cv, rho, served, wantServed)
			}
			if math.Abs(wait-wantWait) > x.wait*wantWait+0.05*s.mean {
				t.Errorf("%d workers, %d slots, cv %v at %.2f: wait %.2f ms, the simulation says %.2f ms", x.workers, x.slots, x.cv, rho, 1e3*wait, 1e3*wantWait)
			}
		}
	}
}

// With few slots an instance never is slow: a test stopped at the rate at which
// it would be without the limit, or had no end from outside.
func TestControllerFindsWhatFullSlotsServe(t *testing.T) {
	t.Parallel() // it computes only, in virtual time
	for _, poor := range []bool{false, true} {
		sc := Scenario{
			objective: "p99<=88ms", Truth: 500, station: station{workers: 6, mean: 0.012, cv: 1, slots: 10},
			arrivals: arrivals{robin: true, stream: 750}, base: 0.5, reach: 1, ceil: 0.3, poor: poor,
		}
		var errs []float64
		for seed := range uint64(4) {
			o := sc.simulate(NewController(sc.config()), 80+seed, 60*time.Second)
			if o.verdict == capacity.VerdictOK {
				errs = append(errs, math.Abs(o.estimate.PerSecond/sc.Truth-1))
			}
			if o.seconds > 35 || o.violations > 0.005 {
				t.Errorf("from outside %v, seed %d: %.1f s, %.2f %% missed the objective", poor, seed, o.seconds, 100*o.violations)
			}
		}
		if len(errs) < 3 || percentile(errs, 0.5) > 0.06 {
			t.Errorf("from outside %v: errors %.3f", poor, errs)
		}
	}
}
