package cli

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/mattn/go-runewidth"
)

// A Table has one header and rows of cells. Columns whose header begins with
// '>' are aligned to the right.
type Table struct {
	header []string
	right  []bool
	rows   [][]string
	notes  []string
	names  int // most columns of the first cell of a row; 0: any

	columns  int      // see Fit
	optional []string // headers
}

// NewTable returns a table with the header cells.
func NewTable(header ...string) *Table {
	t := &Table{}
	for _, h := range header {
		name, right := strings.CutPrefix(h, ">")
		t.header = append(t.header, name)
		t.right = append(t.right, right)
	}
	return t
}

// Row adds a row; each cell is printed with fmt.Sprint.
func (t *Table) Row(cells ...any) *Table {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = fmt.Sprint(c)
	}
	t.rows = append(t.rows, row)
	return t
}

// Note adds a line below the table; CSV leaves it out.
func (t *Table) Note(format string, args ...any) *Table {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
	return t
}

// ShortNames takes the middle out of names in the first column that are wider
// than width. CSV keeps them whole.
func (t *Table) ShortNames(width int) *Table {
	t.names = width
	return t
}

// cell is c as one line of text: control characters are written as Go does, and
// the middle is taken out where c is wider than most columns.
func cell(c string, most int) string {
	if strings.ContainsFunc(c, unicode.IsControl) {
		quoted := strconv.Quote(c)
		c = strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
	}
	if most <= 0 || textWidth.StringWidth(c) <= most {
		return c
	}
	head := textWidth.Truncate(c, (most-1)/2, "")
	return head + "…" + textWidth.TruncateLeft(c, textWidth.StringWidth(c)-(most-1-textWidth.StringWidth(head)), "")
}

// textWidth counts columns of a terminal, the same in every locale.
var textWidth = &runewidth.Condition{StrictEmojiNeutral: true}

// Fit makes a table at most so many columns wide; 0 is any width. What does not
// fit: the optional columns are left out, one by one in this order, names in the
// first column become shorter, and words of the last column go on in lines below.
// CSV keeps all.
func (t *Table) Fit(columns int, optional ...string) *Table {
	t.columns, t.optional = columns, optional
	return t
}

const (
	leastName = 12 // columns that a shortened name keeps
	leastText = 40 // columns in which words may be broken; where there are fewer they go below their row
)

// A layout is how a table is put on the columns that there are.
type layout struct {
	shown []int // columns of the table
	rows  [][]string
	width []int // by column of the table
	most  int   // columns of a line, beyond which words of the last column are broken; 0: any
}

// Write prints the table with columns that line up, two spaces apart, and no
// space at the end of a line.
func (t *Table) Write(w io.Writer) error {
	l := t.layout()
	var b bytes.Buffer
	for i, row := range l.rows {
		if i > 0 || len(t.header) > 0 {
			l.write(&b, row, t.right)
		}
	}
	for _, n := range t.notes {
		if l.lacks(t, n) {
			continue
		}
		lines := []string{cell(n, 0)}
		if t.columns > 0 {
			lines = wrap(lines[0], t.columns)
		}
		b.WriteString(strings.Join(lines, "\n") + "\n")
	}
	_, err := w.Write(b.Bytes())
	return err
}

// layout decides what is shown, and how wide.
func (t *Table) layout() *layout {
	l := &layout{}
	for i := range t.header {
		l.shown = append(l.shown, i)
	}
	l.measure(t, t.names)
	if t.columns == 0 || l.total() <= t.columns {
		return l
	}
	for _, name := range t.optional {
		words := l.words(t)
		if l.total()-words+min(words, leastText) <= t.columns {
			break
		}
		l.shown = slices.DeleteFunc(l.shown, func(i int) bool { return t.header[i] == name })
	}
	words := l.words(t)
	if over := l.total() - words - t.columns; over > 0 {
		l.measure(t, max(l.width[0]-over, min(leastName, l.width[0])))
	}
	if words > 0 {
		l.most = t.columns
	}
	return l
}

// words is the width of the last column where that can be broken, else 0.
func (l *layout) words(t *Table) int {
	last := l.shown[len(l.shown)-1]
	if t.right[last] || last == 0 {
		return 0
	}
	return l.width[last]
}

// lacks reports whether a note is on a column that is not shown: it begins with
// the header and a colon.
func (l *layout) lacks(t *Table, note string) bool {
	name, _, _ := strings.Cut(note, ":")
	i := slices.Index(t.header, name)
	return i >= 0 && !slices.Contains(l.shown, i)
}

// measure fills the cells, with names of at most so many columns.
func (l *layout) measure(t *Table, names int) {
	l.rows, l.width = nil, make([]int, len(t.header))
	for _, r := range append([][]string{t.header}, t.rows...) {
		row := make([]string, len(r))
		for i, c := range r {
			most := 0
			if i == 0 {
				most = names
			}
			row[i] = cell(c, most)
			l.width[i] = max(l.width[i], textWidth.StringWidth(row[i]))
		}
		l.rows = append(l.rows, row)
	}
}

// total is the width of a row.
func (l *layout) total() int {
	sum := 2 * max(len(l.shown)-1, 0)
	for _, i := range l.shown {
		sum += l.width[i]
	}
	return sum
}

// write prints a row, and what does not fit of its last cell in lines below.
func (l *layout) write(b *bytes.Buffer, row []string, right []bool) {
	line, begin := "", 0 // of the last cell
	var more []string
	for k, i := range l.shown {
		c := row[i]
		if k > 0 {
			line += "  "
		}
		begin = textWidth.StringWidth(line)
		if l.most > 0 && k == len(l.shown)-1 && begin+textWidth.StringWidth(c) > l.most {
			if l.most-begin < leastText {
				begin = 4
				c, more = "", wrap(c, l.most-begin)
			} else {
				more = wrap(c, l.most-begin)
				c, more = more[0], more[1:]
			}
		}
		pad := strings.Repeat(" ", max(l.width[i]-textWidth.StringWidth(c), 0))
		if right[i] {
			line += pad + c
		} else {
			line += c + pad
		}
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
	for _, m := range more {
		b.WriteString(strings.Repeat(" ", begin) + m + "\n")
	}
}

// writeCSV prints the header and the rows as RFC 4180 with \n line ends.
func (t *Table) writeCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	head := make([]string, len(t.header))
	for i, h := range t.header {
		head[i] = strings.ToLower(strings.ReplaceAll(h, " ", "_"))
	}
	if err := c.Write(head); err != nil {
		return err
	}
	if err := c.WriteAll(t.rows); err != nil {
		return err
	}
	return c.Error()
}
