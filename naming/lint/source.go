package lint

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// A Source is where a tree of files comes from: [Dir] and the others of this package.
type Source interface {
	load(ctx context.Context, opt *Options) (*tree, error)
}

type dirSource struct {
	root   string
	stamps *stamps
}

// Dir is a directory of this machine. Links are never followed, and nothing is
// opened that is no regular file.
func Dir(root string) Source { return dirSource{root: root} }

func (d dirSource) load(ctx context.Context, opt *Options) (*tree, error) {
	if opt.Root == "" {
		if abs, err := filepath.Abs(d.root); err == nil {
			opt.Root = filepath.Base(abs)
		}
	}
	return readTree(ctx, d.root, opt, newIgnore(opt.Ignore), d.stamps)
}

// fullMD5 hashes a whole file, however large.
func (l *linter) fullMD5(e int32) (string, error) {
	if id := l.t.entries[e].content; l.t.sums != nil && id >= 0 {
		return hex.EncodeToString(l.t.sums[id][:]), nil
	}
	if s, ok := l.t.md5s[l.t.entries[e].content]; ok {
		return hex.EncodeToString(s[:]), nil
	}
	h := md5.New()
	if b, ok := l.t.kept[l.t.entries[e].content]; ok {
		h.Write(b)
		return hex.EncodeToString(h.Sum(nil)), nil
	}
	if l.root == "" {
		b, err := l.t.read(l.t, e)
		h.Write(b)
		return hex.EncodeToString(h.Sum(nil)), err
	}
	f, err := os.Open(filepath.Join(l.root, filepath.FromSlash(l.t.path(e))))
	if err != nil {
		return "", err
	}
	defer f.Close()
	if l.buffer == nil {
		l.buffer = make([]byte, 64<<10)
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, f, l.buffer); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// unique counts distinct contents; one content in two syntaxes is one.
func (l *linter) unique() int {
	seen := make(map[sum]bool, len(l.t.contents))
	for _, c := range l.t.contents {
		seen[c.sum] = true
	}
	return len(seen)
}

// layouts lists how the paths of the groups were understood.
func (l *linter) layouts() []string {
	seen := map[string]bool{}
	for _, g := range l.p.groups {
		if len(g.members) > 1 && g.layout != "" {
			seen[g.layout] = true
		}
	}
	return sortedKeys(seen)
}

func (l *linter) layoutText() string {
	if len(l.opt.Layouts) > 0 {
		return strings.Join(l.opt.Layouts, ", ")
	}
	return strings.Join(l.layouts(), ", ")
}

// suppress takes out the findings that somebody decided to keep, and reports
// suppressions that expired or match nothing.
func (l *linter) suppress(findings []Finding) (kept []Finding, suppressed int) {
	used := make([]bool, len(l.opt.Suppress))
	match := func(s Suppression, f Finding) bool {
		if !matchesRule([]string{s.Rule}, f.Rule) {
			return false
		}
		if s.Path != "" {
			re := globPattern(s.Path)
			if !slices.ContainsFunc(f.Paths, func(p string) bool { return re.MatchString(p) || re.MatchString(path.Dir(p)) }) {
				return false
			}
		}
		return s.Key == "" || globPattern(s.Key).MatchString(f.Key) || slices.ContainsFunc(f.Keys, func(k string) bool { return globPattern(s.Key).MatchString(k) })
	}
	expired := func(s Suppression) bool {
		return !s.Until.IsZero() && !l.opt.Today.IsZero() && !l.opt.Today.Before(s.Until.AddDate(0, 0, 1))
	}
	for _, f := range findings {
		hidden := false
		for i, s := range l.opt.Suppress {
			if match(s, f) {
				used[i] = true
				hidden = hidden || !expired(s)
			}
		}
		if hidden {
			suppressed++
			continue
		}
		kept = append(kept, f)
	}
	before := len(l.findings)
	for i, s := range l.opt.Suppress {
		switch {
		case expired(s):
			l.add(Finding{Rule: "WX903", Paths: []string{ConfigName}, Line: s.Line, Message: "the suppression of " + s.Rule + " ended on " + s.Until.Format("2006-01-02")})
		case !used[i]:
			l.add(Finding{Rule: "WX902", Paths: []string{ConfigName}, Line: s.Line, Message: "the suppression of " + s.Rule + " " + strings.TrimSpace(s.Path+" "+s.Key) + " suppresses nothing"})
		}
	}
	return append(kept, l.findings[before:]...), suppressed
}

// ConfigName is the file that holds the settings of a tree.
const ConfigName = ".wxops-lint.yaml"
