package forecast

import (
	"fmt"
	"math"
	"time"
)

// An Outcome is what a policy cost and what it missed.
type Outcome struct {
	ReplicaHours   float64
	UnderHours     float64 // hours in which demand passed the capacity of the least instances inside
	Hours          float64
	UnderProvision float64 // UnderHours / Hours
}

// A Scored plan beside two other policies on the same demand.
type Scored struct {
	Plan, Reactive, LastWeek Outcome
}

// The reactive autoscaler that a plan is compared with: each hour it sets
// instances for the demand of the hour before at 60 % utilization, up at once
// and down by the highest need of the last 5 minutes, that is the hour before.
const reactiveTarget = 0.60

// lastWeekMargin is the practice that plans replace: last week's peak + 66 %.
const lastWeekMargin = 1.66

// Replay scores a plan on what then happened. An hour, or a step where that is
// longer, is under-provisioned when the demand is above the least instances
// inside it times the capacity of one. "Last week" holds
// ceil(1.66 * peak of the last 168 h / capacity) all the time.
func Replay(plans []ServicePlan, actual []Series) (Scored, []Warning, error) {
	byName := map[string]Series{}
	for _, s := range actual {
		byName[s.Name] = s
	}
	var out Scored
	var warnings []Warning
	for _, p := range plans {
		s, ok := byName[p.Service]
		if !ok {
			warnings = append(warnings, Warning{Series: p.Service, Kind: "series", Text: "the plan has it and the actual demand does not", Count: 1})
			continue
		}
		if s.Step <= 0 {
			return Scored{}, nil, fmt.Errorf("%w: actual series %q has an index and no time", ErrPlan, s.Name)
		}
		if p.PerInstance <= 0 {
			return Scored{}, nil, fmt.Errorf("%w: the plan of %q has no capacity of an instance", ErrPlan, p.Service)
		}
		out.add(p, s)
	}
	if out.Plan.Hours == 0 {
		return Scored{}, warnings, fmt.Errorf("%w: plan and actual demand share no service and no time", ErrPlan)
	}
	for _, o := range []*Outcome{&out.Plan, &out.Reactive, &out.LastWeek} {
		o.UnderProvision = o.UnderHours / o.Hours
	}
	return out, warnings, nil
}

func (out *Scored) add(p ServicePlan, s Series) {
	fixed := int(math.Ceil(lastWeekMargin*p.LastWeekPeak/p.PerInstance - 1e-9))
	fixed = max(fixed, 1)
	hours := s.Step.Hours()
	before := math.NaN()
	for i, d := range s.Values {
		at := s.At(i)
		if at.Before(p.Start) || !at.Before(p.End) {
			continue
		}
		end := at.Add(s.Step)
		planned := p.leastIn(at, end)
		reactive := p.Instances
		if !math.IsNaN(before) {
			reactive = max(1, int(math.Ceil(before/(reactiveTarget*p.PerInstance)-1e-9)))
		}
		if !math.IsNaN(d) {
			before = d
			out.Plan.count(d, float64(planned), p.hoursOf(at, end), hours, p.PerInstance)
			out.Reactive.count(d, float64(reactive), float64(reactive)*hours, hours, p.PerInstance)
			out.LastWeek.count(d, float64(fixed), float64(fixed)*hours, hours, p.PerInstance)
		}
	}
}

// hoursOf is the replica-hours of the plan inside [from, to).
func (p *ServicePlan) hoursOf(from, to time.Time) float64 {
	sum := 0.0
	at, n := from, p.InstancesAt(from)
	for _, s := range p.Steps {
		if s.At.After(from) && s.At.Before(to) {
			sum += float64(n) * s.At.Sub(at).Hours()
			at, n = s.At, s.To
		}
	}
	return sum + float64(n)*to.Sub(at).Hours()
}

func (o *Outcome) count(demand, instances, replicaHours, hours, capacity float64) {
	o.Hours += hours
	o.ReplicaHours += replicaHours
	if demand > instances*capacity {
		o.UnderHours += hours
	}
}
