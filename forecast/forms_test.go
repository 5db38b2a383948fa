package forecast

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf16"
)

// tableOf writes a table of four hours in which a is 1 to 4: the stamps as layout
// has them, cells between separators.
func tableOf(head, layout, separator string, cells func(h int) string) string {
	var b strings.Builder
	b.WriteString(head + "\n")
	for h := range 4 {
		at := time.Date(2026, 1, 5, h, 0, 0, 0, time.UTC)
		b.WriteString(at.Format(layout) + separator + cells(h) + "\n")
	}
	return b.String()
}

// digit is the value of a at hour h.
func digit(h int) string { return string(rune('1' + h)) }

func TestTablesAsProgramsWriteThem(t *testing.T) {
	const iso = time.RFC3339
	one := map[string][]float64{"a": {1, 2, 3, 4}}
	split := map[string][]float64{"eu": {1, 2, 3, 4}, "us": {1, 2, 3, 4}}
	// Each hour has a row for each region.
	byRegion := func(head string, row func(at, region string, h int) string) string {
		var b strings.Builder
		b.WriteString(head)
		for h := range 4 {
			for _, region := range []string{"eu", "us"} {
				b.WriteString(row(time.Date(2026, 1, 5, h, 0, 0, 0, time.UTC).Format(iso), region, h) + "\n")
			}
		}
		return b.String()
	}
	for _, c := range []inputCase{
		{name: "a time column of another name", text: tableOf("Zeitpunkt (UTC),a", iso, ",", digit), series: one, kinds: []string{"name"}},
		{name: "date and time apart", text: tableOf("Date,Time,a", "2006-01-02,15:04:05", ",", digit), series: one},
		{name: "bars", text: tableOf("time|a", iso, "|", digit), series: one},
		{name: "lines that end in carriage returns", text: strings.ReplaceAll(tableOf("time,a", iso, ",", digit), "\n", "\r"), series: one},
		{name: "comments above", text: "# of the shop\n# at noon\n" + tableOf("time,a", iso, ",", digit), series: one},
		{name: "a title above", text: "Requests per hour\n\n" + tableOf("time,a", iso, ",", digit), series: one, kinds: []string{"row"}},
		{name: "no header", text: strings.TrimPrefix(tableOf("", iso, ",", digit), "\n"), series: map[string][]float64{"column 2": {1, 2, 3, 4}}, kinds: []string{"name"}},
		{name: "no header, names of series", text: byRegion("", func(at, region string, h int) string { return region + "," + digit(h) + "," + at }), series: split, kinds: []string{"name"}},
		{name: "a column that names the service", text: byRegion("service,timestamp,requests\n", func(at, region string, h int) string { return region + "," + at + "," + digit(h) }), series: split},
		{name: "two values of each host", text: byRegion("time,host,rps,cpu\n", func(at, region string, h int) string { return at + "," + region + "," + digit(h) + "," + digit(h) }), series: map[string][]float64{"eu/rps": {1, 2, 3, 4}, "eu/cpu": {1, 2, 3, 4}, "us/rps": {1, 2, 3, 4}, "us/cpu": {1, 2, 3, 4}}},
		{name: "two columns of names", text: byRegion("\"Time\",\"service\",\"region\",\"Value\"\n", func(at, region string, h int) string { return at + ",web," + region + "," + digit(h) }), series: map[string][]float64{"web/eu": {1, 2, 3, 4}, "web/us": {1, 2, 3, 4}}},
		{name: "names in a column of any name", text: byRegion("time,shop,sold\n", func(at, region string, h int) string { return at + "," + region + "," + digit(h) }), series: split},
		{name: "InfluxDB", text: byRegion("#datatype,string,long,dateTime:RFC3339,double,string\n#group,false,false,false,false,true\n#default,_result,,,,\n,result,table,_time,_value,region\n", func(at, region string, h int) string { return ",,0," + at + "," + digit(h) + "," + region }), series: split},
		{name: "words for no value", text: "time,a,b\n2026-01-05T00:00:00Z,1,NULL\n2026-01-05T01:00:00Z,n/a,20\n2026-01-05T02:00:00Z,3,—\n2026-01-05T03:00:00Z,4,40\n", series: map[string][]float64{"a": {1, math.NaN(), 3, 4}, "b": {math.NaN(), 20, math.NaN(), 40}}, kinds: []string{"blank"}},
		{name: "decimal commas and dots", text: tableOf("time;a", "02.01.2006 15:04", ";", func(h int) string { return []string{"1.234,50", "999,123", "1.234.567", "0,125"}[h] }), series: map[string][]float64{"a": {1234.5, 999.123, 1234567, 0.125}}, kinds: []string{"unit"}},
		{name: "narrow spaces", text: tableOf("time;a", "02/01/2006 15:04", ";", func(h int) string { return []string{"1\u202f234,5", "12,5", "1\u00a0000\u00a0000,25", "3,5"}[h] }), series: map[string][]float64{"a": {1234.5, 12.5, 1000000.25, 3.5}}, start: "2026-05-01T00:00:00Z", kinds: []string{"date", "unit"}},
		{name: "apostrophes", text: tableOf("time;a", iso, ";", func(h int) string { return []string{"1'234.5", "999", "1’000’000.25", "3.5"}[h] }), series: map[string][]float64{"a": {1234.5, 999, 1000000.25, 3.5}}, kinds: []string{"unit"}},
		{name: "a line of totals", text: tableOf("time,a", iso, ",", digit) + strings.Repeat(tableOf("", iso, ",", digit)[1:], 20) + "Total,10\n", series: one, kinds: []string{"duplicate", "order", "row"}},
		{name: "bytes that are no UTF-8", text: tableOf("time,gr\xf6\xdfe", iso, ",", digit), series: map[string][]float64{"größe": {1, 2, 3, 4}}},
	} {
		if c.start == "" {
			c.start = januaryFifth
		}
		c.step = time.Hour
		c.check(t)
	}
}

