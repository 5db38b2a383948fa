package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf16"

	"github.com/klauspost/compress/zstd"

	"github.com/wxops/wxops/internal/cli"
)

// Every document may be packed, or be UTF-16 as PowerShell redirects it; a packed
// one that is cut off is unusable input, and so is one that is packed otherwise.
func TestDocumentsMayBePacked(t *testing.T) {
	plain, err := os.ReadFile(filepath.Join("..", "..", "testdata", "compat", "curve-v1.json"))
	if err != nil {
		t.Fatal(err)
	}
	pack := func(open func(io.Writer) io.WriteCloser) []byte {
		var b bytes.Buffer
		w := open(&b)
		if _, err := w.Write(plain); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	wide := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(string(plain))) {
		wide = append(wide, byte(u), byte(u>>8))
	}
	zipped := pack(func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
	packed := pack(func(w io.Writer) io.WriteCloser {
		z, err := zstd.NewWriter(w)
		if err != nil {
			t.Fatal(err)
		}
		return z
	})
	for _, c := range []struct {
		name string
		file []byte
		code int
	}{
		{"plain", plain, cli.ExitOK},
		{"gzip", zipped, cli.ExitOK},
		{"zstd", packed, cli.ExitOK},
		{"UTF-16", wide, cli.ExitOK},
		{"gzip that is cut off", zipped[:len(zipped)-9], cli.ExitUsage},
		{"zstd that is cut off", packed[:len(packed)-9], cli.ExitUsage},
		{"xz", []byte("\xfd7zXZ\x00..."), cli.ExitUsage},
		{"zip", []byte("PK\x03\x04..."), cli.ExitUsage},
	} {
		s, _, _ := testIO()
		s.In = bytes.NewReader(c.file)
		curve, _, err := readCurve(s, "-")
		if cli.Code(err) != c.code {
			t.Errorf("%s: %v, want exit code %d", c.name, err, c.code)
		} else if err == nil && len(curve.Points) == 0 {
			t.Errorf("%s: the curve has no points", c.name)
		}
	}
}
