// Package arch has no code: its tests hold the shape of the repository, so that
// a package cannot come to know what it must not.
package arch

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	module   = "github.com/wxops/wxops"
	root     = "../.."
	maxLines = 700 // of one Go file; beyond it a reader loses the thread
)

// A rule says which of our packages a package may import. Patterns are paths
// below the module; "x/..." is x and all below it, "x/*" what lies one level
// below. The first rule that matches a package is the one that holds.
type rule struct {
	pkg     string
	imports []string
}

// The table of allowed imports in the design.
var rules = []rule{
	{"naming", nil},
	{"naming/lint", []string{"naming", "naming/lint/..."}},
	{"naming/...", []string{"naming"}},
	{"capacity", nil},
	{"capacity/...", []string{"capacity"}},
	{"cgroupctl", []string{"capacity"}},
	{"stress", []string{"naming", "capacity"}},
	{"stress/demo", []string{"stress/...", "naming/...", "capacity"}},
	{"stress/...", []string{"stress", "naming", "capacity"}},
	{"forecast", []string{"capacity"}},
	{"internal/tui", []string{"stress/load", "naming", "capacity/...", "cgroupctl", "stress", "forecast", "internal/chart", "internal/tui/silence"}},
	{"internal/monitor", []string{"naming/...", "capacity/...", "cgroupctl", "stress/...", "forecast"}},
	{"internal/apply", []string{"naming/...", "capacity/...", "cgroupctl", "stress/...", "forecast"}},
	{"internal/console", []string{"naming/...", "capacity/...", "cgroupctl", "stress/...", "forecast", "internal/chart", "internal/doc"}},
	{"internal/...", nil},
	{"bench/...", nil},
	{"cmd/wxops", []string{"..."}},
}

// Third-party modules that only some packages may import.
var outside = []rule{
	{"github.com/spf13/...", []string{"cmd/wxops", "internal/cli"}},
	{"gonum.org/v1/gonum/...", []string{"capacity/...", "forecast", "stress"}},
	{"github.com/charmbracelet/bubbletea/...", []string{"internal/tui"}},
	{"github.com/charmbracelet/lipgloss/...", []string{"internal/tui"}},
	{"github.com/shirou/gopsutil/...", []string{"stress/signal", "internal/monitor", "cmd/wxops"}},
}

func matches(pattern, pkg string) bool {
	if pattern == "..." {
		return true
	}
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == base || strings.HasPrefix(pkg, base+"/")
	}
	return pattern == pkg
}

func matchesAny(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, pkg) })
}

type listed struct {
	ImportPath, Dir                    string
	Imports, TestImports, XTestImports []string
}

func list(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json", "./...")
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, p)
	}
}

// testOnly reports whether a package exists for tests: a fixture or a contract suite.
func testOnly(pkg string) bool {
	return pkg == "internal/realpart" || strings.HasSuffix(pkg, "test")
}

func TestImportsKeepToTheTable(t *testing.T) {
	for _, p := range list(t) {
		pkg := strings.TrimPrefix(p.ImportPath, module+"/")
		i := slices.IndexFunc(rules, func(r rule) bool { return matches(r.pkg, pkg) })
		if i < 0 {
			t.Errorf("package %s is not in the table of allowed imports", pkg)
			continue
		}
		allowed := rules[i].imports
		check := func(kind string, imports []string, ok func(string) bool) {
			for _, imp := range imports {
				own, isOwn := strings.CutPrefix(imp, module+"/")
				if isOwn && own != pkg && !ok(own) {
					t.Errorf("%s imports %s%s; it may import only %q", pkg, own, kind, allowed)
				}
				if isOwn && strings.HasPrefix(own, "cmd/") && own != pkg {
					t.Errorf("%s imports %s%s; nothing imports a command", pkg, own, kind)
				}
			}
		}
		check("", p.Imports, func(imp string) bool { return matchesAny(allowed, imp) })
		check(" in a test", p.TestImports, func(imp string) bool { return matchesAny(allowed, imp) || testOnly(imp) })
		// A test from outside the package may stand it beside anything.
		check(" in an outside test", p.XTestImports, func(string) bool { return true })
	}
}

func TestThirdPartyModulesStayWhereTheyBelong(t *testing.T) {
	for _, p := range list(t) {
		pkg := strings.TrimPrefix(p.ImportPath, module+"/")
		for _, imp := range p.Imports {
			for _, o := range outside {
				if matches(o.pkg, imp) && !matchesAny(o.imports, pkg) {
					t.Errorf("%s imports %s; only %q may", pkg, imp, o.imports)
				}
			}
		}
	}
}

func TestTopLevelHoldsOnlyWhatTheDesignNames(t *testing.T) {
	allowed := strings.Fields(`cmd capacity stress cgroupctl naming forecast testdata go.mod go.sum README.md
		internal docs bench LICENSE`)
	out, err := exec.Command("git", "-C", root, "ls-files").Output()
	if err != nil {
		t.Logf("no git checkout (%v); looking at the folder", err)
		entries, err := os.ReadDir(root)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			out = append(out, e.Name()+"\n"...)
		}
	}
	for line := range strings.Lines(string(out)) {
		top, _, _ := strings.Cut(strings.TrimSpace(line), "/")
		if !strings.HasPrefix(top, ".") && !slices.Contains(allowed, top) {
			t.Errorf("%s at the top level is not in the design", top)
		}
	}
}

// skips finds a test that skips by itself. It is split so that this file does not match.
var skips = regexp.MustCompile(`(^|[^)])\.` + `Skip(f|Now)?\(`)

func TestScriptsDoNotSkipByThemselves(t *testing.T) {
	scripts, err := filepath.Glob(filepath.Join(root, "testdata", "script", "*.txtar"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts found: %v", err)
	}
	for _, path := range scripts {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if regexp.MustCompile(`(?m)^(\[.*\] *)?skip\b`).Match(b) {
			t.Errorf("%s skips by itself; the script command need does it as .ci/run wants", path)
		}
	}
}

func TestSourceFiles(t *testing.T) {
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != root):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))
		limit := maxLines
		if name == "cmd/wxops/main.go" {
			limit = 15
		}
		if n := strings.Count(string(b), "\n"); n > limit {
			t.Errorf("%s has %d lines, at most %d are wanted", name, n, limit)
		}
		if strings.HasSuffix(name, "_test.go") && skips.Match(b) {
			t.Errorf("%s skips a test by itself; use internal/realpart, which .ci/run can turn into a failure", name)
		}
		for s := bufio.NewScanner(strings.NewReader(string(b))); s.Scan(); {
			if mark := "TO" + "DO"; strings.Contains(s.Text(), "// "+mark) || strings.Contains(s.Text(), "// FIX"+"ME") {
				t.Errorf("%s: leftover mark: %s", name, strings.TrimSpace(s.Text()))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
