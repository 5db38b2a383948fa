package load

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/stress"
)

// A Search finds the highest rate at which a service keeps an objective.
type Search struct {
	Objective capacity.Objective
	Limit     time.Duration // of the whole search; 60 s
	MaxRate   float64       // requests per second that are never exceeded; 0: none

	// OnStep is called with each window and what was decided from it.
	OnStep func(stress.Sample, stress.Decision)
}

// The search reads five times in a window of the controller, as the guards of
// a test on live traffic do.
const (
	searchWindow   = time.Second
	readsPerWindow = 5
	probeRequests  = 50
	probeTime      = time.Second
	firstShare     = 0.3 // of the rate that one request at a time would make
	climbStep      = 500 * time.Millisecond
	climbGrowth    = 1.6
	baseShare      = 0.4 // of the rate reached, for the controller to begin with
)

// search is a Search while it runs.
type search struct {
	Search
	o          Options
	controller *stress.Controller
	generator  *Generator
	ready      chan struct{} // the generator is set
	workers    float64       // requests that the service works on at once, roughly
	window     *hdrhistogram.Histogram
	sample     stress.Sample
	reads      int
	backlogs   float64
	bad, due   int64
	points     []capacity.Point
	last       stress.Decision
	decided    bool
	missed     float64
}

// FindMax drives the rate by the controller of the tests on live traffic, until
// the capacity is known or the limit is over. The options give target, pool and
// arrivals; Stages, Every and OnInterval are set by the search. Regular arrivals
// have another capacity than random ones.
func FindMax(ctx context.Context, o Options, s Search) (capacity.Curve, *Result, error) {
	if s.Limit <= 0 {
		s.Limit = time.Minute
	}
	begin := time.Now()
	service, probe, err := probeAlone(ctx, o)
	if err != nil || service == 0 {
		return capacity.Curve{}, probe, err
	}
	cv := 0.1 // the generator's own lateness
	if o.Poisson {
		cv = 1
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = max(1024, 4*o.Connections)
	}
	reached, err := climb(ctx, o, s, max(10, firstShare/service))
	if err != nil {
		return capacity.Curve{}, nil, err
	}
	rate := baseShare * reached
	// Little's law at the rate where the service was full.
	workers := max(1, math.Round(reached*service))
	cfg := stress.Config{
		Objective: s.Objective, BaseRate: rate, MaxRate: s.MaxRate, MaxDuration: s.Limit - time.Since(begin).Round(time.Millisecond),
		ErrorBudget: 0.1, Window: searchWindow, ArrivalCV: cv, // nobody but the test is hurt
	}
	if err := cfg.Check(); err != nil {
		return capacity.Curve{}, nil, err
	}
	run := &search{Search: s, o: o, controller: stress.NewController(cfg), ready: make(chan struct{}), workers: workers, window: newHistogram()}
	o.Stages = Constant(rate, cfg.MaxDuration+searchWindow)
	o.Every, o.Requests = searchWindow/readsPerWindow, 0
	o.OnInterval = run.read
	if run.generator, err = Start(ctx, o); err != nil {
		return capacity.Curve{}, nil, err
	}
	close(run.ready)
	r := run.generator.Wait()
	return run.curve(r, ctx.Err() != nil), r, nil
}

// probeAlone measures what a request takes when it is alone.
func probeAlone(ctx context.Context, o Options) (seconds float64, r *Result, err error) {
	o.Stages, o.Connections, o.MaxConnections, o.Workers = nil, 1, 1, 1
	o.Requests, o.Duration, o.Warmup, o.OnInterval, o.Streams = probeRequests, probeTime, 0, nil, 1
	g, err := Start(ctx, o)
	if err != nil {
		return 0, nil, err
	}
	r = g.Wait()
	if r.Answers() == 0 {
		return 0, r, nil
	}
	return r.Service().Mean() / 1e9, r, nil
}

