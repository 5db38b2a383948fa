package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// lintHeap is the size in bytes up to which the heap of lint-config grows
// before garbage is collected: half of what the command may use.
const lintHeap = 128 << 20

// collectRarely lets the garbage of a short run lie until the heap has
// [lintHeap] bytes, and later until it has twice what is in use, if that is
// more. With the default a fleet of 300,000 files is marked again and again
// while it is read, which was a tenth of the run's CPU.
func collectRarely() {
	const initial = 4 << 20 // bytes of the first heap at 100 percent
	debug.SetGCPercent(lintHeap / initial * 100)
	type mark struct{ _ [32]byte } // too large to share an allocation with others
	var collected func(*mark)
	collected = func(*mark) { // runs after each collection
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		percent := 100
		if n := live[0].Value.Uint64(); n > 0 && n < lintHeap/2 {
			percent = int((lintHeap - n) * 100 / n)
		}
		debug.SetGCPercent(percent)
		runtime.SetFinalizer(&mark{}, collected)
	}
	runtime.SetFinalizer(&mark{}, collected)
}
