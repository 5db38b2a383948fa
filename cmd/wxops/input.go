package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/forecast"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
)

// readInput returns the text of a file, or of standard input for "-": at most as
// many bytes as a document may have, unpacked. The entry has the sum of the file
// as it is.
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
	text, err := forecast.Unpack(file)
	if err != nil {
		return nil, doc.Input{}, unread(path, err)
	}
	b, err := io.ReadAll(io.LimitReader(text, doc.MaxBytes+1))
	switch {
	case len(b) > doc.MaxBytes:
		return nil, doc.Input{}, cli.Usagef("cannot read %q", path).WithCause(fmt.Errorf("longer than %d MiB", doc.MaxBytes>>20))
	case err == nil:
		_, err = io.Copy(io.Discard, file)
	}
	if err != nil {
		return nil, doc.Input{}, unread(path, err)
	}
	return b, doc.Input{Name: path, SHA256: hex.EncodeToString(hash.Sum(nil))}, nil
}

// unread is the error of a file whose bytes do not come (exit code 3), or are not
// those of a text: cut off, or packed in a way that is not read (2).
func unread(path string, err error) *cli.Error {
	var system *fs.PathError
	if errors.As(err, &system) {
		return cli.Unreadable(path, err)
	}
	return cli.Usagef("cannot read %q", path).WithCause(err).WithHint("gzip, zstd and bzip2 are unpacked; is the file whole?")
}

// unusable is the error of a document that could not be read, or is none of those
// that the command works on, which wanted names.
func unusable(path string, err error, wanted string) *cli.Error {
	var known *cli.Error
	if errors.As(err, &known) {
		return known
	}
	if errors.Is(err, doc.ErrVersion) {
		wanted = "another wxops wrote it, and this is " + toolVersion() + "; use that one, or write the document anew"
	}
	return cli.Usagef("cannot use %q", path).WithCause(err).WithHint("%s", wanted)
}

// readDocument reads one document of a kind; its errors are usage or I/O.
func readDocument(s *cli.IO, path string, k doc.Kind, data any) (doc.Input, error) {
	b, in, err := readInput(s, path)
	if err != nil {
		return doc.Input{}, err
	}
	return in, decodeDocument(path, b, k, data)
}

// decodeDocument reads the text of the document at path.
func decodeDocument(path string, b []byte, k doc.Kind, data any) error {
	if _, err := doc.Read(bytes.NewReader(b), k, data); err != nil {
		return cli.Usagef("%q cannot be used", path).WithCause(err).WithHint("wxops schema %s", k.Name)
	}
	return nil
}

// readCurve reads a curve document and the input entry for it.
func readCurve(s *cli.IO, path string) (capacity.Curve, doc.Input, error) {
	var curve capacity.Curve
	in, err := readDocument(s, path, kindCurve, &curve)
	return curve, in, err
}
