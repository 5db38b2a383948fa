package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
)

// readInput returns the bytes of a file, or of standard input for "-": at most as
// many as a document may have.
func readInput(s *cli.IO, path string) ([]byte, error) {
	r := s.In
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, cli.Unreadable(path, err)
		}
		defer f.Close()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, doc.MaxBytes+1))
	switch {
	case err != nil:
		return nil, cli.Unreadable(path, err)
	case len(b) > doc.MaxBytes:
		return nil, cli.Usagef("cannot read %q", path).WithCause(fmt.Errorf("longer than %d MiB", doc.MaxBytes>>20))
	}
	return b, nil
}

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
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
