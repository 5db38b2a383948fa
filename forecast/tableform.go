package forecast

import (
	"bufio"
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A tableForm says how a table of text is to be read.
type tableForm struct {
	comma, end   byte
	skip         int  // lines above the header
	header       bool // the next line names the columns
	width        int  // columns
	names        []string
	stamp        int   // column of the time
	clock        int   // column of the time of day where stamp has only the date, else -1
	labels       []int // columns that name the series of a row
	values       []int // the others that are read
	single       bool  // one value a row and no label: the series is called value
	needs        int   // least cells of a row
	dayFirst     bool
	decimalComma bool
	notes        []Warning
	joined       []byte
}

// What columns are called, in lower case. A column of the second list of labels
// names series only where it holds text.
var (
	stampNames = []string{"t", "time", "timestamp", "date", "ds", "datetime", "_time", "ts", "@timestamp", "date_time", "date/time", "time_stamp", ""}
	valueNames = []string{"value", "y", "_value"}
	labelNames = []string{"series", "metric", "name", "unique_id"}
	textLabels = strings.Fields("service service_name instance host hostname node server pod container app application job namespace cluster region zone az datacenter dc environment env deployment endpoint queue topic tenant __name__ _measurement _field")
)

// Of a table at most so many rows are looked at to tell its form.
const sampleRows = 2000

// formOf tells the form of a table from its beginning: what separates its cells,
// where its header is, and what its columns are. The error wraps ErrFormat.
func formOf(sample []byte) (*tableForm, error) {
	f := &tableForm{end: lineEnd(sample), clock: -1}
	lines := bytes.Split(sample, []byte{f.end})
	if !f.byName(lines) && !f.byContent(lines) {
		first, _, _ := bytes.Cut(bytes.TrimSpace(sample), []byte{f.end})
		return nil, fmt.Errorf("%w: the CSV header %.80q has no column t, time, timestamp or date, and no column has times", ErrFormat, bytes.TrimSpace(first))
	}
	body := f.rows(lines[f.skip:])
	if f.header {
		if len(body) == 0 {
			return nil, fmt.Errorf("%w: CSV header", ErrFormat)
		}
		for _, c := range body[0] {
			f.names = append(f.names, columnName(c))
		}
		body = body[1:]
	}
	f.width = len(f.names)
	f.columns(body)
	var stamps, numbers [][]byte
	for _, row := range body {
		if f.stamp < len(row) {
			stamps = append(stamps, row[f.stamp])
		}
		for _, c := range f.values {
			if c < len(row) {
				numbers = append(numbers, row[c])
			}
		}
	}
	f.dayFirst, f.decimalComma = dayComesFirst(stamps), commasAreDecimal(numbers)
	return f, nil
}

// candidates are the bytes that may separate cells.
const candidates = ",;\t|"

// byName looks for a header in the first lines: one that names a column of times.
// A line sep=; goes before, as Grafana writes it for Excel.
func (f *tableForm) byName(lines [][]byte) bool {
	const deep = 20 // titles and comments above a table are shorter
	separators := candidates
	for i, line := range lines[:min(deep, len(lines))] {
		line = bytes.TrimRight(line, "\r")
		if mark, ok := bytes.CutPrefix(line, []byte("sep=")); ok && i == 0 {
			separators = ","
			if len(mark) > 0 && strings.IndexByte(candidates, mark[0]) >= 0 {
				separators = string(mark[0])
			}
			continue
		}
		for _, comma := range []byte(separators) {
			cells := splitLine(line, comma)
			if at := named(cells, stampNames); at >= 0 && len(cells) > max(f.width, 1) {
				f.comma, f.stamp, f.skip, f.header, f.width = comma, at, i, true, len(cells)
			}
		}
		if f.header {
			if date, clock := named(splitLine(line, f.comma), []string{"date"}), named(splitLine(line, f.comma), []string{"time"}); date >= 0 && clock >= 0 {
				f.stamp, f.clock = date, clock
			}
			break
		}
	}
	if comments := bytes.Count(bytes.Join(lines[:min(f.skip, len(lines))], []byte{'\n'}), []byte("#")); f.header && f.skip > 0 && comments == 0 && len(separators) > 1 {
		f.notes = append(f.notes, Warning{Kind: "row", Text: fmt.Sprintf("the header is in line %d; what stands above is left out", f.skip+1)})
	}
	return f.header
}

// byContent looks for a column that has times where no name says so. A header is
// what is not like the rows below it.
func (f *tableForm) byContent(lines [][]byte) bool {
	for f.skip < len(lines) && (len(bytes.TrimSpace(lines[f.skip])) == 0 || lines[f.skip][0] == '#') {
		f.skip++
	}
	for _, comma := range []byte(candidates) {
		f.comma = comma
		body := f.rows(lines[f.skip:])
		if len(body) < 3 || len(body[1]) < 2 {
			continue
		}
		columns := clockColumns(body[1:min(len(body), 50)], len(body[1]))
		if len(columns) == 0 {
			continue
		}
		f.stamp, f.header = columns[0], !isClock(body[0], columns[0])
		if f.header {
			f.notes = append(f.notes, Warning{Kind: "name", Text: fmt.Sprintf("column %q has times; taken for the time", columnName(body[0][min(f.stamp, len(body[0])-1)]))})
			return true
		}
		if len(columns) > 1 {
			return false // nothing says which
		}
		for i := range body[0] {
			f.names = append(f.names, "column "+strconv.Itoa(i+1))
		}
		f.notes = append(f.notes, Warning{Kind: "name", Text: fmt.Sprintf("there is no header; column %d is taken for the time", f.stamp+1)})
		return true
	}
	return false
}

// clockColumns are the columns in which nine cells of ten are times of day or
// dates: those that are written as such, or else the numbers of seconds since
// 1970 and their multiples.
func clockColumns(body [][][]byte, width int) []int {
	var written, numbers []int
	for c := range width {
		text, number := 0, 0
		for _, row := range body {
			if isClock(row, c) {
				if _, plain := digits(bytes.TrimSpace(row[c])); plain {
					number++
				} else if _, err := strconv.ParseFloat(string(row[c]), 64); err != nil {
					text++
				}
			}
		}
		switch {
		case 10*text >= 9*len(body):
			written = append(written, c)
		case 10*number >= 9*len(body):
			numbers = append(numbers, c)
		}
	}
	if len(written) > 0 {
		return written
	}
	return numbers
}

// isClock reports whether a cell of a row is a time and no index.
func isClock(row [][]byte, column int) bool {
	if column >= len(row) {
		return false
	}
	r := stampReader{zone: utc, offsets: map[int]int{}}
	s, ok := r.read(row[column])
	return ok && s.clock
}

// rows splits lines, as many as a sample has; the last one may be cut off.
func (f *tableForm) rows(lines [][]byte) [][][]byte {
	if len(lines) > 1 {
		lines = lines[:min(len(lines)-1, sampleRows)]
	}
	r := &rowReader{in: bufio.NewReader(bytes.NewReader(bytes.Join(lines, []byte{f.end}))), comma: f.comma, end: f.end}
	var out [][][]byte
	for {
		row, err := r.next()
		if err != nil { // the end of the sample
			return out
		}
		cells := make([][]byte, len(row))
		for i, c := range row {
			cells[i] = bytes.Clone(c)
		}
		out = append(out, cells)
	}
}

// splitLine splits one line, with quotes or without.
func splitLine(line []byte, comma byte) [][]byte {
	r := &rowReader{in: bufio.NewReader(bytes.NewReader(line)), comma: comma, end: '\n'}
	cells, err := r.next()
	if err != nil { // a blank line
		return nil
	}
	return cells
}

// named returns the column that has the earliest of the names, or -1. A name that
// is empty is one of the first column only, as pandas writes its index.
func named(cells [][]byte, names []string) int {
	for _, n := range names {
		for i, c := range cells {
			if strings.ToLower(string(bytes.Trim(c, "\" \t\r"))) == n && (n != "" || i == 0 && len(cells) > 1 && len(cells[1]) > 0) {
				return i
			}
		}
	}
	return -1
}

// columns tells labels from values. Without labels each column but the time is a
// series; with them, those called value, or else all that do not hold text.
func (f *tableForm) columns(body [][][]byte) {
	isText := func(c int) bool {
		text := 0
		for _, row := range body {
			if c < len(row) && !looksNumeric(row[c]) {
				text++
			}
		}
		return 2*text > len(body)
	}
	value := slices.IndexFunc(f.names, func(name string) bool {
		name = strings.ToLower(name)
		return slices.Contains(valueNames, name) || strings.HasPrefix(name, "value #")
	})
	for c, name := range f.names {
		name = strings.ToLower(name)
		switch {
		case c == f.stamp || c == f.clock || c == value:
		case slices.Contains(labelNames, name) && (value >= 0 || isText(c)), isText(c) && (slices.Contains(textLabels, name) || !f.header):
			f.labels = append(f.labels, c)
		}
	}
	if len(f.labels) == 0 {
		f.labels = f.unnamedLabels(body, isText)
	}
	f.single = len(f.labels) == 0 && value >= 0 && f.width == 2
	for c := range f.width {
		switch {
		case c == f.stamp || c == f.clock || slices.Contains(f.labels, c):
		case len(f.labels) == 0 && !f.single, c == value, value < 0 && !isText(c):
			f.values = append(f.values, c)
		}
	}
	f.needs = max(f.stamp, f.clock) + 1
	for _, c := range slices.Concat(f.labels, f.values) {
		f.needs = max(f.needs, c+1)
	}
}

// unnamedLabels are the columns of text where they, and not the times alone, tell
// the rows apart.
func (f *tableForm) unnamedLabels(body [][][]byte, isText func(int) bool) []int {
	var text []int
	for c := range f.width {
		if c != f.stamp && c != f.clock && isText(c) {
			text = append(text, c)
		}
	}
	if len(text) == 0 || len(text) > f.width-2 {
		return nil
	}
	stamps, rows := map[string]int{}, map[string]bool{}
	for _, row := range body {
		at := string(f.when(row))
		stamps[at]++
		for _, c := range text {
			if c < len(row) {
				at += "\x00" + string(row[c])
			}
		}
		rows[at] = true
	}
	if 2*len(stamps) > len(body) || 10*len(rows) < 9*len(body) {
		return nil
	}
	return text
}

// looksNumeric reports whether a cell is a number, with a unit or without, or
// blank.
func looksNumeric(cell []byte) bool {
	s := strings.TrimSpace(string(cell))
	if isBlank(s) {
		return true
	}
	_, _, s = beforeDigits(s)
	return s != "" && s[0] >= '0' && s[0] <= '9' || len(s) > 1 && strings.IndexByte("+-.", s[0]) >= 0 && s[1] >= '0' && s[1] <= '9'
}