func TestDatesAsProgramsWriteThem(t *testing.T) {
	for _, layout := range []string{
		"02-Jan-2006 15:04:05", "2-Jan-06 15:04", "Jan 02, 2006 03:04:05 PM", "Jan 2, 2006, 3:04 PM", "2 January 2006 15:04", "Mon, 02 Jan 2006 15:04:05 GMT", "Mon Jan _2 15:04:05 UTC 2006",
		"02/Jan/2006:15:04:05 -0700", "20060102T150405Z", "200601021504", "20060102150405", "2006/1/2 15:04", "2006-1-2 15:04", "2006.01.02 15:04:05", "2006年01月02日 15:04", "2006年1月2日 15:04:05",
		"2006-01-02 03:04:05 pm", "1/2/2006, 3:04:05\u202fPM", "01/02/06 15:04", "2006-01-02T15:04:05.000+00:00", "2006-01-02 15:04:05 +0000 UTC",
	} {
		c := inputCase{name: layout, series: map[string][]float64{"a": {1, 2, 3, 4}}, start: januaryFifth, step: time.Hour}
		c.text = tableOf("time;a", layout, ";", digit)
		if strings.Contains(layout, "/06") || strings.HasPrefix(layout, "1/2") {
			c.kinds = []string{"date"}
		}
		c.check(t)
	}
	c := inputCase{name: "days as numbers", text: "day;a\n20260130;1\n20260131;2\n20260201;3\n20260202;4\n", series: map[string][]float64{"a": {1, 2, 3, 4}}, start: "2026-01-30T00:00:00Z", step: 24 * time.Hour, kinds: []string{"name"}}
	c.check(t)
}

func TestUTF16IsRead(t *testing.T) {
	text := tableOf("time,größe 𝛼", time.RFC3339, ",", digit)
	for name, order := range map[string]binary.AppendByteOrder{"little": binary.LittleEndian, "big": binary.BigEndian} {
		b := order.AppendUint16(nil, 0xfeff)
		for _, unit := range utf16.Encode([]rune(text)) {
			b = order.AppendUint16(b, unit)
		}
		c := inputCase{name: name, text: string(b), series: map[string][]float64{"größe 𝛼": {1, 2, 3, 4}}, start: januaryFifth, step: time.Hour}
		c.check(t)
	}
}

