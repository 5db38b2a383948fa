package forecast

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// given is a forecast of exactly this demand.
func given(demand []float64) *Forecast {
	return &Forecast{Series: hourly(200, func(int) float64 { return 100 }), Mean: demand}
}

func day(h int) float64 { return 1000 - 600*math.Cos(float64(h)/24*2*math.Pi) }

func demandOf(n int) []float64 {
	out := make([]float64, n)
	for h := range out {
		out[h] = day(h)
	}
	return out
}

// What is planned for is met in every step, with few changes.
func TestPlanCarriesItsDemand(t *testing.T) {
	f := given(demandOf(168))
	p, err := MakePlan(f, PlanOptions{PerInstance: 50})
	if err != nil {
		t.Fatal(err)
	}
	for h, d := range f.Mean {
		at := p.Start.Add(time.Duration(h) * time.Hour)
		if n := p.leastIn(at, at.Add(time.Hour)); d > float64(n)*50*0.60 {
			t.Errorf("hour %d: %g per second on %d instances of 50", h, d, n)
		}
	}
	if len(p.Steps) > 7*14 {
		t.Errorf("%d steps in a week", len(p.Steps))
	}
	from := p.Instances
	for i, s := range p.Steps {
		if s.From != from || s.To == s.From || s.Reason == "" || i > 0 && !s.At.After(p.Steps[i-1].At) {
			t.Fatalf("step %d: %+v after %d instances", i, s, from)
		}
		from = s.To
	}
}

// A change costs a quarter of an hour of the fleet also where a step is a day: a
// weekend below the band is worth two of them.
func TestPlanOfDaysLeavesAtTheWeekend(t *testing.T) {
	demand := make([]float64, 28)
	for d := range demand {
		demand[d] = 1320
		if d%7 > 4 {
			demand[d] = 1020
		}
	}
	f := &Forecast{Series: Series{Name: "x", Start: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), Step: oneDay, Values: demand}, Mean: demand}
	p, err := MakePlan(f, PlanOptions{PerInstance: 100})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Steps) != 7 { // the first weekend has no step after its last day
		downs := 0
		for _, s := range p.Steps {
			if s.To < s.From {
				downs++
			}
		}
		t.Errorf("%d steps, %d of them down, in four weeks with a weekend each", len(p.Steps), downs)
	}
}

func TestPlanKeepsItsLimits(t *testing.T) {
	f := given(demandOf(168))
	freeze := Freeze{f.At(30), f.At(60)}
	p, err := MakePlan(f, PlanOptions{PerInstance: 50, Least: 20, Most: 45, Batch: 5, MostChange: 10, Freezes: []Freeze{freeze}})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Notes) == 0 {
		t.Error("nothing is said of the demand that passes the limit")
	}
	for _, s := range p.Steps {
		if s.To < 20 || s.To > 45 || s.To%5 != 0 || s.To-s.From > 10 || s.From-s.To > 10 || frozen([]Freeze{freeze}, s.At) {
			t.Errorf("step %+v", s)
		}
	}
	p, err = MakePlan(f, PlanOptions{PerInstance: 50, ScaleOutOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Steps {
		if s.To < s.From {
			t.Errorf("scale-out-only goes down: %+v", s)
		}
	}
}

// Two steps are never closer than Window, a step up comes Lead before the demand
// that leaves the band, and within the band there is no step at all.
func TestPlanKeepsItsDistances(t *testing.T) {
	f := given(demandOf(168))
	for _, lead := range []time.Duration{0, 10 * time.Minute, 95 * time.Minute, 5 * time.Hour} {
		for _, window := range []time.Duration{time.Hour, 3 * time.Hour, 12 * time.Hour} {
			p, err := MakePlan(f, PlanOptions{PerInstance: 50, Lead: lead, Window: window})
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Steps) == 0 || len(p.Notes) > 0 {
				t.Fatalf("lead %s, window %s: %d steps, notes %v", lead, window, len(p.Steps), p.Notes)
			}
			for i, s := range p.Steps {
				if i > 0 && s.At.Sub(p.Steps[i-1].At) < window {
					t.Errorf("window %s: steps at %s and %s", window, p.Steps[i-1].At, s.At)
				}
			}
			// Demand above the band on what is there needs a step that long before.
			for h, d := range f.Mean {
				from := p.Start.Add(time.Duration(h) * time.Hour)
				early := from.Add(-max(lead, time.Hour))
				if early.Before(p.Start) {
					continue
				}
				if n := p.leastIn(early, from.Add(time.Hour)); d > float64(n)*50*0.60*(1+1e-9) && p.InstancesAt(early) < p.InstancesAt(from) {
					t.Errorf("lead %s: %d instances at %s for the %g per second of hour %d", lead, n, early, d, h)
				}
			}
		}
	}
	flat := given(slices.Repeat([]float64{560, 590, 520}, 40))
	p, err := MakePlan(flat, PlanOptions{PerInstance: 10, Target: 0.55, Low: 0.45, High: 0.60})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Steps) > 0 {
		t.Errorf("steps inside the band: %+v", p.Steps)
	}
}

