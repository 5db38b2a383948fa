package lint

import (
	"path"
	"regexp"
	"strings"
)

// ignoreRules are patterns with the meaning of .gitignore, relative to the
// root of the tree. A nil receiver ignores nothing.
type ignoreRules struct{ list []ignorePattern }

type ignorePattern struct {
	match   *regexp.Regexp
	negate  bool
	folders bool // only directories
}

func newIgnore(patterns []string) *ignoreRules {
	r := &ignoreRules{}
	for _, p := range patterns {
		if p == "" || p[0] == '#' {
			continue
		}
		var q ignorePattern
		if p[0] == '!' {
			q.negate, p = true, p[1:]
		}
		if strings.HasSuffix(p, "/") {
			q.folders, p = true, strings.TrimSuffix(p, "/")
		}
		q.match = globPattern(p)
		r.list = append(r.list, q)
	}
	if len(r.list) == 0 {
		return nil
	}
	return r
}

// globPattern turns a .gitignore pattern into an expression over slash paths:
// without a slash inside it matches at any depth.
func globPattern(p string) *regexp.Regexp {
	anchored := strings.Contains(p, "/")
	p = strings.TrimPrefix(p, "/")
	var b strings.Builder
	b.WriteString("^")
	if !anchored {
		b.WriteString("(?:.*/)?")
	}
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case strings.HasPrefix(p[i:], "**/"):
			b.WriteString("(?:.*/)?")
			i += 2
		case strings.HasPrefix(p[i:], "**"):
			b.WriteString(".*")
			i++
		case c == '*':
			b.WriteString("[^/]*")
		case c == '?':
			b.WriteString("[^/]")
		case c == '[' && strings.IndexByte(p[i:], ']') > 1:
			end := i + strings.IndexByte(p[i:], ']')
			class := p[i+1 : end]
			if class[0] == '!' {
				class = "^" + class[1:]
			}
			b.WriteString("[" + strings.ReplaceAll(class, `\`, `\\`) + "]")
			i = end
		case c == '\\' && i+1 < len(p):
			i++
			b.WriteString(regexp.QuoteMeta(string(p[i])))
		default:
			b.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	re, err := regexp.Compile(b.String() + "$")
	if err != nil {
		return regexp.MustCompile("^" + regexp.QuoteMeta(p) + "$")
	}
	return re
}

func (r *ignoreRules) ignored(dir, name string, folder bool) bool {
	if r == nil {
		return false
	}
	full := path.Join(dir, name)
	out := false
	for _, p := range r.list {
		if (!p.folders || folder) && p.match.MatchString(full) {
			out = !p.negate
		}
	}
	return out
}
