package lint

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A listing comes in parts of up to 32 KiB, and signals end parts early: neither
// may lose a name.
func TestListingHasEveryNameWhateverTheirLengths(t *testing.T) {
	roots := []string{t.TempDir()}
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		dir, err := os.MkdirTemp("/dev/shm", "wxops-lint-")
		if err == nil {
			t.Cleanup(func() { os.RemoveAll(dir) })
			roots = append(roots, dir)
		}
	}
	for _, root := range roots {
		for _, shape := range []struct{ files, length int }{{0, 8}, {1, 255}, {115, 255}, {116, 255}, {117, 255}, {232, 255}, {1000, 8}, {1366, 5}, {3000, 20}} {
			dir := filepath.Join(root, fmt.Sprintf("%d-%d", shape.files, shape.length))
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			var want []string
			for i := range shape.files {
				name := fmt.Sprintf("%0*d", shape.length, i)
				want = append(want, name)
				if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			w := newWalker(nil, &Options{}, nil)
			d, err := openRoot(dir, "")
			if err != nil {
				t.Fatal(err)
			}
			var l listing
			if err := w.list(d, &l); err != nil {
				t.Fatal(err)
			}
			d.close()
			l.sort()
			var got []string
			for _, i := range l.items {
				got = append(got, i.name.text)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %d names, want %d", dir, len(got), len(want))
			}
		}
	}
}
