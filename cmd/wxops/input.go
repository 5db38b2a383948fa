package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
)

// readInput returns the text of a file, or of standard input for "-": at most as
// many bytes as a document may have. The entry has the sum of the file as it is,
// compressed or not.
func readInput(s *cli.IO, path string) ([]byte, doc.Input, error) {
	r := s.In
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, doc.Input{}, cli.Unreadable(path, err)
		}
		defer f.Close()
		r = f
	}
	hash := sha256.New()
	file := io.TeeReader(r, hash)
	text, err := unpacked(file)
	if err != nil {
		return nil, doc.Input{}, cli.Unreadable(path, err)
	}
	b, err := io.ReadAll(io.LimitReader(text, doc.MaxBytes+1))
	switch {
	case len(b) > doc.MaxBytes:
		return nil, doc.Input{}, cli.Usagef("cannot read %q", path).WithCause(fmt.Errorf("longer than %d MiB", doc.MaxBytes>>20))
	case err == nil:
		_, err = io.Copy(io.Discard, file)
	}
	if err != nil {
		return nil, doc.Input{}, cli.Unreadable(path, err)
	}
	return b, doc.Input{Name: path, SHA256: hex.EncodeToString(hash.Sum(nil))}, nil
}

// unpacked returns what r has, read through gzip when its first bytes are those
// of gzip.
func unpacked(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	if magic, _ := b.Peek(2); !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return b, nil
	}
	z, err := gzip.NewReader(b)
	if err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	return z, nil
}

// unusable is the error of a document that could not be read, or is none of those
// that the command works on, which wanted names.
func unusable(path string, err error, wanted string) *cli.Error {
	var known *cli.Error
	if errors.As(err, &known) {
		return known
	}
	return cli.Usagef("cannot use %q", path).WithCause(err).WithHint("%s", wanted)
}

// readDocument reads one document of a kind; its errors are usage or I/O.
func readDocument(s *cli.IO, path string, k doc.Kind, data any) (doc.Input, error) {
	b, in, err := readInput(s, path)
	if err != nil {
		return doc.Input{}, err
	}
	if _, err := doc.Read(bytes.NewReader(b), k, data); err != nil {
		return doc.Input{}, cli.Usagef("%q cannot be used", path).WithCause(err).WithHint("wxops schema %s", k.Name)
	}
	return in, nil
}

// readCurve reads a curve document and the input entry for it.
func readCurve(s *cli.IO, path string) (capacity.Curve, doc.Input, error) {
	var curve capacity.Curve
	in, err := readDocument(s, path, kindCurve, &curve)
	return curve, in, err
}
