//go:build unix

package main

import (
	"bytes"
	"math"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/doc"
	"github.com/wxops/wxops/stress/demo"
)

// erlangCapacity is the rate at which 1 % of the requests of M/M/1 take longer
// than the bound: exp(-(mu-lambda)*bound) = 0.01 (Kleinrock, Queueing Systems
// I, 1975, section 3.2).
func erlangCapacity(mu, bound float64) float64 { return mu - math.Log(100)/bound }

// The real command against a real server in another process, whose capacity
// follows from its law. A search of 20 s on a machine that may be busy is
// allowed 10 %, and a second one if that pauses; bench/load/README.md has
// searches of a minute.
func TestFindMaxFindsTheCapacityOfAProcess(t *testing.T) {
	const mu, bound = 500, 0.08
	truth := erlangCapacity(mu, bound)
	p, err := demo.StartProcess("pay/a", demo.Law{Workers: 1, Service: time.Second / mu, CV: 1, Queue: 1000}, 80*time.Millisecond, 5)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	var c capacity.Curve
	for attempt := range 2 {
		var out, log bytes.Buffer
		cmd := exec.Command("wxops", "stress", "load", "http://"+p.Addr()+"/", "--find-max", "--slo", "p99<80ms", "--arrivals", "poisson", "-d", "20s", "-o", "json")
		cmd.Stdout, cmd.Stderr = &out, &log
		begin := time.Now()
		err := cmd.Run()
		took := time.Since(begin)
		c = capacity.Curve{}
		if _, e := doc.Read(&out, kindCurve, &c); e != nil {
			t.Fatalf("%v, %v\n%s", err, e, log.Bytes())
		}
		if c.Mode != "load" || c.SLO != "p99<80ms" || took > 25*time.Second || c.Test.Requests == 0 {
			t.Errorf("mode %q, objective %q, %v, %d requests", c.Mode, c.SLO, took, c.Test.Requests)
		}
		if c.Verdict == capacity.VerdictOK {
			got, width := *c.Capacity.PerSecond, (*c.Capacity.High-*c.Capacity.Low) / *c.Capacity.PerSecond
			t.Logf("attempt %d: %.0f/s, true are %.0f/s; the interval is %.0f %% wide; %v", attempt, got, truth, 100*width, took)
			if math.Abs(got/truth-1) <= 0.1 && width <= 0.25 {
				return
			}
		}
		t.Logf("attempt %d: verdict %s: %s\n%s", attempt, c.Verdict, c.Reason, log.Bytes())
	}
	t.Errorf("the capacity of %.0f/s was not found in two searches", truth)
}

// No rate keeps an objective below the time of a request alone: the document
// says so, and the exit code is that of a missed objective.
func TestFindMaxSaysThatNoRateKeepsTheObjective(t *testing.T) {
	p, err := demo.StartProcess("pay/a", demo.Law{Workers: 4, Service: 30 * time.Millisecond, CV: 0.1, Queue: 1000}, 80*time.Millisecond, 5)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	for _, c := range []struct {
		name, url, timeout, reason string
	}{
		{"slow", p.Addr(), "10s", "requests that do not wait for one another miss p99<10ms already, so no rate keeps it"},
		{"silent", rawServer(t, "stalls"), "300ms", "was answered within 300ms (4 timeout)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, log bytes.Buffer
			cmd := exec.Command("wxops", "stress", "load", "http://"+c.url+"/", "--find-max", "--slo", "p99<10ms", "-d", "10s", "-t", c.timeout, "-o", "json")
			cmd.Stdout, cmd.Stderr = &out, &log
			_ = cmd.Run()
			var d capacity.Curve
			if _, err := doc.Read(&out, kindCurve, &d); err != nil {
				t.Fatalf("%v\n%s", err, log.Bytes())
			}
			if code := cmd.ProcessState.ExitCode(); code != 1 || d.Verdict != capacity.VerdictNoKnee || d.Capacity.Found || *d.Capacity.Low != 0 || d.Test.ViolationRatio == 0 || !strings.Contains(d.Reason, c.reason) {
				t.Errorf("exit %d, verdict %s, %+v, %+v: %q, want %q\n%s", code, d.Verdict, d.Capacity, d.Test, d.Reason, c.reason, log.Bytes())
			}
		})
	}
}
