package tui

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/chart"
	"github.com/wxops/wxops/stress/load"
)

// A Generator is what the keys of a LoadScreen act on.
type Generator interface {
	Rate() float64        // in force, requests per second; 0 in a closed loop
	SetRate(rate float64) // from now on
	Pause(paused bool)
	Stop() // end early, with the report
}

// A LoadScreen shows a running load test. Give its Interval to
// load.Options.OnInterval, start the generator, then call Run. Unlike the
// screen of a test on live traffic it has a key for more load: here the user
// is the one who sends it.
type LoadScreen struct {
	Title      string // the command
	Target     string // what is loaded
	Thresholds []capacity.Term
	Limit      time.Duration // 0: until stopped

	Color, ASCII  bool
	Width, Height int // until the terminal tells its size; 0 means 80x24

	mu    sync.Mutex
	state loadState
}

// loadState is what is known of the run.
type loadState struct {
	line     []load.Interval // of the last minute, without histograms
	heat     [][]float64     // counts of heatBounds for each of line
	total    *hdrhistogram.Histogram
	status   map[int]int64
	failures map[load.Failure]int64
	answers  int64
	bad      int64
}

// lineLength is how many intervals are shown: a minute of seconds.
const lineLength = 60

// heatBounds are the response times that the heat strip tells apart, in
// seconds: eight a decade from 50 µs to 20 s.
var heatBounds = func() []float64 {
	var out []float64
	for b := 50e-6; b < 20; b *= math.Pow(10, 1.0/8) {
		out = append(out, b)
	}
	return out
}()

