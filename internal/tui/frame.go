package tui

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/chart"
	"github.com/wxops/wxops/stress"
)

// A frame is one picture of the screen: a pure function of what it shows.
type frame struct {
	title    string
	s        stress.Snapshot
	ascii    bool
	aborting bool
	help     bool
	note     string
}

const keys = "space hold   - back off   a abort and restore   q quit = restore   ? help"

// draw lays the frame out for a terminal of w columns and h rows.
func (f frame) draw(w, h int) *chart.Grid {
	g := chart.NewGrid(w, h)
	switch {
	case w < 50 || h < 12:
		f.line(g)
	case f.help:
		f.header(g)
		f.helpPage(g)
	case w >= 90 && h >= 28:
		f.large(g)
	case w >= 72 && h >= 20:
		f.medium(g)
	default:
		f.small(g)
	}
	return g
}

// line is the whole screen where there is room for no more.
func (f frame) line(g *chart.Grid) {
	word, role := f.phase()
	x := g.Put(0, 0, role, word)
	worst := f.worstGuard()
	elapsed, now := f.s.Elapsed.Round(1e8).String(), rate(f.s.AchievedRate)
	texts := []string{elapsed + ", " + now, now, elapsed} // the first that leaves room for the way out
	if worst != nil {
		texts = slices.Insert(texts, 0, texts[0]+", "+worst.Name+" "+guardWord(*worst))
	}
	const out = "; q restores"
	text := texts[len(texts)-1]
	if i := slices.IndexFunc(texts, func(t string) bool { return chart.Width(t+out) <= g.W-x-1 }); i >= 0 {
		text = texts[i]
	}
	g.PutMax(x+1, 0, g.W-x-1, chart.Plain, text+out)
}

func (f frame) large(g *chart.Grid) {
	f.header(g)
	right := g.W - 40
	top := 2
	bottom := g.H - 12 // rows below the two panels: 5 + 5 + 2
	f.heading(g, 0, top, right-2, "curve: response time against throughput")
	f.curve(g, 0, top+1, right-2, bottom-top-1)
	f.heading(g, right, top, g.W-right, "control")
	room := bottom - top - 2
	y := f.control(g, right, top+1, g.W-right, max(7, room-max(len(f.s.Guards), 1)))
	f.heading(g, right, y, g.W-right, "guards against their limits")
	f.guards(g, right, y+1, g.W-right, bottom-y-1)
	f.heading(g, 0, bottom, g.W, "last 60 s")
	f.sparklines(g, 0, bottom+1, g.W, 4)
	f.heading(g, 0, bottom+5, g.W, "decisions")
	f.decisions(g, 0, bottom+6, g.W, g.H-2-(bottom+6))
	f.restorePoint(g, g.H-2)
	f.footer(g, g.H-1)
}

func (f frame) medium(g *chart.Grid) {
	f.header(g)
	right := g.W - 34
	bottom := g.H - 8
	f.heading(g, 0, 2, right-2, "curve")
	f.curve(g, 0, 3, right-2, bottom-3)
	f.heading(g, right, 2, g.W-right, "control")
	y := f.control(g, right, 3, g.W-right, 7)
	f.heading(g, right, y, g.W-right, "guards, share of limit")
	f.guards(g, right, y+1, g.W-right, bottom-y-1)
	f.heading(g, 0, bottom, g.W, "last 60 s, decisions")
	f.sparklines(g, 0, bottom+1, g.W, 2)
	f.decisions(g, 0, bottom+3, g.W, g.H-2-(bottom+3))
	f.restorePoint(g, g.H-2)
	f.footer(g, g.H-1)
}

func (f frame) small(g *chart.Grid) {
	f.header(g)
	f.control(g, 0, 2, g.W, 5)
	y := min(7, g.H-5)
	f.heading(g, 0, y, g.W, "guards, last 60 s, decisions")
	if worst := f.worstGuard(); worst != nil {
		f.guard(g, 0, y+1, g.W, *worst)
	}
	f.sparklines(g, 0, y+2, g.W, 1)
	f.decisions(g, 0, y+3, g.W, g.H-2-(y+3))
	f.restorePoint(g, g.H-2)
	f.footer(g, g.H-1)
}

