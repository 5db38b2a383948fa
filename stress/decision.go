package stress

import (
	"time"

	"github.com/wxops/wxops/capacity"
)

// A Phase is a stage of a stress test.
type Phase string

// The phases of a stress test, in order.
const (
	PhasePreflight Phase = "preflight" // weights, peers and signals are checked; nothing is changed
	PhaseBaseline  Phase = "baseline"  // ordinary traffic is measured before the first step
	PhaseRamp      Phase = "ramp"      // the rate grows
	PhaseHold      Phase = "hold"      // the estimate is confirmed
	PhaseBackOff   Phase = "back-off"  // the rate goes down gently
	PhaseRestore   Phase = "restore"   // weights go back to their base
	PhaseDone      Phase = "done"
)

// A Decision is what the controller wants after a window, and why.
type Decision struct {
	At     time.Duration // since the start of the run
	Phase  Phase
	Target float64 // offered load wanted at the instance, requests per second
	Reason string  // one English sentence for the screen and the run log

	Estimate Estimate

	// Verdict is set when the test shall end; Target is then the base rate.
	Verdict capacity.Verdict
}

// Done reports whether the test shall end.
func (d Decision) Done() bool { return d.Verdict != "" }

// An Estimate is what the model says about the capacity of the instance so
// far. PerSecond is 0 while nothing can be said.
type Estimate struct {
	PerSecond, Low, High float64 // requests per second, with the 95 % interval
	LimitedBy            string  // cpu, queue, objective or unknown
	CPUCeiling           float64 // utilization of the CPU at the capacity, NaN if unknown
	Model                capacity.Model
}
