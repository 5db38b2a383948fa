package load

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A SyntaxError says where a value cannot be read.
type SyntaxError struct {
	What     string // "rate", "stages", ...
	Text     string
	Position int // of the refused part, in characters from 1
	Reason   string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s %q: position %d: %s", e.What, e.Text, e.Position, e.Reason)
}

// maxRate is far above what one machine sends; beyond it, it is a slip.
const maxRate = 1e9

// ParseRate reads "5000", "5k", "50/s", "10/ms", "600/m" or "1/2s" as requests per
// second, and "max" as 0, which is a closed loop.
func ParseRate(s string) (float64, error) {
	refuse := func(at int, reason string) (float64, error) {
		return 0, &SyntaxError{"rate", s, at + 1, reason}
	}
	text := strings.TrimSpace(s)
	if text == "max" {
		return 0, nil
	}
	number, unit, per := strings.Cut(text, "/")
	digits, thousands := strings.CutSuffix(strings.TrimSpace(number), "k")
	n, err := strconv.ParseFloat(digits, 64)
	if thousands {
		n *= 1000
	}
	switch {
	case err != nil:
		return refuse(0, fmt.Sprintf("%q is no number; write 5000, 50/s, 10/ms or max", number))
	case !(n > 0 && n <= maxRate):
		return refuse(0, fmt.Sprintf("%q is outside (0, 1e9] requests per second; for as fast as possible write max", number))
	}
	if per {
		at := len(number) + 1
		unit = strings.TrimSpace(unit)
		if unit != "" && (unit[0] < '0' || unit[0] > '9') {
			unit = "1" + unit
		}
		d, err := time.ParseDuration(unit)
		if err != nil || d <= 0 {
			return refuse(at, fmt.Sprintf("%q is no time; write /s, /ms, /m or /2s", text[at:]))
		}
		n /= d.Seconds()
		if n > maxRate {
			return refuse(0, "more than 1e9 requests per second")
		}
	}
	return n, nil
}

// ParseRamp reads "0:5000:60s": from a rate to a rate in a time.
func ParseRamp(s string) ([]Stage, error) {
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return nil, &SyntaxError{"ramp", s, 1, "write FROM:TO:TIME, as 0:5000:60s"}
	}
	var rates [2]float64
	at := 0
	for i := range 2 {
		if r, err := ParseRate(parts[i]); parts[i] != "0" && (err != nil || r == 0) {
			return nil, &SyntaxError{"ramp", s, at + 1, fmt.Sprintf("%q is no rate", parts[i])}
		} else if err == nil {
			rates[i] = r
		}
		at += len(parts[i]) + 1
	}
	d, err := time.ParseDuration(parts[2])
	if err != nil || d <= 0 {
		return nil, &SyntaxError{"ramp", s, at + 1, fmt.Sprintf("%q is no positive time, as 60s", parts[2])}
	}
	if rates[0] == 0 && rates[1] == 0 {
		return nil, &SyntaxError{"ramp", s, 1, "both rates are 0"}
	}
	return []Stage{{rates[0], rates[1], d}}, nil
}

// ParseStages reads "30s@50,1m@200": each rate is held for its time.
// "10s@0..50" goes from one rate to another.
func ParseStages(s string) ([]Stage, error) {
	var out []Stage
	at := 0
	total := 0.0
	for part := range strings.SplitSeq(s, ",") {
		span, rate, ok := strings.Cut(part, "@")
		if !ok {
			return nil, &SyntaxError{"stages", s, at + 1, fmt.Sprintf("%q has no \"@\"; write TIME@RATE, as 30s@50", part)}
		}
		d, err := time.ParseDuration(strings.TrimSpace(span))
		if err != nil || d <= 0 {
			return nil, &SyntaxError{"stages", s, at + 1, fmt.Sprintf("%q is no positive time, as 30s", span)}
		}
		from, to, ramp := strings.Cut(strings.TrimSpace(rate), "..")
		if !ramp {
			to = from
		}
		var rates [2]float64
		for i, text := range []string{from, to} {
			r, err := ParseRate(text)
			if text != "0" && (err != nil || r == 0) {
				return nil, &SyntaxError{"stages", s, at + len(span) + 2, fmt.Sprintf("%q is no rate", text)}
			}
			rates[i] = r
		}
		out = append(out, Stage{rates[0], rates[1], d})
		total += rates[0] + rates[1]
		at += len(part) + 1
	}
	if total == 0 {
		return nil, &SyntaxError{"stages", s, 1, "every rate is 0"}
	}
	return out, nil
}
