package forecast

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// An inputCase is a file as a tool writes it, and what must be read from it.
type inputCase struct {
	name   string
	text   string
	o      ReadOptions
	series map[string][]float64
	start  string
	step   time.Duration
	kinds  []string // of warnings, each once
}

func (c inputCase) check(t *testing.T) {
	t.Helper()
	series, warnings, err := read(t, c.o, c.text)
	if err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	if len(series) != len(c.series) {
		t.Errorf("%s: %d series, want %d: %v", c.name, len(series), len(c.series), warnings)
	}
	for _, s := range series {
		same := slices.EqualFunc(s.Values, c.series[s.Name], func(a, b float64) bool {
			return math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-9*math.Abs(b)
		})
		if !same || s.Step != c.step || s.Start.Format(time.RFC3339) != c.start {
			t.Errorf("%s: %q from %s by %s is %v, want %v from %s by %s", c.name, s.Name, s.Start, s.Step, s.Values, c.series[s.Name], c.start, c.step)
		}
	}
	var kinds []string
	for _, w := range warnings {
		kinds = append(kinds, w.Kind)
	}
	slices.Sort(kinds)
	kinds = slices.Compact(kinds)
	if !slices.Equal(kinds, c.kinds) {
		t.Errorf("%s: warnings %v, want the kinds %v", c.name, warnings, c.kinds)
	}
}

