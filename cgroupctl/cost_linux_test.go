package cgroupctl

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func hundredSlices() string {
	var b strings.Builder
	b.WriteString("online:\n")
	for i := range 100 {
		fmt.Fprintf(&b, "  - {name: s%d, shape: 10m1M, mode: shared, ceiling: 4.0}\n", i)
	}
	b.WriteString("offline: {name: offline, memory: 64M}\n")
	return b.String()
}

func ownCPU() time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// TestLiveControllerCost counts the CPU of one second of the controller with 100
// slices: five measurements and decisions, one of them with a look at each slice.
func TestLiveControllerCost(t *testing.T) {
	tree, _ := live(t, hundredSlices())
	m := &meter{Tree: tree}
	c := newController()
	const seconds = 50
	before := ownCPU()
	for i := range slowEvery * seconds {
		c.Step(day, m.measure(time.Now(), i%slowEvery == 0))
	}
	cost := (ownCPU() - before).Seconds() / seconds
	t.Logf("with 100 slices the controller takes %.3f %% of a core", 100*cost)
	if most := 0.005; cost > most && rounds(2, 1) == 2 && !raceDetector {
		t.Errorf("%.3f %% of a core, at most %.1f %%", 100*cost, 100*most)
	}
}