// Interval takes the measurements of an interval. It keeps no reference to the
// histogram and is safe beside Run.
func (s *LoadScreen) Interval(i load.Interval) {
	counts := make([]float64, len(heatBounds))
	if i.Response != nil {
		for _, bar := range i.Response.Distribution() {
			if bar.Count > 0 {
				at := sort.SearchFloat64s(heatBounds, float64(bar.From)/1e9)
				counts[min(at, len(counts)-1)] += float64(bar.Count)
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &s.state
	if i.Response != nil {
		if st.total == nil {
			st.total = hdrhistogram.New(i.Response.LowestTrackableValue(), i.Response.HighestTrackableValue(), int(i.Response.SignificantFigures()))
		}
		st.total.Merge(i.Response)
		i.Response = nil
	}
	if st.status == nil {
		st.status, st.failures = map[int]int64{}, map[load.Failure]int64{}
	}
	for code, n := range i.Status {
		st.status[code] += n
		st.answers += n
	}
	for kind, n := range i.Failures {
		st.failures[kind] += n
	}
	st.bad += i.Bad + i.Failed
	st.line, st.heat = append(st.line, i), append(st.heat, counts)
	if n := len(st.line); n > lineLength {
		st.line, st.heat = slices.Clone(st.line[n-lineLength:]), slices.Clone(st.heat[n-lineLength:])
	}
}

// snapshot copies the state; its slices and maps are not changed afterwards.
func (s *LoadScreen) snapshot() loadState {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.state
	st.line, st.heat = slices.Clone(st.line), slices.Clone(st.heat)
	st.status, st.failures = maps.Clone(st.status), maps.Clone(st.failures)
	if st.total != nil {
		st.total = st.total.Clone()
	}
	return st
}

// Run shows the screen until ctx ends, and leaves the terminal as it was.
func (s *LoadScreen) Run(ctx context.Context, g Generator, in io.Reader, out io.Writer) error {
	v := &loadView{s: s, g: g, start: time.Now(), now: time.Now}
	return run(ctx, newProgram(v, out, s.Color, s.Width, s.Height), in, out)
}

// loadView is the screen of a load test.
type loadView struct {
	note
	s                            *LoadScreen
	g                            Generator
	st                           loadState
	seen                         int   // tells states apart: a new look copies only a new one
	judged                       []row // thresholds, as st has them
	start                        time.Time
	now                          func() time.Time
	elapsed                      time.Duration
	rate                         float64
	paused, frozen, ending, help bool
}

func (v *loadView) look() bool {
	v.age()
	if !v.frozen {
		v.elapsed = v.now().Sub(v.start)
		v.rate = v.g.Rate()
		if n := v.s.intervals(); n != v.seen {
			v.seen, v.st = n, v.s.snapshot()
			v.judged = v.judged[:0]
			for _, t := range v.s.Thresholds {
				v.judged = append(v.judged, v.threshold(t))
			}
		}
	}
	return false // the caller knows when the run has ended
}

// intervals tells states apart: the end of the last interval in nanoseconds.
func (s *LoadScreen) intervals() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.state.line); n > 0 {
		return int(s.state.line[n-1].Start) + 1
	}
	return 0
}

// rateStep is the share by which a key changes the rate.
const rateStep = 0.1

func (v *loadView) key(key string) {
	change := func(factor float64) {
		if v.rate <= 0 || v.paused {
			v.say("there is no rate to change: the loop is closed or paused")
			return
		}
		v.g.SetRate(v.rate * factor)
		v.say("rate set to " + rate(v.rate*factor))
	}
	switch key {
	case "?":
		v.help = !v.help
	case "esc":
		v.help = false
	case "+", "=":
		change(1 + rateStep)
	case "-":
		change(1 - rateStep)
	case " ":
		v.paused = !v.paused
		v.g.Pause(v.paused)
		v.say(map[bool]string{true: "paused: nothing falls due; space goes on", false: "going on"}[v.paused])
	case "f":
		v.frozen = !v.frozen
		v.say(map[bool]string{true: "the screen is frozen, the run is not; f goes on", false: "the screen follows again"}[v.frozen])
	case "q", "a", "ctrl+c":
		if !v.ending {
			v.ending = true
			v.say("ending: waiting for what is in flight, then the report")
			v.g.Stop()
		}
	}
}

func (v *loadView) draw(w, h int) *chart.Grid {
	g := chart.NewGrid(w, h)
	f := frame{ascii: v.s.ASCII} // for its headings
	if w < 50 || h < 12 {
		g.PutMax(0, 0, w, chart.Plain, v.phase()+" "+v.clock()+", "+rate(v.last().Throughput)+", p99 "+seconds(v.last().P99)+"; q ends")
		return g
	}
	g.Right(w, 0, chart.Plain, v.phase()+"   "+v.clock())
	x := g.PutMax(0, 0, w-chart.Width(v.phase()+v.clock())-5, chart.Strong, v.s.Title)
	g.PutMax(x+2, 0, w-chart.Width(v.phase()+v.clock())-5-(x+2), chart.Plain, v.s.Target)
	switch {
	case v.help:
		for i, l := range []string{"+ -    ten percent more or less", "space  pause the schedule, and go on", "f      freeze the screen, not the run", "q      end now, with the report", "?      this page and back"} {
			g.PutMax(2, 3+i, w-2, chart.Plain, l)
		}
	default:
		panel := min(38, w*2/5)
		left := w - panel - 2
		split := h - 3
		if h >= 20 {
			split = 2 + (h-3)*3/5
			f.heading(g, 0, split, left, "response times: darker is more")
			v.heatStrip().Draw(g, 0, split+1, left, h-2-(split+1), v.s.ASCII)
		}
		f.heading(g, 0, 2, left, "percentiles, from below p50, p90, p99, p99.9")
		v.percentiles().Draw(g, 0, 3, left, split-3, v.s.ASCII)
		f.heading(g, left+2, 2, panel, "now")
		v.panel(g, left+2, 3, panel, h-2-3)
	}
	note := v.text
	g.PutMax(0, h-2, w, chart.Warn, note)
	g.PutMax(0, h-1, w, chart.Dim, "+ - rate   space pause   f freeze   q end with report   ? help")
	return g
}

func (v *loadView) phase() string {
	switch {
	case v.ending:
		return "ENDING"
	case v.frozen:
		return "FROZEN"
	case v.paused:
		return "PAUSED"
	}
	return "RUN"
}

func (v *loadView) clock() string {
	text := fmt.Sprintf("%.1f s", v.elapsed.Seconds())
	if v.s.Limit > 0 {
		text += fmt.Sprintf(" of %.0f s", v.s.Limit.Seconds())
	}
	return text
}

// last is the latest interval; its quantiles are NaN where there is none.
func (v *loadView) last() load.Interval {
	if n := len(v.st.line); n > 0 {
		return v.st.line[n-1]
	}
	nan := math.NaN()
	return load.Interval{P50: nan, P90: nan, P99: nan, P999: nan, LagP99: nan}
}

func (v *loadView) rules() []chart.Rule {
	for _, t := range v.s.Thresholds {
		if t.Quantile < 1 {
			return []chart.Rule{{Name: "threshold " + t.String(), Value: t.Bound}}
		}
	}
	return nil
}

// timeAxis is that of both pictures: from the beginning of the first interval
// shown to the end of the last.
func (v *loadView) timeAxis() chart.Axis {
	a := chart.Axis{Label: "time", Unit: "s"}
	if len(v.st.line) > 0 {
		last := v.last()
		a.Min, a.Max = v.st.line[0].Start.Seconds(), (last.Start + last.Length).Seconds()
	}
	return a
}

// responseAxis is the vertical one of both pictures; five digits are the
// longest time drawn, in milliseconds.
func responseAxis() chart.Axis {
	return chart.Axis{Label: "response time", Unit: "s", Log: true, Gutter: 5}
}

// percentiles draws each interval in its middle.
func (v *loadView) percentiles() chart.Figure {
	names := []string{"p50", "p90", "p99", "p99.9"}
	roles := []chart.Role{chart.Dim, chart.Plain, chart.Data, chart.Warn}
	f := chart.Figure{X: v.timeAxis(), Y: responseAxis(), Rules: v.rules()}
	for q, name := range names {
		s := chart.Series{Name: name, Role: roles[q]}
		for _, i := range v.st.line {
			s.X = append(s.X, (i.Start + i.Length/2).Seconds())
			s.Y = append(s.Y, [4]float64{i.P50, i.P90, i.P99, i.P999}[q])
		}
		f.Series = append(f.Series, s)
	}
	return f
}

func (v *loadView) heatStrip() chart.Heat {
	h := chart.Heat{X: v.timeAxis(), Y: responseAxis(), Rules: v.rules()}
	// Only buckets that were ever hit, and their neighbours.
	lo, hi := len(heatBounds), 0
	for _, column := range v.st.heat {
		for j, n := range column {
			if n > 0 {
				lo, hi = min(lo, j), max(hi, j)
			}
		}
	}
	if lo > hi {
		return h
	}
	lo, hi = max(lo-1, 0), min(hi+2, len(heatBounds))
	h.Bounds = heatBounds[lo:hi]
	for i, column := range v.st.heat {
		h.Times = append(h.Times, v.st.line[i].Start.Seconds())
		h.Counts = append(h.Counts, column[lo:hi])
	}
	return h
}

func (v *loadView) panel(g *chart.Grid, x, y, w, rows int) {
	last := v.last()
	target := "as fast as answers come"
	if v.rate > 0 {
		target = rate(v.rate)
	}
	all := []row{
		{"target", target, chart.Plain},
		{"achieved", rate(last.Throughput), chart.Strong},
		{"send lag", "p99 " + seconds(last.LagP99), chart.Plain},
		{"in flight", fmt.Sprintf("%d, connections %d", last.InFlight, last.Connections), chart.Plain},
		{"p50", seconds(last.P50), chart.Plain},
		{"p99", seconds(last.P99), chart.Strong},
		{"p99.9", seconds(last.P999), chart.Plain},
	}
	errors := row{"errors", "none", chart.Good}
	if v.st.bad > 0 {
		errors = row{"errors", fmt.Sprintf("%d of %d", v.st.bad, v.st.answers+sum(v.st.failures)), chart.Bad}
	}
	all = append(all, errors, v.health(last))
	all = append(all, v.judged...)
	for _, code := range slices.Sorted(maps.Keys(v.st.status)) {
		all = append(all, row{"status " + strconv.Itoa(code), strconv.FormatInt(v.st.status[code], 10), chart.Plain})
	}
	for _, kind := range slices.SortedFunc(maps.Keys(v.st.failures), func(a, b load.Failure) int { return strings.Compare(a.String(), b.String()) }) {
		all = append(all, row{kind.String(), strconv.FormatInt(v.st.failures[kind], 10), chart.Warn})
	}
	for i, r := range all[:min(rows, len(all))] {
		g.PutMax(x, y+i, 11, chart.Dim, r.name)
		g.PutMax(x+12, y+i, w-12, r.role, r.value)
	}
}

func sum[K comparable](m map[K]int64) (n int64) {
	for _, v := range m {
		n += v
	}
	return n
}

// lateLag is the send lag from which the generator itself falls behind: a tenth
// of the shortest response time that people care for, 10 ms.
const lateLag = 1e-3

func (v *loadView) health(last load.Interval) row {
	switch {
	case math.IsNaN(last.LagP99):
		return row{"generator", "not yet known", chart.Dim}
	case last.LagP99 > lateLag:
		return row{"generator", "LATE: it may be the limit itself", chart.Warn}
	}
	return row{"generator", "ok, on time", chart.Good}
}

// threshold says how a threshold stands over the whole run so far.
func (v *loadView) threshold(t capacity.Term) row {
	value := math.NaN()
	answered := v.st.answers + sum(v.st.failures)
	switch {
	case t.Metric == "errors" && answered > 0:
		value = float64(v.st.bad) / float64(answered)
	case v.st.total == nil || v.st.total.TotalCount() == 0 || t.Metric == "errors":
	case t.Metric == "mean":
		value = v.st.total.Mean() / 1e9
	case t.Quantile == 1:
		value = float64(v.st.total.Max()) / 1e9
	default:
		value = float64(v.st.total.ValueAtQuantile(100*t.Quantile)) / 1e9
	}
	shown := seconds(value)
	if t.Metric == "errors" {
		shown = share(value)
	}
	switch {
	case math.IsNaN(value):
		return row{t.String(), "not yet known", chart.Dim}
	case t.Met(value):
		return row{t.String(), "MET, " + shown, chart.Good}
	}
	return row{t.String(), "MISSED, " + shown, chart.Bad}
}

// LoadLine is an interval of a load test as one line, for pipes and logs.
func LoadLine(i load.Interval) string {
	text := fmt.Sprintf("%7.1f s  ", (i.Start + i.Length).Seconds())
	if i.Target > 0 {
		text += "target " + rate(i.Target) + ", "
	}
	return text + fmt.Sprintf("achieved %s, p50 %s, p99 %s, p99.9 %s, errors %d, in flight %d",
		rate(i.Throughput), seconds(i.P50), seconds(i.P99), seconds(i.P999), i.Bad+i.Failed, i.InFlight)
}
