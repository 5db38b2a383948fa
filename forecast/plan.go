package forecast

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// ErrPlan is wrapped by every refusal of MakePlan and Replay.
var ErrPlan = errors.New("cannot plan")

// PlanOptions say how instances follow the demand. The zero value of an optional
// field means its default.
type PlanOptions struct {
	PerInstance  float64       // capacity of one instance, per second; positive
	Target       float64       // utilization planned for, in (0, 1]; default 0.55
	Low, High    float64       // band the utilization may move in before a step; default 0.50 and 0.60
	Lead         time.Duration // a step up comes so long before its demand; at least the start-up time
	Hold         time.Duration // a step down waits until the demand was low for so long; default 2h
	Batch        int           // instances come and go in multiples of it; default 1
	MostChange   int           // most instances of one step; 0: any number
	Least, Most  int           // of instances; default 1 and 0 (any number)
	Window       time.Duration // least time between two steps; default 2h
	Freezes      []Freeze      // no step begins inside; what they need comes before
	ScaleOutOnly bool          // never fewer
	Quantile     bool          // plan for the upper end of the first band instead of the median path
}

// A Freeze is a span in which nothing may change.
type Freeze struct {
	From, To time.Time
}

// A PlanStep changes the instances of a service at one time.
type PlanStep struct {
	Service     string
	At          time.Time
	From, To    int
	Reason      string
	Utilization float64 // expected at the peak until the next step
}

// A ServicePlan is the plan of one service.
type ServicePlan struct {
	Service      string
	Instances    int     // at the start
	LastWeekPeak float64 // highest value of the last 168 h
	Start, End   time.Time
	Step         time.Duration
	Demand       []float64 // planned for, by step
	Steps        []PlanStep
	PerInstance  float64
	Notes        []string // what could not be kept
}

func (o *PlanOptions) defaults() error {
	if o.Target == 0 {
		o.Target = 0.55
	}
	if o.Low == 0 && o.High == 0 {
		o.Low, o.High = max(o.Target-0.05, 0.01), min(o.Target+0.05, 1)
	}
	if o.Hold == 0 {
		o.Hold = 2 * time.Hour
	}
	if o.Window == 0 {
		o.Window = 2 * time.Hour
	}
	o.Batch, o.Least = max(o.Batch, 1), max(o.Least, 1)
	switch {
	case !(o.PerInstance > 0) || math.IsInf(o.PerInstance, 0):
		return fmt.Errorf("%w: capacity of an instance is %g, not a positive number", ErrPlan, o.PerInstance)
	case !(o.Target > 0 && o.Target <= 1):
		return fmt.Errorf("%w: target %g is outside (0, 1]", ErrPlan, o.Target)
	case !(o.Low > 0 && o.Low <= o.Target && o.Target <= o.High && o.High <= 1):
		return fmt.Errorf("%w: band %g to %g does not hold the target %g", ErrPlan, o.Low, o.High, o.Target)
	case o.Lead < 0 || o.Hold < 0 || o.Window < 0:
		return fmt.Errorf("%w: a negative time", ErrPlan)
	case o.Most > 0 && o.Most < o.Least:
		return fmt.Errorf("%w: at most %d and at least %d instances", ErrPlan, o.Most, o.Least)
	}
	return nil
}

// guardUse is the utilization that the upper end of the widest interval may
// reach. On the hourly benchmark 0.96 leaves 0.23 % of the hours under-provisioned
// at 70.8 % of the replica-hours of last week's peak + 66 %; 1 leaves 0.30 % at
// 70.0 %, and without the rule it was 0.67 %.
const guardUse = 0.96

// maxFleet bounds the instances of a plan; more is a mistake in the input.
const maxFleet = 1e15

// MakePlan turns a forecast into few dated steps. Each step of the forecast needs
// ceil(demand / (target * capacity)) instances; a step up comes Lead before the
// first step that needs it, and at once for the whole climb within the next
// Hold; a step down waits for Hold of low demand, so that a dip does not cost two
// steps (Scryer's rule: few, early, and late to leave).
func MakePlan(f *Forecast, o PlanOptions) (ServicePlan, error) {
	if err := o.defaults(); err != nil {
		return ServicePlan{}, err
	}
	step := f.Series.Step
	if step <= 0 {
		return ServicePlan{}, fmt.Errorf("%w: series %q has an index and no time", ErrPlan, f.Series.Name)
	}
	p := ServicePlan{Service: f.Series.Name, Start: f.At(1), End: f.At(len(f.Mean) + 1), Step: step, PerInstance: o.PerInstance}
	p.LastWeekPeak = lastWeekPeak(f.Series)
	p.Demand = f.Mean
	if o.Quantile && len(f.Bands) > 0 {
		p.Demand = f.Bands[0].High
	}
	need := make([]int, len(p.Demand))
	short := 0
	for h, d := range p.Demand {
		n := math.Ceil(d/(o.Target*o.PerInstance) - 1e-9)
		if k := len(f.Bands); k > 0 {
			// what is unlikely must still fit, at full use
			n = max(n, math.Ceil(f.Bands[k-1].High[h]/(guardUse*o.PerInstance)-1e-9))
		}
		if n > maxFleet {
			return ServicePlan{}, fmt.Errorf("%w: %q needs more than %g instances", ErrPlan, p.Service, float64(maxFleet))
		}
		need[h] = max(int(n), o.Least)
		need[h] = (need[h] + o.Batch - 1) / o.Batch * o.Batch
		if o.Most > 0 && need[h] > o.Most {
			need[h] = o.Most
			short++
		}
	}
	if short > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("%d of %d steps need more than the %d instances allowed", short, len(need), o.Most))
	}
	p.walk(need, o)
	return p, nil
}

