// Package capacity turns a measured performance curve into the number of
// instances a service needs.
//
// [ParseObjective] reads what a service must keep, a [Curve] is the measured
// performance model of one instance, a [Shape] the size of its slice. The
// package is pure: no clock, no files, no network, so every result can be
// replayed from its input.
package capacity

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// An Objective is what a service must keep, as given with --slo: every term
// must hold. Its one grammar, used by every command:
//
//	objective = term { "," term }
//	term      = metric ( "<" | "<=" ) bound
//	metric    = "p" number | "p(" number ")" | "mean" | "max" | "errors"
//	bound     = duration (50ms, 1.5s) for response times,
//	            percentage or ratio (0.1%, 0.001) for errors
//
// A quantile of the response time is given in percent, from p1 to p99.999. The
// written-together names that tools and papers use from p90 upwards are read as
// they mean it: p999 is p99.9, p9999 is p99.99, p975 is p97.5. Nothing else of
// three digits is read, so that p100 is refused and not taken for p10. A bound
// without a unit is refused; only behind the bracketed spelling, which is that
// of k6, it is milliseconds, as there. Fast rejects count as errors.
type Objective struct {
	Terms []Term
}

// A Term bounds one metric from above.
type Term struct {
	Metric   string  // "p99", "mean", "max" or "errors", in canonical spelling
	Quantile float64 // of a quantile metric, in (0, 1); 1 for max; NaN otherwise
	Bound    float64 // seconds, or a ratio for errors
	Strict   bool    // "<" rather than "<="
}

// An ObjectiveError says where an objective cannot be read.
type ObjectiveError struct {
	Text     string // the whole objective
	Position int    // of the refused part, in characters from 1
	Reason   string
}

func (e *ObjectiveError) Error() string {
	return fmt.Sprintf("objective %q: position %d: %s", e.Text, e.Position, e.Reason)
}

// ParseObjective reads an objective such as "p99<50ms,errors<0.1%". Errors are
// of type *ObjectiveError.
func ParseObjective(s string) (Objective, error) {
	var o Objective
	pos := 0
	for part := range strings.SplitSeq(s, ",") {
		t, at, reason := parseTerm(part)
		if reason != "" {
			return Objective{}, &ObjectiveError{Text: s, Position: len([]rune(s[:pos+at])) + 1, Reason: reason}
		}
		for _, have := range o.Terms {
			if have.Metric == t.Metric {
				return Objective{}, &ObjectiveError{Text: s, Position: len([]rune(s[:pos])) + 1, Reason: fmt.Sprintf("%s is bounded twice", t.Metric)}
			}
		}
		o.Terms = append(o.Terms, t)
		pos += len(part) + 1
	}
	return o, nil
}

// quantileRange is what every message says about quantiles.
const quantileRange = "p1 to p99.999 (p999 is p99.9)"

