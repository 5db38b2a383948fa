package stress

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/wxops/wxops/capacity"
)

// How much of a test the screen keeps.
const (
	historyKept   = 60 * time.Second
	sentencesKept = 20
)

// show publishes a window and its decision; r.mu is held.
func (r *Runner) show(s Sample, d Decision) {
	if n := len(r.snap.History); n > 0 && s.Window > 0 {
		before := r.snap.History[n-1]
		r.snap.BacklogSlope = (s.Backlog - before.Backlog) / s.Window.Seconds()
	}
	r.snap.Last = s
	r.snap.AchievedRate = s.Offered
	r.snap.History = append(r.snap.History, s)
	for len(r.snap.History) > 0 && s.End-r.snap.History[0].End > historyKept {
		r.snap.History = r.snap.History[1:]
	}
	r.snap.Points = append(r.snap.Points, point(s))
	r.snap.Guards = r.guardStates(s)
	r.sentence(d)
}

// sentence publishes a decision; r.mu is held.
func (r *Runner) sentence(d Decision) {
	r.snap.Decision, r.snap.Phase, r.snap.TargetRate = d, d.Phase, d.Target
	if !d.Done() { // finish says why it ended
		r.say(d.At, d.Reason)
	}
}

func (r *Runner) say(at time.Duration, text string) {
	if text == "" {
		return
	}
	r.snap.Sentences = append(r.snap.Sentences, Sentence{At: at, Text: text})
	if n := len(r.snap.Sentences) - sentencesKept; n > 0 {
		r.snap.Sentences = r.snap.Sentences[n:]
	}
}

// enter publishes a phase that no window led to.
func (r *Runner) enter(p Phase, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.snap.Phase = p
	r.say(r.now().Sub(r.start), text)
}

// guardStates lists the guards with what they see in s against their limits;
// r.mu is held. The decisions are the controller's; this is for the eye.
func (r *Runner) guardStates(s Sample) []GuardState {
	guards := []GuardState{}
	add := func(name string, value, limit float64, unit string) {
		if !math.IsNaN(value) {
			guards = append(guards, GuardState{Name: name, Value: value, Limit: limit, Unit: unit, Fired: value > limit})
		}
	}
	bound, _ := r.o.Config.bound()
	add("error budget", r.harm()*100, r.o.Config.ErrorBudget*100, "%")
	add("backlog", s.Backlog/math.Max(s.Throughput, 1), bound, "s")
	if term, ok := r.o.Config.Objective.Latency(); ok && term.Quantile == 0.99 && !math.IsNaN(s.P99) {
		// One window above the objective ends no test: its requests count
		// against the budget.
		guards = append(guards, GuardState{Name: "p99", Value: s.P99, Limit: term.Bound, Unit: "s"})
	}
	if r.o.Healthy != nil {
		add("peers unfit", r.unfit, 0, "")
	}
	oldest := time.Duration(0)
	for _, state := range r.snap.Signals {
		oldest = max(oldest, state.Age)
	}
	add("signal age", oldest.Seconds(), 2*r.o.Config.Window.Seconds(), "s")
	if reach := r.o.Lever.Reach(r.traffic.rate); !math.IsInf(reach, 1) {
		add("share", 100*s.Offered/r.traffic.rate, 100*reach/r.traffic.rate, "%")
	}
	add("time", s.End.Seconds(), r.o.Config.MaxDuration.Seconds(), "s")
	return guards
}

// settle counts the harm of the requests that were under way when the weights
// went back: those of one more short window.
func (r *Runner) settle(ctx context.Context, meter *Meter) {
	wait := time.NewTimer(min(r.o.Config.Window, time.Second) / 2)
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return
	case <-wait.C:
	}
	if s, _, err := read(ctx, meter, time.Second); err == nil && s.Window > 0 {
		r.mu.Lock()
		r.account(s)
		r.mu.Unlock()
	}
}