// climb raises the rate step by step until the service falls behind or misses
// the objective, and returns the highest throughput seen: a rough number in a
// few seconds, from which the controller starts. Nobody but the test is hurt.
func climb(ctx context.Context, o Options, s Search, rate float64) (float64, error) {
	term, _ := s.Objective.Latency()
	best := 0.0
	var g *Generator
	ready := make(chan struct{})
	o.Stages, o.Requests, o.Every = Constant(rate, s.Limit/4), 0, climbStep
	o.OnInterval = func(i Interval) {
		<-ready
		best = max(best, i.Throughput)
		behind := i.Throughput < 0.8*rate && i.Throughput*climbStep.Seconds() > 20
		slow := i.P50 > term.Bound
		rate *= climbGrowth
		if behind || slow || i.Bad+i.Failed > 10 || s.MaxRate > 0 && rate > s.MaxRate {
			g.Stop()
			return
		}
		g.SetRate(rate)
	}
	g, err := Start(ctx, o)
	if err != nil {
		return 0, err
	}
	close(ready)
	g.Wait()
	return best, nil
}

// read takes an interval of the generator: a reading for the guards, and every
// fifth time a window for the controller.
func (s *search) read(i Interval) {
	<-s.ready
	if s.decided {
		return
	}
	reading := s.reading(i)
	s.backlogs += reading.Backlog
	s.gather(i)
	if s.reads < readsPerWindow {
		if d, act := s.controller.Watch(reading); act {
			s.obey(d)
		}
		return
	}
	sample := s.close(reading)
	d := s.controller.Step(sample)
	if s.OnStep != nil {
		s.OnStep(sample, d)
	}
	s.obey(d)
}

func (s *search) obey(d stress.Decision) {
	s.last = d
	if d.Done() {
		s.decided = true
		s.generator.Stop()
		return
	}
	rate := d.Target
	if s.MaxRate > 0 {
		rate = min(rate, s.MaxRate)
	}
	s.generator.SetRate(rate)
}

// reading is the interval as the guards see it. The backlog is what is in
// flight, or waits for a connection, beyond what the service works on at once.
func (s *search) reading(i Interval) stress.Sample {
	r := stress.Unmeasured()
	r.End, r.Window = i.Start+i.Length, i.Length
	r.Offered, r.Throughput = i.Offered, i.Throughput
	r.Backlog = max(0, float64(i.InFlight)+i.Waiting-s.workers)
	r.InFlight = min(float64(i.InFlight), s.workers)
	return r
}

// gather adds an interval to the window.
func (s *search) gather(i Interval) {
	if s.reads == 0 {
		s.window.Reset()
		s.sample = stress.Unmeasured()
		s.sample.Window, s.sample.Offered, s.sample.Throughput, s.bad, s.due = 0, 0, 0, 0, 0
	}
	s.reads++
	s.window.Merge(i.Response)
	seconds := i.Length.Seconds()
	s.sample.Window += i.Length
	s.sample.Offered += i.Offered * seconds
	s.sample.Throughput += i.Throughput * seconds
	s.bad += i.Bad + i.Failed
	s.due += int64(math.Round(i.Offered * seconds))
}

// close completes the window.
func (s *search) close(last stress.Sample) stress.Sample {
	x := s.sample
	x.End = last.End
	seconds := x.Window.Seconds()
	x.Offered /= seconds
	x.Throughput /= seconds
	x.Backlog, x.InFlight = s.backlogs/readsPerWindow, last.InFlight
	s.backlogs = 0
	if n := s.window.TotalCount(); n > 0 {
		x.Mean = s.window.Mean() / 1e9
		x.P50, x.P99 = quantile(s.window, 50), quantile(s.window, 99)
		term, _ := s.Objective.Latency()
		slow := int64(0)
		for _, b := range s.window.Distribution() {
			if b.Count == 0 {
				continue
			}
			if float64(b.To)/1e9 > term.Bound {
				slow += b.Count
			}
		}
		x.SlowRatio = float64(slow) / float64(n)
		x.Buckets = buckets(s.window)
	}
	x.ErrorRatio = float64(s.bad) / float64(max(1, s.due))
	s.missed += (orZero(x.SlowRatio) + x.ErrorRatio) * float64(s.due)
	s.reads = 0
	p := capacity.Point{
		Offered: x.Offered, Throughput: x.Throughput, P50: known(x.P50), P99: known(x.P99), QueueWait: known(x.QueueWait),
		Backlog: known(x.Backlog), ErrorRatio: known(x.ErrorRatio), Seconds: seconds,
	}
	s.points = append(s.points, p)
	return x
}

