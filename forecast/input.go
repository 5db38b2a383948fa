package forecast

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ReadOptions say how points become series.
type ReadOptions struct {
	Counter bool           // values count up; forecast their rate per second
	Zone    *time.Location // of stamps that name none; nil: UTC
	Step    time.Duration  // 0: the step most points have
}

// A Warning is a repair or a doubt: what was done to which series.
type Warning struct {
	Series string // empty: the whole input
	Kind   string // gap, duplicate, order, blank, reset, zone, step, partial, series
	Text   string
}

func (w Warning) String() string {
	if w.Series == "" {
		return w.Kind + ": " + w.Text
	}
	return fmt.Sprintf("series %q: %s: %s", w.Series, w.Kind, w.Text)
}

// Errors of reading.
var (
	ErrNoSeries = errors.New("no series in the input")
	ErrFormat   = errors.New("not a form that is read")
)

// An Input collects the points of series from one file or several.
type Input struct {
	options ReadOptions
	order   []string
	series  map[string]*points
	zones   map[int]int // offsets seen, in seconds, with their number
	local   int         // stamps without a zone
}

// points are the observations of one series as they came.
type points struct {
	at      []int64 // nanoseconds since 1970, or the index
	value   []float64
	clock   bool // at is a time
	index   bool // at is an index
	blank   int
	badText string // the first value that is no number
	bad     int
}

// NewInput returns an empty collection.
func NewInput(o ReadOptions) *Input {
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	return &Input{options: o, series: map[string]*points{}, zones: map[int]int{}}
}

// Add reads one file of any form: CSV long or wide, Prometheus and
// VictoriaMetrics JSON, CloudWatch get-metric-data, sadf -j; gzip and bzip2 are
// seen by their first bytes. name is for messages. The error wraps ErrFormat
// when the form is none of these.
func (in *Input) Add(name string, r io.Reader) error {
	b := bufio.NewReaderSize(r, 1<<16)
	magic, _ := b.Peek(3)
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return fmt.Errorf("read %q: %w", name, err)
		}
		b = bufio.NewReaderSize(z, 1<<16)
	case bytes.Equal(magic, []byte("BZh")):
		b = bufio.NewReaderSize(bzip2.NewReader(b), 1<<16)
	}
	if mark, _ := b.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = b.Discard(3) // what was peeked is there
	}
	first, err := firstByte(b)
	if err == io.EOF {
		return nil // an empty file has no series; Series says so
	}
	if err != nil {
		return fmt.Errorf("read %q: %w", name, err)
	}
	if first == '{' || first == '[' {
		err = in.readJSON(b)
	} else {
		err = in.readCSV(b)
	}
	if err != nil {
		return fmt.Errorf("read %q: %w", name, err)
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

func (in *Input) get(name string) *points {
	p := in.series[name]
	if p == nil {
		p = &points{}
		in.series[strings.Clone(name)] = p
		in.order = append(in.order, strings.Clone(name))
	}
	return p
}

// add takes one observation as text. stamp and value are not kept.
func (in *Input) add(p *points, stamp, value string) {
	at, clock, ok := in.parseStamp(stamp)
	if !ok {
		p.refuse("time", stamp)
		return
	}
	v, blank, ok := parseValue(value)
	if !ok {
		p.refuse("value", value)
		return
	}
	if blank {
		p.blank++
	}
	p.put(at, clock, v)
}

func (p *points) put(at int64, clock bool, v float64) {
	if clock {
		p.clock = true
	} else {
		p.index = true
	}
	p.at = append(p.at, at)
	p.value = append(p.value, v)
}

func (p *points) refuse(what, text string) {
	if p.bad++; p.badText == "" {
		p.badText = fmt.Sprintf("%s %.40q", what, text)
	}
}

// parseValue reads a number; empty, NaN, NA, null and - are blanks. Infinities
// and what float64 cannot hold are blanks too.
func parseValue(s string) (v float64, blank, ok bool) {
	s = strings.TrimSpace(s)
	switch s {
	case "", "NaN", "nan", "NA", "null", "-", "None", "undefined":
		return math.NaN(), true, true
	}
	v, err := strconv.ParseFloat(s, 64)
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return math.NaN(), true, true
	}
	return v, false, err == nil
}

// layouts of stamps without a zone, tried in turn.
var layouts = []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02", "2006-01-02 15:04", "2006-01-02T15:04", "2006/01/02 15:04:05", "2006/01/02"}

// parseStamp reads RFC3339 and its relatives, seconds, milliseconds or
// nanoseconds since 1970, or a small whole number, which is an index.
func (in *Input) parseStamp(s string) (at int64, clock, ok bool) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, false, false
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return numberStamp(float64(n))
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		return numberStamp(f)
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05 -0700 MST", "2006-01-02 15:04:05 -0700"} {
		if t, err := time.Parse(layout, s); err == nil {
			_, offset := t.Zone()
			in.zones[offset]++
			return t.UnixNano(), true, inRange(t)
		}
	}
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, strings.TrimSuffix(s, " UTC"), in.options.Zone); err == nil {
			in.local++
			return t.UnixNano(), true, inRange(t)
		}
	}
	return 0, false, false
}

// inRange reports whether nanoseconds can hold the time.
func inRange(t time.Time) bool { return t.Year() > 1700 && t.Year() < 2200 }

// numberStamp tells an index from a time by its size: indexes end at 10^8, a
// time in seconds begins there (1973), milliseconds at 10^11, and so on.
func numberStamp(f float64) (at int64, clock, ok bool) {
	a := math.Abs(f)
	switch {
	case math.IsNaN(f) || a >= 9e18:
		return 0, false, false
	case a < 1e8:
		return int64(f), false, f == math.Trunc(f)
	case a < 1e11:
		return int64(math.Round(f*1e3)) * 1e6, true, a < 7e9
	case a < 1e14:
		return int64(f) * 1e6, true, a < 7e12
	case a < 1e17:
		return int64(f) * 1e3, true, a < 7e15
	}
	return int64(f), true, a < 7e18
}

// Series puts what was read on even grids, in the order of first appearance, and
// tells every repair. A series that cannot be used is left out and named in a
// warning of kind "series". The error is ErrNoSeries when none is left.
func (in *Input) Series() ([]Series, []Warning, error) {
	var out []Series
	var warnings []Warning
	if len(in.zones) > 1 || len(in.zones) == 1 && in.local > 0 {
		warnings = append(warnings, Warning{"", "zone", fmt.Sprintf("stamps of %s; all are taken as instants and put in UTC", in.zoneList())})
	}
	for _, name := range in.order {
		s, w, err := in.series[name].even(name, in.options)
		warnings = append(warnings, w...)
		if err != nil {
			warnings = append(warnings, Warning{name, "series", err.Error()})
			continue
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, warnings, ErrNoSeries
	}
	return out, warnings, nil
}

func (in *Input) zoneList() string {
	var offsets []int
	for o := range in.zones {
		offsets = append(offsets, o)
	}
	slices.Sort(offsets)
	var words []string
	for _, o := range offsets {
		words = append(words, time.Unix(0, 0).In(time.FixedZone("", o)).Format("-07:00"))
	}
	if in.local > 0 {
		words = append(words, "no zone")
	}
	return strconv.Itoa(len(words)) + " zones (" + strings.Join(words, ", ") + ")"
}
