package forecast

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/wxops/wxops/capacity"
)

// Stairs are the least costly way to carry a forecast: of all numbers of
// instances over its steps that obey the limits, those with the least sum of
// instance-hours and of what changes cost. They are found from the end of the
// plan backwards (dynamic programming over step and number of instances).
type stairs struct {
	p     *ServicePlan
	o     PlanOptions
	want  []int     // by step: instances at the target, or for the unlikely
	must  []int     // fewer leave the band, or do not carry the unlikely
	loose []int     // with so many and fewer the utilization is not below the band
	upper []float64 // upper end of the widest interval; nil without intervals
	level float64   // of that interval

	// In steps of the forecast; the last two are those without a change after one.
	lead               float64
	hold               int
	afterUp, afterDown int

	change, missing float64 // costs in instances x steps of the forecast

	choices []int       // numbers of instances, ascending
	cost    [][]float64 // by step and choice: the least from there to the end
	next    [][]uint16  // the choice that has it
}

const (
	// changeCost is what a change costs: the highest number of instances for so
	// many hours. On the hourly benchmark it makes 21 to 23 steps a week of the 30
	// to 39 that free changes take, at 1 % more of last week's replica-hours.
	changeCost = 0.25
	// missingCost makes a missing instance dearer than all others together.
	missingCost = 100
	// mostChoices bounds the numbers of instances that are tried: neighbours
	// closer than that part of the highest are one.
	mostChoices = 256
	// farthest is how many steps ahead a change may be meant for: two days of five
	// minutes.
	farthest = 576
)

func newStairs(p *ServicePlan, f *Forecast, o PlanOptions) (*stairs, error) {
	o.Lead = max(o.Lead, min(p.Demand.Step, rise))
	steps := func(span time.Duration) int { return int((span + p.Demand.Step - 1) / p.Demand.Step) }
	n := len(p.Demand.Values)
	w := &stairs{
		p: p, o: o, want: make([]int, n), must: make([]int, n), loose: make([]int, n),
		lead: float64(o.Lead) / float64(p.Demand.Step), hold: steps(o.Hold),
		afterUp: max(steps(o.Window), 1), afterDown: max(steps(o.Window+o.Lead), 1),
	}
	if k := len(f.Bands); k > 0 {
		w.upper, w.level = f.Bands[k-1].High, f.Bands[k-1].Level
	}
	above := 0
	for h, d := range p.Demand.Values {
		unlikely := 0.0
		if w.upper != nil {
			unlikely = w.upper[h] / guardUse // must still fit, at full use
		}
		want, must := max(d/o.Target, unlikely)/o.PerInstance, max(d/o.High, unlikely)/o.PerInstance
		if want > maxFleet {
			return nil, fmt.Errorf("%w: %q needs more than %g instances", ErrPlan, p.Service, float64(maxFleet))
		}
		w.want[h], w.must[h], w.loose[h] = w.allowed(want), w.allowed(must), int(min(d/o.Low/o.PerInstance, maxFleet))
		if o.Most > 0 && want > float64(o.Most) {
			above++
		}
	}
	if above > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("%d of %d steps need more than the %d instances allowed", above, n, o.Most))
	}
	w.choose()
	return w, nil
}

// allowed rounds a number of instances up to a batch, within the limits.
func (w *stairs) allowed(n float64) int {
	batches := math.Ceil(n/float64(w.o.Batch) - 1e-9)
	out := max(int(batches)*w.o.Batch, w.o.Least)
	if w.o.Most > 0 {
		out = min(out, w.o.Most)
	}
	return out
}

// choose lists the numbers of instances to choose from: what steps want, and
// between those what MostChange leads over; and sets the costs.
func (w *stairs) choose() {
	wants := slices.Compact(slices.Sorted(slices.Values(w.want)))
	slices.Reverse(wants)
	for _, n := range wants {
		if k := len(w.choices); k > 0 {
			last := w.choices[k-1]
			if (last-n)*mostChoices < wants[0] {
				continue
			}
			for c := w.o.MostChange; c > 0 && last-c > n && len(w.choices) < min(k+len(w.want), math.MaxUint16); {
				last -= c
				w.choices = append(w.choices, last)
			}
		}
		w.choices = append(w.choices, n)
	}
	slices.Reverse(w.choices)
	all := float64(wants[0])
	w.change = changeCost * all * float64(time.Hour) / float64(w.p.Demand.Step)
	w.missing = missingCost * (all + w.change)
}

