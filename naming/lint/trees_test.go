//go:build unix

package lint_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/wxops/wxops/internal/goldentest"
	"github.com/wxops/wxops/naming/lint"
)

// Each archive of testdata/trees is a tree as people have them, with what a
// careful reader would flag in it ("want": rule, first place, key, places) and
// the layouts that are to be recognized. The lists were made by reading.
func TestRealTreesGetWhatACarefulReaderFlags(t *testing.T) {
	names, err := filepath.Glob("testdata/trees/*.txtar")
	check(t, err)
	if len(names) < 10 {
		t.Fatalf("%d trees", len(names))
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			check(t, err)
			root := t.TempDir()
			want := map[string]*txtar.File{}
			for i, f := range a.Files {
				if f.Name == "want" || f.Name == "layouts" {
					want[f.Name] = &a.Files[i]
					continue
				}
				write(t, root, f.Name, string(f.Data))
			}
			r := run(t, lint.Dir(root), lint.Options{Root: "tree", Today: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)})
			got := map[string]string{"want": flagged(r), "layouts": strings.Join(r.Summary.Layouts, "\n")}
			for _, part := range []string{"want", "layouts"} {
				have := strings.TrimSpace(string(want[part].Data))
				if got[part] == have {
					continue
				}
				if *goldentest.Update {
					want[part].Data = []byte(got[part] + "\n")
					continue
				}
				t.Errorf("%s:\n%s\nwant\n%s", part, got[part], have)
				for _, f := range r.Findings {
					t.Log(f.Rule, f.Message)
				}
			}
			if *goldentest.Update {
				check(t, os.WriteFile(name, txtar.Format(a), 0o644))
			}
		})
	}
}

// flagged is one line for each finding: rule, first place, key, places.
func flagged(r *lint.Report) string {
	var out []string
	for _, f := range r.Findings {
		key := f.Key
		if key == "" {
			key = "-"
		}
		out = append(out, fmt.Sprintf("%s %s %s %d", f.Rule, f.Paths[0], key, f.Places))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}
