package forecast

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// A rowReader splits separated text into rows (RFC 4180, and what spreadsheets
// make of it): a row is a line, unless quotes hold the line's end; a quote inside
// of a cell that does not begin with one is a character. Blank lines are no rows.
// It allocates nothing for a row without quotes.
type rowReader struct {
	in    *bufio.Reader
	comma byte
	end   byte // of a line: \n, or the \r of old spreadsheets
	line  int  // in which the row begins, from 1
	lines int  // that were read
	long  []byte
	text  []byte // of cells with quotes
	ends  []int  // of cells in text
	cells [][]byte
}

// maxRow is the longest row, so that a quote that is never closed does not take
// the whole file into memory.
const maxRow = 64 << 20

var errRow = errors.New("row is too long")

// lineEnd is the byte that ends the lines of a file which begins with sample.
func lineEnd(sample []byte) byte {
	if bytes.IndexByte(sample, '\n') < 0 && bytes.IndexByte(sample, '\r') >= 0 {
		return '\r'
	}
	return '\n'
}

// next returns the cells of the next row; they hold until the next call. The
// error is io.EOF behind the last row.
func (r *rowReader) next() ([][]byte, error) {
	for {
		line, err := r.readLine()
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		r.line = r.lines
		if bytes.IndexByte(line, '"') >= 0 {
			return r.quoted(line)
		}
		r.cells = r.cells[:0]
		for {
			i := bytes.IndexByte(line, r.comma)
			if i < 0 {
				r.cells = append(r.cells, line)
				return r.cells, nil
			}
			r.cells = append(r.cells, line[:i])
			line = line[i+1:]
		}
	}
}

// readLine returns the next line without its end.
func (r *rowReader) readLine() ([]byte, error) {
	line, err := r.in.ReadSlice(r.end)
	if errors.Is(err, bufio.ErrBufferFull) {
		r.long = append(r.long[:0], line...)
		for errors.Is(err, bufio.ErrBufferFull) {
			if len(r.long) > maxRow {
				return nil, fmt.Errorf("line %d: %w, more than %d MiB", r.lines+1, errRow, maxRow>>20)
			}
			line, err = r.in.ReadSlice(r.end)
			r.long = append(r.long, line...)
		}
		line = r.long
	}
	if err != nil && (!errors.Is(err, io.EOF) || len(line) == 0) {
		return nil, err
	}
	r.lines++
	line = bytes.TrimSuffix(line, []byte{r.end})
	return bytes.TrimSuffix(line, []byte{'\r'}), nil
}

// quoted splits a row that has quotes, which may go on in the next lines.
func (r *rowReader) quoted(line []byte) ([][]byte, error) {
	r.text, r.ends = r.text[:0], r.ends[:0]
	for i := 0; ; {
		rest := bytes.TrimLeft(line[i:], " ")
		if len(rest) == 0 || rest[0] != '"' { // a plain cell
			end := bytes.IndexByte(line[i:], r.comma)
			if end < 0 {
				r.text = append(r.text, line[i:]...)
				r.ends = append(r.ends, len(r.text))
				return r.slices(), nil
			}
			r.text = append(r.text, line[i:i+end]...)
			r.ends = append(r.ends, len(r.text))
			i += end + 1
			continue
		}
		i = len(line) - len(rest) + 1
		for {
			q := bytes.IndexByte(line[i:], '"')
			if q < 0 {
				r.text = append(append(r.text, line[i:]...), '\n')
				if len(r.text) > maxRow {
					return nil, fmt.Errorf("line %d: %w, more than %d MiB: is a quote not closed?", r.line, errRow, maxRow>>20)
				}
				next, err := r.readLine()
				if errors.Is(err, io.EOF) { // the file ends inside of quotes
					r.ends = append(r.ends, len(r.text)-1)
					return r.slices(), nil
				}
				if err != nil {
					return nil, err
				}
				line, i = next, 0
				continue
			}
			r.text = append(r.text, line[i:i+q]...)
			i += q + 1
			if i < len(line) && line[i] == '"' { // two are one
				r.text = append(r.text, '"')
				i++
				continue
			}
			end := bytes.IndexByte(line[i:], r.comma)
			if end < 0 {
				r.text = append(r.text, bytes.TrimRight(line[i:], " ")...)
				r.ends = append(r.ends, len(r.text))
				return r.slices(), nil
			}
			r.text = append(r.text, bytes.TrimRight(line[i:i+end], " ")...)
			r.ends = append(r.ends, len(r.text))
			i += end + 1
			break
		}
	}
}

// slices are the cells that lie in text one behind the other.
func (r *rowReader) slices() [][]byte {
	r.cells = r.cells[:0]
	from := 0
	for _, end := range r.ends {
		r.cells = append(r.cells, r.text[from:end])
		from = end
	}
	return r.cells
}