// steps returns how many steps a span covers, rounded up.
func steps(span, step time.Duration) int { return int((span + step - 1) / step) }

// walk passes over the needs and writes the steps.
func (p *ServicePlan) walk(need []int, o PlanOptions) {
	lead, hold := steps(o.Lead, p.Step), max(steps(o.Hold, p.Step), 1)
	gap := max(steps(o.Window, p.Step), 1)
	highest := func(from, to int) int {
		best := 0
		for _, n := range need[max(from, 0):min(to, len(need))] {
			best = max(best, n)
		}
		return best
	}
	have := highest(0, lead+gap)
	p.Instances = have
	last := -gap // when the last step was made
	for h := 1; h < len(need); h++ {
		due := p.Start.Add(time.Duration(h) * p.Step)
		if frozen(o.Freezes, due) {
			continue
		}
		// Until the next step may come, and through a freeze that begins before.
		until := h + lead + gap
		for until < len(need) && frozen(o.Freezes, p.Start.Add(time.Duration(until-lead)*p.Step)) {
			until++
		}
		want := highest(h, until)
		switch {
		case want > have:
			// The climb that follows within Hold is taken in the same step as far as
			// the low end of the band allows now.
			most := int(math.Ceil(float64(want) * o.Target / o.Low))
			to := p.allowed(have, max(want, min(highest(h, until+hold), most)), o)
			p.step(&have, to, due, fmt.Sprintf("demand rises to %.4g per second by %s", p.peak(h, until), p.stamp(h, until)), h, until)
			last = h
		case want < have && !o.ScaleOutOnly && h-last >= gap && p.utilization(h, until, have) < o.Low:
			if calm := p.allowed(have, highest(max(h-hold, 0), until+hold), o); calm < have {
				p.step(&have, calm, due, fmt.Sprintf("demand stays below %.4g per second", p.peak(h, until+hold)), h, until)
				last = h
			}
		}
	}
}

// allowed moves from have towards to by at most one batch limit.
func (p *ServicePlan) allowed(have, to int, o PlanOptions) int {
	to = (to + o.Batch - 1) / o.Batch * o.Batch
	if o.MostChange > 0 {
		to = max(min(to, have+o.MostChange), have-o.MostChange)
	}
	if o.Most > 0 {
		to = min(to, o.Most)
	}
	return max(to, o.Least)
}

func (p *ServicePlan) peak(from, to int) float64 {
	best := 0.0
	for _, d := range p.Demand[max(from, 0):min(to, len(p.Demand))] {
		best = max(best, d)
	}
	return best
}

func (p *ServicePlan) stamp(from, to int) string {
	at, best := from, -1.0
	for h := from; h < min(to, len(p.Demand)); h++ {
		if p.Demand[h] > best {
			at, best = h, p.Demand[h]
		}
	}
	return p.Start.Add(time.Duration(at) * p.Step).Format("Mon 15:04")
}

func (p *ServicePlan) utilization(from, to, instances int) float64 {
	return p.peak(from, to) / (float64(instances) * p.PerInstance)
}

func (p *ServicePlan) step(have *int, to int, at time.Time, reason string, from, until int) {
	if to == *have {
		return
	}
	p.Steps = append(p.Steps, PlanStep{p.Service, at, *have, to, reason, p.utilization(from, until, to)})
	*have = to
}

func frozen(list []Freeze, at time.Time) bool {
	for _, f := range list {
		if !at.Before(f.From) && at.Before(f.To) {
			return true
		}
	}
	return false
}

// lastWeekPeak is the highest value of the last 168 h.
func lastWeekPeak(s Series) float64 {
	n := max(int(168*time.Hour/s.Step), 1)
	best := 0.0
	for _, v := range s.Values[max(0, len(s.Values)-n):] {
		if v > best {
			best = v
		}
	}
	return best
}

// InstancesAt returns the planned number at a time: that of the last step at or
// before it.
func (p *ServicePlan) InstancesAt(at time.Time) int {
	n := p.Instances
	for _, s := range p.Steps {
		if s.At.After(at) {
			break
		}
		n = s.To
	}
	return n
}

// LeastIn returns the least number of instances inside [from, to).
func (p *ServicePlan) LeastIn(from, to time.Time) int {
	n := p.InstancesAt(from)
	for _, s := range p.Steps {
		if s.At.After(from) && s.At.Before(to) {
			n = min(n, s.To)
		}
	}
	return n
}
