//go:build linux && live

package main

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/stress/demo"
)

// A breadth is a service of another kind, and how wxops sees it.
type breadth struct {
	workers   int
	service   time.Duration
	cv        float64
	weights   []int   // of the instances, the tested one first
	start     float64 // load before the test, over the capacity
	metrics   bool
	balance   string // roundrobin if empty
	maxconn   int    // requests that HAProxy lets an instance have at once, 0: no limit
	maxShare  float64
	saturates bool // the truth is the rate at which every worker is busy
}

// breadths vary workers, service time, variation, instances, weights and the
// load before the test, seen with and without metrics.
var breadths = []breadth{
	{workers: 2, service: 4 * time.Millisecond, cv: 1, weights: []int{100, 100, 100}, start: 0.5},
	{workers: 2, service: 6 * time.Millisecond, cv: 0.3, weights: []int{100, 100, 100}, start: 0.6},
	{workers: 4, service: 10 * time.Millisecond, cv: 0.5, weights: []int{100, 100, 100, 100, 100}, start: 0.55},
	{workers: 8, service: 20 * time.Millisecond, cv: 1.5, weights: []int{20, 30, 10, 40, 25}, start: 0.4, maxShare: 0.6},
	{workers: 16, service: 30 * time.Millisecond, cv: 0.8, weights: []int{1, 1, 1, 1, 1}, start: 0.6},
	{workers: 32, service: 40 * time.Millisecond, cv: 1.2, weights: []int{100, 100, 100}, start: 0.6},
	{workers: 8, service: 16 * time.Millisecond, cv: 1, weights: []int{10, 30, 30, 30, 30}, start: 0.1, maxShare: 1},
	{workers: 6, service: 12 * time.Millisecond, cv: 1, weights: []int{100, 100, 100}, start: 0.5, maxconn: 10, saturates: true},
	{workers: 8, service: 20 * time.Millisecond, cv: 1, weights: []int{100, 100, 100}, start: 0.6, balance: "leastconn"},
	{workers: 8, service: 20 * time.Millisecond, cv: 1, weights: []int{100, 100, 100}, start: 0.55},
}

// serviceOf returns the service and the true capacity of its first instance.
func (b breadth) serviceOf(n int) (s demo.Service, truth float64) {
	s = demo.Service{Name: "checkout", Seed: uint64(1000 + n), Law: demo.Law{Workers: b.workers, Service: b.service, CV: b.cv, CPUShare: 0.6}}
	alone := b.service.Seconds() * (1 + 3.6*b.cv) // about the 99 % quantile of the service time
	s.Bound = time.Duration(1.6 * alone * 1e9).Round(time.Millisecond)
	saturation := float64(b.workers) / b.service.Seconds()
	s.Law.Queue = int(1.5*s.Bound.Seconds()*saturation) + 1
	sum := 0
	for _, w := range b.weights {
		sum += w
	}
	share := float64(b.weights[0]) / float64(sum)
	// The truth depends a little on the traffic, which is chosen by the truth.
	truth = 0.9 * saturation
	for range 2 {
		s.Rate = math.Round(b.start * truth / share)
		switch {
		case b.saturates:
			truth = saturation
		case b.balance == "leastconn":
			truth = demo.TruthLeastConn(s.Law, s.Bound, 0.01, s.Rate, len(b.weights)-1, s.Seed)
		default:
			truth = s.Truth()
		}
	}
	return s, truth
}

func (b breadth) String() string {
	how := "outside"
	if b.metrics {
		how = "metrics"
	}
	text := fmt.Sprintf("%s %dx%v cv %.1f weights %v start %.0f %%", how, b.workers, b.service, b.cv, b.weights, 100*b.start)
	if b.balance != "" {
		text += " " + b.balance
	}
	if b.maxconn > 0 {
		text += fmt.Sprintf(" maxconn %d", b.maxconn)
	}
	return text
}