// account adds a window to the harm, from the first write on; r.mu is held.
func (r *Runner) account(s Sample) {
	if r.changedAt.IsZero() {
		return
	}
	failed := orZero(s.ErrorRatio)
	answered := s.Throughput * s.Window.Seconds() // without those that failed
	all := answered / (1 - failed)
	if math.IsNaN(all) || math.IsInf(all, 0) {
		all = s.Offered * s.Window.Seconds()
		answered = all * (1 - failed)
	}
	r.snap.Requests += int64(math.Round(all))
	r.snap.Violations += all*failed + answered*orZero(s.SlowRatio)
}

func orZero(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return v
}

// harm is the share of requests that missed the objective or failed, so far.
func (r *Runner) harm() float64 {
	if r.snap.Requests == 0 {
		return 0
	}
	return min(r.snap.Violations/float64(r.snap.Requests), 1)
}

// point turns a window into a point of the curve.
func point(s Sample) capacity.Point {
	measured := func(v float64) *float64 {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		return &v
	}
	throughput := s.Throughput
	if math.IsNaN(throughput) {
		throughput = s.Offered
	}
	return capacity.Point{
		Offered: s.Offered, Throughput: throughput, P50: measured(s.P50), P99: measured(s.P99),
		QueueWait: measured(s.QueueWait), Backlog: measured(s.Backlog), ErrorRatio: measured(s.ErrorRatio),
		RejectRatio: measured(s.Rejects), CPU: measured(s.CPU), Seconds: s.Window.Seconds(),
	}
}

// finish returns the curve of a test that ended with v, and publishes it.
func (r *Runner) finish(v verdict) capacity.Curve {
	state := r.o.Lever.State()
	r.mu.Lock()
	defer r.mu.Unlock()
	c := capacity.Curve{
		Instance: r.o.Instance, Mode: "shift", SLO: r.o.Config.Objective.String(),
		Points: slices.Clone(r.snap.Points), Verdict: v.verdict, Reason: v.reason,
		Test: capacity.Test{Requests: r.snap.Requests, ViolationRatio: r.harm()},
	}
	peak, held := 0.0, 0.0
	for _, p := range c.Points {
		peak = max(peak, p.Offered)
		if r.safe(p) {
			held = max(held, p.Throughput)
		}
	}
	slices.SortStableFunc(c.Points, func(a, b capacity.Point) int { return cmp.Compare(a.Offered, b.Offered) })
	c.Test.PeakPerSecond = peak
	if !r.changedAt.IsZero() {
		c.Test.Seconds = math.Round(r.restoredAt.Sub(r.changedAt).Seconds()*1e3) / 1e3
	}
	if !math.IsNaN(state.Base) {
		c.Test.WeightBefore, c.Test.WeightAfter = &state.Base, &state.Now
	}

	e := r.snap.Decision.Estimate
	c.Model = capacity.Model{Kind: e.Model.Kind, Parameters: map[string]float64{}}
	for name, v := range e.Model.Parameters {
		if !math.IsNaN(v) && !math.IsInf(v, 0) { // what was not fitted
			c.Model.Parameters[name] = v
		}
	}
	c.Capacity.LimitedBy = cmp.Or(e.LimitedBy, "unknown")
	if v.verdict == capacity.VerdictOK && e.PerSecond > 0 {
		c.Capacity.Found = true
		c.Capacity.PerSecond, c.Capacity.Low, c.Capacity.High = &e.PerSecond, &e.Low, &e.High
		if !math.IsNaN(e.CPUCeiling) {
			c.Capacity.CPU = &e.CPUCeiling
		}
	} else {
		if r.snap.Decision.Done() && e.Low > 0 && v.verdict != capacity.VerdictGuard {
			held = e.Low // what the controller held; on the way it is the end of an interval
		}
		c.Capacity.Low = &held
	}

	r.snap.Verdict, r.snap.Phase = v.verdict, PhaseDone
	r.snap.Elapsed = r.now().Sub(r.start)
	r.say(r.snap.Elapsed, fmt.Sprintf("%s: %s", v.verdict, v.reason))
	return c
}

// safe reports whether a window kept the objective.
func (r *Runner) safe(p capacity.Point) bool {
	t, _ := r.o.Config.Objective.Latency()
	return (p.P99 == nil || t.Met(*p.P99)) && (p.ErrorRatio == nil || *p.ErrorRatio <= r.o.Config.Objective.ErrorRatio())
}
