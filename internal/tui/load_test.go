package tui

import (
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/goldentest"
	"github.com/wxops/wxops/stress/load"
)

// loadRun feeds a screen with seconds of a run at 2,000 requests a second whose
// tail grows from second 20 on.
func loadRun(t testing.TB, seconds int) *LoadScreen {
	o, err := capacity.ParseObjective("p99<50ms,errors<1%,max<10s,mean<20ms")
	if err != nil {
		t.Fatal(err)
	}
	s := &LoadScreen{Title: "wxops stress load", Target: "http://127.0.0.1:8080/pay", Thresholds: o.Terms, Limit: 60 * time.Second}
	for sec := range seconds {
		h := hdrhistogram.New(1000, int64(time.Hour), 3)
		for i := range 2000 {
			ms := 2 + 6*float64(i%97)/97
			if sec > 20 && i%30 == 0 {
				ms *= float64(sec - 15)
			}
			if err := h.RecordValue(int64(ms * 1e6)); err != nil {
				t.Fatal(err)
			}
		}
		q := func(p float64) float64 { return float64(h.ValueAtQuantile(p)) / 1e9 }
		s.Interval(load.Interval{
			Start: time.Duration(sec) * time.Second, Length: time.Second, Offered: 2000, Throughput: 2000, Target: 2000,
			P50: q(50), P90: q(90), P99: q(99), P999: q(99.9), Max: q(100), LagP99: 40e-6, Bad: int64(sec / 30 * 3),
			InFlight: 12, Connections: 50, Response: h, Status: map[int]int64{200: 1997, 503: 3},
		})
	}
	return s
}

// machine is a generator that remembers what it was told.
type machine struct {
	rate float64
	did  []string
}

func (m *machine) Rate() float64 { return m.rate }
func (m *machine) SetRate(r float64) {
	m.rate = r
	m.did = append(m.did, fmt.Sprintf("rate %.0f", r))
}
func (m *machine) Pause(p bool) { m.did = append(m.did, fmt.Sprint("pause ", p)) }
func (m *machine) Stop()        { m.did = append(m.did, "stop") }

func loadViewOf(s *LoadScreen, g Generator, elapsed time.Duration) *loadView {
	start := time.Unix(0, 0)
	v := &loadView{s: s, g: g, start: start, now: func() time.Time { return start.Add(elapsed) }}
	v.look()
	return v
}

func TestLoadFramesAtThreeSizes(t *testing.T) {
	s := loadRun(t, 40)
	for _, size := range [][2]int{{100, 30}, {80, 24}, {60, 15}} {
		v := loadViewOf(s, &machine{rate: 2000}, 40*time.Second)
		goldentest.Compare(t, filepath.Join("testdata", fmt.Sprintf("load-%dx%d.txt", size[0], size[1])), []byte(v.draw(size[0], size[1]).String()))
	}
}

// The two pictures stand one above the other: what happened at a time is in the
// same column of both, also when the first minute has left the screen.
func TestTimeAxesOfALoadScreenAgree(t *testing.T) {
	for _, seconds := range []int{2, 40, 61, 75} {
		for _, size := range [][2]int{{100, 30}, {80, 24}, {133, 41}} {
			v := loadViewOf(loadRun(t, seconds), &machine{rate: 2000}, time.Duration(seconds)*time.Second)
			var axes []string
			lines := strings.Split(v.draw(size[0], size[1]).String(), "\n")
			left := func(l string) string {
				r := []rune(l)
				return string(r[:min(len(r), size[0]-min(38, size[0]*2/5)-2)])
			}
			for i, l := range lines[:len(lines)-1] {
				if strings.Contains(l, "└") {
					axes = append(axes, strings.TrimRight(left(l), " ")+"\n"+strings.TrimRight(left(lines[i+1]), " "))
				}
			}
			if len(axes) != 2 || axes[0] != axes[1] {
				t.Errorf("%d s at %v: %q", seconds, size, axes)
			}
		}
	}
}

func TestLoadFramesOfAnySizeAndState(t *testing.T) {
	for _, s := range []*LoadScreen{{}, loadRun(t, 1), loadRun(t, 70)} {
		v := loadViewOf(s, &machine{}, 0)
		for w := 1; w < 120; w += 9 {
			for h := 1; h < 40; h += 3 {
				if n := strings.Count(v.draw(w, h).String(), "\n"); n != h {
					t.Fatalf("%dx%d: %d lines", w, h, n)
				}
			}
		}
	}
	if n := len(loadRun(t, 70).state.line); n != lineLength {
		t.Errorf("%d intervals are kept, want %d", n, lineLength)
	}
}

