package forecast

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// What a spreadsheet, a billing export, kubectl and people write, and what it is
// in the unit that is named.
func TestValuesWrittenForPeople(t *testing.T) {
	for _, c := range []struct {
		unit string // of the warning
		text [3]string
		want []float64
	}{
		{`"$"`, [3]string{"$1,234.50", "$7", "-$0.25"}, []float64{1234.5, 7, -0.25}},
		{`"$"`, [3]string{"$1.2k", "$1.5m", "$ 2.5B"}, []float64{1200, 1.5e6, 2.5e9}},
		{`"$"`, [3]string{"($1,234.50)", "$-5", "($3)"}, []float64{-1234.5, -5, -3}},
		{`"US$"`, [3]string{"US$ 10", "US$11", "-US$12"}, []float64{10, 11, -12}},
		{`"USD"`, [3]string{"USD 1,000.00", "USD 2", "USD3"}, []float64{1000, 2, 3}},
		{`"EUR"`, [3]string{"1000 EUR", "2EUR", "3 EUR"}, []float64{1000, 2, 3}},
		{`"€"`, [3]string{"1.234,50 €", "7,00 €", "0,25€"}, []float64{1234.5, 7, 0.25}},
		{`"¥"`, [3]string{"¥1,234", "¥2,345", "¥100"}, []float64{1234, 2345, 100}},
		{`"$/h"`, [3]string{"$0.12/h", "$0.13/h", "$1.2k/h"}, []float64{0.12, 0.13, 1200}},
		{`"s"`, [3]string{"350ms", "1.2s", "2min"}, []float64{0.35, 1.2, 120}},
		{"ones (K is 1000)", [3]string{"1.2k", "3M", "900"}, []float64{1200, 3e6, 900}},
		{"ones (K is 1000)", [3]string{"1.2 million", "3 Mrd", "900 thousand"}, []float64{1.2e6, 3e9, 9e5}},
		{`"B"`, [3]string{"512Mi", "1Gi", "64 KiB"}, []float64{512 << 20, 1 << 30, 64 << 10}},
		{`"b/s"`, [3]string{"10Gbps", "5 Mbit/s", "3bps"}, []float64{1e10, 5e6, 3}},
		{`"Hz"`, [3]string{"2.4GHz", "800 MHz", "50Hz"}, []float64{2.4e9, 8e8, 50}},
		{`"req/s"`, [3]string{"350rps", "1.2k req/s", "40 req/s"}, []float64{350, 1200, 40}},
		{"", [3]string{"1_000", "(12)", "−5"}, []float64{1000, -12, -5}},
	} {
		series, warnings, err := read(t, ReadOptions{}, fmt.Sprintf("t;a\n2026-01-05 00:00:00;%s\n2026-01-05 01:00:00;%s\n2026-01-05 02:00:00;%s\n", c.text[0], c.text[1], c.text[2]))
		if err != nil || len(series) != 1 {
			t.Errorf("%q: %v %v", c.text, warnings, err)
			continue
		}
		for i, want := range c.want {
			if got := series[0].Values[i]; math.Abs(got-want) > 1e-12*math.Abs(want) {
				t.Errorf("%q is %v, want %v", c.text[i], got, want)
			}
		}
		told := c.unit == ""
		for _, w := range warnings {
			if w.Kind != "unit" {
				t.Errorf("%q: %s", c.text, w)
			}
			told = told || strings.HasSuffix(w.Text, "counted in "+c.unit)
		}
		if !told || len(warnings) == 0 {
			t.Errorf("%q: warnings %v, want one of the unit %s", c.text, warnings, c.unit)
		}
	}
}

// What can be read in several ways is refused, with what to write instead.
func TestUnclearValuesAreRefused(t *testing.T) {
	for value, why := range map[string]string{
		"250m":     "minutes, millions or thousandths",
		"1h30m":    `the unit "h30m" is not known`,
		"00:01:30": `the unit ":01:30" is not known`,
		"12 of 20": `the unit "of 20" is not known`,
		"$5 ms":    `"ms" behind an amount of money is not known`,
		"--5":      "two signs",
		"-$-5":     "two signs",
		"many":     "no number",
		"$":        "no number",
		"XY 5":     "no number",
		"1,23,456": "no number",
	} {
		_, warnings, err := read(t, ReadOptions{}, strings.ReplaceAll("series;t;value\na;1;V\na;2;V\na;3;V\n", "V", value))
		if err == nil || len(warnings) == 0 {
			t.Errorf("%q is read", value)
			continue
		}
		if text := warnings[len(warnings)-1].Text; !strings.Contains(text, why) || !strings.Contains(text, "in line 2 of x") {
			t.Errorf("%q: %q does not say %q and the line", value, text, why)
		}
	}
}

// A series keeps to one unit; values without one among those that have one are
// taken for the same, and that is said.
func TestSeriesKeepsToOneUnit(t *testing.T) {
	var b strings.Builder
	b.WriteString("series,t,value\n")
	at := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	for i := range 30 {
		value := "$5"
		if i == 7 {
			value = "€5"
		}
		if i == 9 || i == 11 {
			value = "6"
		}
		fmt.Fprintf(&b, "a,%s,%s\n", at.Add(time.Duration(i)*time.Hour).Format(time.RFC3339), value)
	}
	series, warnings, err := read(t, ReadOptions{}, b.String())
	if err != nil || !math.IsNaN(series[0].Values[7]) || series[0].Values[9] != 6 {
		t.Fatalf("%v %v", series, err)
	}
	text := fmt.Sprint(warnings)
	for _, part := range []string{`value "€5" in line 9 of x: it is in "€", others are in "$"`, `27 values with a unit, counted in "$"`, `2 values without a unit, taken for "$" too`} {
		if !strings.Contains(text, part) {
			t.Errorf("%s lacks %s", text, part)
		}
	}
}
