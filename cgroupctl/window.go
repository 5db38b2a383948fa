package cgroupctl

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Rule says how much offline work may run in a window. In each of them the
// offline slice keeps the lowest weight; the rule only adds a limit.
type Rule string

const (
	Unrestricted Rule = "unrestricted" // no limit but the brakes
	Throttled    Rule = "throttled"    // what online work leaves below the target
	Floor        Rule = "floor"        // 5 % of one core
	Frozen       Rule = "frozen"       // stopped
)

// A Window is a daily span of local time. From and To are minutes after
// midnight; a window whose From is not before its To runs past midnight.
type Window struct {
	Name      string
	From, To  int
	Rule      Rule
	Target    float64       // utilization of the machine aimed at, 0 to 1
	NoNewJobs time.Duration // no job starts this long before From
}

// targetOf is the utilization that each rule aims at unless the file says
// otherwise: night work may fill the machine to the reserve, by day a third
// stays free for bursts of online work.
func targetOf(r Rule) float64 {
	if r == Unrestricted {
		return 0.95
	}
	return 0.65
}

// DefaultWindows are those of a service whose users are awake in the evening.
var DefaultWindows = []Window{
	{Name: "night", From: 1 * 60, To: 8 * 60, Rule: Unrestricted, Target: 0.95},
	{Name: "day", From: 8 * 60, To: 20 * 60, Rule: Throttled, Target: 0.65},
	{Name: "evening", From: 20 * 60, To: 1 * 60, Rule: Floor, Target: 0.65, NoNewJobs: 30 * time.Minute},
}

// gap holds outside of all windows: the careful rule.
var gap = Window{Name: "outside windows", Rule: Floor, Target: 0.65}

func (y *yamlSpec) windows(s *Spec) error {
	if y.Windows == nil {
		s.Windows = slices.Clone(DefaultWindows)
		return nil
	}
	for i, w := range y.Windows {
		if w.Name == "" { // so that each can be told from the others
			w.Name = fmt.Sprintf("windows[%d]", i)
		}
		where := "window " + w.Name
		out := Window{Name: w.Name, Rule: Rule(w.Rule)}
		var err error
		if out.From, err = parseClock(w.From); err != nil {
			return badInput("%s: from", where).because(err)
		}
		if out.To, err = parseClock(w.To); err != nil {
			return badInput("%s: to", where).because(err)
		}
		if out.From == 24*60 || out.From == out.To {
			return badInput("%s: from %q to %q is no span", where, w.From, w.To).hint(`a whole day is from "00:00" to "24:00"`)
		}
		switch out.Rule {
		case Unrestricted, Throttled:
		case Floor, Frozen:
			out.NoNewJobs = 30 * time.Minute
		default:
			return badInput("%s: rule %q is not one of unrestricted, throttled, floor, frozen", where, w.Rule)
		}
		out.Target = targetOf(out.Rule)
		if w.Target != nil {
			if out.Target = *w.Target; !(out.Target > 0 && out.Target <= 1) {
				return badInput("%s: target %v is outside (0, 1]", where, *w.Target)
			}
		}
		if w.NoNewJobs != "" {
			if out.NoNewJobs, err = time.ParseDuration(w.NoNewJobs); err != nil || out.NoNewJobs < 0 || out.NoNewJobs > 12*time.Hour {
				return badInput("%s: no_new_jobs %q is not a time from 0s to 12h before the window", where, w.NoNewJobs)
			}
		}
		s.Windows = append(s.Windows, out)
	}
	return overlap(s.Windows)
}

// parseClock reads "HH:MM" from 00:00 to 24:00 as minutes.
func parseClock(s string) (int, error) {
	h, m, ok := strings.Cut(s, ":")
	hour, err1 := strconv.ParseUint(h, 10, 8)
	minute, err2 := strconv.ParseUint(m, 10, 8)
	if !ok || len(h) != 2 || len(m) != 2 || err1 != nil || err2 != nil || minute > 59 || hour*60+minute > 24*60 {
		return 0, fmt.Errorf("%q is not a time of day from 00:00 to 24:00", s)
	}
	return int(hour*60 + minute), nil
}

func overlap(windows []Window) error {
	type span struct {
		from, to int
		name     string
	}
	var spans []span
	for _, w := range windows {
		if w.From < w.To {
			spans = append(spans, span{w.From, w.To, w.Name})
		} else {
			spans = append(spans, span{w.From, 24 * 60, w.Name}, span{0, w.To, w.Name})
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	for i := 1; i < len(spans); i++ {
		if a, b := spans[i-1], spans[i]; b.from < a.to {
			return badInput("windows %q and %q overlap from %02d:%02d", a.name, b.name, b.from/60, b.from%60)
		}
	}
	return nil
}

func (w Window) holds(minute int) bool {
	if w.From < w.To {
		return w.From <= minute && minute < w.To
	}
	return minute >= w.From || minute < w.To
}

// windowAt returns the window that holds at now, and whether a job may start.
// It asks the wall clock of the location alone, so it is right after a step of
// the clock, in an hour that daylight saving repeats, and for a From that falls
// into a skipped hour: such a window begins when the clock jumps past it.
func (s *Spec) windowAt(now time.Time) (w Window, admit bool) {
	w = s.window(now)
	admit = w.Rule == Unrestricted || w.Rule == Throttled
	for _, next := range s.Windows {
		if next.NoNewJobs > 0 && !next.holds(minuteOf(now.In(s.Location))) && s.window(now.Add(next.NoNewJobs)) == next {
			admit = false
		}
	}
	return w, admit
}

func minuteOf(t time.Time) int { return t.Hour()*60 + t.Minute() }

func (s *Spec) window(now time.Time) Window {
	minute := minuteOf(now.In(s.Location))
	for _, w := range s.Windows {
		if w.holds(minute) {
			return w
		}
	}
	return gap
}

// windowEnd returns the first full minute after now at which another window
// holds, looking at most two days ahead; zero when none ever does.
func (s *Spec) windowEnd(now time.Time) time.Time {
	w := s.window(now)
	return s.minuteAfter(now, func(t time.Time) bool { return s.window(t) != w })
}

// AdmitsFrom is the same for the first minute at which a job may start.
func (s *Spec) AdmitsFrom(now time.Time) time.Time {
	return s.minuteAfter(now, func(t time.Time) bool { _, admit := s.windowAt(t); return admit })
}

// minuteAfter looks for a minute of the next two days, in the spec's zone.
func (s *Spec) minuteAfter(now time.Time, is func(time.Time) bool) time.Time {
	t := now.In(s.Location).Truncate(time.Minute)
	for range 48 * 60 {
		t = t.Add(time.Minute)
		if is(t) {
			return t
		}
	}
	return time.Time{}
}
