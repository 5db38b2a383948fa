package forecast

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// odd returns the kinds of warnings of hourly values, each with its text.
func odd(t *testing.T, values []float64) map[string]string {
	t.Helper()
	var b strings.Builder
	b.WriteString("series,t,value\n")
	for i, v := range values {
		at := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Hour)
		fmt.Fprintf(&b, "s,%s,%g\n", at.Format(time.RFC3339), v)
	}
	_, warnings, err := read(t, ReadOptions{}, b.String())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, w := range warnings {
		out[w.Kind] = w.Text
	}
	return out
}

// load is a daily wave with noise over so many days.
func load(days int) []float64 {
	rng := rand.New(rand.NewPCG(3, 4))
	out := make([]float64, 24*days)
	for i := range out {
		out[i] = 100 + 40*math.Sin(2*math.Pi*float64(i)/24) + 4*rng.NormFloat64()
	}
	return out
}

func TestSpikesAndLevelShiftsAreWarnedOf(t *testing.T) {
	if got := odd(t, load(40)); len(got) != 0 {
		t.Errorf("a calm history: %v", got)
	}
	v := load(40)
	v[500], v[700] = 900, 1200
	if got := odd(t, v); len(got) != 1 || !strings.Contains(got["spike"], "2 values") || !strings.Contains(got["spike"], "2026-03-31T04:00:00Z") {
		t.Errorf("two spikes: %v", got)
	}
	v = load(40)
	for i := range v[:24*25] {
		v[i] /= 3
	}
	if got := odd(t, v); len(got) != 1 || !strings.Contains(got["level"], "2026-03-27T") {
		t.Errorf("a shift after 25 days: %v", got)
	}
	v = load(40) // a job that runs once a day is no spike, a weekend no shift
	for i := range v {
		if i%24 == 3 {
			v[i] += 500
		}
		if i/24%7 >= 5 {
			v[i] /= 2
		}
	}
	if got := odd(t, v); len(got) != 0 {
		t.Errorf("a nightly job and weekends: %v", got)
	}
}

// Far beyond what was tested, a day's peak stays near the upper end of its
// steps: it grew by 5 % a day, to fifteen times the history at day 100.
func TestDayPeaksOfAFarHorizonStayNearTheIntervals(t *testing.T) {
	s := Series{Name: "s", Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Step: time.Hour, Values: load(8)}
	f, err := New(s, Options{Horizon: 3000})
	if err != nil {
		t.Fatal(err)
	}
	for h := 0; h+24 <= len(f.Mean); h += 24 {
		if high := highest(f.Bands[1].High, h, h+24); f.PeakQ95[h] > 1.3*high || f.PeakQ95[h] < highest(f.Mean, h, h+24) {
			t.Fatalf("step %d: peak %.4g, upper end %.4g", h, f.PeakQ95[h], high)
		}
	}
}
