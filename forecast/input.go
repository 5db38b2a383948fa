package forecast

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ReadOptions say how points become series.
type ReadOptions struct {
	Counter bool           // values count up; forecast their rate per second
	Zone    *time.Location // of stamps that name none, and of days; nil: UTC
	Step    time.Duration  // 0: the step most points have
}

// A Warning is a repair or a doubt: what was done to which series.
type Warning struct {
	Series string // empty: the whole input
	Kind   string // gap, duplicate, order, blank, row, reset, zone, date, unit, step, partial, spike, level, end, name, server, series
	Text   string // says where the first is
	Count  int    // of what was met; 0 where it cannot be counted
}

func (w Warning) String() string {
	if w.Series == "" {
		return w.Kind + ": " + w.Text
	}
	return fmt.Sprintf("series %q: %s: %s", w.Series, w.Kind, w.Text)
}

// count writes a number with its noun: 1 row, 2 rows.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// Errors of reading.
var (
	ErrNoSeries = errors.New("no series in the input")
	ErrFormat   = errors.New("not a form that is read")
	ErrAnswer   = errors.New("an answer without a history") // of a metric store, in a form that is known
)

// An Input collects the points of series from one file or several.
type Input struct {
	options      ReadOptions
	order        []string
	series       map[string]*points
	stamps       stampReader
	decimalComma bool
	notes        []Warning // of whole files
	clouds       cloudWatch
	file         string // that is read
	line         *int   // of the file, where it has lines
}

// utc is the zone of stamps that name none.
var utc = time.UTC

// NewInput returns an empty collection.
func NewInput(o ReadOptions) *Input {
	if o.Zone == nil {
		o.Zone = utc
	}
	return &Input{options: o, series: map[string]*points{}, stamps: stampReader{zone: o.Zone, offsets: map[int]int{}}, clouds: newCloudWatch()}
}

// Add reads one file of any form: CSV long or wide, Prometheus and
// VictoriaMetrics JSON, CloudWatch get-metric-data, sadf -j; gzip, zstd,
// bzip2 and UTF-16 are seen by their first bytes. name is for messages. The error
// wraps ErrFormat when the form is none of these, and ErrAnswer when a server
// answered something else than a history.
func (in *Input) Add(name string, r io.Reader) error {
	in.file = name
	b, err := Unpack(r)
	if err == nil {
		err = isText(b)
	}
	if err != nil {
		return fmt.Errorf("read %q: %w", name, err)
	}
	first, err := firstByte(b)
	if err == io.EOF {
		return nil // an empty file has no series; Series says so
	}
	if err != nil {
		return fmt.Errorf("read %q: %w", name, err)
	}
	in.stamps.dayFirst, in.decimalComma, in.stamps.slashes, in.stamps.text = false, false, 0, in.stamps.text[:0]
	if first == '{' || first == '[' {
		err = in.readJSON(b)
	} else {
		sample, _ := b.Peek(sampleBytes) // shorter at the end of the file
		err = in.readCSV(b, sample)
	}
	if err != nil {
		return fmt.Errorf("read %q: %w", name, err)
	}
	if in.stamps.slashes > 0 {
		order := "month"
		if in.stamps.dayFirst {
			order = "day"
		}
		in.note("date", 0, "%s: dates with slashes are read with the %s first", name, order)
	}
	return nil
}

// firstByte returns the first byte that is no white space, and leaves it.
func firstByte(b *bufio.Reader) (byte, error) {
	for {
		c, err := b.ReadByte()
		if err != nil {
			return 0, err
		}
		if !strings.ContainsRune(" \t\r\n", rune(c)) {
			return c, b.UnreadByte()
		}
	}
}

// note keeps a warning about a whole file.
func (in *Input) note(kind string, n int, format string, args ...any) {
	in.notes = append(in.notes, Warning{Kind: kind, Text: fmt.Sprintf(format, args...), Count: n})
}

func (in *Input) get(name []byte) *points {
	p := in.series[string(name)]
	if p == nil {
		p = &points{}
		key := string(name)
		in.series[key] = p
		in.order = append(in.order, key)
	}
	return p
}

// add takes one observation as text. when and value are not kept.
func (in *Input) add(p *points, when, value []byte) {
	s, ok := in.stamps.read(when)
	if !ok {
		in.refuse(&p.bad, "time", when)
		return
	}
	in.addValue(p, s, value)
}

// addValue takes one observation whose time is known.
func (in *Input) addValue(p *points, s stamp, value []byte) {
	v, why := p.number(value, in.decimalComma)
	if why != "" {
		in.refuse(&p.bad, "value", value)
		if p.bad.n == 1 {
			p.bad.first += ": " + why
		}
		return
	}
	p.put(s, v)
}

// refuse counts a row that cannot be read.
func (in *Input) refuse(bad *rows, what string, text []byte) {
	if bad.n++; bad.n > 1 {
		return
	}
	bad.first = fmt.Sprintf("%s %.40q", what, text)
	if in.line != nil {
		bad.first += fmt.Sprintf(" in line %d of %s", *in.line, in.file)
	}
	if what == "time" {
		bad.first += in.stamps.why(text)
	}
}

// Series puts what was read on even grids, in the order of first appearance, and
// tells every repair. A series that cannot be used is left out and named in a
// warning of kind "series". The error is ErrNoSeries when none is left. It lets
// go of what was read, so it can be called once.
func (in *Input) Series() ([]Series, []Warning, error) {
	var out []Series
	warnings := append(in.notes, in.clouds.unfinished()...)
	if len(in.stamps.offsets) > 1 || len(in.stamps.offsets) == 1 && in.stamps.local > 0 {
		warnings = append(warnings, Warning{Kind: "zone", Text: fmt.Sprintf("stamps of %s; all are taken as instants and put in UTC", in.zoneList())})
	}
	h := history{options: in.options, local: in.stamps.local > 0}
	for _, name := range in.order {
		p := in.series[name]
		delete(in.series, name)
		s, err := h.even(name, p)
		warnings = append(warnings, h.warnings...)
		if err != nil {
			warnings = append(warnings, Warning{Series: name, Kind: "series", Text: err.Error(), Count: 1})
			continue
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, warnings, ErrNoSeries
	}
	return out, append(warnings, stale(out)...), nil
}

// stale warns of series that end before others do: a forecast begins where its
// history ends. Two steps are the delay of a collector.
func stale(series []Series) []Warning {
	var latest time.Time
	for _, s := range series {
		if end := s.At(len(s.Values)); s.Step > 0 && end.After(latest) {
			latest = end
		}
	}
	var out []Warning
	for _, s := range series {
		last := s.At(len(s.Values) - 1)
		if behind := latest.Sub(s.At(len(s.Values))); s.Step > 0 && behind > 2*s.Step {
			out = append(out, Warning{Series: s.Name, Kind: "end", Text: fmt.Sprintf("the last value is of %s, %s before the newest of another series; the forecast begins there", last.Format(time.RFC3339), farText(behind)), Count: 1})
		}
	}
	return out
}

func (in *Input) zoneList() string {
	var offsets []int
	for o := range in.stamps.offsets {
		offsets = append(offsets, o)
	}
	slices.Sort(offsets)
	var words []string
	for _, o := range offsets {
		words = append(words, time.Unix(0, 0).In(time.FixedZone("", o)).Format("-07:00"))
	}
	if in.stamps.local > 0 {
		words = append(words, "no zone")
	}
	return strconv.Itoa(len(words)) + " zones (" + strings.Join(words, ", ") + ")"
}
