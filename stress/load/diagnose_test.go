package load

import (
	"math"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A service that answers all requests late and shares a machine without idle
// processors with a generator that takes a quarter of them: it is not known what
// it would have done alone. Each of the facts is needed for that.
func TestABusyMachineSharedWithTheServiceIsNoMeasurement(t *testing.T) {
	base := func() *Result {
		r := &Result{Open: true, Elapsed: time.Second, Workers: 1, MaxOpen: 1000, PeakRate: 1000, streams: 1, shared: true, idle: 0.01, total: newBlock(1)}
		r.CPUSeconds = 0.3 * float64(runtime.NumCPU())
		r.total.exhausted = int64(800 * time.Millisecond)
		r.total.sent = 1000
		r.evidence = evidence{n: 1000, service: 1000 * 1e6, shortest: 1e6, fullSum: 1e9, flying: 1e9, full: 1000}
		return r
	}
	if reason := base().diagnose(); !strings.Contains(reason, "all processors were busy, 30 %") {
		t.Errorf("reason %q", reason)
	}
	for name, change := range map[string]func(*Result){
		"elsewhere":    func(r *Result) { r.shared = false },
		"idle":         func(r *Result) { r.idle = 0.2 },
		"modest":       func(r *Result) { r.CPUSeconds /= 3 },
		"none waited":  func(r *Result) { r.total.exhausted = 0 },
		"unknown idle": func(r *Result) { r.idle = cpuTotal{}.idleSince() },
	} {
		r := base()
		change(r)
		if reason := r.diagnose(); reason != "" {
			t.Errorf("%s: %s", name, reason)
		}
	}
	if idle := readCPUTotal().idleSince(); math.IsNaN(idle) || idle < 0 || idle > 1 {
		t.Errorf("idle share %v", idle)
	}
}
