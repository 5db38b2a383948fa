// Package oracle holds the reports of lint to the published schema of SARIF
// 2.1.0, which another library carries. It is a module of its own, so that wxops
// links nothing of that library.
package oracle

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	_ "github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif" // carries the schema
	"github.com/xeipuuv/gojsonschema"

	"github.com/wxops/wxops/naming/lint"
)

func write(t *testing.T, root, name, text string) {
	t.Helper()
	full := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestSARIFIsValid(t *testing.T) {
	schema := gojsonschema.NewStringLoader(published(t))
	for _, c := range []struct {
		name string
		tree func(t *testing.T, root string)
		want int // results
	}{
		{"empty", func(t *testing.T, root string) {
			write(t, root, "shop/test/app.yaml", "a: 1\n")
			write(t, root, "shop/prod/app.yaml", "a: 1\n")
		}, 0},
		{"odd names and values", func(t *testing.T, root string) {
			for i := range 3 {
				write(t, root, fmt.Sprintf("shop/prod/shop-%d/a b\n%%#?:é\xff.yaml", i), fmt.Sprintf("k: \"<&>\\u0007 %d\"\n", max(i, 1)))
			}
		}, 1},
		{"whole files", func(t *testing.T, root string) {
			for i := range 120 {
				write(t, root, fmt.Sprintf("shop/prod/shop-%d/a.yaml", i), "a: 1\n")
				if i > 0 && i < 200 {
					write(t, root, fmt.Sprintf("shop/test/shop-%d/a.yaml", i), "a: 1\r\n")
				}
			}
		}, 1},
		{"more than a report may hold", func(t *testing.T, root string) {
			for s := range 2600 {
				write(t, root, fmt.Sprintf("svc%c%c%c/prod/a.ini", 'a'+s/676%26, 'a'+s/26%26, 'a'+s%26), "[a]\nk = 1\nl = 1\n")
				write(t, root, fmt.Sprintf("svc%c%c%c/test/a.ini", 'a'+s/676%26, 'a'+s/26%26, 'a'+s%26), "[a]\nk = 2\nl = 2\n")
			}
		}, 5000},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			c.tree(t, root)
			r, err := lint.Run(context.Background(), lint.Dir(root), lint.Options{})
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := r.WriteSARIF(&b, "wxops 1.2.3", "configs/"); err != nil {
				t.Fatal(err)
			}
			result, err := gojsonschema.Validate(schema, gojsonschema.NewBytesLoader(b.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range result.Errors() {
				t.Error(e)
			}
			var doc struct{ Runs []struct{ Results []any } }
			if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
				t.Fatal(err)
			}
			if n := len(doc.Runs[0].Results); n != c.want {
				t.Errorf("%d results, want %d", n, c.want)
			}
		})
	}
}

// published returns the schema that OASIS publishes, which the library go-sarif
// carries as a constant of its own.
func published(t *testing.T) string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/owenrumney/go-sarif/v3").Output()
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(strings.TrimSpace(string(dir)), "pkg/report/v210/sarif/schema.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var text string
	ast.Inspect(file, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING && len(l.Value) > len(text) {
			text = l.Value
		}
		return true
	})
	schema, err := strconv.Unquote(text)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(schema, "sarif-schema-2.1.0.json") {
		t.Fatal("no schema of SARIF 2.1.0 in the library")
	}
	return schema
}
