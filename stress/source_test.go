package stress

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// scripted gives the readings of a list, one a call; a zero At is a failure.
type scripted struct {
	name     string
	readings []Reading
	closed   bool
}

var errScripted = errors.New("no answer")

func (s *scripted) Name() string { return s.name }
func (s *scripted) Close() error { s.closed = true; return nil }
func (s *scripted) Read(context.Context) (Reading, error) {
	r := s.readings[0]
	s.readings = s.readings[1:]
	if r.At.IsZero() {
		return r, errScripted
	}
	return r, nil
}

func reading(at time.Time, change func(*Reading)) Reading {
	r := Reading{At: at, Sample: Unmeasured(), Excess: math.NaN()}
	r.Sample.Window = time.Second
	change(&r)
	return r
}

func TestMeterPrefersTheFirstSourceAndTheHighestBacklog(t *testing.T) {
	start := time.Unix(100, 0)
	at := start.Add(3 * time.Second)
	metrics := &scripted{name: "metrics", readings: []Reading{reading(at, func(r *Reading) {
		r.Sample.P99, r.Sample.Mean, r.Sample.Throughput, r.Sample.Backlog = 0.08, 0.02, 100, 3
	})}}
	registry := &scripted{name: "registry", readings: []Reading{reading(at, func(r *Reading) {
		r.Sample.Mean, r.Sample.Throughput, r.Sample.Share, r.Sample.Backlog, r.Excess = 0.03, 99, 0.4, 5, 50
	})}}
	process := &scripted{name: "process", readings: []Reading{reading(at, func(r *Reading) { r.Sample.CPU = 0.7 })}}
	now := at.Add(10 * time.Millisecond)
	m := NewMeter(start, 2*time.Second, func() time.Time { return now }, metrics, registry, process)
	s, states, err := m.Window(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Unmeasured()
	want.End, want.Window, want.Age = 3*time.Second, time.Second, 10*time.Millisecond
	want.P99, want.Mean, want.Throughput, want.Share, want.CPU, want.Backlog = 0.08, 0.02, 100, 0.4, 0.7, 50
	if !sameSample(s, want) {
		t.Errorf("got %+v\nwant %+v", s, want)
	}
	if !states[1].Fired || states[0].Fired || states[2].Fired {
		t.Errorf("states %+v: the backlog of the registry is the one in force", states)
	}
	if err := m.Close(); err != nil || !metrics.closed || !registry.closed || !process.closed {
		t.Errorf("close: %v, %v %v %v", err, metrics.closed, registry.closed, process.closed)
	}
}

func TestMeterUsesInferredBacklogOnlyWithoutAMeasuredOne(t *testing.T) {
	start := time.Unix(100, 0)
	for _, inside := range []bool{false, true} {
		a := &scripted{name: "metrics", readings: []Reading{reading(start, func(r *Reading) { r.Sample.Backlog, r.Inside = 2, inside })}}
		b := &scripted{name: "sockets", readings: []Reading{reading(start, func(r *Reading) { r.Excess = 9 })}}
		s, states, err := NewMeter(start, time.Second, func() time.Time { return start }, a, b).Window(t.Context())
		want, fired := 9.0, 1
		if inside {
			want, fired = 2, 0
		}
		if err != nil || s.Backlog != want || !states[fired].Fired {
			t.Errorf("inside %v: backlog %g, states %+v, %v; want %g from source %d", inside, s.Backlog, states, err, want, fired)
		}
	}
}

// A source that sees nobody wait knows more than a noisier one behind it.
func TestMeterUsesTheExcessOfTheFirstSourceThatInfersOne(t *testing.T) {
	at := time.Unix(100, 0)
	sockets := &scripted{name: "sockets", readings: []Reading{reading(at, func(r *Reading) { r.Excess = 0 })}}
	registry := &scripted{name: "registry", readings: []Reading{reading(at, func(r *Reading) { r.Excess = 9 })}}
	s, states, err := NewMeter(at, time.Second, func() time.Time { return at }, sockets, registry).Window(t.Context())
	if err != nil || s.Backlog != 0 || states[0].Fired || states[1].Fired {
		t.Errorf("backlog %g, states %+v, %v; want 0 and none fired", s.Backlog, states, err)
	}
}

func TestMeterBearsOneFailureAndReportsSilence(t *testing.T) {
	start := time.Unix(100, 0)
	now := start
	ok := func(at time.Time) Reading { return reading(at, func(r *Reading) { r.Sample.Throughput = 7 }) }
	s := &scripted{name: "metrics", readings: []Reading{ok(start), {}, ok(start.Add(2 * time.Second)), {}, {}, {}}}
	m := NewMeter(start, 2*time.Second, func() time.Time { return now }, s)
	for i, wantErr := range []bool{false, false, false, false, false, true} {
		now = start.Add(time.Duration(i) * time.Second)
		sample, states, err := m.Window(t.Context())
		var stale *StaleError
		if errors.As(err, &stale) != wantErr || states[0].Stale != wantErr {
			t.Fatalf("window %d: %v, %+v", i, err, states)
		}
		if wantErr && (stale.Age != 3*time.Second || !errors.Is(err, errScripted)) {
			t.Errorf("window %d: %+v", i, stale)
		}
		if read := i == 0 || i == 2; read == math.IsNaN(sample.Throughput) {
			t.Errorf("window %d: throughput %g", i, sample.Throughput)
		}
	}
	never := &scripted{name: "sockets", readings: []Reading{{}}}
	now = start.Add(3 * time.Second)
	if _, _, err := NewMeter(start, 2*time.Second, func() time.Time { return now }, never).Window(t.Context()); err == nil {
		t.Error("a source that never answered is not stale")
	}
}

// A clock that steps ends a test in words: forward by silence, back by itself.
func TestMeterReportsAClockThatSteps(t *testing.T) {
	start := time.Unix(100, 0)
	now := start
	s := &scripted{name: "metrics", readings: []Reading{reading(start, func(*Reading) {}), reading(start.Add(time.Second), func(*Reading) {}), {}, {}}}
	m := NewMeter(start, 2*time.Second, func() time.Time { return now }, s)
	for i, want := range []string{"", "", "signal metrics is silent for 1h0m0s", "the clock went back by 1h0m0s"} {
		now = start.Add([]time.Duration{0, time.Second, time.Hour + time.Second, time.Second}[i])
		_, _, err := m.Window(t.Context())
		if got := fmt.Sprint(err); want == "" && err != nil || !strings.Contains(got, want) || errors.Is(err, ErrClock) != (i == 3) {
			t.Errorf("window %d: %v, want %q", i, err, want)
		}
	}
}

func sameSample(a, b Sample) bool {
	same := func(x, y float64) bool { return x == y || math.IsNaN(x) && math.IsNaN(y) }
	return a.End == b.End && a.Window == b.Window && a.Age == b.Age && same(a.Offered, b.Offered) && same(a.Throughput, b.Throughput) &&
		same(a.Mean, b.Mean) && same(a.P99, b.P99) && same(a.Backlog, b.Backlog) && same(a.CPU, b.CPU) && same(a.Share, b.Share) &&
		same(a.QueueWait, b.QueueWait) && same(a.InFlight, b.InFlight) && same(a.SlowRatio, b.SlowRatio)
}
