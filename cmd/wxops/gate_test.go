//go:build unix

package main

import (
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/wxops/wxops/stress"
	"github.com/wxops/wxops/stress/demo"
)

// The real command drives two processes side by side: a version whose work
// takes a third longer is refused, the same version again is not.
func TestGateRefusesASlowerProcess(t *testing.T) {
	start := func(work time.Duration, seed uint64) *demo.Process {
		p, err := demo.StartProcess("pay/a", demo.Law{Workers: 8, Service: work, CV: 0.5, Queue: 500}, 100*time.Millisecond, seed)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close() })
		return p
	}
	base, slower := start(12*time.Millisecond, 1), start(16*time.Millisecond, 3)
	gate := func(next *demo.Process, duration string) (d stress.GateDocument, code int) {
		t.Helper()
		cmd := exec.Command("wxops", "stress", "gate", "--base-url", "http://"+base.Addr()+"/", "--new-url", "http://"+next.Addr()+"/",
			"--base-pid", strconv.Itoa(base.PID()), "--new-pid", strconv.Itoa(next.PID()), "-r", "250", "-d", duration, "-c", "32", "-o", "json")
		code, _ = printed(t, cmd, kindVerdict, &d)
		for _, m := range d.Metrics {
			t.Logf("%s: %s, %+.1f %%", m.Name, m.Verdict, 100*m.Effect)
		}
		return d, code
	}
	d, code := gate(slower, "6s")
	if d.Verdict == stress.GateUndecided { // a busy machine: a longer test must tell
		d, code = gate(slower, "20s")
	}
	if code != 1 || d.Verdict != stress.GateRegression || d.Metrics[0].Name != metricP99 || d.Metrics[0].Low == nil || *d.Metrics[0].Low <= 0 {
		t.Errorf("slower by a third: exit %d, %+v", code, d)
	}
	// A gate refuses one healthy version in a hundred, and a process may have drawn
	// the busier core for all of a test: two in a row are no chance.
	for _, seed := range []uint64{2, 4} {
		d, code = gate(start(12*time.Millisecond, seed), "6s")
		if len(d.Metrics) != 2 {
			t.Errorf("the same version: exit %d, %+v", code, d)
		}
		if d.Verdict != stress.GateRegression {
			break
		}
	}
	if code == 1 || d.Verdict == stress.GateRegression {
		t.Errorf("the same version, twice: exit %d, %+v", code, d)
	}
}
