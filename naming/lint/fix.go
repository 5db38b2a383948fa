package lint

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

type fixKind uint8

const (
	fixMode fixKind = iota
	fixText
)

// A fix is a change of files that cannot change their meaning.
type fix struct {
	kind    fixKind
	rule    string
	mode    uint16
	paths   []string
	want    *facts
	finding int
}

func (l *linter) fix(f fix) {
	if f.finding >= 0 && f.finding < len(l.findings) {
		l.fixes = append(l.fixes, f)
	}
}

// A Fixed is one file that Fix changed, or would change.
type Fixed struct {
	Path          string
	What          string
	Before, After []byte // nil where only the mode changes
}

// Fix applies the safe fixes of a report to the tree below root: line ends,
// byte order marks, final newlines and modes become those of most copies. Each
// file is replaced at once; a second run changes nothing. With dry, nothing is
// written.
func (r *Report) Fix(root string, dry bool) ([]Fixed, error) {
	var out []Fixed
	done := map[string]int{}
	for _, f := range r.fixes {
		for _, p := range f.paths {
			full := filepath.Join(root, filepath.FromSlash(p))
			info, err := os.Lstat(full)
			if err != nil {
				return out, fmt.Errorf("fix %q: %w", p, err)
			}
			if !info.Mode().IsRegular() {
				continue
			}
			if f.kind == fixMode {
				out = append(out, Fixed{Path: p, What: fmt.Sprintf("mode %04o to %04o", info.Mode().Perm(), f.mode)})
				if !dry {
					if err := os.Chmod(full, os.FileMode(f.mode)&os.ModePerm); err != nil {
						return out, fmt.Errorf("fix %q: %w", p, err)
					}
				}
				continue
			}
			i, again := done[p]
			var before []byte
			if again {
				before = out[i].After
			} else if before, err = os.ReadFile(full); err != nil {
				return out, fmt.Errorf("fix %q: %w", p, err)
			}
			after := likeMost(before, f)
			if bytes.Equal(before, after) {
				continue
			}
			if again {
				out[i].After = after
				out[i].What += ", " + fixNames[f.rule]
			} else {
				done[p] = len(out)
				out = append(out, Fixed{Path: p, What: fixNames[f.rule], Before: before, After: after})
			}
			if !dry {
				if err := replaceFile(full, after, info.Mode()); err != nil {
					return out, fmt.Errorf("fix %q: %w", p, err)
				}
			}
		}
	}
	return out, nil
}

// WriteDiff prints a change as a unified diff. The changes of a fix are at
// either end of lines, so lines correspond one to one. A line with a credential
// is hidden, so the diff is for reading and not for patch(1).
func (x Fixed) WriteDiff(w io.Writer) error {
	if x.Before == nil {
		_, err := fmt.Fprintf(w, "# %s: %s\n", printable(x.Path), x.What)
		return err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "--- a/%s\n+++ b/%s\n", printable(x.Path), printable(x.Path))
	secret := credentialLines(x.Path, x.Before)
	before, after := slices.Collect(bytes.Lines(x.Before)), slices.Collect(bytes.Lines(x.After))
	for i := 0; i < len(before) && i < len(after); {
		if bytes.Equal(before[i], after[i]) {
			i++
			continue
		}
		end := i
		for end < len(before) && end < len(after) && !bytes.Equal(before[end], after[end]) {
			end++
		}
		fmt.Fprintf(&b, "@@ -%d,%d +%d,%d @@\n", i+1, end-i, i+1, end-i)
		for _, side := range []struct {
			mark  byte
			lines [][]byte
		}{{'-', before[i:end]}, {'+', after[i:end]}} {
			for k, line := range side.lines {
				b.WriteByte(side.mark)
				if secret[i+k+1] {
					text := bytes.TrimRight(line, "\r\n")
					b.WriteString("(hidden)")
					line = line[len(text):]
				}
				b.Write(line)
				if len(line) == 0 || line[len(line)-1] != '\n' {
					b.WriteString("\n\\ No newline at end of file\n")
				}
			}
		}
		i = end
	}
	_, err := w.Write(b.Bytes())
	return err
}

var fixNames = map[string]string{"WX506": "line ends", "WX507": "byte order mark", "WX509": "final newline"}

// likeMost gives a text the form that most copies of it have.
func likeMost(b []byte, f fix) []byte {
	bom := []byte("\xef\xbb\xbf")
	switch f.rule {
	case "WX506":
		b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
		if f.want.crlf {
			b = bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
		}
	case "WX507":
		b = bytes.TrimPrefix(b, bom)
		if f.want.bom {
			b = append(bytes.Clone(bom), b...)
		}
	case "WX509":
		end := "\n"
		if f.want.crlf {
			end = "\r\n"
		}
		if f.want.noFinalNewline {
			b = bytes.TrimRight(b, "\r\n")
		} else if len(b) > 0 && b[len(b)-1] != '\n' {
			b = append(bytes.Clone(b), end...)
		}
	}
	return b
}

// replaceFile writes b beside path and renames it over path.
func replaceFile(path string, b []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".wxops-fix-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = f.Chmod(mode.Perm())
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}