func berlin(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

const januaryFifth = "2026-01-05T00:00:00Z"

func TestGrafanaExports(t *testing.T) {
	two := map[string][]float64{"checkout": {1, 2, 3}, "cart": {10, 20, 30}}
	for _, c := range []inputCase{
		{name: "joined by time", text: "\"Time\",\"checkout\",\"cart\"\n\"2026-01-05 00:00:00\",1,10\n\"2026-01-05 01:00:00\",2,20\n\"2026-01-05 02:00:00\",3,30\n", series: two},
		{name: "for Excel, with a byte order mark", text: "\ufeffsep=,\r\n\"Time\",\"checkout\",\"cart\"\r\n2026-01-05 00:00:00,1,10\r\n2026-01-05 01:00:00,2,20\r\n2026-01-05 02:00:00,3,30\r\n", series: two},
		{name: "for Excel with semicolons", text: "sep=;\nTime;checkout;cart\n2026-01-05 00:00:00;1;10\n2026-01-05 01:00:00;2;20\n2026-01-05 02:00:00;3;30\n", series: two},
		{name: "not formatted: milliseconds", text: "\"Time\",\"checkout\",\"cart\"\n1767571200000,1,10\n1767574800000,2,20\n1767578400000,3,30\n", series: two},
		{name: "with milliseconds", text: "\"Time\",\"checkout\",\"cart\"\n2026-01-05 00:00:00.000,1,10\n2026-01-05 01:00:00.000,2,20\n2026-01-05 02:00:00.000,3,30\n", series: two},
		{name: "series as rows", text: "\"Series\";\"Time\";\"Value\"\n\"checkout\";\"2026-01-05T00:00:00+00:00\";1\n\"checkout\";\"2026-01-05T01:00:00+00:00\";2\n\"checkout\";\"2026-01-05T02:00:00+00:00\";3\n\"cart\";\"2026-01-05T00:00:00+00:00\";10\n\"cart\";\"2026-01-05T01:00:00+00:00\";20\n\"cart\";\"2026-01-05T02:00:00+00:00\";null\n", series: map[string][]float64{"checkout": {1, 2, 3}, "cart": {10, 20, math.NaN()}}, kinds: []string{"blank"}},
		{name: "series as columns", text: "Time;checkout;cart\n2026-01-05T00:00:00.000Z;1;10\n2026-01-05T01:00:00.000Z;2;20\n2026-01-05T02:00:00.000Z;3;30\n", series: two},
		{name: "series to rows", text: "\"Time\",\"Metric\",\"Value\"\n2026-01-05 02:00:00,checkout,3\n2026-01-05 02:00:00,cart,30\n2026-01-05 01:00:00,checkout,2\n2026-01-05 01:00:00,cart,20\n2026-01-05 00:00:00,checkout,1\n2026-01-05 00:00:00,cart,10\n", series: two, kinds: []string{"order"}},
		{name: "short units", text: "\"Time\",\"checkout\",\"cart\"\n2026-01-05 00:00:00,900,1.50 K\n2026-01-05 01:00:00,1.20 K,2 Mil\n2026-01-05 02:00:00,1.30 Mil,3.5 Bil\n", series: map[string][]float64{"checkout": {900, 1200, 1.3e6}, "cart": {1500, 2e6, 3.5e9}}, kinds: []string{"unit"}},
		{name: "times and bytes", text: "\"Time\",\"checkout\",\"cart\"\n2026-01-05 00:00:00,900 µs,512 KiB\n2026-01-05 01:00:00,1.20 ms,1 MiB\n2026-01-05 02:00:00,2 s,0 B\n", series: map[string][]float64{"checkout": {0.0009, 0.0012, 2}, "cart": {524288, 1048576, 0}}, kinds: []string{"unit"}},
		{name: "rates and percent", text: "\"Time\",\"checkout\",\"cart\"\n2026-01-05 00:00:00,900 req/s,45%\n2026-01-05 01:00:00,1.2K req/s,50.5%\n2026-01-05 02:00:00,2M req/s,101%\n", series: map[string][]float64{"checkout": {900, 1200, 2e6}, "cart": {45, 50.5, 101}}, kinds: []string{"unit"}},
		{name: "thousands", text: "\"Series\";\"Time\";\"Value\"\ncheckout;2026-01-05T11:00:00+11:00;1,721,992,142.283\ncheckout;2026-01-05T12:00:00+11:00;2,042,607,538.5\ncheckout;2026-01-05T13:00:00+11:00;2,648,544\n", series: map[string][]float64{"checkout": {1721992142.283, 2042607538.5, 2648544}}, kinds: []string{"unit"}},
		{name: "decimal commas", text: "Time;checkout\n2026-01-05 00:00:00;1,5\n2026-01-05 01:00:00;22,25\n2026-01-05 02:00:00;3\n", series: map[string][]float64{"checkout": {1.5, 22.25, 3}}, kinds: []string{"unit"}},
		{name: "two columns of one name", text: "\"Time\",\"checkout\",\"checkout\"\n2026-01-05 00:00:00,1,10\n2026-01-05 01:00:00,2,20\n2026-01-05 02:00:00,3,30\n", series: map[string][]float64{"checkout": {1, 2, 3}, "checkout #2": {10, 20, 30}}, kinds: []string{"name"}},
		{name: "names of metrics", text: "\"Time\",\"{job=\"\"a\"\", path=\"\"/x,y\"\"}\"\n2026-01-05 00:00:00,1\n2026-01-05 01:00:00,2\n2026-01-05 02:00:00,3\n", series: map[string][]float64{`{job="a", path="/x,y"}`: {1, 2, 3}}},
	} {
		c.start, c.step = januaryFifth, time.Hour
		c.check(t)
	}
}

func TestDatesOfBrowsers(t *testing.T) {
	for name, stamps := range map[string][3]string{
		"de":        {"05.01.2026, 00:00:00", "05.01.2026, 01:00:00", "05.01.2026, 02:00:00"},
		"en-US":     {"1/5/2026, 12:00:00 AM", "1/5/2026, 1:00:00 AM", "1/5/2026, 2:00:00 AM"},
		"en-US 24h": {"01/05/2026 00:00", "01/05/2026 01:00", "01/05/2026 02:00"},
		"zoneless":  {"2026-01-05 12:00:00 AM", "2026-01-05 1:00:00 AM", "2026-01-05 2:00:00 AM"},
		"UTC":       {"2026-01-05 00:00:00 UTC", "2026-01-05 01:00:00 UTC", "2026-01-05 02:00:00 UTC"},
		"basic":     {"2026-01-05T00:00:00+0000", "2026-01-05T01:00:00+0000", "2026-01-05T02:00:00+0000"},
		"Postgres":  {"2026-01-05 00:00:00+00", "2026-01-05 01:00:00+00", "2026-01-05 02:00:00+00"},
	} {
		c := inputCase{name: name, series: map[string][]float64{"a": {1, 2, 3}}, start: januaryFifth, step: time.Hour}
		if strings.Contains(stamps[0], "/") {
			c.kinds = []string{"date"}
		}
		c.text = fmt.Sprintf("Time,a\n%q,1\n%q,2\n%q,3\n", stamps[0], stamps[1], stamps[2])
		c.check(t)
	}
	// Nothing in a single date tells day from month; its neighbours do.
	for order, want := range map[string]string{"02/01/2006": "day", "01/02/2006": "month"} {
		var b strings.Builder
		b.WriteString("Time,a\n")
		first := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
		for d := range 12 {
			fmt.Fprintf(&b, "%s,%d\n", first.AddDate(0, 0, d).Format(order), d)
		}
		c := inputCase{name: want + " first", text: b.String(), series: map[string][]float64{"a": {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}}, start: "2026-05-01T00:00:00Z", step: 24 * time.Hour, kinds: []string{"date"}}
		c.check(t)
	}
}

func TestAnswersOfMetricStores(t *testing.T) {
	for _, c := range []inputCase{
		{
			name:   "VictoriaMetrics query_range, not complete",
			text:   `{"status":"success","isPartial":true,"data":{"resultType":"matrix","result":[{"metric":{"service":"a"},"values":[[1767571200,"1"],[1767574800,"2"],[1767578400,"3"]]}]},"stats":{"seriesFetched":"1","executionTimeMsec":2}}`,
			series: map[string][]float64{`{service="a"}`: {1, 2, 3}}, kinds: []string{"partial"},
		},
		{
			name: "export in several lines of a metric",
			text: `{"metric":{"__name__":"up","job":"a"},"values":[1,2],"timestamps":[1767571200000,1767574800000]}` + "\n" +
				`{"metric":{"__name__":"up","job":"a"},"values":[3,null,5],"timestamps":[1767578400000,1767582000000,1767585600000]}` + "\n",
			series: map[string][]float64{`up{job="a"}`: {1, 2, 3, math.NaN(), 5}}, kinds: []string{"blank"},
		},
		{
			name: "CloudWatch: two metrics of one label, two pages, newest first",
			text: `{"MetricDataResults":[{"Id":"m1","Label":"RequestCount","Timestamps":["2026-01-05T03:00:00+00:00","2026-01-05T02:00:00+00:00"],"Values":[4.0,3.0],"StatusCode":"PartialData"},` +
				`{"Id":"m2","Label":"RequestCount","Timestamps":["2026-01-05T03:00:00+00:00","2026-01-05T02:00:00+00:00","2026-01-05T01:00:00+00:00","2026-01-05T00:00:00+00:00"],"Values":[40.0,30.0,20.0,10.0],"StatusCode":"Complete"}],"NextToken":"x","Messages":[]}` + "\n" +
				`{"MetricDataResults":[{"Id":"m1","Label":"RequestCount","Timestamps":["2026-01-05T01:00:00+00:00","2026-01-05T00:00:00+00:00"],"Values":[2.0,1.0],"StatusCode":"Complete"}],"Messages":[]}`,
			series: map[string][]float64{"RequestCount": {1, 2, 3, 4}, "RequestCount (m2)": {10, 20, 30, 40}}, kinds: []string{"order"},
		},
		{
			name:   "CloudWatch: times in seconds",
			text:   `{"MetricDataResults":[{"Id":"m1","Label":"a","Timestamps":[1767571200.0,1767574800.0,1767578400.0],"Values":[1,2,3]}]}`,
			series: map[string][]float64{"a": {1, 2, 3}},
		},
		{
			name: "answers in a list",
			text: `[{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":"1"},"values":[[1767571200,"1"],[1767574800,"2"]]}]}},` +
				`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":"1"},"values":[[1767578400,"3"]]}]}}]`,
			series: map[string][]float64{`{a="1"}`: {1, 2, 3}},
		},
		{
			name: "sadf with local times",
			text: `{"sysstat": {"hosts": [{"nodename": "web1", "sysname": "Linux", "number-of-cpus": 2, "timezone": "CET", "statistics": [
				{"timestamp": {"date": "2026-01-05", "time": "01:00:00", "utc": 0, "interval": 3600}, "cpu-load": [{"cpu": "all", "idle": 98.5}, {"cpu": "0", "idle": 97}], "queue": {"runq-sz": 5}},
				{"timestamp": {"date": "2026-01-05", "time": "02:00:00", "utc": 0, "interval": 3600}, "cpu-load": [{"cpu": "all", "idle": 90.5}, {"cpu": "0", "idle": 91}], "queue": {"runq-sz": 6}}],
				"restarts": [{"boot": {"date": "2026-01-05", "time": "00:10:00", "utc": 0, "cpu_count": 2}}]}]}}`,
			o:      ReadOptions{Zone: berlin(t)},
			series: map[string][]float64{"web1/cpu-load/all/idle": {98.5, 90.5}, "web1/cpu-load/0/idle": {97, 91}, "web1/queue/runq-sz": {5, 6}}, kinds: []string{"zone"},
		},
	} {
		c.start, c.step = januaryFifth, time.Hour
		c.check(t)
	}
}

// An hour that clocks show twice is two hours, in either order of the rows, and
// one that they skip is no gap.
func TestLocalTimeWhereClocksChange(t *testing.T) {
	autumn := []string{"2026-10-25 01:00:00", "2026-10-25 01:30:00", "2026-10-25 02:00:00", "2026-10-25 02:30:00", "2026-10-25 02:00:00", "2026-10-25 02:30:00", "2026-10-25 03:00:00"}
	rows := func(stamps []string) string {
		var b strings.Builder
		b.WriteString("t,a\n")
		for i, s := range stamps {
			fmt.Fprintf(&b, "%s,%d\n", s, i)
		}
		return b.String()
	}
	falling := slices.Clone(autumn)
	slices.Reverse(falling)
	for _, c := range []inputCase{
		{name: "autumn", text: rows(autumn), series: map[string][]float64{"a": {0, 1, 2, 3, 4, 5, 6}}, start: "2026-10-24T23:00:00Z", step: 30 * time.Minute, kinds: []string{"zone"}},
		{name: "autumn, newest first", text: rows(falling), series: map[string][]float64{"a": {6, 5, 4, 3, 2, 1, 0}}, start: "2026-10-24T23:00:00Z", step: 30 * time.Minute, kinds: []string{"order", "zone"}},
		{name: "spring", text: rows([]string{"2026-03-29 00:00:00", "2026-03-29 01:00:00", "2026-03-29 03:00:00", "2026-03-29 04:00:00"}), series: map[string][]float64{"a": {0, 1, 2, 3}}, start: "2026-03-28T23:00:00Z", step: time.Hour},
		{name: "spring, with the hour that is not", text: rows([]string{"2026-03-29 00:00:00", "2026-03-29 01:00:00", "2026-03-29 02:00:00", "2026-03-29 04:00:00"}), series: map[string][]float64{"a": {0, 1, 2, 3}}, start: "2026-03-28T23:00:00Z", step: time.Hour, kinds: []string{"zone"}},
		{name: "days", text: rows([]string{"2026-03-27", "2026-03-28", "2026-03-29", "2026-03-30", "2026-03-31"}), series: map[string][]float64{"a": {0, 1, 2, 3, 4}}, start: "2026-03-26T23:00:00Z", step: 24 * time.Hour},
	} {
		c.o.Zone = berlin(t)
		c.check(t)
	}
	c := inputCase{name: "offsets", series: map[string][]float64{"a": {0, 1, 2, 3}}, start: "2026-10-24T23:00:00Z", step: time.Hour, kinds: []string{"zone"}}
	c.text = rows([]string{"2026-10-25T01:00:00+02:00", "2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"})
	c.check(t)
}

func TestMixedSteps(t *testing.T) {
	// A month of hours, then a day of minutes: hours it is, and each minute counts.
	var b strings.Builder
	b.WriteString("t,a\n")
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	hours := 0
	for ; hours < 24*30; hours++ {
		fmt.Fprintf(&b, "%s,%d\n", at.Format(time.RFC3339), hours)
		at = at.Add(time.Hour)
	}
	for range 24 * 60 {
		fmt.Fprintf(&b, "%s,7\n", at.Format(time.RFC3339))
		at = at.Add(time.Minute)
	}
	series, warnings, err := read(t, ReadOptions{}, b.String())
	if err != nil {
		t.Fatal(err)
	}
	s := series[0]
	if s.Step != time.Hour || len(s.Values) != hours+24 || s.Values[hours+3] != 7 || s.Values[5] != 5 {
		t.Errorf("step %s, %d values, %v", s.Step, len(s.Values), s.Values[hours:])
	}
	if len(warnings) != 1 || warnings[0].Kind != "step" {
		t.Errorf("warnings %v", warnings)
	}
	// Months are as long as they are; three years of them leave no gap.
	b.Reset()
	b.WriteString("t,a\n")
	for m := range 36 {
		fmt.Fprintf(&b, "%s,%d\n", time.Date(2023, time.Month(1+m), 1, 0, 0, 0, 0, time.UTC).Format(time.RFC3339), m)
	}
	series, _, err = read(t, ReadOptions{}, b.String())
	if err != nil {
		t.Fatal(err)
	}
	for m, v := range series[0].Values {
		if v != float64(m) {
			t.Fatalf("month %d is %v of %v", m, v, series[0].Values)
		}
	}
}

// Stray stamps do not become a grid of millions of gaps; the other series stay.
func TestSparseHistoryIsRefused(t *testing.T) {
	series, warnings, err := read(t, ReadOptions{}, "series,t,value\nfar,0,1\nfar,1,1\nfar,9000000,1\nfar,9000001,1\nok,1,1\nok,2,2\nok,3,3\n")
	if err != nil || len(series) != 1 || series[0].Name != "ok" {
		t.Fatalf("%v, %v", series, err)
	}
	if len(warnings) != 1 || warnings[0].Series != "far" || warnings[0].Kind != "series" || !strings.Contains(warnings[0].Text, "one step in 100") {
		t.Errorf("warnings %v", warnings)
	}
}

func TestCompressedInput(t *testing.T) {
	text := []byte("t,a\n2026-01-05 00:00:00,1\n2026-01-05 01:00:00,2\n2026-01-05 02:00:00,3\n")
	var zipped, packed bytes.Buffer
	g := gzip.NewWriter(&zipped)
	z, err := zstd.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []interface {
		Write([]byte) (int, error)
		Close() error
	}{g, z} {
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	bzipped, err := base64.StdEncoding.DecodeString("QlpoOTFBWSZTWR9BrMMAACLZgAAQQAZ7ECAABAAgAFRANAA2koxPTapm+fWWTDZ4RHYOx0epRpOFJUzQ0uUz+LuSKcKEgPoNZhg=") // by bzip2 1.0.8
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"gzip": zipped.Bytes(), "zstd": packed.Bytes(), "bzip2": bzipped} {
		c := inputCase{name: name, text: string(b), series: map[string][]float64{"a": {1, 2, 3}}, start: januaryFifth, step: time.Hour}
		c.check(t)
		in := NewInput(ReadOptions{})
		if err := in.Add("cut", bytes.NewReader(b[:len(b)-6])); err == nil {
			t.Errorf("%s: nothing is said of a file that is cut off", name)
		}
	}
}

// testdata/sadf.json was written by sadf -j of sysstat 12.6.1 from a real
// collector: five records, CPU, memory, run queue, disks and one interface.
func TestRealSadf(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "sadf.json"))
	if err != nil {
		t.Fatal(err)
	}
	series, warnings, err := read(t, ReadOptions{}, string(text))
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]Series{}
	for _, s := range series {
		byName[s.Name] = s
	}
	for name, want := range map[string][]float64{
		"vm/cpu-load/all/idle":         {0, 0.5, 0, 0},
		"vm/cpu-load/all/user":         {0, 0, 2.5, 6.5},
		"vm/queue/runq-sz":             {5, 6, 4, 5},
		"vm/memory/avail":              {24063260, 24068892, 24104900, 24076728},
		"vm/network/net-dev/eth0/rxkB": {0, 0, 0, 0},
		"vm/io/io-reads/bread":         {0, 0, 0, 9832},
	} {
		if got := byName[name]; !slices.Equal(got.Values, want) || got.Step != time.Second {
			t.Errorf("%s is %v by %s, want %v by 1s", name, got.Values, got.Step, want)
		}
	}
	if len(warnings) > 0 {
		t.Errorf("warnings %v", warnings)
	}
}

