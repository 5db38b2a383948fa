package lint

import (
	"path"
	"slices"
	"strings"
)

// singles looks at the files that are compared with nothing: what a file says
// for itself is as wrong there as anywhere.
func (l *linter) singles(groups []*group) {
	seen := make([]bool, len(l.t.entries))
	for _, g := range groups {
		if g.base >= 0 {
			seen[g.base] = true
		}
		for _, m := range g.members {
			seen[m.entry] = true
		}
	}
	for _, e := range l.p.stray {
		seen[e] = leftover(l.t.entries[e].name) // said already
	}
	for i := range l.t.entries {
		if seen[i] {
			continue
		}
		e, p := l.t.entries[i], l.t.path(int32(i))
		if l.opt.Changed != nil && !l.opt.Changed[p] {
			continue
		}
		if leftover(e.name) && parsedName(withoutLeftover(e.name)) {
			l.leftover([]string{p})
			continue
		}
		if e.kind != regular || e.content < 0 || l.t.contents[e.content].facts == nil {
			continue
		}
		s := &spot{service: l.p.serviceName(path.Dir(p))}
		g := &group{service: s.service, home: path.Dir(p), rel: p, base: -1}
		c := *l.t.contents[e.content].facts
		c.hits = slices.DeleteFunc(slices.Clone(c.hits), func(h hit) bool {
			return h.kind == hitEnv || h.kind == hitAddress && (!hostKey.MatchString(h.key) || listsHosts(e.name))
		})
		if toolFile(p) {
			c.broken = nil // many a tool reads comments in its JSON
		}
		l.same(g, []*class{{id: e.content, members: []member{{int32(i), s}}, facts: &c}}, nil)
	}
}

// listsHosts reports whether a file is an inventory: addresses are what it is for.
func listsHosts(name string) bool {
	return name == "hosts" || strings.HasPrefix(name, "hosts.") || strings.HasPrefix(name, "inventory")
}

// toolFile reports whether a file belongs to an editor or a build tool: those
// have dialects of their own.
func toolFile(p string) bool {
	name := path.Base(p)
	return slices.ContainsFunc(strings.Split(path.Dir(p), "/"), func(d string) bool { return len(d) > 1 && d[0] == '.' }) ||
		buildFile(name)
}

// withoutLeftover is the name of the file that a leftover is a copy of.
func withoutLeftover(name string) string {
	name = strings.Trim(strings.TrimPrefix(name, ".#"), "#~")
	if ext := path.Ext(name); leftover("x" + ext) {
		name = strings.TrimSuffix(name, ext)
	}
	return strings.TrimPrefix(name, ".")
}