func (f frame) heading(g *chart.Grid, x, y, w int, text string) {
	rule := "─"
	if f.ascii {
		rule = "-"
	}
	end := g.PutMax(x, y, w, chart.Strong, text)
	if end+1 < x+w {
		g.Put(end+1, y, chart.Dim, strings.Repeat(rule, x+w-end-1))
	}
}

// phase is the word for what goes on, and its role.
func (f frame) phase() (string, chart.Role) {
	s := f.s
	switch {
	case f.aborting && s.Phase != stress.PhaseDone:
		return "ABORT: RESTORING", chart.Warn
	case s.Phase == stress.PhaseDone && s.Verdict != "":
		role := chart.Warn
		if s.Verdict == capacity.VerdictOK {
			role = chart.Good
		}
		return "DONE: " + strings.ToUpper(string(s.Verdict)), role
	case s.Holding:
		return "HOLD, asked by you", chart.Warn
	case s.Phase == stress.PhaseBackOff, s.Phase == stress.PhaseRestore:
		return strings.ToUpper(string(s.Phase)), chart.Warn
	}
	return strings.ToUpper(string(s.Phase)), chart.Good
}

func (f frame) header(g *chart.Grid) {
	clock := fmt.Sprintf("%.1f s", f.s.Elapsed.Seconds())
	if f.s.Limit > 0 {
		clock += fmt.Sprintf(" of %.0f s", f.s.Limit.Seconds())
	}
	word, role := f.phase()
	g.Right(g.W, 0, chart.Plain, clock)
	phaseAt := g.W - chart.Width(clock) - 3 - chart.Width(word)
	g.Put(phaseAt, 0, role, word)
	room, x := phaseAt-2, 0
	f.title = strings.TrimSpace(strings.TrimSuffix(f.title, f.s.Instance)) // it stands beside
	if chart.Width(f.title)+2+chart.Width(f.s.Instance) <= room || f.s.Instance == "" {
		x = g.PutMax(0, 0, room, chart.Strong, f.title) + 2
	} // else the title gives way: it is known, which instance is at stake must be read
	g.PutMax(x, 0, room-x, chart.Plain, f.s.Instance)

	x = g.PutMax(0, 1, g.W, chart.Objective, "objective "+f.s.Objective.String())
	var parts []string
	for _, s := range f.s.Signals {
		p := fmt.Sprintf("%s %.1f s old", s.Name, s.Age.Seconds())
		switch {
		case s.Stale:
			p += " STALE"
		case s.Fired:
			p += " in force"
		}
		parts = append(parts, p)
	}
	signals := strings.Join(parts, ", ")
	if room := g.W - x - 3; room > 12 && signals != "" {
		if chart.Width(signals) <= room {
			g.Right(g.W, 1, chart.Dim, signals)
		} else {
			g.PutMax(x+3, 1, room, chart.Dim, signals)
		}
	}
}

// curve draws response time (or backlog, where none is measured) against
// throughput with the objective and the knee.
func (f frame) curve(g *chart.Grid, x, y, w, h int) {
	term, hasBound := f.s.Objective.Latency()
	measured := chart.Series{Name: "measured", Style: chart.Scatter}
	backlog := measured
	for _, p := range f.s.Points {
		if p.P99 != nil {
			measured.X, measured.Y = append(measured.X, p.Throughput), append(measured.Y, *p.P99)
		}
		if p.Backlog != nil {
			backlog.X, backlog.Y = append(backlog.X, p.Throughput), append(backlog.Y, *p.Backlog)
		}
	}
	fig := chart.Figure{X: chart.Axis{Label: "throughput", Unit: "req/s"}, Y: chart.Axis{Label: "p99", Unit: "s"}}
	switch {
	case len(measured.X) > 0:
		fig.Series = []chart.Series{measured}
		if hasBound {
			fig.Rules = []chart.Rule{{Name: "objective " + term.String(), Value: term.Bound}}
			// Beyond three times the objective only the direction matters.
			highest := 1.25 * term.Bound
			for _, v := range measured.Y {
				highest = max(highest, min(1.1*v, 3*term.Bound))
			}
			fig.Y.Max = highest
		}
	case len(backlog.X) > 0:
		fig.Y = chart.Axis{Label: "backlog", Unit: "req"}
		fig.Series = []chart.Series{backlog}
	default:
		for i, text := range wrap(doing(f.s.Phase), w) {
			g.PutMax(x, y+h/2+i, w, chart.Plain, text)
		}
		return
	}
	if e := f.s.Decision.Estimate; telling(e) {
		fig.Marks = []chart.Mark{{Name: fmt.Sprintf("knee %.0f (%.0f-%.0f)", e.PerSecond, e.Low, e.High), X: e.PerSecond, Low: e.Low, High: e.High, Y: math.NaN()}}
	}
	fig.Draw(g, x, y, w, h, f.ascii)
}