// The tail of a run has long reached the objective: the row of its rule is full
// from the first column on.
func TestLoadFramesNameTheRuleOverAFullHeatStrip(t *testing.T) {
	s := loadRun(t, 100)
	for _, ascii := range []bool{false, true} {
		s.ASCII = ascii
		for _, size := range [][2]int{{100, 30}, {80, 24}} {
			text := loadViewOf(s, &machine{rate: 2000}, 100*time.Second).draw(size[0], size[1]).String()
			if n := strings.Count(text, " threshold p99<50ms "); n != 2 {
				t.Errorf("%d figures name the rule, want 2:\n%s", n, text)
			}
		}
	}
}

func TestLoadKeys(t *testing.T) {
	m := &machine{rate: 1000}
	s := loadRun(t, 5)
	v := loadViewOf(s, m, 5*time.Second)
	for _, k := range []string{"+", " ", "+", " ", "f", "?", "?", "q", "q"} {
		v.key(k)
		v.look()
	}
	want := "[rate 1100 pause true pause false stop]"
	if fmt.Sprint(m.did) != want {
		t.Errorf("did %v, want %s", m.did, want)
	}
	before := v.draw(100, 30).String()
	s.Interval(load.Interval{Start: 99 * time.Second, P50: 9, P90: 9, P99: 9, P999: 9})
	v.age()
	v.look()
	if v.frozen = false; before == "" || strings.Contains(v.draw(100, 30).String(), "9.00 s") {
		t.Error("a frozen screen moved")
	}
	v.look()
	if !strings.Contains(v.draw(100, 30).String(), "9 s") {
		t.Errorf("the screen does not follow again:\n%s", v.draw(100, 30))
	}
}

// Thresholds on the screen agree with the values computed from all requests.
func TestLoadThresholdsFollowTheWholeRun(t *testing.T) {
	s := loadRun(t, 40)
	v := loadViewOf(s, &machine{}, 0)
	want := map[string]string{"p99": "MISSED", "errors": "MET", "max": "MET", "mean": "MET"}
	for _, term := range s.Thresholds {
		if got := v.threshold(term); !strings.HasPrefix(got.value, want[term.Metric]+", ") {
			t.Errorf("%s: %s, want %s", term, got.value, want[term.Metric])
		}
	}
	if got := loadViewOf(&LoadScreen{}, &machine{}, 0).threshold(s.Thresholds[0]); !strings.Contains(got.value, "not yet known") {
		t.Errorf("without answers: %s", got.value)
	}
	if h := v.health(load.Interval{LagP99: 0.02}); !strings.Contains(h.value, "LATE") {
		t.Errorf("late generator: %s", h.value)
	}
	if h := v.health(load.Interval{LagP99: math.NaN()}); !strings.Contains(h.value, "not yet") {
		t.Errorf("unknown generator: %s", h.value)
	}
}

func TestLoadScreenRunsUntilItsContextEnds(t *testing.T) {
	s := loadRun(t, 40)
	s.Color, s.Width, s.Height = true, 100, 30
	ctx, cancel := context.WithCancel(context.Background())
	keys := keyboard{make(chan byte)}
	defer close(keys.keys)
	var out counter
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if strings.Contains(out.String(), "MISSED") {
				cancel()
				return
			}
		}
	}()
	limit, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	if err := s.Run(limit, &machine{rate: 2000}, keys, &out); err != nil {
		t.Fatal(err)
	}
	if ctx.Err() == nil {
		t.Error("the screen never showed the thresholds")
	}
	for _, n := range out.frames {
		if n > 5000 {
			t.Errorf("a frame has %d bytes", n)
		}
	}
}

// BenchmarkLoadInterval is what the collector of a run pays for the screen once
// a second.
func BenchmarkLoadInterval(b *testing.B) {
	h := hdrhistogram.New(1000, int64(time.Hour), 3)
	for i := range 100_000 {
		if err := h.RecordValue(int64(1e6 + i*997%20e6)); err != nil {
			b.Fatal(err)
		}
	}
	s := &LoadScreen{}
	for b.Loop() {
		s.Interval(load.Interval{Response: h})
	}
}

func BenchmarkLoadFrame(b *testing.B) {
	p := newProgram(loadViewOf(loadRun(b, 60), &machine{rate: 2000}, time.Minute), io.Discard, true, 100, 30)
	b.ReportAllocs()
	for b.Loop() {
		p.Update(frameMsg{})
		_ = p.View()
	}
}
