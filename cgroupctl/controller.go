package cgroupctl

import (
	"fmt"
	"time"
)

// Constants of the offline controller; docs/formulas.md gives their sources.
const (
	floorCores      = 0.02 // 2 ms in 100 ms: offline work never starves to death
	windowFloor     = 0.05 // of one core, in a window whose rule is floor
	deadBand        = 0.01 // of the machine: smaller moves are not worth a write
	upPerSecond     = 0.10 // of the machine: slower than online work can grow
	pressureBrake   = 0.05 // PSI some avg10 of an online slice
	throttleBrake   = 0.01 // share of an online slice's periods that were throttled
	memoryBrake     = 0.10 // PSI some of memory over the last step
	staleSteps      = 3
	brakeEvery      = time.Second
	memoryCalmAfter = 2 * time.Second // without pressure before offline work thaws
)

// A Sample is what one step has measured since the step before, in cores.
type Sample struct {
	Seconds        float64 // the step's length
	Online         float64
	System         float64 // all that is in no slice
	Offline        float64
	Throttled      float64 // worst online slice: throttled periods, ratio
	Pressure       float64 // worst online slice: PSI some avg10, ratio
	MemoryPressure float64 // PSI some of the machine over the step, ratio
	MemoryShort    bool    // less memory is available than the reserve
	Stale          bool    // nothing new could be measured
}

// A Decision is what offline work may do until the next one.
type Decision struct {
	Window       string  `json:"window"`
	Rule         Rule    `json:"rule"`
	TargetCores  float64 `json:"target_cores" doc:"what the formula allows"`
	LimitCores   float64 `json:"limit_cores" doc:"hard limit; 0 for none, where the weight alone holds offline work back"`
	Freeze       bool    `json:"freeze"`
	KillYoungest bool    `json:"kill_youngest"`
	Reason       string  `json:"reason"`
}

// A Controller turns samples into decisions. It is pure: equal windows and
// samples give equal decisions. The zero value is not usable; set Cores.
//
//	target = cores x T - online - max(system, reserve)
//
// with T the window's target. The target falls at once and rises by at most a
// tenth of the machine per second; it is halved while online work is throttled
// or waits for CPU. In an unrestricted window the limit is left off unless a
// brake holds it: weight 1 and idle protect online work there.
type Controller struct {
	Cores    float64
	Reserve  float64       // cores
	Eviction time.Duration // of memory pressure before the youngest job is killed

	target     float64
	started    bool
	stale      int
	elapsed    time.Duration
	lastBrake  time.Duration
	braked     bool
	pressing   time.Duration // of memory, 0 for none
	calm       time.Duration
	memoryHeld bool
}

// Step decides once.
func (c *Controller) Step(w Window, s Sample) Decision {
	dt := time.Duration(s.Seconds * float64(time.Second))
	c.elapsed += dt
	d := Decision{Window: w.Name, Rule: w.Rule}
	raw := c.Cores*w.Target - s.Online - max(s.System, c.Reserve)
	switch w.Rule {
	case Floor:
		raw = windowFloor
		d.Reason = "floor of the window"
	case Frozen:
		raw = floorCores
		d.Freeze = true
		d.Reason = "frozen by the window"
	default:
		d.Reason = fmt.Sprintf("online %.2f, system %.2f", s.Online, s.System)
	}
	if s.Stale {
		c.stale++
		raw = c.target // nothing new is known
	} else {
		c.stale = 0
	}
	if c.stale >= staleSteps {
		raw = floorCores
		d.Reason = fmt.Sprintf("no measurement for %d steps", c.stale)
	}
	raw = max(raw, floorCores)
	if brake := brakeReason(s); brake != "" && !s.Stale {
		d.Reason = brake
		if !c.braked || c.elapsed-c.lastBrake >= brakeEvery {
			c.target = max(min(c.target, raw)/2, floorCores)
			c.lastBrake = c.elapsed
		}
		c.braked = true
		raw = min(raw, c.target)
	} else if !s.Stale {
		c.braked = false
	}
	band := deadBand * c.Cores
	switch {
	case !c.started:
		// Without history the careful end is the right one.
		c.target, c.started = floorCores, true
		if w.Rule == Floor {
			c.target = raw
		}
	case raw < c.target-band || raw <= floorCores || raw < c.target && w.Rule == Floor:
		c.target = raw
	case raw > c.target+band || w.Rule == Floor:
		c.target = min(raw, c.target+upPerSecond*c.Cores*s.Seconds)
	}
	c.memory(&d, s, dt)
	d.TargetCores, d.LimitCores = c.target, c.target
	if w.Rule == Unrestricted && !c.braked && c.stale < staleSteps && c.target >= raw-band {
		d.LimitCores = 0
	}
	return d
}

func brakeReason(s Sample) string {
	switch {
	case s.Throttled > throttleBrake:
		return fmt.Sprintf("online throttled in %.0f %% of periods: halved", 100*s.Throttled)
	case s.Pressure > pressureBrake:
		return fmt.Sprintf("online waits for CPU %.0f %% of the time: halved", 100*s.Pressure)
	}
	return ""
}

// memory freezes offline work while memory is short, and has the youngest job
// killed when that does not help.
func (c *Controller) memory(d *Decision, s Sample, dt time.Duration) {
	if s.MemoryPressure > memoryBrake || s.MemoryShort {
		c.memoryHeld = true
		c.pressing += dt
		c.calm = 0
	} else if c.memoryHeld {
		c.calm += dt
		if c.calm >= memoryCalmAfter {
			c.memoryHeld, c.pressing = false, 0
		}
	}
	if !c.memoryHeld {
		return
	}
	d.Freeze = true
	d.Reason = "memory is short: frozen"
	if c.pressing >= c.Eviction && c.calm == 0 {
		d.KillYoungest = true
		d.Reason = fmt.Sprintf("memory is short for %s: youngest job killed", c.pressing.Round(time.Second))
		c.pressing = 0
	}
}
