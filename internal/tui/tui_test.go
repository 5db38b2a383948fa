package tui

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/chart"
	"github.com/wxops/wxops/internal/goldentest"
	"github.com/wxops/wxops/stress"
)

func TestFramesAtThreeSizes(t *testing.T) {
	fired := at(12 * time.Second)
	fired.Guards = append([]stress.GuardState(nil), fired.Guards...)
	fired.Guards[0].Fired, fired.Guards[0].Value = true, 0.62
	fired.Guards[2].Value = 0.0534 // over, which is not fired
	fired.Phase, fired.Holding = stress.PhaseBackOff, false
	fired.Signals = []stress.SignalState{{Name: "metrics", Age: 4 * time.Second, Stale: true}}
	for name, f := range map[string]frame{
		"start": {s: at(0)},
		"ramp":  {s: at(9 * time.Second)},
		"hold":  {s: at(18 * time.Second), note: "holding the rate; space goes on"},
		"fired": {s: fired, ascii: true},
		"help":  {s: at(9 * time.Second), help: true},
		"done":  {s: at(20 * time.Second)},
	} {
		f.title = "wxops stress shift"
		for _, size := range [][2]int{{100, 30}, {80, 24}, {60, 15}} {
			g := f.draw(size[0], size[1])
			goldentest.Compare(t, filepath.Join("testdata", fmt.Sprintf("%s-%dx%d.txt", name, size[0], size[1])), []byte(g.String()))
		}
	}
}

// Whatever the size, the phase and the way out are on the screen, and nothing
// is wider or higher than the terminal.
func TestFramesOfAnySizeShowThePhaseAndTheWayOut(t *testing.T) {
	for _, s := range []stress.Snapshot{at(0), at(9 * time.Second), at(18 * time.Second), {}, {Points: []capacity.Point{{}}, Guards: make([]stress.GuardState, 20), Sentences: make([]stress.Sentence, 20)}} {
		for w := 4; w <= 130; w += 7 {
			for h := 1; h <= 45; h += 3 {
				g := frame{title: "wxops stress shift", s: s}.draw(w, h)
				text := g.String()
				if lines := strings.Count(text, "\n"); lines != h {
					t.Fatalf("%dx%d: %d lines", w, h, lines)
				}
				for line := range strings.Lines(text) {
					if n := chart.Width(strings.TrimRight(line, "\n")); n > w {
						t.Fatalf("%dx%d: %d columns: %s", w, h, n, line)
					}
				}
				if w >= 60 && !strings.Contains(text, strings.ToUpper(string(s.Phase))) {
					t.Fatalf("%dx%d does not show the phase %s:\n%s", w, h, s.Phase, text)
				}
				if w >= 80 && !strings.Contains(text, "q quit") && !strings.Contains(text, "q restores") {
					t.Fatalf("%dx%d shows no way out:\n%s", w, h, text)
				}
			}
		}
	}
}

// TestStillPicture keeps docs/stress.svg, the picture in the README, current.
func TestStillPicture(t *testing.T) {
	g := frame{title: "wxops stress shift", s: at(18 * time.Second)}.draw(100, 30)
	goldentest.Compare(t, filepath.Join("..", "..", "docs", "stress.svg"), g.SVG("wxops stress shift on a terminal",
		"An online stress test of checkout/a after 18 seconds: the curve of response time against throughput with its objective and knee, the control panel, guards against their limits, sixty seconds of sparklines and the latest decisions."))
}

// plainScreen strips what a terminal does not show.
var escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")

// keyboard is a terminal's input: it gives one key at a time when told.
type keyboard struct{ keys chan byte }

func (k keyboard) Read(b []byte) (int, error) {
	key, ok := <-k.keys
	if !ok {
		return 0, io.EOF
	}
	b[0] = key
	return 1, nil
}

// counter is a terminal's output: it counts bytes and writes, one write a frame.
type counter struct {
	mu     sync.Mutex
	buf    bytes.Buffer
	frames []int
}

func (c *counter) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frames = append(c.frames, len(b))
	return c.buf.Write(b)
}

func (c *counter) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.String()
}