func TestWhatIsNoHistoryIsRefused(t *testing.T) {
	for _, c := range []struct {
		name, text string
		is         error
		says       string
	}{
		{"separators inside of values", tableOf("time,a,b", time.RFC3339, ",", func(int) string { return "1,234,5,678" }), ErrFormat, "5 cells where the header has 3"},
		{"no time that can be read", "time,a\nsoon,1\nlater,2\n", ErrFormat, `2 of 2 rows cannot be read, the first has time "soon" in line 2`},
		{"a list of words", "alpha,beta\ngamma,delta\n", ErrFormat, "no column t, time, timestamp or date"},
		{"times of two columns and no header", strings.Repeat("2026-01-05T00:00:00Z,2026-01-05T00:00:00Z,1\n", 5), ErrFormat, "no column"},
		{"xz", "\xfd7zXZ\x00...", ErrFormat, "xz -dc"},
		{"a workbook", "PK\x03\x04...", ErrFormat, "as CSV"},
		{"the native form of VictoriaMetrics", "\x00\x00\x01\x9b\x8f\x1a...", ErrFormat, "/api/v1/export"},
		{"an instant", `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1767571200,"3"]}]}}`, ErrAnswer, "vector, of one instant"},
		{"a scalar", `{"status":"success","data":{"resultType":"scalar","result":[1767571200.7,"3"]}}`, ErrAnswer, "scalar, of one instant"},
		{"names of series", `{"status":"success","data":["a","b"]}`, ErrAnswer, "another address"},
		{"an error", `{"status":"error","errorType":"bad_data","error":"parse error"}`, ErrAnswer, "parse error"},
		{"half an answer", `{"status":"success","data":{"resultType":"mat`, ErrFormat, "cut off"},
	} {
		err := NewInput(ReadOptions{}).Add("file", strings.NewReader(c.text))
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
}

// What other commands than curl make of the answers of metric stores.
func TestMoreAnswersOfMetricStores(t *testing.T) {
	const matrix = `[{"metric":{"job":"a"},"values":[[1767571200,"1"],[1767574800,"2"],[1767578400,"3"]]}]`
	one := map[string][]float64{`{job="a"}`: {1, 2, 3}}
	for _, c := range []inputCase{
		{name: "promtool query range -o json", text: matrix, series: one},
		{name: "jq .data", text: `{"resultType":"matrix","result":` + matrix + `}`, series: one},
		{name: "warnings of the server", text: `{"status":"success","warnings":["truncated"],"infos":["not a counter"],"data":{"resultType":"matrix","result":` + matrix + `}}`, series: one, kinds: []string{"server"}},
		{name: "a native histogram beside", text: `[{"metric":{"job":"h"},"histograms":[[1767571200,{"count":"1"}]]},` + matrix[1:], series: one, kinds: []string{"series"}},
		{
			name:   "get-metric-statistics",
			text:   `{"Label":"CPU","Datapoints":[{"Timestamp":"2026-01-05T02:00:00+00:00","Average":3,"Unit":"Percent"},{"Timestamp":"2026-01-05T00:00:00+00:00","Average":1,"Unit":"Percent"},{"Timestamp":"2026-01-05T01:00:00+00:00","Average":2,"Unit":"Percent"}]}`,
			series: map[string][]float64{"CPU": {1, 2, 3}}, kinds: []string{"order"},
		},
		{
			name:   "CloudWatch, a page lacking",
			text:   `{"MetricDataResults":[{"Id":"m1","Label":"a","Timestamps":["2026-01-05T00:00:00+00:00","2026-01-05T01:00:00+00:00"],"Values":[1,2],"StatusCode":"PartialData"}],"NextToken":"x","Messages":[{"Code":"MaxMetricsExceeded","Value":"only 500"}]}`,
			series: map[string][]float64{"a": {1, 2}}, kinds: []string{"partial", "server"},
		},
	} {
		c.start, c.step = januaryFifth, time.Hour
		c.check(t)
	}
}

// Each repair says what, how often, and where first.
func TestRepairsNameTheirPlace(t *testing.T) {
	const text = `series,t,value
a,2026-01-05T00:00:00Z,10
a,2026-01-05T01:00:00Z,11
a,2026-01-05T01:00:00Z,11
a,2026-01-05T02:00:00Z,
a,2026-01-05T06:00:00Z,12
a,2026-01-05T05:00:00Z,13
a,2026-01-05T07:00:00Z,12
a,2026-01-05T07:00:00Z,14
b,2026-01-05T00:00:00Z,5
b,2026-01-05T01:00:00Z,7
b,2026-01-05T02:00:00Z,1
b,2026-01-05T03:00:00Z,3
`
	want := map[ReadOptions][]string{
		{}: {
			`series "a": order: stamps go back 1 time, at 2026-01-05T05:00:00Z; sorted`,
			`series "a": duplicate: 2 stamps come more than once, 1 with another value, at 2026-01-05T07:00:00Z; the last value counts`,
			`series "a": blank: 1 of 6 values are missing, at 2026-01-05T02:00:00Z; filled from the season before`,
			`series "a": gap: 2 of 8 steps of 1h have no value, the longest run is 3 from 2026-01-05T02:00:00Z; filled from the season before`,
		},
		{Counter: true}: {
			`series "a": reset: the counter went back to zero 1 time, at 2026-01-05T06:00:00Z; the rate goes on from there`,
			`series "b": reset: the counter went back to zero 1 time, at 2026-01-05T02:00:00Z; the rate goes on from there`,
		},
	}
	for o, lines := range want {
		_, warnings, err := read(t, o, text)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, w := range warnings {
			got = append(got, w.String())
		}
		for _, line := range lines {
			if !slices.Contains(got, line) {
				t.Errorf("%+v: %q is not among\n%s", o, line, strings.Join(got, "\n"))
			}
		}
	}
}

// Stamps are the same after they were packed.
func TestPointsKeepTheirStamps(t *testing.T) {
	want := []int64{0, 1, 2, -5, math.MaxInt64 / 4, math.MinInt64 / 4, 3, 3, 1767571200e9, 1767574800e9, 1767578400e9}
	p := &points{}
	for _, at := range want {
		p.put(stamp{at: at}, 1)
	}
	if got := p.at(nil); !slices.Equal(got, want) {
		t.Errorf("stamps %v, want %v", got, want)
	}
}

// encoding/csv reads a well-formed table in the same way.
func FuzzRows(f *testing.F) {
	for _, seed := range []string{"a,b\n1,2\n", "\"a\",\"b,\"\"c\"\"\"\r\n\"1\n2\",3", "a\n\n,\n\"\",x\n", "a\"b,c\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := &rowReader{in: bufio.NewReaderSize(strings.NewReader(text), 16), comma: ',', end: '\n'}
		var got [][]string
		for {
			row, end := r.next()
			if end != nil {
				if !errors.Is(end, io.EOF) {
					t.Fatal(end)
				}
				break
			}
			var cells []string
			for _, c := range row {
				cells = append(cells, string(bytes.Clone(c)))
			}
			got = append(got, cells)
		}
		wide := csv.NewReader(strings.NewReader(text))
		wide.FieldsPerRecord = -1
		want, err := wide.ReadAll()
		if err != nil || strings.ContainsFunc(text, func(c rune) bool { return c != '\n' && unicode.IsSpace(c) }) {
			return // not well-formed, or with spaces, which are trimmed here
		}
		if !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("rows %q, encoding/csv has %q", got, want)
		}
	})
}