// TestShiftOnManyServices prints a line for each service of breadths that
// WXOPS_BREADTH matches, with metrics and from outside, and holds it to what no
// chance excuses.
func TestShiftOnManyServices(t *testing.T) {
	choose := regexp.MustCompile(os.Getenv("WXOPS_BREADTH"))
	type run struct {
		breadth
		service demo.Service
		truth   float64
	}
	var runs []run
	for _, metrics := range []bool{true, false} {
		for _, b := range breadths {
			if b.metrics = metrics; choose.MatchString(b.String()) {
				runs = append(runs, run{breadth: b})
			}
		}
	}
	var all sync.WaitGroup
	for k := range runs {
		all.Go(func() { runs[k].service, runs[k].truth = runs[k].serviceOf(k) })
	}
	all.Wait()
	for _, r := range runs {
		t.Run(strings.ReplaceAll(r.String(), " ", "_"), func(t *testing.T) {
			r.check(t, r.service, r.truth)
		})
	}
}

// check carries out one test and prints its line.
func (b breadth) check(t *testing.T, service demo.Service, truth float64) {
	var extra []string
	if b.balance != "" {
		extra = append(extra, "balance "+b.balance)
	}
	if b.maxconn > 0 {
		extra = append(extra, fmt.Sprintf("default-server maxconn %d", b.maxconn), "timeout queue 2s")
	}
	s := startSiteOf(t, service, b.weights, extra...)
	dir := os.Getenv("WXOPS_BREADTH_OUT")
	if dir != "" {
		s.state = dir + "/" + strings.ReplaceAll(b.String(), " ", "_")
	}
	cmd := s.shift()
	if b.metrics {
		cmd = s.instrumented()
	}
	if b.maxShare > 0 {
		cmd.Args = append(cmd.Args, "--max-share", fmt.Sprint(b.maxShare))
	}
	if dir != "" {
		cmd.Args = append(cmd.Args, "--out", s.state+".json")
	}
	before, begin := s.weights(t), time.Now()
	pauses := watchPauses()
	c, code := s.run(t, cmd)
	ended, pause := time.Now(), pauses()
	took := ended.Sub(begin)
	if after := s.weights(t); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("weights %v before, %v after", before, after)
	}
	// Harm is said from the first weight change on. It ended half a second before.
	first := ended.Add(-time.Duration((c.Test.Seconds + 0.5) * 1e9))
	tally, err := s.instances[0].Tally(first, ended, service.Bound)
	if err != nil {
		t.Fatal(err)
	}
	answer := "none"
	if c.Capacity.PerSecond != nil {
		answer = fmt.Sprintf("%.0f (%.0f to %.0f) %+.1f %%", *c.Capacity.PerSecond, *c.Capacity.Low, *c.Capacity.High, 100*(*c.Capacity.PerSecond/truth-1))
	}
	peers := 0.0
	for _, peer := range s.instances[1:] {
		if p, err := peer.Tally(first, ended, service.Bound); err == nil {
			peers = max(peers, p.Ratio())
		}
	}
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	t.Logf("ROW | %s | p99<%v, %.0f/s | %.0f | %s, exit %d: %s | %.1f | %.2f said, %.2f counted, peers %.2f | %.2f | %.2f | %v | %s",
		b, service.Bound, service.Rate, truth, c.Verdict, code, answer, took.Seconds(), 100*c.Test.ViolationRatio, 100*tally.Ratio(), 100*peers,
		c.Test.PeakPerSecond/truth, used.Seconds()/took.Seconds(), pause.Round(time.Millisecond), c.Reason)
	if pause > tolerablePause {
		return // what was seen is the pause
	}
	if c.Verdict == capacity.VerdictMetastable {
		t.Errorf("a service that does not slow down is called metastable: %s", c.Reason)
	}
	if c.Capacity.PerSecond != nil && math.Abs(*c.Capacity.PerSecond/truth-1) > 0.4 {
		t.Errorf("capacity %.0f is %+.1f %% from the truth %.0f", *c.Capacity.PerSecond, 100*(*c.Capacity.PerSecond/truth-1), truth)
	}
	if tally.Ratio() > 0.03 {
		t.Errorf("%.2f %% of the requests of the instance missed the objective or failed", 100*tally.Ratio())
	}
}
