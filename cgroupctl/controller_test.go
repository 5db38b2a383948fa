package cgroupctl

import (
	"fmt"
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

// A whole day of New York that lacks the hour from 02:00 to 03:00, in steps of a
// second: an online load with its peak at noon, offline work that takes whatever
// it may have, and in the afternoon one brake after the other. What must hold is
// stated by the wall clock alone, not by the code under test.
func TestADayWithAGapAndEveryBrake(t *testing.T) {
	s := windows(t, "America/New_York", "")
	c := newController()
	begin := time.Date(2026, 3, 8, 0, 0, 0, 0, s.Location)
	end := time.Date(2026, 3, 9, 0, 0, 0, 0, s.Location)
	if end.Sub(begin) != 23*time.Hour {
		t.Fatalf("the day has %s", end.Sub(begin))
	}
	var spent [3]time.Duration // night, day, evening
	var kills, thirsty int
	var last Decision
	offline := 0.0
	for now := begin; now.Before(end); now = now.Add(time.Second) {
		h, m, sec := now.Clock()
		clock := float64(h) + float64(m)/60 + float64(sec)/3600
		x := Sample{Seconds: 1, System: 0.5, Online: 2 + 6*math.Exp(-math.Pow(clock-12, 2)/8)}
		switch at := fmt.Sprintf("%02d:%02d", h, m); {
		case at == "11:00" && sec < 30:
			x.Online += 5 // a burst
		case at == "14:00":
			x.Throttled = 0.05
		case at == "15:00" && sec < 12:
			x.MemoryShort = true
		case at == "16:00" && sec < 10:
			x.Stale = true
		}
		x.Offline = offline
		w, admit := s.windowAt(now)
		d := c.Step(w, x)
		kind := 2
		switch {
		case h >= 1 && h < 8:
			kind = 0
		case h >= 8 && h < 20:
			kind = 1
		}
		spent[kind] += time.Second
		room := 16*0.65 - x.Online - 0.8 // of the day
		var bad string
		switch {
		case admit != (clock >= 1 && clock < 19.5):
			bad = fmt.Sprintf("admits jobs: %v", admit)
		case kind == 2 && d.LimitCores > 0.05, kind == 2 && d.LimitCores == 0:
			bad = "is more than the floor of the evening"
		case kind == 0 && clock > 1.1 && d.LimitCores != 0:
			bad = "is limited at night"
		case kind == 1 && !x.Stale && (d.LimitCores == 0 || d.LimitCores > max(room, 0.02)+0.16):
			bad = fmt.Sprintf("is above the %.2f cores that online work leaves", room)
		case d.LimitCores > last.LimitCores+1.6+1e-9 && last.LimitCores > 0:
			bad = fmt.Sprintf("rises at once from %.2f", last.LimitCores)
		case x.Throttled > 0 && sec > 10 && d.LimitCores > 0.1:
			bad = "holds though online work is throttled"
		case x.Stale && sec >= 3 && d.LimitCores != 0.02:
			bad = "holds though nothing is measured"
		case d.Freeze != (h == 15 && m == 0 && sec < 13):
			bad = fmt.Sprintf("freezes: %v", d.Freeze)
		}
		if bad != "" {
			t.Fatalf("%s: %s; %+v", now.Format("15:04:05 MST"), bad, d)
		}
		if d.KillYoungest {
			kills++
		}
		if kind == 1 && d.LimitCores < room-1.6 && x.Throttled == 0 && !x.Stale {
			thirsty++
		}
		offline = 16 - x.Online - x.System
		if d.LimitCores > 0 {
			offline = min(offline, d.LimitCores)
		}
		last = d
	}
	if spent != [3]time.Duration{6 * time.Hour, 12 * time.Hour, 5 * time.Hour} {
		t.Errorf("night, day and evening last %v", spent)
	}
	if kills != 1 {
		t.Errorf("%d jobs were killed for memory, want 1", kills)
	}
	// After a burst or a brake the limit comes back within seconds.
	if thirsty > 40 {
		t.Errorf("for %d s of the day offline work had much less than was left", thirsty)
	}
}

// Whatever rule is in force when a controller dies, offline work is left with the
// lowest weight, and the next apply gives it what the window allows.
func TestADeadControllerIsSafeInEveryWindow(t *testing.T) {
	bothVersions(t, func(t *testing.T, version int) {
		for _, rule := range []Rule{Unrestricted, Throttled, Floor, Frozen} {
			m := newMemFS(version)
			tree := memTree(t, m, memSpec+fmt.Sprintf("windows: [{name: all, from: \"00:00\", to: \"24:00\", rule: %s}]\n", rule))
			apply(t, tree)
			d := settle(&Controller{Cores: 4, Reserve: 0.2, Eviction: time.Second}, tree.spec.Windows[0], Sample{Online: 1})
			if err := tree.steer("offline", d); err != nil {
				t.Fatal(err)
			}
			cpu, _ := tree.host.hierarchy("cpu")
			folder := tree.folder(cpu, "offline")
			m.attrs[folder+"#"+ownerAttr+leaseSuffix] = lease{until: 4999 * time.Second, pid: 9, rule: rule}.String()
			weight, lowest := folder+"/cpu.weight", "0"
			if version == 1 {
				weight, lowest = folder+"/cpu.shares", "3"
			}
			for _, when := range []string{"after its death", "after an apply"} {
				if m.files[folder+"/cpu.idle"] != "1" || m.files[weight] != lowest {
					t.Errorf("%s, %s: idle %q, weight %q", rule, when, m.files[folder+"/cpu.idle"], m.files[weight])
				}
				apply(t, tree)
			}
			if _, left := m.attrs[folder+"#"+ownerAttr+leaseSuffix]; left {
				t.Errorf("%s: the lease is left", rule)
			}
		}
	})
}