// The whole program runs with a scripted test, keys and an output of its own.
func TestScreenRunsATestAndPassesKeysOn(t *testing.T) {
	all := script()
	var tick, aborts atomic.Int64
	keys := keyboard{make(chan byte, 8)}
	defer close(keys.keys)
	commands := make(chan stress.Command, 8)
	screen := Screen{
		Title: "wxops stress demo", Width: 100, Height: 30, Color: true,
		Command: func(c stress.Command) { commands <- c },
		Abort:   func() { aborts.Add(1) },
		Snapshot: func() stress.Snapshot {
			// Seconds of the script pass with every look; keys come in between.
			i := int(tick.Add(1))
			switch i {
			case 3:
				keys.keys <- ' '
			case 6:
				keys.keys <- '-'
			case 8:
				keys.keys <- '+'
			case 10:
				keys.keys <- '?'
			case 12:
				keys.keys <- '?'
			case 14:
				keys.keys <- 'a'
			case 16:
				keys.keys <- 'a'
			}
			return all[min(10*i, len(all)-1)]
		},
	}
	var out counter
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := screen.Run(ctx, keys, &out); err != nil {
		t.Fatal(err)
	}
	close(commands)
	var got []stress.Command
	for c := range commands {
		got = append(got, c)
	}
	if fmt.Sprint(got) != fmt.Sprint([]stress.Command{stress.CommandHold, stress.CommandBackOff}) {
		t.Errorf("commands %v", got)
	}
	if aborts.Load() != 1 {
		t.Errorf("%d aborts, want one", aborts.Load())
	}
	text := escapes.ReplaceAllString(out.String(), "")
	for _, want := range []string{"BASELINE", "RAMP", "objective p99<50ms", "error budget", "no key raises load", "space again goes on", "ABORT: RESTORING"} {
		if !strings.Contains(text, want) {
			t.Errorf("the screen never showed %q", want)
		}
	}
	if !strings.Contains(out.String(), "\x1b[?1049l") || !strings.Contains(out.String(), "\x1b[?25h") {
		t.Error("the terminal was not left as it was")
	}
}

func TestScreenEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	keys := keyboard{make(chan byte)}
	defer close(keys.keys)
	looks := 0
	screen := Screen{Snapshot: func() stress.Snapshot {
		if looks++; looks == 4 {
			cancel()
		}
		return at(9 * time.Second)
	}, Abort: func() {}, Command: func(stress.Command) {}}
	if err := screen.Run(ctx, keys, io.Discard); err != nil {
		t.Errorf("got %v", err)
	}
}

// Where there is no room for everything, what is at stake stays: the instance
// in the title, the way out in the single line, and the decisions taken before
// one that is repeated in every window.
func TestNarrowFramesKeepWhatMatters(t *testing.T) {
	s := at(9 * time.Second)
	s.Holding = true
	if text := (frame{title: "wxops stress shift", s: s}).draw(60, 15).String(); !strings.Contains(text, s.Instance+" ") {
		t.Errorf("the instance %s is cut:\n%s", s.Instance, text)
	}
	if text := (frame{title: "wxops stress shift", s: s}).draw(40, 10).String(); !strings.Contains(text, "HOLD, asked by you") || !strings.Contains(text, "q restores") {
		t.Errorf("no phase or no way out: %s", text)
	}
	s.Sentences = []stress.Sentence{{At: 7 * time.Second, Text: "the estimate settles"}}
	for i := range 12 {
		s.Sentences = append(s.Sentences, stress.Sentence{At: time.Duration(8+i) * time.Second, Text: "held by the user"})
	}
	text := frame{title: "wxops stress shift", s: s}.draw(100, 30).String()
	if n := strings.Count(text, "held by the user"); n != 1 || !strings.Contains(text, "8.0 s  held by the user") || !strings.Contains(text, "the estimate settles") {
		t.Errorf("the same sentence stands there %d times:\n%s", n, text)
	}
}

// Without colour the screen has no colour sequence at all, and says the same.
func TestNoColorKeepsEveryWord(t *testing.T) {
	m := func(color bool) string {
		s := Screen{Color: color, Width: 100, Height: 30, Snapshot: func() stress.Snapshot { return at(18 * time.Second) }}
		return s.program(io.Discard).View()
	}
	if plain := m(false); strings.Contains(plain, "\x1b") || plain != escapes.ReplaceAllString(m(true), "") {
		t.Errorf("with and without colour differ, or colour is left:\n%s", plain)
	}
	if !strings.Contains(m(true), "\x1b[3") {
		t.Error("there is no colour")
	}
}