// With few instances at a time the climb begins early, and before a freeze that
// would be in its way; what cannot be kept is said.
func TestPlanClimbsEarlyWhereItIsHeldBack(t *testing.T) {
	f := given(demandOf(72))
	freeze := Freeze{f.At(30), f.At(37)} // the climb of the second day
	p, err := MakePlan(f, PlanOptions{PerInstance: 50, Batch: 3, MostChange: 4, Freezes: []Freeze{freeze}})
	if err != nil {
		t.Fatal(err)
	}
	for h, d := range f.Mean {
		at := p.Start.Add(time.Duration(h) * time.Hour)
		if n := p.leastIn(at, at.Add(time.Hour)); d > float64(n)*50*0.60 {
			t.Errorf("hour %d: %g per second on %d instances", h, d, n)
		}
	}
	early := false
	for _, s := range p.Steps {
		if c := s.To - s.From; c > 3 || c < -3 || s.To%3 != 0 || frozen([]Freeze{freeze}, s.At) {
			t.Errorf("step %+v", s)
		}
		early = early || strings.Contains(s.Reason, "early")
	}
	if !early || len(p.Notes) > 0 {
		t.Errorf("no step says that it is early, or notes %v", p.Notes)
	}
	p, err = MakePlan(f, PlanOptions{PerInstance: 50, Most: 20})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Notes) != 2 || !strings.Contains(p.Notes[1], "160 %") { // 1600 per second on 20 x 50
		t.Errorf("notes %q", p.Notes)
	}
}

