package file_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/wxops/wxops/naming"
	"github.com/wxops/wxops/naming/file"
	"github.com/wxops/wxops/naming/namingtest"
)

const three = `# who serves what
services:
  checkout:
    layer: logic # no data of its own
    instances:
      a: {address: 127.0.0.1:8001, weight: 100}
      b: {address: 127.0.0.1:8002, weight: 100, health: up}
      c:
        address: 127.0.0.1:8003
        weight: 100 # the new machine
  billing:
    layer: storage
    instances:
      x: {address: 127.0.0.1:8009, weight: 1}
`

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "names.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestContract(t *testing.T) {
	namingtest.Contract(t, func(t *testing.T) naming.Registry {
		reg, err := file.Open(write(t, three))
		if err != nil {
			t.Fatal(err)
		}
		return reg
	})
}