// A frame may cost 5 kB; the terminal's renderer writes changed lines only.
func TestFramesStayUnderFiveKilobytes(t *testing.T) {
	all := script()
	var i atomic.Int64
	screen := Screen{
		Title: "wxops stress shift", Color: true, Width: 100, Height: 30, Abort: func() {}, Command: func(stress.Command) {},
		Snapshot: func() stress.Snapshot { return all[min(int(i.Add(4)), len(all)-1)] },
	}
	var out counter
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	keys := keyboard{make(chan byte)}
	defer close(keys.keys)
	if err := screen.Run(ctx, keys, &out); err != nil {
		t.Fatal(err)
	}
	largest, total := 0, 0
	for _, n := range out.frames {
		largest, total = max(largest, n), total+n
	}
	t.Logf("%d writes, %d bytes, the largest %d", len(out.frames), total, largest)
	if largest > 5000 {
		t.Errorf("a frame has %d bytes, at most 5000 are wanted", largest)
	}
}

func TestKeysBeforeAndAfterTheEnd(t *testing.T) {
	var commands []stress.Command
	aborts := 0
	now := at(9 * time.Second)
	m := Screen{Snapshot: func() stress.Snapshot { return now }, Command: func(c stress.Command) { commands = append(commands, c) }, Abort: func() { aborts++ }}.program(io.Discard)
	press := func(keys ...string) {
		for _, k := range keys {
			m.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(k)})
		}
	}
	now.Holding = true
	m.Update(frameMsg{})
	press(" ")
	now.Holding = false
	m.Update(frameMsg{})
	press(" ", "x", "+", "=")
	m.Update(tea.KeyMsg{Type: tea.KeyCtrlC})
	press("-", " ", "q")
	if fmt.Sprint(commands) != fmt.Sprint([]stress.Command{stress.CommandResume, stress.CommandHold}) || aborts != 1 {
		t.Errorf("commands %v, %d aborts", commands, aborts)
	}
	if !strings.Contains(m.View(), "the test is ending") {
		t.Errorf("no word about the end:\n%s", m.View())
	}
	now.Phase = stress.PhaseDone
	if _, cmd := m.Update(frameMsg{}); cmd == nil {
		t.Error("the screen stays after the end")
	} else if _, ok := cmd().(tea.QuitMsg); !ok {
		t.Error("the screen stays after the end")
	}
}

func TestPlainHasOneLineForEachWindowAndDecision(t *testing.T) {
	var p Plain
	var lines []string
	all := script()
	for _, s := range all {
		lines = append(lines, p.Lines(s)...)
	}
	goldentest.Compare(t, filepath.Join("testdata", "plain.txt"), []byte(strings.Join(lines, "\n")+"\n"))
	last := all[len(all)-1]
	if n := strings.Count(strings.Join(lines, "\n"), " decision "); n != len(last.Sentences) {
		t.Errorf("%d lines of decisions for %d decisions", n, len(last.Sentences))
	}
	if again := p.Lines(last); len(again) > 0 {
		t.Errorf("said twice: %q", again)
	}
}

// Sentences drop out of the snapshot at the front; none may come twice.
func TestPlainFollowsSentencesThatMove(t *testing.T) {
	var p Plain
	var said []string
	var kept []stress.Sentence
	for i := range 60 {
		kept = append(kept, stress.Sentence{At: time.Duration(i/2) * time.Second, Text: fmt.Sprint("d", i)})
		for _, l := range p.Lines(stress.Snapshot{Sentences: kept[max(len(kept)-20, 0):]}) {
			if strings.Contains(l, "decision") {
				said = append(said, l[strings.LastIndex(l, " ")+1:])
			}
		}
	}
	if len(said) != 60 || said[0] != "d0" || said[59] != "d59" {
		t.Errorf("said %d: %q", len(said), said)
	}
}

// What is decided again in every window is written once, until something else is.
func TestPlainSaysARepeatedDecisionOnce(t *testing.T) {
	var p Plain
	var kept []stress.Sentence
	var said []string
	for i, text := range []string{"held by the user", "held by the user", "held by the user", "the capacity is about 300/s", "held by the user", "held by the user"} {
		kept = append(kept, stress.Sentence{At: time.Duration(i) * time.Second, Text: text})
		said = append(said, p.Lines(stress.Snapshot{Phase: stress.PhaseDone, Sentences: kept})...)
	}
	want := []string{
		"    0.0 s  decision   held by the user", "    3.0 s  decision   the capacity is about 300/s", "    4.0 s  decision   held by the user",
	}
	if !slices.Equal(said, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
	}
}