// time is when the demand of step h begins.
func (w *stairs) time(h int) time.Time { return w.p.Demand.At(h) }

// mayRise and mayFall report whether a change for step h can be made at all.
func (w *stairs) mayRise(h int) bool {
	at := w.time(h).Add(-w.o.Lead)
	return at.After(w.p.Start) && !frozen(w.o.Freezes, at)
}

func (w *stairs) mayFall(h int) bool {
	return h > 0 && !w.o.ScaleOutOnly && !frozen(w.o.Freezes, w.time(h))
}

// rest is the first step at which there may be a change again after that of step h.
func (w *stairs) rest(h, from, to int) int {
	switch {
	case to < from:
		h += w.afterDown
	case w.o.MostChange > 0 && to-from == w.o.MostChange: // cut short: the climb goes on
		h++
	default:
		h += w.afterUp
	}
	return min(h, len(w.want))
}

// held is the cost of n instances in [h, until).
func (w *stairs) held(h, until, n int) float64 {
	sum := float64(n * (until - h))
	for ; h < until; h++ {
		if short := w.must[h] - n; short > 0 {
			sum += float64(short) * w.missing
		}
	}
	return sum
}

// solve fills cost and next. O(steps x choices x records), records being the
// choices worth a change: the highest that is wanted until some later step.
func (w *stairs) solve() {
	n := len(w.want)
	w.cost, w.next = make([][]float64, n+1), make([][]uint16, n)
	w.cost[n] = make([]float64, len(w.choices))
	used := max(w.afterUp, w.afterDown) + 1 // rows that later ones look at
	for h := n - 1; h >= 0; h-- {
		w.next[h] = make([]uint16, len(w.choices))
		if h+used <= n {
			w.cost[h], w.cost[h+used] = w.cost[h+used], nil
		} else {
			w.cost[h] = make([]float64, len(w.choices))
		}
		w.solveStep(h)
	}
}

// A change to a choice at some step, with its cost from there to the end without
// what depends on the choice before.
type change struct {
	choice int
	cost   float64
}

func (w *stairs) solveStep(h int) {
	least, loose := w.atLeast(highest(w.want, h-w.hold, h+1)), highest(w.loose, h, h+w.afterDown)
	to := func(j, until int) change {
		until = min(until, len(w.want))
		return change{j, w.change + w.held(h, until, w.choices[j]) + w.cost[until][j]}
	}
	var ups, downs []change
	for _, j := range w.records(h) {
		if w.mayRise(h) {
			ups = append(ups, to(j, h+w.afterUp))
		}
		if w.mayFall(h) && j >= least {
			downs = append(downs, to(j, h+w.afterDown))
		}
	}
	if w.mayFall(h) {
		downs = append(downs, to(least, h+w.afterDown))
	}
	most := w.o.MostChange
	for i, have := range w.choices {
		best, choice := w.held(h, h+1, have)+w.cost[h+1][i], i
		try := func(c change) {
			n := w.choices[c.choice]
			if most > 0 && (n > have+most || n < have-most) {
				return
			}
			if cost := c.cost + w.lead*float64(max(n-have, 0)); cost < best {
				best, choice = cost, c.choice
			}
		}
		for _, c := range ups {
			if c.choice > i {
				try(c)
			}
		}
		if most > 0 && w.mayRise(h) {
			if j := w.atLeast(have+most+1) - 1; j > i {
				try(to(j, w.rest(h, have, w.choices[j])))
			}
		}
		if have > loose {
			for _, c := range downs {
				if c.choice < i {
					try(c)
				}
			}
			if j := max(w.atLeast(have-most), least); most > 0 && w.mayFall(h) && j < i {
				try(to(j, h+w.afterDown))
			}
		}
		w.cost[h][i], w.next[h][i] = best, uint16(choice)
	}
}

// atLeast is the lowest choice of n instances or more; len(choices) if none is.
func (w *stairs) atLeast(n int) int {
	i, _ := slices.BinarySearch(w.choices, n)
	return i
}

