package cli

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// Output is the choice of how a result is printed: the -o flag of a command, and
// for some --out.
type Output struct {
	Format string
	known  []string
	file   string // of --out, empty without

	records bool     // -o csv is the data of the document; see Records
	lists   []string // of data, whose entries are the rows
}

// AddFlag adds -o/--output to cmd; the first of formats is the default.
func (o *Output) AddFlag(cmd *cobra.Command, formats ...string) {
	o.known = formats
	cmd.Flags().StringVarP(&o.Format, "output", "o", formats[0], "result as `FORMAT` "+strings.Join(formats, "|"))
	Complete(cmd, "output", formats)
}

// AddFileFlag adds --out to cmd: the document goes to a file as well, whatever is
// printed.
func (o *Output) AddFileFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.file, "out", "", "also write the document to this `FILE`")
}

// Check refuses a format that the command does not know. Call it before work starts.
func (o *Output) Check() error {
	return OneOf("-o", o.Format, o.known)
}

// Save writes document to the file of --out, if one was given.
func (o *Output) Save(document []byte) error {
	if o.file == "" {
		return nil
	}
	if err := WriteFile(o.file, document); err != nil {
		return Failf("cannot write --out %q", o.file).WithCause(err).WithHint("name a file in a folder that you may write to")
	}
	return nil
}

// Print saves document, the canonical JSON bytes of the result, and writes it as
// JSON, on one line (ndjson) or YAML, or else the table that stands for it as table
// or CSV; after Records, CSV is the data of the document. table is only called when
// it is needed.
func (o *Output) Print(w io.Writer, document []byte, table func() *Table) error {
	if err := o.Save(document); err != nil {
		return err
	}
	switch o.Format {
	case "json":
		_, err := w.Write(document)
		return err
	case "ndjson":
		line, err := compact(document)
		if err == nil {
			_, err = w.Write(line)
		}
		return err
	case "yaml":
		return writeYAML(w, document)
	case "csv":
		if o.records {
			return writeRecords(w, document, o.lists)
		}
		return table().writeCSV(w)
	default:
		return table().Write(w)
	}
}

// writeYAML keeps the order of the keys: JSON is YAML in flow style.
func writeYAML(w io.Writer, document []byte) error {
	var node yaml.Node
	if err := yaml.Unmarshal(document, &node); err != nil {
		return fmt.Errorf("write yaml: %w", err)
	}
	block(&node)
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(&node); err != nil {
		return fmt.Errorf("write yaml: %w", err)
	}
	return e.Close()
}

// block clears the flow style; the encoder quotes what would change its type,
// except the words that only YAML 1.1 takes for truth values.
func block(n *yaml.Node) {
	n.Style = 0
	if n.Tag == "!!str" {
		switch strings.ToLower(n.Value) {
		case "y", "n", "yes", "no", "on", "off":
			n.Style = yaml.DoubleQuotedStyle
		}
	}
	for _, c := range n.Content {
		block(c)
	}
}

// A Table has one header and rows of cells. Columns whose header begins with
// '>' are aligned to the right.
type Table struct {
	header []string
	right  []bool
	rows   [][]string
	notes  []string
	names  int // most columns of the first cell of a row; 0: any
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

// Write prints the table with columns that line up, two spaces apart, and no
// space at the end of a line.
func (t *Table) Write(w io.Writer) error {
	rows := [][]string{t.header}
	for _, r := range t.rows {
		row := make([]string, len(r))
		for i, c := range r {
			most := 0
			if i == 0 {
				most = t.names
			}
			row[i] = cell(c, most)
		}
		rows = append(rows, row)
	}
	width := make([]int, len(t.header))
	for _, row := range rows {
		for i, c := range row {
			width[i] = max(width[i], textWidth.StringWidth(c))
		}
	}
	var b bytes.Buffer
	line := func(row []string) {
		var cells []string
		for i, c := range row {
			pad := strings.Repeat(" ", width[i]-textWidth.StringWidth(c))
			if t.right[i] {
				cells = append(cells, pad+c)
			} else {
				cells = append(cells, c+pad)
			}
		}
		b.WriteString(strings.TrimRight(strings.Join(cells, "  "), " ") + "\n")
	}
	if len(t.header) == 0 {
		rows = rows[1:]
	}
	for _, row := range rows {
		line(row)
	}
	for _, n := range t.notes {
		b.WriteString(cell(n, 0) + "\n")
	}
	_, err := w.Write(b.Bytes())
	return err
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

// WriteFile writes b to path at once: a temporary file beside it, renamed over
// it, so that a reader never sees half a document.
func WriteFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	return nil
}

// compact writes a document on one line, for JSON lines.
func compact(document []byte) ([]byte, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, document); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}