// A phase that is entered for a reason of its own stood there twice, as a phase
// and as a decision.
func TestPlainSaysAPhaseOnce(t *testing.T) {
	var p Plain
	said := p.Lines(stress.Snapshot{
		Phase: stress.PhaseRestore, Elapsed: time.Second, Sentences: []stress.Sentence{{At: time.Second, Text: "putting the weights back"}},
	})
	if want := []string{"    1.0 s  restore    putting the weights back"}; !slices.Equal(said, want) {
		t.Errorf("got %q, want %q", said, want)
	}
}

func TestSummaryHasTwelveLines(t *testing.T) {
	v := func(x float64) *float64 { return &x }
	found := capacity.Curve{
		Instance: "checkout/a", Version: "2.4.1", SLO: "p99<50ms", Reason: "the estimate was confirmed", Verdict: capacity.VerdictOK,
		Points:   []capacity.Point{{Offered: 210}, {Offered: 618}},
		Capacity: capacity.Capacity{PerSecond: v(611), Low: v(596), High: v(628), LimitedBy: "queue", CPU: v(0.79), Found: true},
		Test:     capacity.Test{Seconds: 20, Requests: 8412, ViolationRatio: 0.0011, PeakPerSecond: 618, WeightBefore: v(32), WeightAfter: v(32)},
		Truth:    &capacity.Truth{PerSecond: 604},
	}
	notFound := capacity.Curve{
		Instance: "checkout/a", SLO: "p99<50ms", Verdict: capacity.VerdictMetastable,
		Capacity: capacity.Capacity{Low: v(410)}, Test: capacity.Test{WeightBefore: v(32), WeightAfter: v(40)},
	}
	live := found
	live.Truth = nil
	queued := notFound // a queue was near, but the user ended the test
	queued.Verdict, queued.Capacity.LimitedBy = capacity.VerdictInterrupted, "queue"
	const next = "wxops capacity size --curve curve.json --demand 5000 --target 0.55"
	var all []string
	for _, c := range []capacity.Curve{found, live, notFound, queued, {}} {
		lines := Summary(c, Ending{Next: next, ByCPU: 1210})
		if len(lines) != 12 {
			t.Errorf("%d lines, want 12", len(lines))
		}
		all = append(all, strings.Join(lines, "\n")+"\n")
	}
	for _, width := range []int{80, 60, 40} {
		lines := Summary(found, Ending{Next: next, ByCPU: 1210, Width: width})
		for _, l := range lines {
			if n := chart.Width(l); n > width {
				t.Errorf("%d columns of %d: %s", n, width, l)
			}
		}
		if width == 80 && len(lines) != 12 {
			t.Errorf("%d lines on 80 columns, want 12", len(lines))
		}
		all = append(all, strings.Join(lines, "\n")+"\n")
	}
	goldentest.Compare(t, filepath.Join("testdata", "summary.txt"), []byte(strings.Join(all, "\n")))
}

func TestNumbersForPeople(t *testing.T) {
	for got, want := range map[string]string{
		seconds(0.0314):     "31.4 ms",
		seconds(1.25):       "1.25 s",
		seconds(0.9999):     "1000 ms",
		seconds(math.NaN()): "not measured",
		seconds(250):        "250 s",
		rate(3.14):          "3.1 req/s",
		rate(611.4):         "611 req/s",
		share(0.0011):       "0.11 %",
		share(0):            "0 %",
		weight(12.5):        "12.5",
		tail("/a/b/c", 4):   "…b/c",
		tail("/a/b/c", 5):   "…/b/c",
		tail("/a", 4):       "/a",
		tail("/a", 0):       "",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// BenchmarkFrame is the work of the screen for one frame, without the terminal:
// ten of them a second must cost at most 2 % of a core, 2 ms each.
func BenchmarkFrame(b *testing.B) {
	all := script()
	i := 0
	m := Screen{Title: "wxops stress shift", Color: true, Width: 100, Height: 30, Snapshot: func() stress.Snapshot {
		i++
		return all[i%(len(all)-1)]
	}}.program(io.Discard)
	b.ReportAllocs()
	for b.Loop() {
		m.Update(frameMsg{})
		_ = m.View()
	}
}
