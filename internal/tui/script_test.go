package tui

import (
	"fmt"
	"math"
	"time"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/stress"
)

// script returns the snapshots of a whole test, ten a second: a service that
// answers as a queue with 700 requests a second at most, raised by a tenth a
// window until its p99 nears 50 ms.
func script() []stress.Snapshot {
	objective, err := capacity.ParseObjective("p99<50ms,errors<0.1%")
	if err != nil {
		panic(err)
	}
	const full, seconds = 700.0, 20
	var out []stress.Snapshot
	s := stress.Snapshot{
		Instance: "checkout/a", Objective: objective, Limit: 60 * time.Second, Phase: stress.PhaseBaseline,
		WeightBase: 32, Weight: 32, TargetRate: 210,
		RestorePoint: "/home/ops/.local/state/wxops/shifts/checkout-f888f51a309c.json",
		Last:         stress.Sample{P99: math.NaN(), Backlog: math.NaN(), CPU: math.NaN(), Rejects: math.NaN(), ErrorRatio: math.NaN()},
	}
	say := func(text string) {
		s.Sentences = append(s.Sentences[:len(s.Sentences):len(s.Sentences)], stress.Sentence{At: s.Elapsed, Text: text})
	}
	say("measuring ordinary traffic")
	target := 210.0
	for tick := range seconds * 10 {
		s.Elapsed = time.Duration(tick) * 100 * time.Millisecond
		s.Lease = 2*time.Second - s.Elapsed%(200*time.Millisecond)
		if tick > 0 && tick%10 == 0 {
			wobble := 1 + 0.01*math.Sin(float64(tick))
			offered := target * wobble
			rho := offered / full
			p99 := 0.008 + 0.0058*rho/(1-math.Min(rho, 0.97))
			s.Last = stress.Sample{
				End: s.Elapsed, Window: time.Second, Offered: offered, Throughput: offered, P99: p99, P50: p99 / 4,
				Backlog: rho * rho / (1 - rho), CPU: 4 * rho * 0.9, CPULimit: 4,
			}
			s.History = append(s.History[:len(s.History):len(s.History)], s.Last)
			s.AchievedRate, s.BacklogSlope = offered, 0.4*rho
			s.Points = append(s.Points[:len(s.Points):len(s.Points)], capacity.Point{Offered: offered, Throughput: offered, P99: &p99, Seconds: 1})
			s.Requests += int64(offered)
			switch {
			case tick < 40:
			case p99 > 0.035 && s.Phase == stress.PhaseRamp:
				s.Phase = stress.PhaseHold
				target *= 0.97
				s.Violations = 9
				s.Decision.Estimate = stress.Estimate{PerSecond: 611, Low: 596, High: 628, LimitedBy: "queue", CPUCeiling: 0.79}
				say(fmt.Sprintf("the capacity is about 611/s (596 to 628): hold %.0f/s to confirm it", target))
			case s.Phase == stress.PhaseHold:
			default:
				s.Phase = stress.PhaseRamp
				target *= 1.12
				s.Decision.Estimate = stress.Estimate{PerSecond: 611, Low: 611 * offered / full, High: 611 * full / offered}
				say(fmt.Sprintf("the capacity is about 611/s (%.0f to %.0f): go on with %.0f/s", s.Decision.Estimate.Low, s.Decision.Estimate.High, target))
			}
			s.TargetRate, s.Weight = target, math.Round(32*target/210)
			s.Guards = []stress.GuardState{
				{Name: "error budget", Value: 100 * s.Violations / float64(s.Requests), Limit: 0.5, Unit: "%"},
				{Name: "backlog", Value: s.Last.Backlog / offered, Limit: 0.03, Unit: "s"},
				{Name: "p99", Value: p99, Limit: 0.05, Unit: "s"},
				{Name: "peers unfit"},
				{Name: "signal age", Value: 0.3, Limit: 2, Unit: "s"},
				{Name: "share", Value: 31 + float64(tick)/10, Limit: 66, Unit: "%"},
				{Name: "time", Value: s.Elapsed.Seconds(), Limit: 60, Unit: "s"},
			}
			s.Signals = []stress.SignalState{{Name: "metrics", Age: 300 * time.Millisecond, Fired: true}, {Name: "sockets", Age: 100 * time.Millisecond}}
		}
		out = append(out, s)
	}
	s.Elapsed = seconds * time.Second
	s.Phase, s.Verdict, s.Weight = stress.PhaseDone, capacity.VerdictOK, 32
	say("ok: the estimate was confirmed")
	return append(out, s)
}

// at is the snapshot of the script after a time.
func at(elapsed time.Duration) stress.Snapshot {
	return script()[elapsed/(100*time.Millisecond)]
}