// Utilization is that at the peak between a step and the next, by brute force.
func TestPlanExpectsTheUtilizationItHas(t *testing.T) {
	f := given(demandOf(168))
	p, err := MakePlan(f, PlanOptions{PerInstance: 50})
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range p.Steps {
		end := p.End
		if i+1 < len(p.Steps) {
			end = p.Steps[i+1].At
		}
		peak := 0.0
		for at := s.At; at.Before(end); at = at.Add(time.Minute) {
			peak = max(peak, f.Mean[int(at.Sub(p.Start)/time.Hour)])
		}
		if want := peak / float64(50*s.To); math.Abs(s.Utilization-want) > 1e-12 {
			t.Errorf("step %d expects %v, want %v", i, s.Utilization, want)
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	f := given(demandOf(24))
	for name, o := range map[string]PlanOptions{
		"capacity":   {},
		"infinite":   {PerInstance: math.Inf(1)},
		"target":     {PerInstance: 1, Target: 1.5},
		"band":       {PerInstance: 1, Target: 0.5, Low: 0.6, High: 0.7},
		"lead":       {PerInstance: 1, Lead: -1},
		"batch":      {PerInstance: 1, Batch: -2},
		"least":      {PerInstance: 1, Least: -1},
		"most":       {PerInstance: 1, Most: -1},
		"limits":     {PerInstance: 1, Least: 5, Most: 4},
		"no batches": {PerInstance: 1, Least: 6, Most: 9, Batch: 5},
		"change":     {PerInstance: 1, MostChange: 4, Batch: 5},
	} {
		if _, err := MakePlan(f, o); !errors.Is(err, ErrPlan) {
			t.Errorf("%s: %v, want ErrPlan", name, err)
		}
	}
}

// By hand: capacity 10, plan of 2 instances for 4 hours, last week's peak 10:
// ceil(16.6/10) = 2 instances; reactive 2 (start), then ceil(5/6), ceil(25/6)...
func TestReplayCountsByHand(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p := ServicePlan{
		Service: "a", Instances: 2, LastWeekPeak: 10, PerInstance: 10, Start: start, End: start.Add(4 * time.Hour),
		Steps: []PlanStep{{Service: "a", At: start.Add(150 * time.Minute), From: 2, To: 4}},
	}
	actual := Series{Name: "a", Start: start, Step: time.Hour, Values: []float64{5, 25, 15, 38}}
	got, _, err := Replay([]ServicePlan{p}, []Series{actual})
	if err != nil {
		t.Fatal(err)
	}
	want := Scored{
		Plan:     Outcome{ReplicaHours: 2 + 2 + 3 + 4, UnderHours: 1, Hours: 4, UnderProvision: 0.25},
		Reactive: Outcome{ReplicaHours: 2 + 1 + 5 + 3, UnderHours: 2, Hours: 4, UnderProvision: 0.5},
		LastWeek: Outcome{ReplicaHours: 8, UnderHours: 2, Hours: 4, UnderProvision: 0.5},
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// Random plans and demands, scored minute by minute.
func TestReplayAgreesWithBruteForce(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 9))
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 200 {
		hours := 3 + rng.IntN(40)
		p := ServicePlan{Service: "a", Instances: 1 + rng.IntN(9), LastWeekPeak: 100 * rng.Float64(), PerInstance: 10, Start: start, End: start.Add(time.Duration(hours) * time.Hour)}
		at, have := start, p.Instances
		for range rng.IntN(6) {
			if at = at.Add(time.Duration(1+rng.IntN(300)) * time.Minute); !at.Before(p.End) {
				break
			}
			to := 1 + rng.IntN(12)
			p.Steps = append(p.Steps, PlanStep{Service: "a", At: at, From: have, To: to})
			have = to
		}
		demand := make([]float64, hours+4) // two hours before the plan, two after it
		for i := range demand {
			demand[i] = 100 * rng.Float64()
			if rng.IntN(10) == 0 {
				demand[i] = math.NaN()
			}
		}
		var want Scored
		before := math.NaN()
		for h := range hours {
			d := demand[h+2]
			least, used := math.MaxInt, 0.0
			for m := range 60 {
				now := start.Add(time.Duration(h)*time.Hour + time.Duration(m)*time.Minute)
				planned := p.Instances
				for _, s := range p.Steps {
					if !s.At.After(now) {
						planned = s.To
					}
				}
				least, used = min(least, planned), used+float64(planned)/60
			}
			reactive := p.Instances
			if !math.IsNaN(before) {
				reactive = max(1, int(math.Ceil(before/6)))
			}
			if math.IsNaN(d) {
				continue
			}
			before = d
			for _, c := range []struct {
				o         *Outcome
				instances int
				hours     float64
			}{
				{&want.Plan, least, used},
				{&want.Reactive, reactive, float64(reactive)},
				{&want.LastWeek, max(1, int(math.Ceil(1.66*p.LastWeekPeak/10))), math.Ceil(max(1.66*p.LastWeekPeak/10, 1e-9))},
			} {
				c.o.Hours++
				c.o.ReplicaHours += c.hours
				if d > 10*float64(c.instances) {
					c.o.UnderHours++
				}
			}
		}
		got, _, err := Replay([]ServicePlan{p}, []Series{{Name: "a", Start: start.Add(-2 * time.Hour), Step: time.Hour, Values: demand}})
		if err != nil {
			t.Fatal(err)
		}
		for what, pair := range map[string][2]Outcome{"plan": {got.Plan, want.Plan}, "reactive": {got.Reactive, want.Reactive}, "last week": {got.LastWeek, want.LastWeek}} {
			if g, w := pair[0], pair[1]; math.Abs(g.ReplicaHours-w.ReplicaHours) > 1e-6 || g.UnderHours != w.UnderHours || g.Hours != w.Hours || math.Abs(g.UnderProvision-w.UnderHours/w.Hours) > 1e-12 {
				t.Fatalf("%s is %+v, want %+v, of %+v", what, g, w, p)
			}
		}
	}
}

// A climb is a small planning problem that can be solved by trying everything:
// a few steps of demand, an instance carries 10, changes come whole hours apart.
type climb struct {
	f      *Forecast
	demand []float64
	o      PlanOptions
	top    int // instances for the highest demand
}

func randomClimb(rng *rand.Rand) climb {
	c := climb{demand: make([]float64, 3+rng.IntN(4))}
	for h := range c.demand {
		c.demand[h] = float64(1 + rng.IntN(40))
	}
	c.f = given(c.demand)
	c.o = PlanOptions{PerInstance: 10, Target: 1, Low: 0.8, High: 1, Lead: time.Hour, Hold: time.Duration(1+rng.IntN(2)) * time.Hour, Window: time.Duration(1+rng.IntN(2)) * time.Hour}
	if rng.IntN(3) == 0 {
		c.o.Freezes = []Freeze{{c.f.At(2), c.f.At(2 + rng.IntN(3))}}
	}
	if rng.IntN(3) == 0 {
		c.o.MostChange = 1 + rng.IntN(2)
	}
	c.o.ScaleOutOnly = rng.IntN(4) == 0
	for h := range c.demand {
		c.top = max(c.top, c.need(h))
	}
	return c
}

func (c climb) need(h int) int { return int(math.Ceil(c.demand[h]/10 - 1e-9)) }

// cost of a path of instances by step of demand; false where a rule is broken.
func (c climb) cost(path []int) (float64, bool) {
	change := changeCost * float64(c.top)
	sum, last, cut := 0.0, -99, false
	for h, have := range path {
		sum += float64(have) + missingCost*(float64(c.top)+change)*float64(max(c.need(h)-have, 0))
		if h == 0 || have == path[h-1] {
			continue
		}
		rest := int(c.o.Window / time.Hour)
		if last >= 0 && path[last] < path[last-1] {
			rest++ // a step up comes an hour early
		}
		if h-last < rest && !cut || !c.allowed(h, path[h-1], have) {
			return 0, false
		}
		last, cut = h, c.o.MostChange > 0 && have-path[h-1] == c.o.MostChange
		sum += change + float64(max(have-path[h-1], 0))
	}
	return sum, true
}

// allowed reports whether the instances may change for step h, apart from when
// they changed before.
func (c climb) allowed(h, from, to int) bool {
	at, most := c.f.At(h+1), c.o.MostChange
	if most > 0 && (to-from > most || from-to > most) {
		return false
	}
	if to > from {
		at = at.Add(-time.Hour)
		return at.After(c.f.At(1)) && !frozen(c.o.Freezes, at)
	}
	ahead := c.demand[h:min(len(c.demand), h+int(c.o.Window/time.Hour)+1)]
	if c.o.ScaleOutOnly || int(slices.Max(ahead)/8) >= from {
		return false
	}
	for j := max(0, h-int(c.o.Hold/time.Hour)); j <= h; j++ {
		if c.need(j) > to {
			return false
		}
	}
	return !frozen(c.o.Freezes, at)
}

// cheapest tries every path.
func (c climb) cheapest() float64 {
	best, path := math.Inf(1), make([]int, len(c.demand))
	for k := range int(math.Pow(float64(c.top), float64(len(path)))) {
		for h := range path {
			path[h] = 1 + k%c.top
			k /= c.top
		}
		if cost, ok := c.cost(path); ok {
			best = min(best, cost)
		}
	}
	return best
}

// path of a plan.
func (c climb) path(p ServicePlan) []int {
	path := make([]int, len(c.demand))
	for h := range path {
		path[h] = p.Instances
		for _, s := range p.Steps {
			due := s.At
			if s.To > s.From {
				due = due.Add(time.Hour)
			}
			if !due.After(c.f.At(h + 1)) {
				path[h] = s.To
			}
		}
	}
	return path
}

// Every way to have instances over a few steps is tried, with each number of
// instances at each step; none that obeys the rules may be cheaper than the plan,
// and the plan must be one of them.
func TestPlanIsTheCheapestOfAll(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		c := randomClimb(rng)
		p, err := MakePlan(c.f, c.o)
		if err != nil {
			t.Fatal(err)
		}
		path, best := c.path(p), c.cheapest()
		if cost, ok := c.cost(path); !ok || cost > best+1e-9 {
			t.Fatalf("demand %v, %+v: the plan %v costs %v (allowed %v), the cheapest %v", c.demand, c.o, path, cost, ok, best)
		}
	}
}
