package forecast

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
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

// units are the ones that Grafana, kubectl and people write behind a value,
// without a rate's /s.
var units = func() map[string]unit {
	out := map[string]unit{
		"%": {"%", 1}, "rps": {"req/s", 1}, "qps": {"queries/s", 1}, "req": {"req", 1}, "ops": {"ops", 1},
		"ns": {"s", 1e-9}, "µs": {"s", 1e-6}, "μs": {"s", 1e-6}, "us": {"s", 1e-6}, "ms": {"s", 1e-3}, "s": {"s", 1},
	}
	for seconds, names := range map[float64]string{60: "min mins", 3600: "h hour hours", 86400: "d day days", 7 * 86400: "week weeks"} {
		for _, n := range strings.Fields(names) {
			out[n] = unit{"s", seconds}
		}
	}
	for scale, names := range map[float64]string{1e3: "K k thousand Tsd", 1e6: "M Mil million Mio", 1e9: "G Bil billion bn Mrd", 1e12: "T Tri trillion"} {
		for _, n := range strings.Fields(names) {
			out[n] = unit{"", scale}
		}
	}
	for i, prefix := range []string{"", "k", "M", "G", "T", "P"} {
		thousands, binary := math.Pow(1000, float64(i)), math.Pow(1024, float64(i))
		for name, base := range map[string]string{"B": "B", "b": "b", "bit": "b", "bps": "b/s", "Hz": "Hz"} {
			out[prefix+name] = unit{base, thousands}
		}
		if prefix != "" {
			upper := strings.ToUpper(prefix)
			out[upper+"i"], out[upper+"iB"], out[upper+"ib"] = unit{"B", binary}, unit{"B", binary}, unit{"b", binary}
		}
	}
	out["KB"], out["Kb"] = unit{"B", 1e3}, unit{"b", 1e3}
	return out
}()

// currencies are the codes of ISO 4217 that stand before a number, or behind one.
var currencies = func() map[string]bool {
	out := map[string]bool{}
	for _, code := range strings.Fields("USD EUR GBP JPY CNY RMB CHF AUD CAD NZD HKD SGD TWD INR KRW BRL MXN SEK NOK DKK PLN CZK HUF RUB TRY ZAR THB IDR ILS AED SAR") {
		out[code] = true
	}
	return out
}()

