package tui

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/chart"
	"github.com/wxops/wxops/stress"
)

// rate writes requests per second.
func rate(v float64) string {
	switch {
	case math.IsNaN(v):
		return "unknown rate"
	case v < 10:
		return fmt.Sprintf("%.1f req/s", v)
	}
	return fmt.Sprintf("%.0f req/s", v)
}

// seconds writes a duration with three digits: "31.4 ms", "1.25 s".
func seconds(v float64) string {
	switch {
	case math.IsNaN(v):
		return "not measured"
	case math.IsInf(v, 0):
		return "beyond measure"
	case v < 1:
		return digits(v*1e3) + " ms"
	}
	return digits(v) + " s"
}

// digits writes v with three digits, and never in powers of ten.
func digits(v float64) string {
	switch {
	case math.IsNaN(v):
		return "?"
	case math.Abs(v) < 1e-3:
		return "0"
	case math.Abs(v) >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// share writes a ratio in percent.
func share(v float64) string {
	switch {
	case math.IsNaN(v):
		return "not measured"
	case v == 0:
		return "0 %"
	}
	return strconv.FormatFloat(100*v, 'f', 2, 64) + " %"
}

// weight writes a weight without digits it has not.
func weight(v float64) string { return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64) }

// Plain turns snapshots into lines for pipes, logs and terminals without a
// screen: one line per window and one per decision. What is decided window
// after window stands once. The zero value is ready.
type Plain struct {
	window   time.Duration // end of the last window written
	sentence stress.Sentence
	phase    stress.Phase
}

// Lines returns the lines that are new in s since the call before.
func (p *Plain) Lines(s stress.Snapshot) []string {
	var out []string
	stamp := func(at time.Duration, what, text string) {
		out = append(out, fmt.Sprintf("%7.1f s  %-9s  %s", at.Seconds(), what, text))
	}
	if s.Last.End > p.window {
		p.window = s.Last.End
		text := "offered " + rate(s.Last.Offered)
		if !math.IsNaN(s.Last.P99) {
			text += ", p99 " + seconds(s.Last.P99)
		}
		if !math.IsNaN(s.Last.Backlog) {
			text += fmt.Sprintf(", backlog %.1f req", s.Last.Backlog)
		}
		if !math.IsNaN(s.Last.CPU) {
			text += ", cpu " + cpuShort(s.Last)
		}
		if s.Weight > 0 {
			text += ", weight " + weight(s.Weight)
		}
		stamp(s.Last.End, string(s.Phase), text)
	} else if s.Phase != p.phase && s.Phase != stress.PhaseDone { // the verdict says that it is done
		stamp(s.Elapsed, string(s.Phase), doing(s.Phase))
	}
	p.phase = s.Phase
	first := 0
	for i, d := range s.Sentences {
		if d == p.sentence || d.At < p.sentence.At {
			first = i + 1
		}
	}
	for _, d := range s.Sentences[first:] {
		if d.Text != p.sentence.Text && d.Text != doing(s.Phase) { // a line of its own says what goes on in a phase
			stamp(d.At, "decision", d.Text)
		}
		p.sentence = d
	}
	return out
}

// doing says what goes on in a phase, for those who see it for the first time.
func doing(p stress.Phase) string {
	switch p {
	case stress.PhasePreflight:
		return "checking weights, peers and signals; nothing is changed yet"
	case stress.PhaseBaseline:
		return "measuring ordinary traffic; then the rate rises step by step"
	case stress.PhaseRamp:
		return "raising the rate step by step"
	case stress.PhaseHold:
		return "holding the rate to confirm the estimate"
	case stress.PhaseBackOff:
		return "lowering the rate until the backlog is gone"
	case stress.PhaseRestore:
		return "putting the weights back"
	}
	return "the test is over"
}

// An Ending is what a summary tells beside the document.
type Ending struct {
	Next  string  // the command to try next
	ByCPU float64 // what the CPU alone would have promised, requests per second; 0 where nobody asks
	Width int     // columns of the terminal, at which lines break; 0 for none
}

// Summary is what stays after a test, in twelve lines: the verdict, the
// capacity, the harm and the way on. On a terminal too narrow for a line it
// goes on below, at a space.
func Summary(c capacity.Curve, e Ending) []string {
	lines := [][2]string{
		{"verdict", string(c.Verdict)},
		{"reason", cmp.Or(c.Reason, "no reason was given")},
		{"capacity", capacityText(c)},
	}
	instance := c.Instance
	if c.Version != "" {
		instance += ", version " + c.Version
	}
	test := fmt.Sprintf("%.1f s, %d requests", c.Test.Seconds, c.Test.Requests)
	curve := "no points"
	if n := len(c.Points); n == 1 {
		curve = fmt.Sprintf("1 point at %.0f req/s", c.Points[0].Offered)
	} else if n > 1 {
		curve = fmt.Sprintf("%d points from %.0f to %.0f req/s", n, c.Points[0].Offered, c.Points[n-1].Offered)
	}
	if c.Truth == nil {
		lines = append(lines, [2]string{"limited by", limitedText(c.Capacity)}, [2]string{"instance", instance}, [2]string{"objective", c.SLO}, [2]string{"curve", curve})
	} else { // what nobody knows of his own service comes first
		lines = append(lines, [2]string{"truth", truthText(c)}, [2]string{"by CPU", byCPUText(e.ByCPU, c.Truth.PerSecond)},
			[2]string{"limited by", limitedText(c.Capacity)}, [2]string{"instance", instance + ", objective " + c.SLO})
		test += ", " + curve
	}
	lines = append(lines,
		[2]string{"test", test},
		[2]string{"harm", share(c.Test.ViolationRatio) + " of the requests missed the objective or failed"},
		[2]string{"peak", peakText(c)},
		[2]string{"weight", weightText(c.Test)},
		[2]string{"next", cmp.Or(e.Next, "wxops stress --help")},
	)
	const name = 12
	var out []string
	for _, l := range lines {
		text := []string{l[1]}
		if e.Width > 2*name {
			if text = wrap(l[1], e.Width-name); l[0] == "next" {
				text = wrapCommand(l[1], e.Width-name)
			}
		}
		for i, t := range text {
			if i > 0 {
				l[0] = ""
			}
			out = append(out, fmt.Sprintf("%-*s%s", name, l[0], t))
		}
	}
	return out
}

// wrapCommand is wrap for a command line: a backslash before each break lets a
// shell take what was copied.
func wrapCommand(text string, width int) []string {
	if chart.Width(text) <= width {
		return []string{text}
	}
	lines := wrap(text, width-2)
	for i := range lines[:len(lines)-1] {
		lines[i] += ` \`
	}
	return lines
}

func capacityText(c capacity.Curve) string {
	k := c.Capacity
	switch {
	case k.Found && k.PerSecond != nil && k.Low != nil && k.High != nil:
		return fmt.Sprintf("%.0f req/s, 95 %% interval %.0f to %.0f", *k.PerSecond, *k.Low, *k.High)
	case k.Found && k.PerSecond != nil:
		return fmt.Sprintf("%.0f req/s, interval unknown", *k.PerSecond)
	case k.Low != nil && *k.Low > 0:
		return fmt.Sprintf("not found; %.0f req/s was held safely", *k.Low)
	}
	return "not found"
}

// limitedText names what is used up at the capacity. Where no capacity was
// found nothing is known to limit it.
func limitedText(k capacity.Capacity) string {
	if !k.Found {
		return "unknown: no capacity was found"
	}
	limited := cmp.Or(k.LimitedBy, "unknown")
	if k.CPU != nil {
		limited += fmt.Sprintf(", with the CPU at %.0f %%", 100**k.CPU)
	}
	return limited
}

func truthText(c capacity.Curve) string {
	text := fmt.Sprintf("%.0f req/s by construction", c.Truth.PerSecond)
	if p := c.Capacity.PerSecond; p != nil && c.Truth.PerSecond > 0 {
		text += fmt.Sprintf(": the test is %+.1f %% off", 100*(*p/c.Truth.PerSecond-1))
	}
	return text
}

// byCPUText sets what the CPU alone would have promised beside the truth.
func byCPUText(promised, truth float64) string {
	switch {
	case !(promised > 0):
		return "no CPU was measured"
	case promised > 1.05*truth:
		return fmt.Sprintf("%.0f req/s, %+.0f %%: wrong, for requests also wait in the queue", promised, 100*(promised/truth-1))
	}
	return fmt.Sprintf("%.0f req/s, %+.0f %%", promised, 100*(promised/truth-1))
}

func peakText(c capacity.Curve) string {
	text := rate(c.Test.PeakPerSecond)
	if p := c.Capacity.PerSecond; p != nil && *p > 0 {
		text += fmt.Sprintf(", %.2f x the capacity", c.Test.PeakPerSecond / *p)
	}
	return text
}

func weightText(t capacity.Test) string {
	if t.WeightBefore == nil || t.WeightAfter == nil {
		return "no weight was changed"
	}
	text := fmt.Sprintf("%s before, %s after: ", weight(*t.WeightBefore), weight(*t.WeightAfter))
	switch {
	case *t.WeightAfter == *t.WeightBefore && t.Seconds > 0:
		return text + "restored"
	case *t.WeightAfter == *t.WeightBefore:
		return text + "nothing was changed"
	}
	return text + "NOT RESTORED, try wxops stress restore"
}
