package forecast

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// blanks are the words that programs and people write where there is no value,
// in lower case.
var blanks = func() map[string]bool {
	out := map[string]bool{"": true, "no data": true, "no value": true}
	for _, w := range strings.Fields(`nan na n/a #n/a #na null (null) nil none undefined missing unknown - -- --- — – \n ? . inf +inf -inf infinity -infinity`) {
		out[w] = true
	}
	return out
}()

// isBlank reports whether s says that there is no value.
func isBlank(s string) bool { return len(s) <= 10 && blanks[strings.ToLower(s)] }

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

// name is what a unit is called in a warning.
func unitName(base string) string {
	if base == "" {
		return "ones (K is 1000)"
	}
	return strconv.Quote(base)
}

// groupMarks stand between groups of three digits: spaces of all widths, and the
// apostrophes of Switzerland. Commas and dots do too, but can also be decimal.
var groupMarks = strings.NewReplacer(" ", "", "\u00a0", "", "\u202f", "", "\u2009", "", "'", "", "’", "")

// ungroup takes the separators out of a number as 1,721,992.28, 1.721.992,28 or
// 1 721 992,28 and puts a dot before its decimals. Where the file has decimal
// commas, a comma is one and dots group; else commas group before three digits
// each and are decimal elsewhere, as in 1721,9 and 0,123.
func ungroup(s string, decimalComma bool) (string, bool) {
	bare := groupMarks.Replace(s)
	if decimalComma {
		whole, fraction, comma := strings.Cut(bare, ",")
		if groups := strings.Split(whole, "."); len(groups) > 1 {
			if !inThrees(groups) {
				return s, false
			}
			whole = strings.Join(groups, "")
		}
		if comma {
			return whole + "." + fraction, true
		}
		return whole, whole != s
	}
	whole, fraction, dot := strings.Cut(bare, ".")
	groups := strings.Split(whole, ",")
	switch {
	case len(groups) == 1:
		return bare, bare != s
	case inThrees(groups) && dot:
		return strings.Join(groups, "") + "." + fraction, true
	case inThrees(groups):
		return strings.Join(groups, ""), true
	case len(groups) == 2 && !dot:
		return groups[0] + "." + groups[1], true
	}
	return s, false
}

// inThrees reports whether groups are those of a number: one to three digits that
// do not begin with 0, then three each.
func inThrees(groups []string) bool {
	first := strings.TrimLeft(groups[0], "+-")
	if len(first) < 1 || len(first) > 3 || first[0] == '0' {
		return false
	}
	for _, g := range groups[1:] {
		if len(g) != 3 {
			return false
		}
	}
	return true
}

// commasAreDecimal tells from the cells of a file whether a comma stands before
// the decimals of its numbers: of those that show it, more have one than a dot.
func commasAreDecimal(cells [][]byte) bool {
	votes := 0
	for _, cell := range cells {
		s := string(cell)
		number := groupMarks.Replace(s[:numberEnd(s)])
		comma, dot := strings.LastIndexByte(number, ','), strings.LastIndexByte(number, '.')
		switch decimals := len(number) - 1; {
		case comma > dot && (dot >= 0 || decimals-comma != 3) && strings.Count(number, ",") == 1:
			votes++
		case dot > comma && (comma >= 0 || decimals-dot != 3) && strings.Count(number, ".") == 1:
			votes--
		}
	}
	return votes > 0
}

// numberEnd is where the number at the beginning of s ends: a mark between
// groups belongs to it where a digit follows.
func numberEnd(s string) int {
	end := 0
	for end < len(s) {
		c, n := utf8.DecodeRuneInString(s[end:])
		switch {
		case strings.ContainsRune("0123456789.,-+", c):
		case (c == 'e' || c == 'E') && end+1 < len(s) && strings.IndexByte("0123456789-+", s[end+1]) >= 0:
		case strings.ContainsRune(" \u00a0\u202f\u2009'’", c) && end > 0 && end+n < len(s) && s[end+n] >= '0' && s[end+n] <= '9':
		default:
			return end
		}
		end += n
	}
	return end
}

// number reads a value that may be grouped and may have a unit; a series keeps
// to one unit, in which its values are counted. Where there is no value, or one
// that float64 cannot hold, it is NaN.
func (p *points) number(b []byte, decimalComma bool) (v float64, ok bool) {
	if v, err := strconv.ParseFloat(string(b), 64); err == nil && !decimalComma {
		if math.IsInf(v, 0) {
			v = math.NaN()
		}
		return v, true
	}
	s := strings.TrimSpace(string(b))
	if isBlank(s) {
		return math.NaN(), true
	}
	end := numberEnd(s)
	text, grouped := ungroup(s[:end], decimalComma)
	v, err := strconv.ParseFloat(text, 64)
	switch {
	case math.IsInf(v, 0): // as 1e999
		return math.NaN(), true
	case err != nil || math.IsNaN(v):
		return 0, false
	}
	if end < len(s) {
		u, ok := parseUnit(s[end:])
		if !ok || p.units > 0 && p.unit != u.base {
			return 0, false
		}
		p.unit = strings.Clone(u.base)
		p.units++
		v *= u.factor
	}
	if grouped && p.grouped == "" {
		p.grouped, p.taken = strings.Clone(s[:end]), v
	}
	return v, !math.IsInf(v, 0)
}