// Stamps that come up to a minute early or late are those of hours: no gap between
// two of them is that of most, and hours are what has a day.
func TestStampsThatJitterKeepTheirStep(t *testing.T) {
	var b strings.Builder
	b.WriteString("t,a\n")
	want := make([]float64, 300)
	for h := range want {
		want[h] = float64(h % 24)
		late := time.Duration(h*h*h*31%79-39) * time.Second
		b.WriteString(time.Date(2026, 1, 5, h, 0, 0, 0, time.UTC).Add(late).Format(time.RFC3339) + "," + string(rune('0'+h%24/10)) + string(rune('0'+h%24%10)) + "\n")
	}
	c := inputCase{name: "jitter", text: b.String(), series: map[string][]float64{"a": want}, start: januaryFifth, step: time.Hour, kinds: []string{"step"}}
	c.check(t)
}

// A series that ended days before the others is forecast from there: that is said.
func TestASeriesThatEndedIsWarnedOf(t *testing.T) {
	var b strings.Builder
	b.WriteString("series,t,value\n")
	for h := range 48 {
		at := time.Date(2026, 1, 5, h, 0, 0, 0, time.UTC).Format(time.RFC3339)
		b.WriteString("a," + at + ",1\n")
		if h < 24 {
			b.WriteString("b," + at + ",1\n")
		}
		if h < 46 { // the collector may be late
			b.WriteString("c," + at + ",1\n")
		}
	}
	_, warnings, err := read(t, ReadOptions{}, b.String())
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || warnings[0].String() != `series "b": end: the last value is of 2026-01-05T23:00:00Z, 24h before the newest of another series; the forecast begins there` {
		t.Errorf("warnings %v", warnings)
	}
}
