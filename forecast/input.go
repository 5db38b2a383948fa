package forecast

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
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
	Kind   string // gap, duplicate, order, blank, reset, zone, date, unit, step, partial, spike, level, name, series
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
	stamps  stampReader
	notes   []Warning         // of whole files
	labels  map[string]string // name in use -> Id of the CloudWatch metric that has it
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
	twice   int    // stamps that clocks show twice
	skipped int    // stamps that clocks never show
	unit    string // of the values that have one
	units   int    // how many have one
	grouped string // the first value written as 1,234.5
}

// NewInput returns an empty collection.
func NewInput(o ReadOptions) *Input {
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	return &Input{options: o, series: map[string]*points{}, stamps: stampReader{zone: o.Zone, offsets: map[int]int{}}, labels: map[string]string{}}
}

// sampleBytes of a file are looked at to tell what its dates mean.
const sampleBytes = 1 << 16

// Add reads one file of any form: CSV long or wide, Prometheus and
// VictoriaMetrics JSON, CloudWatch get-metric-data, sadf -j; gzip, zstd and
// bzip2 are seen by their first bytes. name is for messages. The error wraps
// ErrFormat when the form is none of these.
func (in *Input) Add(name string, r io.Reader) error {
	b, closeFile, err := decompressed(bufio.NewReaderSize(r, sampleBytes))
	if err != nil {
		return fmt.Errorf("read %q: %w", name, err)
	}
	defer closeFile()
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
	sample, _ := b.Peek(sampleBytes) // shorter at the end of the file
	in.stamps.dayFirst = dayComesFirst(sample)
	in.stamps.slashes = 0
	if first == '{' || first == '[' {
		err = in.readJSON(b)
	} else {
		err = in.readCSV(b)
	}
	if err != nil {
		return fmt.Errorf("read %q: %w", name, err)
	}
	if in.stamps.slashes > 0 {
		order := "month"
		if in.stamps.dayFirst {
			order = "day"
		}
		in.note("date", "%s: dates with slashes are read with the %s first", name, order)
	}
	return nil
}

// decompressed looks at the first bytes and returns the text behind them. The
// function that it returns frees what the reader holds.
func decompressed(b *bufio.Reader) (*bufio.Reader, func(), error) {
	magic, _ := b.Peek(4)
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, nil, err
		}
		return bufio.NewReaderSize(z, sampleBytes), func() {}, nil
	case bytes.HasPrefix(magic, []byte("BZh")):
		return bufio.NewReaderSize(bzip2.NewReader(b), sampleBytes), func() {}, nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, nil, err
		}
		return bufio.NewReaderSize(z, sampleBytes), z.Close, nil
	}
	return b, func() {}, nil
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
func (in *Input) note(kind, format string, args ...any) {
	in.notes = append(in.notes, Warning{Kind: kind, Text: fmt.Sprintf(format, args...)})
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

// add takes one observation as text. when and value are not kept.
func (in *Input) add(p *points, when, value string) {
	s, ok := in.stamps.read(when)
	if !ok {
		p.refuse("time", when)
		return
	}
	v, blank, ok := p.number(value)
	if !ok {
		p.refuse("value", value)
		return
	}
	if blank {
		p.blank++
	}
	p.put(s, v)
}

func (p *points) put(s stamp, v float64) {
	if s.clock {
		p.clock = true
	} else {
		p.index = true
	}
	if s.skipped {
		p.skipped++
	}
	if s.again != 0 {
		p.twice++
		s.at = p.whichOf(s.at, s.again)
	}
	p.at = append(p.at, s.at)
	p.value = append(p.value, v)
}

// whichOf tells the first from the second hour of a clock that was put back: the
// stamps of a series go on in the direction that they have.
func (p *points) whichOf(first, second int64) int64 {
	n := len(p.at)
	if n == 0 {
		return first
	}
	last := p.at[n-1]
	falling := n > 1 && last < p.at[n-2]
	if last < first || last <= second && falling {
		return first
	}
	return second
}

func (p *points) refuse(what, text string) {
	if p.bad++; p.badText == "" {
		p.badText = fmt.Sprintf("%s %.40q", what, text)
	}
}

// Series puts what was read on even grids, in the order of first appearance, and
// tells every repair. A series that cannot be used is left out and named in a
// warning of kind "series". The error is ErrNoSeries when none is left. It lets
// go of what was read, so it can be called once.
func (in *Input) Series() ([]Series, []Warning, error) {
	var out []Series
	warnings := in.notes
	if len(in.stamps.offsets) > 1 || len(in.stamps.offsets) == 1 && in.stamps.local > 0 {
		warnings = append(warnings, Warning{"", "zone", fmt.Sprintf("stamps of %s; all are taken as instants and put in UTC", in.zoneList())})
	}
	for _, name := range in.order {
		s, w, err := in.series[name].even(name, in.options)
		delete(in.series, name)
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
