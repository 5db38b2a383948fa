package cgroupctl

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

var (
	night = DefaultWindows[0]
	day   = DefaultWindows[1]
	peak  = DefaultWindows[2]
)

const quarter = 0.25

func newController() *Controller {
	return &Controller{Cores: 16, Reserve: 0.8, Eviction: 10 * time.Second}
}

// settle steps until the target has had time to rise.
func settle(c *Controller, w Window, s Sample) (d Decision) {
	s.Seconds = quarter
	for range 80 {
		d = c.Step(w, s)
	}
	return d
}

func TestTargetIsTheFormula(t *testing.T) {
	// By hand: 16 x 0.65 - 3 - max(1, 0.8) = 6.4.
	if d := settle(newController(), day, Sample{Online: 3, System: 1}); math.Abs(d.TargetCores-6.4) > deadBand*16 || d.LimitCores != d.TargetCores {
		t.Errorf("day: %+v, want 6.4 cores", d)
	}
	// At night the target is 16 x 0.95 - 3 - 0.8 = 11.4, and no limit is set.
	if d := settle(newController(), night, Sample{Online: 3}); math.Abs(d.TargetCores-11.4) > deadBand*16 || d.LimitCores != 0 {
		t.Errorf("night: %+v, want 11.4 cores and no limit", d)
	}
	if d := settle(newController(), peak, Sample{Online: 3}); d.LimitCores != windowFloor || d.Freeze {
		t.Errorf("evening: %+v, want the floor", d)
	}
	if d := settle(newController(), Window{Rule: Frozen}, Sample{}); !d.Freeze {
		t.Errorf("frozen: %+v", d)
	}
	if d := settle(newController(), day, Sample{Online: 16}); d.LimitCores != floorCores {
		t.Errorf("no room: %+v, want 2 ms in 100", d)
	}
}

func TestDownAtOnceAndUpByATenthPerSecond(t *testing.T) {
	c := newController()
	high := settle(c, day, Sample{Online: 1})
	low := c.Step(day, Sample{Seconds: quarter, Online: 7})
	if want := 16*0.65 - 7 - 0.8; math.Abs(low.TargetCores-want) > 1e-9 {
		t.Errorf("after a burst %v, want %v within one step", low.TargetCores, want)
	}
	for i := 1; i <= 4; i++ {
		d := c.Step(day, Sample{Seconds: quarter, Online: 1})
		if want := low.TargetCores + float64(i)*0.1*16*quarter; math.Abs(d.TargetCores-want) > 1e-9 {
			t.Errorf("step %d up: %v, want %v (settled %v)", i, d.TargetCores, want, high.TargetCores)
		}
	}
	before := c.target
	if d := c.Step(day, Sample{Seconds: quarter, Online: 16*0.65 - 0.8 - before + 0.1}); d.TargetCores != before {
		t.Errorf("a move of 0.1 cores in 16 is within the dead band: %v, was %v", d.TargetCores, before)
	}
}

func TestBrakesHalve(t *testing.T) {
	for _, s := range []Sample{{Pressure: 0.06}, {Throttled: 0.02}} {
		for _, w := range []Window{day, night} {
			c := newController()
			settle(c, w, Sample{})
			before := c.target
			s.Seconds = quarter
			d := c.Step(w, s)
			if d.TargetCores != before/2 || d.LimitCores != before/2 {
				t.Errorf("%+v in the %s: %+v, want half of %v", s, w.Name, d, before)
			}
			for range 3 { // not again within a second
				d = c.Step(w, s)
			}
			if d.TargetCores != before/2 {
				t.Errorf("halved again within a second: %v", d.TargetCores)
			}
			if d = c.Step(w, s); d.TargetCores != before/4 {
				t.Errorf("after a second: %v, want %v", d.TargetCores, before/4)
			}
		}
	}
}

func TestMemoryPressureFreezesThenKills(t *testing.T) {
	c := newController()
	settle(c, day, Sample{})
	kills, last := 0, 0
	for i := range 100 { // 25 s
		d := c.Step(day, Sample{Seconds: quarter, MemoryPressure: 0.2})
		if !d.Freeze {
			t.Fatalf("step %d: %+v is not frozen", i, d)
		}
		if d.KillYoungest {
			kills++
			last = i
		}
	}
	if kills != 2 || last != 79 {
		t.Errorf("%d kills, the last at step %d; want one every 10 s", kills, last)
	}
	frozen := 0
	for c.Step(day, Sample{Seconds: quarter}).Freeze {
		frozen++
	}
	if frozen != 7 {
		t.Errorf("thawed after %d calm steps, want 2 s", frozen+1)
	}
}

func TestStaleMeasurementsLeadToTheFloor(t *testing.T) {
	c := newController()
	settle(c, night, Sample{})
	for i, want := range []float64{0, 0, floorCores} {
		if d := c.Step(night, Sample{Seconds: quarter, Stale: true}); d.LimitCores != want {
			t.Errorf("stale step %d: %+v, want limit %v", i+1, d, want)
		}
	}
}

// Whatever is measured, offline work is never given more than the formula
// allows, nor less than the floor, and equal input gives equal decisions.
func TestControllerPropertiesOverRandomRuns(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		a, b := newController(), newController()
		for range 200 {
			w := []Window{day, night, peak}[rng.IntN(3)]
			s := Sample{Seconds: quarter, Online: 16 * rng.Float64(), System: 2 * rng.Float64()}
			if rng.IntN(10) == 0 {
				s.Pressure = rng.Float64() / 5
			}
			s.Stale = rng.IntN(10) == 0
			d := a.Step(w, s)
			if again := b.Step(w, s); again != d {
				t.Fatalf("%+v and %+v from the same samples", d, again)
			}
			allowed := max(a.Cores*w.Target-s.Online-max(s.System, a.Reserve), floorCores)
			if w.Rule == Floor {
				allowed = windowFloor
			}
			if !s.Stale && d.TargetCores > allowed+deadBand*a.Cores || d.TargetCores < floorCores {
				t.Fatalf("%+v for %+v: more than the %v that is allowed", d, s, allowed)
			}
		}
	}
}