// A counter that is read as values is told of; rates with a quiet night, and a
// disk that fills and is never emptied, are not taken for one.
func TestCounterLeftAsItIsIsTold(t *testing.T) {
	history := func(value func(i int) float64) string {
		var b strings.Builder
		b.WriteString("t,a\n")
		for i := range 200 {
			fmt.Fprintf(&b, "%d,%g\n", i, value(i))
		}
		return b.String()
	}
	for name, c := range map[string]struct {
		value func(i int) float64
		o     ReadOptions
		text  string
	}{
		"a counter with two resets": {value: func(i int) float64 { return float64(100 * (i % 90)) }, text: "counter: values only go up, but for 2 falls to nearly zero"},
		"the same as --counter":     {value: func(i int) float64 { return float64(100 * (i % 90)) }, o: ReadOptions{Counter: true}, text: "2 times, first at 90; the rate goes on from there"},
		"a rate as --counter":       {value: func(i int) float64 { return 100 + 50*math.Sin(float64(i)) }, o: ReadOptions{Counter: true}, text: "the rate goes on from there: is it a counter?"},
		"a rate":                    {value: func(i int) float64 { return 100 + 50*math.Sin(float64(i)) }},
		"a disk":                    {value: func(i int) float64 { return 1000 + float64(i*i) }},
		"a daily sawtooth":          {value: func(i int) float64 { return float64(i % 12) }},
		"a line":                    {value: func(int) float64 { return 7 }},
	} {
		_, warnings, err := read(t, c.o, history(c.value))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all := fmt.Sprint(warnings)
		if told := strings.Contains(all, "counter"); told != (c.text != "") || !strings.Contains(all, c.text) {
			t.Errorf("%s: warnings %s, want %q", name, all, c.text)
		}
	}
}

func TestTableWithoutValuesIsRefused(t *testing.T) {
	in := NewInput(ReadOptions{})
	if err := in.Add("x", strings.NewReader("series,t\na,1\nb,2\n")); err == nil || !strings.Contains(err.Error(), `no column of values; its columns are "series,t"`) {
		t.Errorf("got %v", err)
	}
}
