package forecast

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// readCSV reads the long form (series,t,value in any order, or t,value of one
// series) and the wide form (a time column, then one column for each series).
// Grafana exports both.
func (in *Input) readCSV(b *bufio.Reader) error {
	comma := separator(b)
	if line, _ := b.Peek(len("sep=,\r\n")); bytes.HasPrefix(line, []byte("sep=")) { // Grafana for Excel
		first, err := b.ReadString('\n')
		if err != nil {
			return fmt.Errorf("%w: CSV header: %w", ErrFormat, err)
		}
		comma = ','
		if mark := strings.TrimSpace(first[len("sep="):]); mark != "" && strings.Contains(",;|", mark) {
			comma = rune(mark[0])
		} else if strings.HasPrefix(first, "sep=\t") {
			comma = '\t'
		}
	}
	r := csv.NewReader(b)
	r.ReuseRecord = true
	r.FieldsPerRecord = -1
	r.LazyQuotes = true
	r.Comma = comma
	head, err := r.Read()
	if err != nil {
		return fmt.Errorf("%w: CSV header: %w", ErrFormat, err)
	}
	columns := make([]string, len(head))
	find := func(names ...string) int {
		for _, n := range names {
			for i, c := range columns {
				if c == n {
					return i
				}
			}
		}
		return -1
	}
	for i, c := range head {
		columns[i] = strings.ToLower(strings.Trim(strings.TrimSpace(c), `"`))
	}
	stamp := find("t", "time", "timestamp", "date", "ds", "datetime", "_time", "ts", "")
	series := find("series", "metric", "name", "unique_id")
	value := find("value", "y")
	if stamp < 0 {
		return fmt.Errorf("%w: the CSV header %.80q has no column t, time, timestamp or date", ErrFormat, strings.Join(head, ","))
	}
	if value >= 0 && (series >= 0 || len(head) == 2) {
		return in.readLong(r, series, stamp, value)
	}
	names := make([]string, len(head))
	seen := map[string]int{}
	for i, c := range head {
		names[i] = strings.TrimSpace(c)
		if seen[names[i]]++; seen[names[i]] > 1 {
			names[i] = fmt.Sprintf("%s #%d", names[i], seen[names[i]])
			in.note("name", "several columns are called %q; one of them becomes %q", strings.TrimSpace(c), names[i])
		}
	}
	return in.readWide(r, names, stamp)
}

// separator is the one of comma, semicolon and tab that the header has most of.
func separator(b *bufio.Reader) rune {
	head, _ := b.Peek(4096)
	line, _, _ := strings.Cut(string(head), "\n")
	best, most := ',', strings.Count(line, ",")
	for _, c := range ";\t" {
		if n := strings.Count(line, string(c)); n > most {
			best, most = c, n
		}
	}
	return best
}

func (in *Input) readLong(r *csv.Reader, series, stamp, value int) error {
	last, p := "", (*points)(nil)
	need := max(series, stamp, value)
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := "value"
		if series >= 0 && series < len(row) {
			name = row[series]
		}
		if p == nil || name != last {
			p = in.get(name)
			last = strings.Clone(name)
		}
		if len(row) <= need {
			p.refuse("row", strings.Join(row, ","))
			continue
		}
		in.add(p, row[stamp], row[value])
	}
}

func (in *Input) readWide(r *csv.Reader, names []string, stamp int) error {
	all := make([]*points, len(names))
	for i, n := range names {
		if i != stamp {
			all[i] = in.get(n)
		}
	}
	if len(names) < 2 {
		return fmt.Errorf("%w: the CSV has a time column and no values", ErrFormat)
	}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if stamp >= len(row) {
			continue
		}
		for i, p := range all {
			if p == nil {
				continue
			}
			cell := ""
			if i < len(row) {
				cell = row[i]
			}
			in.add(p, row[stamp], cell)
		}
	}
}
