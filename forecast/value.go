package forecast

import (
	"math"
	"strconv"
	"strings"
)

// parseNumber reads a plain number; empty, NaN, NA, null and - are blanks.
// Infinities and what float64 cannot hold are blanks too.
func parseNumber(s string) (v float64, blank, ok bool) {
	switch s {
	case "", "NaN", "nan", "NA", "N/A", "null", "-", "None", "undefined":
		return math.NaN(), true, true
	}
	v, err := strconv.ParseFloat(s, 64)
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return math.NaN(), true, true
	}
	return v, false, err == nil
}

// A unit is how a value is written: what it is counted in, and how many of that.
type unit struct {
	base   string
	factor float64
}

// units are the ones that Grafana writes behind a value, without a rate's /s.
var units = func() map[string]unit {
	out := map[string]unit{
		"%": {"%", 1},
		"K": {"", 1e3}, "k": {"", 1e3}, "M": {"", 1e6}, "Mil": {"", 1e6}, "G": {"", 1e9}, "Bil": {"", 1e9}, "T": {"", 1e12}, "Tri": {"", 1e12},
		"ns": {"s", 1e-9}, "µs": {"s", 1e-6}, "μs": {"s", 1e-6}, "us": {"s", 1e-6}, "ms": {"s", 1e-3}, "s": {"s", 1},
	}
	for seconds, names := range map[float64]string{60: "min mins", 3600: "h hour hours", 86400: "d day days", 7 * 86400: "week weeks"} {
		for _, n := range strings.Fields(names) {
			out[n] = unit{"s", seconds}
		}
	}
	for _, base := range []string{"B", "b"} {
		out[base] = unit{base, 1}
		for i, prefix := range "kMGTP" {
			out[string(prefix)+base] = unit{base, math.Pow(1000, float64(i+1))}
			out[strings.ToUpper(string(prefix))+"i"+base] = unit{base, math.Pow(1024, float64(i+1))}
		}
		out["K"+base] = unit{base, 1e3}
	}
	return out
}()

// parseUnit reads what stands behind a number: a unit that is known, or a scale
// as K or Mil with any unit behind it, or after a space any word.
func parseUnit(s string) (unit, bool) {
	word := strings.TrimSpace(s)
	whole, rate := strings.CutSuffix(word, "/s")
	if u, ok := units[whole]; ok {
		if rate {
			u.base += "/s"
		}
		return u, true
	}
	scale, rest, both := strings.Cut(word, " ")
	if scale == "B" && both { // thousand millions, and no bytes, when a unit follows
		scale = "Bil"
	}
	if u, ok := units[scale]; ok && u.base == "" && both {
		return unit{strings.TrimSpace(rest), u.factor}, true
	}
	return unit{word, 1}, s[0] == ' ' && !strings.ContainsAny(word, "0123456789")
}

// ungroup takes the separators out of numbers as 1,721,992.28: a comma before
// each three digits. A comma elsewhere is the decimal one, as in 1721,9.
func ungroup(s string) (string, bool) {
	whole, fraction, dot := strings.Cut(s, ".")
	groups := strings.Split(strings.TrimPrefix(whole, "-"), ",")
	if len(groups) == 1 {
		return s, false
	}
	grouped := len(groups[0]) >= 1 && len(groups[0]) <= 3
	for _, g := range groups[1:] {
		grouped = grouped && len(g) == 3
	}
	switch {
	case grouped && dot:
		return strings.ReplaceAll(whole, ",", "") + "." + fraction, true
	case grouped:
		return strings.ReplaceAll(whole, ",", ""), true
	case len(groups) == 2 && !dot:
		return strings.Replace(s, ",", ".", 1), true
	}
	return s, false
}

// number reads a value that may be grouped and may have a unit; a series keeps
// to one unit, in which its values are counted.
func (p *points) number(s string) (v float64, blank, ok bool) {
	s = strings.TrimSpace(s)
	if v, blank, ok = parseNumber(s); ok {
		return v, blank, true
	}
	end := 0
	for end < len(s) && strings.IndexByte("0123456789.,-+eE", s[end]) >= 0 {
		end++
	}
	text, grouped := ungroup(s[:end])
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
		return 0, false, false
	}
	if grouped && p.grouped == "" {
		p.grouped = strings.Clone(s[:end])
	}
	if end == len(s) {
		return v, false, grouped
	}
	u, ok := parseUnit(s[end:])
	if !ok || p.units > 0 && p.unit != u.base {
		return 0, false, false
	}
	p.unit = strings.Clone(u.base)
	p.units++
	v *= u.factor
	return v, false, !math.IsInf(v, 0)
}