// records are the choices that carry what is wanted from h to some later step,
// each step after the next change in turn.
func (w *stairs) records(h int) []int {
	var out []int
	top := w.atLeast(highest(w.want, h, h+min(w.afterUp, w.afterDown)))
	out = append(out, top)
	for until := min(h+farthest, len(w.want)); h < until && top+1 < len(w.choices); h++ {
		if i := w.atLeast(w.want[h]); i > top {
			top = i
			out = append(out, top)
		}
	}
	return out
}

// run writes the plan.
func (w *stairs) run() {
	w.solve()
	i := 0
	for j, c := range w.cost[0] {
		if c < w.cost[0][i] {
			i = j
		}
	}
	w.p.Instances = w.choices[i]
	var changed []int // steps
	for h := 0; h < len(w.want); {
		j := int(w.next[h][i])
		if j == i {
			h++
			continue
		}
		from, to := w.choices[i], w.choices[j]
		s := PlanStep{Service: w.p.Service, At: w.time(h), From: from, To: to}
		if to > from {
			s.At = s.At.Add(-w.o.Lead)
		}
		w.p.Steps, changed = append(w.p.Steps, s), append(changed, h)
		h, i = w.rest(h, from, to), j
	}
	for k := range w.p.Steps {
		s := &w.p.Steps[k]
		until := len(w.want)
		if k+1 < len(changed) {
			until = changed[k+1]
		}
		if s.To > s.From {
			s.Reason = w.whyUp(changed[k], until, s.From)
		} else {
			s.Reason = w.whyDown(changed[k], until, s.From)
		}
	}
}

// whyUp says what a step up for the demand in [h, until) is for.
func (w *stairs) whyUp(h, until, have int) string {
	early, due := "", h
	for due+1 < len(w.must) && w.must[due] <= have {
		due++
	}
	if due > h {
		switch {
		case slices.ContainsFunc(w.o.Freezes, func(f Freeze) bool { return f.From.Before(w.time(due)) && f.To.After(w.time(h).Add(-w.o.Lead)) }):
			early = "; early, because of a freeze"
		case w.o.MostChange > 0:
			early = fmt.Sprintf("; early, because at most %d change at a time", w.o.MostChange)
		default:
			early = fmt.Sprintf("; early, because steps are %s apart", spanText(w.o.Window))
		}
	}
	until = max(until, due+1)
	carried := float64(have) * w.p.PerInstance
	peak, at := w.peak(w.p.Demand.Values, h, until)
	if peak > w.o.High*carried || w.upper == nil {
		return fmt.Sprintf("demand rises to %s per second by %s, %.0f %% of what %d carry%s", capacity.Digits(peak, 3), w.name(at), 100*peak/carried, have, early)
	}
	peak, at = w.peak(w.upper, h, until)
	return fmt.Sprintf("demand may reach %s per second by %s (upper end of %g %%), %.0f %% of what %d carry%s", capacity.Digits(peak, 3), w.name(at), math.Round(w.level*1e4)/100, 100*peak/carried, have, early)
}

// whyDown says why fewer do in [h, until).
func (w *stairs) whyDown(h, until, have int) string {
	peak, _ := w.peak(w.p.Demand.Values, h, until)
	return fmt.Sprintf("demand stays at or below %s per second until %s, %.0f %% of what %d carry", capacity.Digits(peak, 3), w.name(until), 100*peak/(float64(have)*w.p.PerInstance), have)
}

// peak is the highest value of v in [from, until) and where it is first.
func (w *stairs) peak(v []float64, from, until int) (peak float64, at int) {
	peak, at = highest(v, from, until), from
	for at+1 < min(until, len(v)) && v[at] < peak {
		at++
	}
	return peak, at
}

// name says a time as people do: by its weekday where the plan has each once, and
// a day by its date in the zone that has it.
func (w *stairs) name(h int) string {
	switch {
	case w.p.Demand.Step >= oneDay:
		return w.time(h).In(w.p.Demand.wall().location()).Format("Mon 2 Jan")
	case w.p.End.Sub(w.p.Start) > 7*24*time.Hour:
		return w.time(h).Format("Mon 2 Jan 15:04")
	}
	return w.time(h).Format("Mon 15:04")
}