func orZero(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return v
}

// buckets thins the histogram out to twelve buckets an octave.
func buckets(h *hdrhistogram.Histogram) []stress.Bucket {
	var out []stress.Bucket
	edge := 0.0
	for _, b := range h.Distribution() {
		if b.Count == 0 {
			continue
		}
		at := float64(b.To) / 1e9
		if at > edge {
			edge = at * math.Pow(2, 1.0/12)
			out = append(out, stress.Bucket{Bound: edge})
		}
		out[len(out)-1].Count += float64(b.Count)
	}
	return out
}

// curve is the document of the search.
func (s *search) curve(r *Result, interrupted bool) capacity.Curve {
	c := capacity.Curve{
		Mode: "load", SLO: s.Objective.String(), Points: s.points, Verdict: s.last.Verdict, Reason: s.last.Reason,
		Model: capacity.Model{Kind: cmp.Or(s.last.Estimate.Model.Kind, "none"), Parameters: map[string]float64{}},
		Test:  capacity.Test{Seconds: r.Elapsed.Seconds(), Requests: r.Due()},
	}
	if c.Points == nil {
		c.Points = []capacity.Point{}
	}
	term, _ := s.Objective.Latency()
	held := 0.0
	for _, p := range c.Points {
		c.Test.PeakPerSecond = max(c.Test.PeakPerSecond, p.Offered)
		if p.P99 != nil && term.Met(*p.P99) && *p.ErrorRatio <= s.Objective.ErrorRatio() {
			held = max(held, p.Throughput)
		}
	}
	if c.Test.Requests > 0 {
		c.Test.ViolationRatio = min(1, s.missed/float64(c.Test.Requests))
	}
	slices.SortStableFunc(c.Points, func(a, b capacity.Point) int { return cmp.Compare(a.Offered, b.Offered) })
	for name, v := range s.last.Estimate.Model.Parameters {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			c.Model.Parameters[name] = v
		}
	}
	c.Capacity.LimitedBy = cmp.Or(s.last.Estimate.LimitedBy, "unknown")
	switch reason := r.diagnoseSearch(term.Bound); {
	case interrupted:
		c.Verdict, c.Reason = capacity.VerdictInterrupted, "ended by the user"
	case reason != "":
		c.Verdict, c.Reason = capacity.VerdictClientLimited, reason
	case c.Verdict == "":
		c.Verdict, c.Reason = capacity.VerdictNoKnee, fmt.Sprintf("the search ended at %.0f/s before the curve bent", c.Test.PeakPerSecond)
	}
	e := s.last.Estimate
	if width := e.High - e.Low; c.Verdict == capacity.VerdictOK && !(width <= maxWidth*e.PerSecond && e.High >= held*0.95) {
		c.Verdict, c.Reason = capacity.VerdictNoKnee, fmt.Sprintf("the windows contradict each other: %.0f/s with an interval from %.0f to %.0f/s; search again on a calmer machine or for longer", e.PerSecond, e.Low, e.High)
	}
	if c.Verdict == capacity.VerdictOK && e.PerSecond > 0 {
		c.Capacity.Found = true
		c.Capacity.PerSecond, c.Capacity.Low, c.Capacity.High = &e.PerSecond, &e.Low, &e.High
	} else {
		c.Capacity.Low = &held
	}
	return c
}

// maxWidth is the widest interval, over the capacity, that still is an answer.
const maxWidth = 0.25

// maxSearchLag is the share of the bound of the objective that the generator's
// own lateness may reach at its 90 % quantile. A search judges windows against
// the bound, so lateness that is small beside the bound does not bend it.
const maxSearchLag = 0.1

// diagnoseSearch is diagnose for a run that goes to the limit of the server on
// purpose: that requests wait for a connection there is no fault of ours.
func (r *Result) diagnoseSearch(bound float64) string {
	if lag := quantile(r.total.lag, 90); lag > maxSearchLag*bound {
		return fmt.Sprintf("requests left late: the p90 of the send lag is %.3g ms, the objective bounds %.3g ms", 1e3*lag, 1e3*bound)
	}
	calm := *r
	calm.Open = false
	return calm.diagnose()
}