// telling reports whether an estimate is worth showing: one that may be five
// times higher or lower tells nothing, and would stretch the picture.
func telling(e stress.Estimate) bool {
	const widest = 5 // end to end of the interval
	return e.PerSecond > 0 && e.Low > 0 && e.High <= widest*e.Low
}

// A row is one line of the control panel.
type row struct {
	name, value string
	role        chart.Role
}

// control writes the control panel's most important rows and returns the row
// after them.
func (f frame) control(g *chart.Grid, x, y, w, rows int) int {
	s := f.s
	capacityRow := row{"capacity", "not yet known", chart.Dim}
	if e := s.Decision.Estimate; telling(e) {
		capacityRow = row{"capacity", fmt.Sprintf("%.0f req/s (%.0f-%.0f)", e.PerSecond, e.Low, e.High), chart.Knee}
	}
	harm := row{"harm", "none so far", chart.Good}
	if s.Violations > 0 && s.Requests > 0 {
		harm = row{"harm", fmt.Sprintf("%.0f of %d, %.2f %%", s.Violations, s.Requests, 100*s.Violations/float64(s.Requests)), chart.Warn}
	}
	refused := row{"rejects", share(s.Last.Rejects) + ", errors " + share(s.Last.ErrorRatio), chart.Plain}
	switch {
	case math.IsNaN(s.Last.Rejects) && math.IsNaN(s.Last.ErrorRatio):
		refused.value = "not measured"
	case s.Last.Rejects > 0 || s.Last.ErrorRatio > 0:
		refused.role = chart.Warn
	}
	all := []row{
		{"rate", fmt.Sprintf("%.0f, target %.0f req/s", s.AchievedRate, s.TargetRate), chart.Strong},
		{"weight", fmt.Sprintf("%s now, %s base", weight(s.Weight), weight(s.WeightBase)), chart.Plain},
		{"backlog", backlogText(s), chart.Plain},
		capacityRow,
		{"cpu", cpuText(s.Last), chart.Plain},
		refused,
		harm,
		{"p99", seconds(s.Last.P99), chart.Plain},
		{"limited by", limitText(s.Decision.Estimate), chart.Plain},
	}
	rows = min(rows, len(all))
	for i, r := range all[:rows] {
		g.Put(x, y+i, chart.Dim, r.name)
		g.PutMax(x+11, y+i, w-11, r.role, r.value)
	}
	return y + rows
}

func backlogText(s stress.Snapshot) string {
	if math.IsNaN(s.Last.Backlog) {
		return "not measured"
	}
	slope := s.BacklogSlope
	trend := "steady"
	switch {
	case math.IsNaN(slope) || math.Abs(slope) < 0.05*math.Max(s.Last.Backlog, 1):
	case slope > 0:
		trend = fmt.Sprintf("rising %.1f/s", slope)
	default:
		trend = fmt.Sprintf("falling %.1f/s", -slope)
	}
	return fmt.Sprintf("%.1f req, %s", s.Last.Backlog, trend)
}

func cpuText(s stress.Sample) string {
	switch {
	case math.IsNaN(s.CPU):
		return "not measured"
	case !(s.CPULimit > 0):
		return fmt.Sprintf("%.1f cores", s.CPU)
	}
	return fmt.Sprintf("%.1f of %.3g cores, %.0f %%", s.CPU, s.CPULimit, 100*s.CPU/s.CPULimit)
}

func limitText(e stress.Estimate) string {
	if e.LimitedBy == "" || !telling(e) {
		return "not yet known"
	}
	if e.CPUCeiling > 0 {
		return fmt.Sprintf("%s, cpu %.0f %% there", e.LimitedBy, 100*e.CPUCeiling)
	}
	return e.LimitedBy
}