// parseTerm reads one term; at is the byte offset in part of what is refused.
func parseTerm(part string) (t Term, at int, reason string) {
	var err error
	trimmed := strings.TrimLeftFunc(part, unicode.IsSpace)
	lead := len(part) - len(trimmed)
	if strings.TrimSpace(part) == "" {
		return t, 0, "empty term; write metric<bound, as in p99<50ms"
	}
	i := strings.IndexAny(part, "<>=")
	if i < 0 {
		return t, lead, fmt.Sprintf("%q has no \"<\"; write metric<bound, as in p99<50ms", strings.TrimSpace(part))
	}
	if part[i] != '<' {
		return t, i, fmt.Sprintf("%q is not accepted; an objective is an upper bound, write \"<\" or \"<=\"", part[i:i+1])
	}
	metric := strings.ToLower(strings.TrimSpace(part[:i]))
	t.Strict = !strings.HasPrefix(part[i:], "<=")
	rest := part[i+1:]
	if !t.Strict {
		rest = part[i+2:]
	}
	boundAt := len(part) - len(strings.TrimLeftFunc(rest, unicode.IsSpace))
	bound := strings.TrimSpace(rest)
	t.Quantile = math.NaN()
	switch {
	case metric == "errors":
		t.Metric = metric
		if t.Bound, err = ParseRatio(bound); err != nil {
			reason = err.Error()
		}
		return t, boundAt, reason
	case metric == "mean" || metric == "avg":
		t.Metric = "mean"
	case metric == "max":
		t.Metric, t.Quantile = "max", 1
	case quantileName(metric):
		q, ok := parseQuantile(metric[1:])
		if !ok {
			return t, lead, fmt.Sprintf("metric %q is outside %s; the slowest request is max", metric, quantileRange)
		}
		t.Quantile = q
		t.Metric = "p" + strconv.FormatFloat(math.Round(q*1e7)/1e5, 'f', -1, 64)
	default:
		return t, lead, fmt.Sprintf("metric %q is unknown; known are %s, mean, max and errors", metric, quantileRange)
	}
	var d time.Duration
	d, err = time.ParseDuration(bound)
	if ms, bare := strconv.ParseFloat(bound, 64); err != nil && bare == nil && ms < 1e9 && strings.Contains(metric, "(") {
		d, err = time.Duration(ms*float64(time.Millisecond)), nil
	}
	switch {
	case err != nil && bound != "" && !strings.ContainsFunc(bound, unicode.IsLetter):
		return t, boundAt, fmt.Sprintf("bound %q has no unit; write %sms or %ss", bound, bound, bound)
	case err != nil:
		return t, boundAt, fmt.Sprintf("bound %q is no duration; write 50ms or 1.5s", bound)
	case d <= 0:
		return t, boundAt, fmt.Sprintf("bound %q is not positive", bound)
	}
	t.Bound = d.Seconds()
	return t, 0, ""
}

// quantileName reports whether a metric is meant as a quantile: a p before a
// number or a bracket.
func quantileName(metric string) bool {
	number, ok := strings.CutPrefix(metric, "p")
	return ok && number != "" && strings.Trim(number, "0123456789.()+-") == ""
}

// parseQuantile reads "99", "99.9" and "(99.9)" as percent, "999" as 99.9.
func parseQuantile(s string) (float64, bool) {
	if strings.HasPrefix(s, "(") && strings.HasSuffix(s, ")") {
		s = s[1 : len(s)-1]
	} else if len(s) > 2 && s[0] == '9' && !strings.Contains(s, ".") {
		s = s[:2] + "." + s[2:]
	}
	p, err := strconv.ParseFloat(s, 64)
	if err != nil || !(p >= 1 && p <= 99.999) {
		return 0, false
	}
	return p / 100, true
}

// ParseRatio reads a share such as "0.1%" or "0.001", in (0, 1].
func ParseRatio(s string) (float64, error) {
	number, percent := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil {
		return 0, fmt.Errorf("bound %q is neither a percentage nor a ratio; write 0.1%% or 0.001", s)
	}
	if percent {
		v /= 100
	}
	if !(v > 0 && v <= 1) {
		return 0, fmt.Errorf("bound %q is outside (0%%, 100%%]", s)
	}
	return v, nil
}

// Latency returns the first term on a quantile of the response time, and
// whether there is one. Its Bound is in seconds.
func (o Objective) Latency() (Term, bool) {
	for _, t := range o.Terms {
		if t.Quantile < 1 {
			return t, true
		}
	}
	return Term{}, false
}

// ErrorRatio returns the highest share of errors that is accepted; 1 when the
// objective does not bound errors.
func (o Objective) ErrorRatio() float64 {
	for _, t := range o.Terms {
		if t.Metric == "errors" {
			return t.Bound
		}
	}
	return 1
}

// Met reports whether a measured value keeps the term. NaN never does.
func (t Term) Met(value float64) bool {
	if t.Strict {
		return value < t.Bound
	}
	return value <= t.Bound
}

// String writes the objective in canonical spelling: "p99<50ms,errors<0.1%".
func (o Objective) String() string {
	parts := make([]string, len(o.Terms))
	for i, t := range o.Terms {
		parts[i] = t.String()
	}
	return strings.Join(parts, ",")
}

// String writes the term in canonical spelling.
func (t Term) String() string {
	sign := "<="
	if t.Strict {
		sign = "<"
	}
	if t.Metric == "errors" {
		return t.Metric + sign + strconv.FormatFloat(math.Round(t.Bound*1e10)/1e8, 'f', -1, 64) + "%"
	}
	return t.Metric + sign + time.Duration(math.Round(t.Bound*1e9)).String()
}
