package forecast

import (
	"math"
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
		if n := p.LeastIn(at, at.Add(time.Hour)); d > float64(n)*50*0.60 {
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

func TestExportsNameEveryStep(t *testing.T) {
	f := given(demandOf(48))
	p, err := MakePlan(f, PlanOptions{PerInstance: 50})
	if err != nil {
		t.Fatal(err)
	}
	for form, each := range map[string]string{"keda": "type: cron", "hpa-cron": "targetSize:", "aws": "aws autoscaling", "nomad": "nomad job scale", "terraform": "resource ", "csv": "a,2026", "markdown": "| a |"} {
		var b strings.Builder
		if err := Export(&b, form, []ServicePlan{p}); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(b.String(), each); n < len(p.Steps) || n > len(p.Steps)+1 {
			t.Errorf("%s has %d of %q for %d steps", form, n, each, len(p.Steps))
		}
	}
}