// worstGuard is the guard nearest to its limit, nil without any.
func (f frame) worstGuard() *stress.GuardState {
	var worst *stress.GuardState
	for i := range f.s.Guards {
		if g := &f.s.Guards[i]; worst == nil || guardRatio(*g) > guardRatio(*worst) {
			worst = g
		}
	}
	return worst
}

func guardRatio(g stress.GuardState) float64 {
	switch {
	case g.Fired:
		return math.Inf(1)
	case !(g.Limit > 0) || math.IsNaN(g.Value):
		return 0
	}
	return g.Value / g.Limit
}

// nearLimit is the share of its limit at which a guard is called near.
const nearLimit = 0.75

func guardWord(g stress.GuardState) string {
	switch r := guardRatio(g); {
	case g.Fired:
		return "FIRED"
	case r > 1:
		return "over"
	case r >= nearLimit:
		return "near"
	}
	return "ok"
}

func (f frame) guards(g *chart.Grid, x, y, w, rows int) {
	guards := f.s.Guards
	if len(guards) == 0 {
		g.PutMax(x, y, w, chart.Dim, "none yet")
		return
	}
	for i, state := range guards {
		if i == rows-1 && len(guards) > rows {
			worst := f.worstGuard()
			g.PutMax(x, y+i, w, chart.Plain, fmt.Sprintf("%d more; worst: %s %s", len(guards)-i, worst.Name, guardWord(*worst)))
			return
		}
		f.guard(g, x, y+i, w, state)
	}
}

// guard writes one guard: its name, a bar, its value against its limit and a
// word. Where that is too much, the value gives way to the share of the limit.
func (f frame) guard(g *chart.Grid, x, y, w int, state stress.GuardState) {
	word := guardWord(state)
	role := map[string]chart.Role{"ok": chart.Good, "near": chart.Warn, "over": chart.Warn, "FIRED": chart.Bad}[word]
	const name, words, leastBar = 13, 6, 6
	figures, width := amounts(state), 12
	if w < name+leastBar+1+width+words {
		if width = 5; state.Limit > 0 {
			figures = fmt.Sprintf("%.0f %%", 100*state.Value/state.Limit)
		}
	}
	bar := w - name - 1 - width - words
	g.PutMax(x, y, name-1, chart.Plain, state.Name)
	g.Put(x+name, y, role, chart.Bar(math.Min(guardRatio(state), 1), bar, f.ascii))
	g.PutMax(x+name+bar+1, y, width, chart.Plain, figures)
	g.Right(x+w, y, role, word)
}

// amounts writes the value and the limit of a guard in one unit: "14.6/50 ms".
// A limit of 0 allows nothing, and goes without saying. What is less than a
// hundredth of the limit's own scale is nothing to a guard.
func amounts(state stress.GuardState) string {
	if state.Limit == 0 {
		return strings.TrimSpace(digits(state.Value) + " " + state.Unit)
	}
	if fine := math.Pow(10, math.Floor(math.Log10(state.Limit))) / 100; state.Limit > 0 {
		state.Value = math.Round(state.Value/fine) * fine
	}
	factor, unit := 1.0, state.Unit
	if unit == "s" && state.Limit < 1 {
		factor, unit = 1e3, "ms"
	}
	return strings.TrimSpace(fmt.Sprintf("%s/%s %s", digits(state.Value*factor), digits(state.Limit*factor), unit))
}

// sparklines draws what happened in the last 60 s, the most telling row first.
func (f frame) sparklines(g *chart.Grid, x, y, w, rows int) {
	var rates, p99, backlog, cpu []float64
	for _, s := range f.s.History {
		rates, p99 = append(rates, s.Offered), append(p99, s.P99)
		backlog, cpu = append(backlog, s.Backlog), append(cpu, s.CPU)
	}
	last := f.s.Last
	all := []struct {
		name   string
		values []float64
		now    string
		full   float64
	}{
		{"rate", rates, rate(last.Offered), 0},
		{"p99", p99, seconds(last.P99), 0},
		{"backlog", backlog, fmt.Sprintf("%.1f req", last.Backlog), 0},
		{"cpu", cpu, cpuShort(last), last.CPULimit},
	}
	const name, now = 8, 12
	for i, r := range all[:min(rows, len(all))] {
		g.Put(x, y+i, chart.Dim, r.name)
		if !hasNumber(r.values) {
			g.Put(x+name, y+i, chart.Dim, "not measured")
			continue
		}
		full := r.full
		if !(full > 0) {
			full = 0
		}
		g.Put(x+name, y+i, chart.Data, chart.Sparkline(r.values, min(w-name-now, 60), full, f.ascii))
		g.PutMax(x+name+min(w-name-now, 60)+1, y+i, now, chart.Plain, r.now)
	}
}

