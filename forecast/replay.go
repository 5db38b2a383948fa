package forecast

import (
	"errors"
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

// ErrReplay is wrapped by every refusal of Replay.
var ErrReplay = errors.New("cannot replay")

// Replay scores a plan on what then happened. An hour, or a step where that is
// longer, is under-provisioned when the demand is above the least instances
// inside it times the capacity of one. "Last week" holds
// ceil(1.66 * peak of the last 168 h / capacity) all the time. Warnings name what
// of the plan could not be scored. The error wraps ErrReplay.
func Replay(plans []ServicePlan, actual []Series) (Scored, []Warning, error) {
	byName := map[string]Series{}
	for _, s := range actual {
		byName[s.Name] = s
	}
	var out Scored
	var warnings []Warning
	planned := map[string]bool{}
	for _, p := range plans {
		planned[p.Service] = true
		s, ok := byName[p.Service]
		if !ok {
			warnings = append(warnings, Warning{Series: p.Service, Kind: "series", Text: "the plan has it and the actual demand does not", Count: 1})
			continue
		}
		if s.Step <= 0 {
			return Scored{}, nil, fmt.Errorf("%w: actual series %q has an index and no time", ErrReplay, s.Name)
		}
		if p.PerInstance <= 0 {
			return Scored{}, nil, fmt.Errorf("%w: the plan of %q has no capacity of an instance", ErrReplay, p.Service)
		}
		before := out.Plan.Hours
		out.add(p, s)
		if hours, all := out.Plan.Hours-before, p.End.Sub(p.Start).Hours(); hours < 0.99*all {
			warnings = append(warnings, Warning{Series: p.Service, Kind: "partial", Text: fmt.Sprintf("the actual demand is known for %.4g of the %.4g hours of the plan, which goes from %s to %s", hours, all, p.Start.Format(time.RFC3339), p.End.Format(time.RFC3339)), Count: 1})
		}
		if s.Step > time.Hour {
			warnings = append(warnings, Warning{Series: p.Service, Kind: "step", Text: fmt.Sprintf("a value of the actual demand is the mean of %s, and is held against the least instances inside: give hours", spanText(s.Step)), Count: 1})
		}
	}
	warnings = append(warnings, unplanned(actual, planned)...)
	if out.Plan.Hours == 0 {
		return Scored{}, warnings, fmt.Errorf("%w: plan and actual demand share no service and no time", ErrReplay)
	}
	for _, o := range []*Outcome{&out.Plan, &out.Reactive, &out.LastWeek} {
		o.UnderProvision = o.UnderHours / o.Hours
	}
	return out, warnings, nil
}

// unplanned warns, once for all, of series that no plan is for.
func unplanned(actual []Series, planned map[string]bool) []Warning {
	n, first := 0, ""
	for _, s := range actual {
		if !planned[s.Name] {
			if n++; n == 1 {
				first = s.Name
			}
		}
	}
	if n == 0 {
		return nil
	}
	return []Warning{{Kind: "series", Text: fmt.Sprintf("%d series of the actual demand are not in the plan, the first is %q; left out", n, first), Count: n}}
}

func (out *Scored) add(p ServicePlan, s Series) {
	fixed := p.LastWeekHabit()
	before := math.NaN()
	for i, d := range s.Values {
		at := s.At(i)
		if at.Before(p.Start) || !at.Before(p.End) {
			continue
		}
		end := s.At(i + 1)
		hours := end.Sub(at).Hours()
		planned := p.leastIn(at, end)
		reactive := p.Instances
		if !math.IsNaN(before) {
			reactive = max(1, int(math.Ceil(before/(reactiveTarget*p.PerInstance)-1e-9)))
		}
		if !math.IsNaN(d) {
			before = d
			out.Plan.count(d, float64(planned), p.ReplicaHours(at, end), hours, p.PerInstance)
			out.Reactive.count(d, float64(reactive), float64(reactive)*hours, hours, p.PerInstance)
			out.LastWeek.count(d, float64(fixed), float64(fixed)*hours, hours, p.PerInstance)
		}
	}
}

// ReplicaHours are the instances of the plan times hours inside [from, to).
func (p *ServicePlan) ReplicaHours(from, to time.Time) float64 {
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

// LastWeekHabit is how many instances the practice that plans replace would hold.
func (p *ServicePlan) LastWeekHabit() int {
	return max(int(math.Ceil(lastWeekMargin*p.LastWeekPeak/p.PerInstance-1e-9)), 1)
}

func (o *Outcome) count(demand, instances, replicaHours, hours, capacity float64) {
	o.Hours += hours
	o.ReplicaHours += replicaHours
	if demand > instances*capacity {
		o.UnderHours += hours
	}
}
