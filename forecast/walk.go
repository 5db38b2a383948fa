package forecast

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/wxops/wxops/capacity"
)

// A walk passes over the steps of a forecast and writes the steps of a plan.
type walk struct {
	p     *ServicePlan
	o     PlanOptions
	alone []int     // must, without what MostChange makes of it
	want  []int     // instances at the target, or for the unlikely
	must  []int     // fewer leave the band, or do not carry the unlikely
	upper []float64 // upper end of the widest interval; nil without intervals
	level float64   // of that interval

	lead, hold, gap int // in steps of the forecast, rounded up
	have            int
	last            int  // where the last step was made
	short           bool // the last step was cut by MostChange
}

// leastCut is the share of the instances that a step down frees at least: less
// is not worth a change.
const leastCut = 0.05

func newWalk(p *ServicePlan, f *Forecast, o PlanOptions) (*walk, error) {
	o.Lead = max(o.Lead, min(p.Step, rise))
	steps := func(span time.Duration) int { return int((span + p.Step - 1) / p.Step) }
	w := &walk{
		p: p, o: o, want: make([]int, len(p.Demand)), must: make([]int, len(p.Demand)),
		lead: steps(o.Lead), hold: max(steps(o.Hold), 1), gap: max(steps(o.Window), 1),
	}
	if k := len(f.Bands); k > 0 {
		w.upper, w.level = f.Bands[k-1].High, f.Bands[k-1].Level
	}
	above := 0
	for h, d := range p.Demand {
		unlikely := 0.0
		if w.upper != nil {
			unlikely = w.upper[h] / guardUse // must still fit, at full use
		}
		want, must := max(d/o.Target, unlikely)/o.PerInstance, max(d/o.High, unlikely)/o.PerInstance
		if want > maxFleet {
			return nil, fmt.Errorf("%w: %q needs more than %g instances", ErrPlan, p.Service, float64(maxFleet))
		}
		w.want[h], w.must[h] = w.allowed(want), w.allowed(must)
		if o.Most > 0 && want > float64(o.Most) {
			above++
		}
	}
	if above > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("%d of %d steps need more than the %d instances allowed", above, len(w.want), o.Most))
	}
	w.alone = slices.Clone(w.must)
	if o.MostChange > 0 { // a steeper climb begins earlier, and before a freeze
		for h := len(w.want) - 1; h > 0; h-- {
			most := o.MostChange
			if frozen(o.Freezes, w.time(h).Add(-o.Lead)) {
				most = 0
			}
			w.want[h-1] = max(w.want[h-1], w.want[h]-most)
			w.must[h-1] = max(w.must[h-1], w.must[h]-most)
		}
	}
	return w, nil
}

// allowed rounds a number of instances up to a batch, within the limits.
func (w *walk) allowed(n float64) int {
	batches := math.Ceil(n/float64(w.o.Batch) - 1e-9)
	out := max(int(batches)*w.o.Batch, w.o.Least)
	if w.o.Most > 0 {
		out = min(out, w.o.Most)
	}
	return out
}

// toward moves from what there is to n, by at most MostChange.
func (w *walk) toward(n int) int {
	if c := w.o.MostChange; c > 0 {
		n = max(min(n, w.have+c), w.have-c)
	}
	return n
}

// time is when the demand of step h begins.
func (w *walk) time(h int) time.Time { return w.p.Start.Add(time.Duration(h) * w.p.Step) }

// beyond is the first step after h whose demand another step up can still meet:
// not before gap, and not out of a freeze.
func (w *walk) beyond(h int) int {
	until := h + w.gap
	for until < len(w.want) && frozen(w.o.Freezes, w.time(until).Add(-w.o.Lead)) {
		until++
	}
	return until
}