// isCurrency tells $, US$ and USD from other words.
func isCurrency(word string) bool {
	if currencies[word] {
		return true
	}
	sign, size := utf8.DecodeLastRuneInString(word)
	country := word[:len(word)-size]
	return unicode.Is(unicode.Sc, sign) && len(country) <= 3 && strings.Trim(country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// beforeDigits takes off what may stand before the digits of a number: the sign,
// a currency with a sign before or behind it, or the parenthesis that bookkeepers
// write around what is negative.
func beforeDigits(s string) (negative bool, currency, rest string) {
	if inner, ok := strings.CutPrefix(s, "("); ok && strings.HasSuffix(inner, ")") {
		_, currency, rest = beforeDigits(strings.TrimSpace(inner[:len(inner)-1]))
		return true, currency, rest
	}
	sign := func() {
		for _, minus := range []string{"-", "−"} {
			if after, ok := strings.CutPrefix(s, minus); ok && !negative {
				negative, s = true, strings.TrimSpace(after)
			}
		}
	}
	sign()
	if i := strings.IndexAny(s, "0123456789.,-−+"); i > 0 && isCurrency(strings.TrimSpace(s[:i])) {
		currency, s = strings.TrimSpace(s[:i]), s[i:]
		sign()
	}
	return negative, currency, s
}

// costUnit reads what stands behind an amount of money: a scale, of which B and m
// can only be thousand millions and a million there, or what it is paid for, as /h.
func costUnit(currency, s string) (unit, string) {
	word := strings.TrimSpace(s)
	scale, per := word, ""
	if i := strings.IndexByte(word, '/'); i >= 0 {
		scale, per = strings.TrimSpace(word[:i]), word[i:]
	}
	u, known := units[scale]
	switch {
	case scale == "":
		u = unit{"", 1}
	case scale == "B" || scale == "b":
		u = unit{"", 1e9}
	case scale == "m":
		u = unit{"", 1e6}
	case !known || u.base != "":
		return unit{}, fmt.Sprintf("%.20q behind an amount of money is not known", word)
	}
	return unit{currency + per, u.factor}, ""
}

// unclear are units that mean several things, and what to write instead.
var unclear = map[string]string{
	"m": "m may be minutes, millions or thousandths: write min, M, or the number",
	"u": "u may be a millionth of anything: write the number",
}

// parseUnit reads what stands behind a number: a unit that is known, or a scale
// as K or Mil with any unit behind it, or after a space any word. why says what
// cannot be read; empty: nothing.
func parseUnit(s string) (u unit, why string) {
	word := strings.TrimSpace(s)
	whole, rate := strings.CutSuffix(word, "/s")
	if u, ok := units[whole]; ok {
		if rate {
			u.base += "/s"
		}
		return u, ""
	}
	if isCurrency(word) {
		return unit{word, 1}, ""
	}
	scale, rest, both := strings.Cut(word, " ")
	if scale == "B" && both { // thousand millions, and no bytes, when a unit follows
		scale = "Bil"
	}
	if u, ok := units[scale]; ok && u.base == "" && both {
		return unit{strings.TrimSpace(rest), u.factor}, ""
	}
	switch {
	case s[0] == ' ' && !strings.ContainsAny(word, "0123456789"):
		return unit{word, 1}, ""
	case unclear[word] != "":
		return unit{}, unclear[word]
	}
	return unit{}, fmt.Sprintf("the unit %.20q is not known", word)
}

// name is what a unit is called in a warning.
func unitName(base string) string {
	if base == "" {
		return "ones (K is 1000)"
	}
	return strconv.Quote(base)
}

// marks stand between groups of three digits: spaces of all widths, the
// apostrophes of Switzerland, the underscores of programs. Commas and dots do too,
// but can also be decimal.
const marks = " \u00a0\u202f\u2009'’_"

var groupMarks = strings.NewReplacer(" ", "", "\u00a0", "", "\u202f", "", "\u2009", "", "'", "", "’", "", "_", "")

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
		_, _, s := beforeDigits(strings.TrimSpace(string(cell)))
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
		case strings.ContainsRune(marks, c) && end > 0 && end+n < len(s) && s[end+n] >= '0' && s[end+n] <= '9':
		default:
			return end
		}
		end += n
	}
	return end
}

// number reads a value that may be grouped and may have a unit or a currency; a
// series keeps to one, in which its values are counted. Where there is no value, or
// one that float64 cannot hold, it is NaN. why says what cannot be read; empty:
// nothing.
func (p *points) number(b []byte, decimalComma bool) (v float64, why string) {
	if v, err := strconv.ParseFloat(string(b), 64); err == nil && !decimalComma {
		if math.IsInf(v, 0) {
			return math.NaN(), ""
		}
		if v != 0 {
			p.plain++
		}
		return v, ""
	}
	s := strings.TrimSpace(string(b))
	if isBlank(s) {
		return math.NaN(), ""
	}
	negative, currency, rest := beforeDigits(s)
	if negative && strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "+") && rest != s {
		return 0, "it has two signs"
	}
	end := numberEnd(rest)
	text, grouped := ungroup(rest[:end], decimalComma)
	v, err := strconv.ParseFloat(text, 64)
	switch {
	case math.IsInf(v, 0): // as 1e999
		return math.NaN(), ""
	case err != nil || math.IsNaN(v):
		return 0, "it is no number"
	}
	if negative {
		v = -v
	}
	if end < len(rest) || currency != "" {
		var u unit
		if currency != "" {
			u, why = costUnit(currency, rest[end:])
		} else {
			u, why = parseUnit(rest[end:])
		}
		switch {
		case why != "":
			return 0, why
		case p.units > 0 && p.unit != u.base:
			return 0, fmt.Sprintf("it is in %s, others are in %s", unitName(u.base), unitName(p.unit))
		}
		p.unit = strings.Clone(u.base)
		p.units++
		v *= u.factor
	} else if v != 0 {
		p.plain++
	}
	if (grouped || s[0] == '(') && p.grouped == "" {
		p.grouped, p.taken = strings.Clone(s), v
	}
	if math.IsInf(v, 0) {
		return 0, "it is out of range"
	}
	return v, ""
}
