package forecast

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// readCSV reads a table of any form that [tableForm] tells apart.
func (in *Input) readCSV(b *bufio.Reader, sample []byte) error {
	form, err := formOf(sample)
	if err != nil {
		return err
	}
	for _, n := range form.notes {
		in.note(n.Kind, 0, "%s: %s", in.file, n.Text)
	}
	in.stamps.dayFirst = form.dayFirst
	in.decimalComma = form.decimalComma
	r := &rowReader{in: b, comma: form.comma, end: form.end}
	for range form.skip {
		if _, err := r.readLine(); err != nil {
			return err
		}
	}
	in.line = &r.line
	defer func() { in.line = nil }()
	if form.header {
		if err := form.nameColumns(in, r); err != nil {
			return err
		}
	}
	if len(form.values) == 0 {
		return fmt.Errorf("%w: the CSV has no column of values; its columns are %.80q", ErrFormat, strings.Join(form.names, ","))
	}
	if len(form.labels) > 0 || form.single {
		return in.readLong(r, form)
	}
	return in.readWide(r, form)
}

// nameColumns reads the header, which may be longer than the sample was.
func (f *tableForm) nameColumns(in *Input, r *rowReader) error {
	head, err := r.next()
	if err != nil {
		return fmt.Errorf("%w: CSV header: %w", ErrFormat, err)
	}
	known := f.width
	f.names, f.width = f.names[:0], len(head)
	seen := map[string]int{}
	for i, c := range head {
		name := columnName(c)
		if seen[name]++; seen[name] > 1 {
			twice := name
			name = fmt.Sprintf("%s #%d", name, seen[name])
			in.note("name", 1, "%s: several columns are called %q; one of them becomes %q", in.file, twice, name)
		}
		f.names = append(f.names, name)
		if i >= known && len(f.labels) == 0 && !f.single {
			f.values = append(f.values, i)
		}
	}
	if f.width < 2 {
		return fmt.Errorf("%w: the CSV has a time column and no values", ErrFormat)
	}
	return nil
}

// columnName is the name of a column as its series are called: bytes that are no
// UTF-8 are taken for Latin-1.
func columnName(cell []byte) string {
	s := strings.TrimSpace(string(cell))
	if s == strings.ToValidUTF8(s, "") {
		return s
	}
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

// readLong reads rows whose labels name the series: each has one value, or a
// value for each of several series of that name.
func (in *Input) readLong(r *rowReader, f *tableForm) error {
	var last, key []byte
	var all []*points // of the last row, one for each value
	for {
		row, err := r.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		key = f.key(key[:0], row)
		if all == nil || !bytes.Equal(key, last) {
			last = append(last[:0], key...)
			all = in.family(all[:0], key, f)
		}
		s, ok := stamp{}, len(row) >= f.needs && !f.overflows(row)
		if ok {
			if s, ok = in.stamps.read(f.when(row)); !ok {
				in.refuseAll(all, "time", f.when(row))
				continue
			}
		} else {
			in.refuseAll(all, "row", bytes.Join(row, []byte{f.comma}))
			continue
		}
		for i, column := range f.values {
			in.addValue(all[i], s, row[column])
		}
	}
}

// key is what tells the series of a row from others.
func (f *tableForm) key(key []byte, row [][]byte) []byte {
	for _, l := range f.labels {
		if l >= len(row) || len(row[l]) == 0 {
			continue
		}
		if len(key) > 0 {
			key = append(key, '/')
		}
		key = append(key, row[l]...)
	}
	if len(key) == 0 && f.single {
		key = append(key, "value"...)
	}
	return key
}

// family returns the series of a row, one for each value.
func (in *Input) family(out []*points, key []byte, f *tableForm) []*points {
	if len(f.values) == 1 {
		return append(out, in.get(key))
	}
	for _, column := range f.values {
		out = append(out, in.get([]byte(string(key)+"/"+f.names[column])))
	}
	return out
}

func (in *Input) refuseAll(all []*points, what string, text []byte) {
	for _, p := range all {
		in.refuse(&p.bad, what, text)
	}
}

// readWide reads rows that have a value for each series.
func (in *Input) readWide(r *rowReader, f *tableForm) error {
	all := make([]*points, len(f.values))
	for i, column := range f.values {
		all[i] = in.get([]byte(f.names[column]))
	}
	var bad rows
	n := 0
	for ; ; n++ {
		row, err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if f.overflows(row) {
			in.refuse(&bad, fmt.Sprintf("%d cells where the header has %d:", len(row), f.width), bytes.Join(row, []byte{f.comma}))
			continue
		}
		s, ok := stamp{}, false
		if len(row) > max(f.stamp, f.clock) {
			s, ok = in.stamps.read(f.when(row))
		}
		if !ok {
			in.refuse(&bad, "time", f.when(row))
			continue
		}
		for i, column := range f.values {
			var cell []byte
			if column < len(row) {
				cell = row[column]
			}
			in.addValue(all[i], s, cell)
		}
	}
	if bad.n*20 > n {
		return fmt.Errorf("%w: %d of %d rows cannot be read, the first has %s", ErrFormat, bad.n, n, bad.first)
	}
	if bad.n > 0 {
		in.note("row", bad.n, "%s", bad)
	}
	return nil
}

// overflows reports whether a row has more cells than the header: then a
// separator stands inside of a value, and each value behind it is another's.
func (f *tableForm) overflows(row [][]byte) bool {
	for i := f.width; i < len(row); i++ {
		if len(bytes.TrimSpace(row[i])) > 0 {
			return true
		}
	}
	return false
}

// when is the text of the time of a row.
func (f *tableForm) when(row [][]byte) []byte {
	if f.stamp >= len(row) {
		return nil
	}
	if f.clock < 0 || f.clock >= len(row) {
		return row[f.stamp]
	}
	f.joined = append(append(append(f.joined[:0], bytes.TrimSpace(row[f.stamp])...), ' '), bytes.TrimSpace(row[f.clock])...)
	return f.joined
}
