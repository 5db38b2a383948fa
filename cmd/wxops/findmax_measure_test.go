//go:build unix && live

package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/doc"
	"github.com/wxops/wxops/stress/demo"
)

// TestMeasureFindMax searches for the capacity of services in processes of
// their own, one after the other, and prints how far off the answers are; the
// truth is simulated. It judges nothing: a search errs by chance and by what
// else the machine does. FINDMAX is a part of the names of those to measure.
func TestMeasureFindMax(t *testing.T) {
	for _, s := range []struct {
		name  string
		law   demo.Law
		bound time.Duration
	}{
		{"8 workers, 2 ms exponential", demo.Law{Workers: 8, Service: 2 * time.Millisecond, CV: 1, Queue: 2000}, 20 * time.Millisecond},
		{"4 workers, 4 ms exponential", demo.Law{Workers: 4, Service: 4 * time.Millisecond, CV: 1, Queue: 2000}, 50 * time.Millisecond},
		{"16 workers, 20 ms, spread 1.5", demo.Law{Workers: 16, Service: 20 * time.Millisecond, CV: 1.5, Queue: 2000}, 250 * time.Millisecond},
		{"2 workers, 5 ms, spread 0.3", demo.Law{Workers: 2, Service: 5 * time.Millisecond, CV: 0.3, Queue: 2000}, 25 * time.Millisecond},
		{"4 workers, 40 ms, spread 1.5", demo.Law{Workers: 4, Service: 40 * time.Millisecond, CV: 1.5, Queue: 2000}, 500 * time.Millisecond},
		{"1 worker, 10 ms exponential", demo.Law{Workers: 1, Service: 10 * time.Millisecond, CV: 1, Queue: 2000}, 100 * time.Millisecond},
	} {
		if !strings.Contains(s.name, os.Getenv("FINDMAX")) {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			p, err := demo.StartProcess("pay/a", s.law, s.bound, uint64(time.Now().UnixNano()))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = p.Close() })
			truth := demo.Truth(s.law, s.bound, 0.01, 0, 1)
			var out, log bytes.Buffer
			cmd := exec.Command("wxops", "stress", "load", "http://"+p.Addr()+"/", "--find-max", "--slo", "p99<"+s.bound.String(), "--arrivals", "poisson", "-o", "json")
			cmd.Stdout, cmd.Stderr = &out, &log
			end := watchPauses()
			begin := time.Now()
			_ = cmd.Run()
			took, pause := time.Since(begin), end()
			var c capacity.Curve
			if _, err := doc.Read(&out, kindCurve, &c); err != nil {
				t.Fatalf("%v\n%s", err, log.Bytes())
			}
			if !c.Capacity.Found {
				t.Logf("true %.0f/s; %s: %s; %.0f s, longest pause %v\n%s", truth, c.Verdict, c.Reason, took.Seconds(), pause, log.Bytes())
				return
			}
			k := c.Capacity
			t.Logf("p99<%v: true %.0f/s, found %.0f/s, %+.1f %%, interval %+.1f to %+.1f %%; %.0f s, longest pause %v", s.bound, truth, *k.PerSecond,
				100*(*k.PerSecond/truth-1), 100*(*k.Low/truth-1), 100*(*k.High/truth-1), took.Seconds(), pause.Round(time.Millisecond))
			if testing.Verbose() {
				t.Logf("%s", log.Bytes())
			}
		})
	}
}
