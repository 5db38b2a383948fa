package capacity

import (
	"errors"
	"math"
	"strings"
	"testing"
)

func TestParseObjectiveReadsItsGrammar(t *testing.T) {
	for in, want := range map[string]string{
		"p99<50ms":                   "p99<50ms",
		"p99 <= 0.05s , errors<0.1%": "p99<=50ms,errors<0.1%",
		"P999<1s":                    "p99.9<1s",
		"p(99.9)<1.5s":               "p99.9<1.5s",
		"p(99)<200":                  "p99<200ms", // as k6 means it
		"p99.99<2s":                  "p99.99<2s",
		"p9999<2s":                   "p99.99<2s",
		"p975<2s":                    "p97.5<2s",
		"p950<2s":                    "p95<2s",
		"p1<2s":                      "p1<2s",
		"p99999<2s":                  "p99.999<2s",
		"p50<1ms,p99<50ms":           "p50<1ms,p99<50ms",
		"mean<10ms,max<=1s":          "mean<10ms,max<=1s",
		"avg<10ms":                   "mean<10ms",
		"errors<0.001":               "errors<0.1%",
		"errors<=100%":               "errors<=100%",
	} {
		o, err := ParseObjective(in)
		if err != nil || o.String() != want {
			t.Errorf("ParseObjective(%q) = %q, %v, want %q", in, o, err, want)
		}
	}
}

func TestParseObjectivePointsAtWhatItRefuses(t *testing.T) {
	for _, c := range []struct {
		in       string
		position int
		reason   string
	}{
		{"", 1, "empty term"},
		{"p99<50ms,", 10, "empty term"},
		{"p99>50ms", 4, "upper bound"},
		{"p99", 1, `no "<"`},
		{"p99<50", 5, "no unit"},
		{"p(99)<-200", 7, "not positive"},
		{"p(99)<nan", 7, "no duration"},
		{"p(99)<inf", 7, "no duration"},
		{"p99<", 5, "no duration"},
		{"p99<-5ms", 5, "not positive"},
		{"p99<50ms,  q95<1s", 12, "unknown"},
		{"p0<1s", 1, "slowest request is max"},
		{"p100<1s", 1, "p1 to p99.999"}, // not p10.0, though p999 is p99.9
		{"p99<1s, p101<1s", 9, "p1 to p99.999"},
		{"p500<1s", 1, "p1 to p99.999"},
		{"p(100)<1s", 1, "p1 to p99.999"},
		{"p(999)<1s", 1, "p1 to p99.999"},
		{"p999999<1s", 1, "p1 to p99.999"},
		{"p0.5<1s", 1, "p1 to p99.999"},
		{"p1e1<1s", 1, "unknown"},
		{"pinf<1s", 1, "unknown"},
		{"p99<50ms,errors<101%", 17, "outside"},
		{"errors<lots", 8, "neither"},
		{"p99<50ms,p99<=60ms", 10, "twice"},
		{"größe<1s", 1, "unknown"},
		{"p99<50ms,größe>1s", 15, "upper bound"},
	} {
		_, err := ParseObjective(c.in)
		var e *ObjectiveError
		switch {
		case !errors.As(err, &e):
			t.Errorf("%q: got %v, want an ObjectiveError", c.in, err)
		case e.Position != c.position || !strings.Contains(e.Reason, c.reason):
			t.Errorf("%q: position %d, %q; want %d, %q", c.in, e.Position, e.Reason, c.position, c.reason)
		}
	}
}

func TestTermMet(t *testing.T) {
	strict, loose := Term{Bound: 0.05, Strict: true}, Term{Bound: 0.05}
	for value, want := range map[float64][2]bool{0.04: {true, true}, 0.05: {false, true}, 0.06: {false, false}, math.NaN(): {false, false}} {
		if strict.Met(value) != want[0] || loose.Met(value) != want[1] {
			t.Errorf("Met(%v) = %v and %v, want %v", value, strict.Met(value), loose.Met(value), want)
		}
	}
}

func TestObjectiveFindsItsTerms(t *testing.T) {
	o, err := ParseObjective("max<1s,p99.9<80ms,errors<2%")
	if err != nil {
		t.Fatal(err)
	}
	latency, ok := o.Latency()
	if !ok || latency.Metric != "p99.9" || math.Abs(latency.Quantile-0.999) > 1e-12 || latency.Bound != 0.08 || o.ErrorRatio() != 0.02 {
		t.Errorf("latency %+v %v, errors %v", latency, ok, o.ErrorRatio())
	}
	if _, ok := (Objective{}).Latency(); ok || (Objective{}).ErrorRatio() != 1 {
		t.Error("an empty objective bounds something")
	}
}

// What is accepted is written so that it reads as the same objective, and what
// is refused is pointed at inside the text.
func FuzzParseObjective(f *testing.F) {
	for _, s := range []string{"p99<50ms,errors<0.1%", "p(99.9)<=1s", "mean<1h", "p99>1", "errors<NaN", "p99<ümläut", "p1e1<1s", "p99<1ns"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := ParseObjective(s)
		if err != nil {
			var e *ObjectiveError
			if !errors.As(err, &e) || e.Position < 1 || e.Position > len([]rune(s))+1 {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		again, err := ParseObjective(o.String())
		if err != nil || again.String() != o.String() {
			t.Fatalf("%q is written as %q, which reads as %q, %v", s, o, again, err)
		}
	})
}