func (w *walk) run() {
	w.have = highest(w.want, 0, max(w.beyond(0), w.lead+1))
	w.p.Instances = w.have
	w.last = -w.gap
	for h := 1; h < len(w.want); h++ {
		if h-w.last < w.gap && !w.short {
			continue
		}
		if due := w.time(h).Add(-w.o.Lead); !frozen(w.o.Freezes, due) && due.After(w.p.Start) {
			w.up(h, due)
		}
		if w.last != h && !frozen(w.o.Freezes, w.time(h)) {
			w.down(h)
		}
	}
}

// up makes the step that the demand from h on must have. The climb that follows
// within Hold is taken with it as far as the low end of the band allows now.
func (w *walk) up(h int, due time.Time) {
	until := w.beyond(h)
	if highest(w.must, h, h+1) <= w.have && (until == h+w.gap || highest(w.must, h, until) <= w.have) {
		return
	}
	want := highest(w.want, h, until)
	if want <= w.have {
		return
	}
	most := w.allowed(float64(want) * w.o.Target / w.o.Low)
	to := w.toward(max(want, min(highest(w.want, h, until+w.hold), most)))
	w.short = to < want
	w.step(h, due, to, w.why(h, until))
}

// why says what a step up for the demand in [h, until) is for.
func (w *walk) why(h, until int) string {
	early := ""
	if highest(w.alone, h, until) <= w.have { // the climb is later
		for h < len(w.alone) && w.alone[h] <= w.have {
			h++
		}
		until = h + w.gap
		early = fmt.Sprintf("; early, because at most %d change at a time", w.o.MostChange)
	}
	carried := float64(w.have) * w.p.PerInstance
	peak, at := w.peak(w.p.Demand, h, until)
	if peak > w.o.High*carried || w.upper == nil {
		return fmt.Sprintf("demand rises to %s per second by %s, %.0f %% of what %d carry%s", capacity.Digits(peak, 3), w.name(at), 100*peak/carried, w.have, early)
	}
	peak, at = w.peak(w.upper, h, until)
	return fmt.Sprintf("demand may reach %s per second by %s (upper end of %g %%), %.0f %% of what %d carry%s", capacity.Digits(peak, 3), w.name(at), math.Round(w.level*1e4)/100, 100*peak/carried, w.have, early)
}

// down makes a step when the utilization is below the band and nothing in Hold
// before and after needs as many.
func (w *walk) down(h int) {
	until := w.beyond(h) + w.lead
	if w.o.ScaleOutOnly || h-w.last < w.gap {
		return
	}
	peak, _ := w.peak(w.p.Demand, h, until)
	if peak >= w.o.Low*float64(w.have)*w.p.PerInstance {
		return
	}
	to := w.toward(highest(w.want, max(h-w.hold, 0), until+w.hold))
	if float64(w.have-to) < leastCut*float64(w.have) {
		return
	}
	peak, _ = w.peak(w.p.Demand, h, until+w.hold)
	w.short = false
	w.step(h, w.time(h), to, fmt.Sprintf("demand stays at or below %s per second until %s, %.0f %% of what %d carry", capacity.Digits(peak, 3), w.name(min(until+w.hold, len(w.want))), 100*peak/(float64(w.have)*w.p.PerInstance), w.have))
}

func (w *walk) step(h int, at time.Time, to int, reason string) {
	w.p.Steps = append(w.p.Steps, PlanStep{Service: w.p.Service, At: at, From: w.have, To: to, Reason: reason})
	w.have, w.last = to, h
}

// peak is the highest value of v in [from, until) and where it is first.
func (w *walk) peak(v []float64, from, until int) (peak float64, at int) {
	peak, at = highest(v, from, until), from
	for at+1 < min(until, len(v)) && v[at] < peak {
		at++
	}
	return peak, at
}

// name says a time as people do, within the plan.
func (w *walk) name(h int) string {
	if w.p.Step >= 24*time.Hour {
		return w.time(h).Format("Mon 2 Jan")
	}
	return w.time(h).Format("Mon 15:04")
}
