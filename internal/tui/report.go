package tui

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/wxops/wxops/capacity"
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
// screen: one line per window and one per decision. The zero value is ready.
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
	} else if s.Phase != p.phase {
		stamp(s.Elapsed, string(s.Phase), "begins")
	}
	p.phase = s.Phase
	first := 0
	for i, d := range s.Sentences {
		if d == p.sentence || d.At < p.sentence.At {
			first = i + 1
		}
	}
	for _, d := range s.Sentences[first:] {
		stamp(d.At, "decision", d.Text)
		p.sentence = d
	}
	return out
}

// Summary is what stays after a test, in twelve lines: the verdict, the
// capacity, the harm and the way on. next is the command to try next.
func Summary(c capacity.Curve, next string) []string {
	number := func(v *float64) string {
		if v == nil {
			return "unknown"
		}
		return fmt.Sprintf("%.0f", *v)
	}
	found := "not found"
	switch {
	case c.Capacity.Found && c.Capacity.PerSecond != nil:
		found = fmt.Sprintf("%s req/s, 95 %% interval %s to %s", number(c.Capacity.PerSecond), number(c.Capacity.Low), number(c.Capacity.High))
	case c.Capacity.Low != nil:
		found = fmt.Sprintf("not found; %s req/s was held safely", number(c.Capacity.Low))
	}
	if c.Truth != nil {
		found += fmt.Sprintf(" (truth %.0f", c.Truth.PerSecond)
		if c.Capacity.PerSecond != nil && c.Truth.PerSecond > 0 {
			found += fmt.Sprintf(", %+.1f %%", 100*(*c.Capacity.PerSecond/c.Truth.PerSecond-1))
		}
		found += ")"
	}
	limited := c.Capacity.LimitedBy
	if limited == "" {
		limited = "unknown"
	}
	if c.Capacity.CPU != nil {
		limited += fmt.Sprintf(", with the CPU at %.0f %%", 100**c.Capacity.CPU)
	}
	weights := "no weight was changed"
	if b, a := c.Test.WeightBefore, c.Test.WeightAfter; b != nil && a != nil {
		weights = fmt.Sprintf("%s before, %s after: ", weight(*b), weight(*a))
		if *a == *b {
			weights += "restored"
		} else {
			weights += "NOT RESTORED, try wxops stress restore"
		}
	}
	points := "no points"
	if n := len(c.Points); n > 0 {
		points = fmt.Sprintf("%d points from %.0f to %.0f req/s", n, c.Points[0].Offered, c.Points[n-1].Offered)
	}
	peak := rate(c.Test.PeakPerSecond)
	if c.Capacity.PerSecond != nil && *c.Capacity.PerSecond > 0 {
		peak += fmt.Sprintf(", %.2f of the capacity", c.Test.PeakPerSecond / *c.Capacity.PerSecond)
	}
	reason := c.Reason
	if reason == "" {
		reason = "no reason was given"
	}
	instance := c.Instance
	if c.Version != "" {
		instance += ", version " + c.Version
	}
	if next == "" {
		next = "wxops stress --help"
	}
	return []string{
		"verdict     " + string(c.Verdict),
		"reason      " + reason,
		"capacity    " + found,
		"limited by  " + limited,
		"instance    " + instance,
		"objective   " + c.SLO,
		"curve       " + points,
		fmt.Sprintf("test        %.1f s, %d requests", c.Test.Seconds, c.Test.Requests),
		fmt.Sprintf("harm        %s of them missed the objective or failed", share(c.Test.ViolationRatio)),
		"peak        " + peak,
		"weight      " + weights,
		"next        " + next,
	}
}
