// Package goldentest holds what is printed to files that are kept beside the
// tests, so that a change of it is read before it is committed.
//
// With -update the files are written instead of compared. The package decides
// nothing about what is printed, and only tests import it.
//
//	goldentest.Compare(t, "testdata/frame.txt", frame.Bytes())
package goldentest

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

// Update says that the run was asked to rewrite what it would compare.
var Update = flag.Bool("update", false, "rewrite golden files; read the difference before it is committed")

// Compare fails the test if got is not what the file holds.
func Compare(t testing.TB, file string, got []byte) {
	t.Helper()
	if *Update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; the same go test with -update writes it", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; the same go test with -update rewrites it. got:\n%s", file, got)
	}
}