func hasNumber(values []float64) bool {
	for _, v := range values {
		if !math.IsNaN(v) {
			return true
		}
	}
	return false
}

func cpuShort(s stress.Sample) string {
	if s.CPULimit > 0 {
		return fmt.Sprintf("%.0f %%", 100*s.CPU/s.CPULimit)
	}
	return fmt.Sprintf("%.1f cores", s.CPU)
}

// decisions writes the latest sentences, the newest at the bottom. One that is
// repeated window after window stands once, with the time it was first said, so
// that it does not push out what was decided before.
func (f frame) decisions(g *chart.Grid, x, y, w, rows int) {
	type line struct {
		stamp, text string
		role        chart.Role
	}
	var lines []line
	for i := len(f.s.Sentences) - 1; i >= 0; i-- { // whole sentences, as many as fit
		d := f.s.Sentences[i]
		if i > 0 && f.s.Sentences[i-1].Text == d.Text {
			continue
		}
		role := chart.Plain
		if lines == nil {
			role = chart.Strong
		}
		var said []line
		for _, text := range wrap(d.Text, w-9) {
			said = append(said, line{"", text, role})
		}
		said[0].stamp = fmt.Sprintf("%.1f s", d.At.Seconds())
		if lines != nil && len(said)+len(lines) > rows {
			break
		}
		lines = append(said, lines...)
	}
	if lines == nil {
		lines = append(lines, line{"", doing(f.s.Phase), chart.Dim})
	}
	for i, l := range lines[:min(len(lines), max(rows, 0))] {
		g.Right(x+7, y+i, chart.Dim, l.stamp)
		g.PutMax(x+9, y+i, w-9, l.role, l.text)
	}
}

// wrap breaks text at spaces into lines of at most width columns.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case chart.Width(line)+1+chart.Width(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}

func (f frame) restorePoint(g *chart.Grid, y int) {
	if f.note != "" {
		g.PutMax(0, y, g.W, chart.Warn, f.note)
		return
	}
	lease := ""
	if f.s.Lease > 0 {
		lease = fmt.Sprintf("lease %.1f s", f.s.Lease.Seconds())
	}
	g.Right(g.W, y, chart.Dim, lease)
	if f.s.RestorePoint == "" {
		g.Put(0, y, chart.Dim, "nothing changed yet, nothing to restore")
		return
	}
	const label = "restore point "
	room := g.W - chart.Width(lease) - 2 - chart.Width(label)
	g.Put(0, y, chart.Dim, label+tail(f.s.RestorePoint, room))
}

// tail shortens a path at its beginning, because its end tells files apart.
func tail(path string, width int) string {
	if chart.Width(path) <= width {
		return path
	}
	for i := range path {
		if rest := path[i:]; chart.Width(rest) < width {
			return "…" + rest
		}
	}
	return ""
}

func (f frame) footer(g *chart.Grid, y int) {
	text := keys
	if chart.Width(text) > g.W {
		text = "space hold  - back off  a abort  q quit  ? help"
	}
	g.PutMax(0, y, g.W, chart.Dim, text)
}

func (f frame) helpPage(g *chart.Grid) {
	for i, l := range []string{
		"space  hold the rate where it is; space again goes on",
		"-      lower the rate by a fifth and hold",
		"a      abort: every weight goes back to its base",
		"q      quit, which does the same",
		"?      this page and back",
		"",
		"No key raises load past a guard. Limits are flags",
		"before the start: --max-share, --error-budget.",
		"If this screen dies, the watchdog restores.",
	} {
		g.PutMax(2, 3+i, g.W-2, chart.Plain, l)
	}
	f.footer(g, g.H-1)
}
