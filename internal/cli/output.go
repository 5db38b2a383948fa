package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

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

// Check refuses a format that the command does not know, and a file of --out that
// cannot be written. Call it before work starts: a test whose result is lost has
// done its harm for nothing.
func (o *Output) Check() error {
	if err := OneOf("-o", o.Format, o.known); err != nil || o.file == "" {
		return err
	}
	switch in, err := os.Stat(o.file); {
	case err != nil || in.Mode().IsRegular():
		f, err := beside(o.file)
		if err != nil {
			return Unwritable(o.file, err)
		}
		_ = f.Close() // it is empty
		return os.Remove(f.Name())
	case in.IsDir():
		return Unwritable(o.file, errors.New("it is a folder"))
	}
	return nil
}

// beside makes a temporary file in the folder of path.
func beside(path string) (*os.File, error) {
	return os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
}

// Save writes document to the file of --out, if one was given.
func (o *Output) Save(document []byte) error {
	if o.file == "" {
		return nil
	}
	if err := WriteFile(o.file, document); err != nil {
		return Unwritable(o.file, err)
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

// WriteFile writes b to path at once: a temporary file beside it, renamed over
// it, so that a reader never sees half a document. Through a link the file that it
// names is written; a pipe or a device, as /dev/null, is written to and stays.
func WriteFile(path string, b []byte) error {
	if in, err := os.Stat(path); err == nil && !in.Mode().IsRegular() {
		return os.WriteFile(path, b, 0o644)
	}
	if file, err := filepath.EvalSymlinks(path); err == nil {
		path = file
	}
	f, err := beside(path)
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
