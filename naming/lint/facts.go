package lint

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/wxops/wxops/naming/lint/format"
)

// same reports what the contents of a group say for themselves. Keys in spoken
// have been reported as differences.
func (l *linter) same(g *group, classes []*class, spoken map[string]bool) {
	type fact struct {
		rule, key, value string
	}
	var found causes[fact]
	put := func(c *class, rule, key, value string, line, column int, message string) {
		f := found.at(fact{rule, key, value}, func() Finding {
			n := l.about(rule, g, nil, key)
			n.Line, n.Column, n.Message = line, column, message
			return n
		})
		f.Paths = append(f.Paths, l.paths(c.members)...)
	}
	for _, c := range classes {
		if c.facts == nil {
			continue
		}
		if b := c.facts.broken; b != nil && l.t.contents[c.id].syntax.Strict() && !c.facts.notUTF8 && !c.facts.template {
			put(c, "WX512", "", "", b.Line, b.Column, fmt.Sprintf("%s:%d:%d: cannot be read as %s: %s", g.rel, b.Line, b.Column, l.t.contents[c.id].syntax, b.Message))
		}
		for _, h := range c.facts.hits {
			rule, value, message := l.hitRule(g, h, spoken)
			if rule != "" {
				put(c, rule, h.key, value, int(h.line), int(h.column), message)
			}
		}
	}
	total := 0
	for _, c := range classes {
		total += len(c.members)
	}
	for f := range found.all {
		slices.Sort(f.Paths)
		f.Paths = slices.Compact(f.Paths)
		// What only some copies have is a difference, and reported as one.
		if (f.Rule == "WX301" || f.Rule == "WX601") && 2*len(f.Paths) <= total {
			continue
		}
		l.add(*f)
	}
}

// hitRule decides which rule a hit breaks, if any, and what tells it apart.
func (l *linter) hitRule(g *group, h hit, spoken map[string]bool) (rule, value, message string) {
	at := fmt.Sprintf("%s:%d", g.rel, h.line)
	differs := spoken[h.key] || slices.ContainsFunc(sortedKeys(spoken), func(k string) bool { return within(h.key, k) || within(k, h.key) })
	switch h.kind {
	case hitDuplicate:
		return "WX513", "", fmt.Sprintf("%s: key %s stands twice; which value counts depends on the reader", at, h.key)
	case hitSecret, hitPlaceholder:
		if translation(g) {
			return "", "", ""
		}
		if h.kind == hitPlaceholder {
			return "WX603", "", fmt.Sprintf("%s: key %s is a placeholder where a credential belongs", at, h.key)
		}
		if h.key == "" {
			return "WX602", "", at + ": a private key in the clear (value hidden)"
		}
		return "WX602", "", fmt.Sprintf("%s: key %s is a credential in the clear (value hidden)", at, h.key)
	case hitConditional:
		for _, m := range mentions(h.value, l.opt.envWords) {
			if l.classes[m.class] || len(l.classes) == 0 {
				value := h.value
				if h.key != "" {
					value = "" // one key, whatever each copy has there
				}
				return "WX304", value, fmt.Sprintf("%s: decides by the environment: %s", at, show("", &format.Node{Kind: format.Scalar, Value: h.value}))
			}
		}
	case hitAddress:
		if !differs {
			return "WX601", h.value, fmt.Sprintf("%s: key %s holds the address %s; ask the name service instead", at, h.key, h.value)
		}
	case hitEnv:
		if differs || lastPart(h.key) == "NODE_ENV" || !slices.ContainsFunc(g.members, func(m member) bool { return m.spot.env != "" }) {
			return "", "", ""
		}
		for _, m := range mentions(h.value, l.opt.envWords) {
			if l.classes[m.class] && standsAlone(h.value, m) {
				return "WX301", h.value, fmt.Sprintf("%s: key %s is %s in every environment and names one of them", at, h.key, show(h.key, &format.Node{Kind: format.Scalar, Value: h.value}))
			}
		}
	case hitName:
		if v := l.opt.Inventory; v.knowsNames() && !v.names[h.value] && !v.names["ns/"+h.value] {
			return "WX604", h.value, fmt.Sprintf("%s: key %s refers to the name %s, which is not registered", at, h.key, shorten(h.value, 60))
		}
	}
	return "", "", ""
}

// within reports whether a key path is inside of another.
func within(path, outer string) bool {
	rest, found := strings.CutPrefix(path, outer)
	return found && rest != "" && (rest[0] == '.' || rest[0] == '[')
}

var translations = regexp.MustCompile(`(?i)(?:^|/)(?:i18n|l10n|locales?|lang|languages?|translations?)/|(?:^|/)messages(?:[_-][a-z]{2,})*[.]`)

// translation reports whether a file holds texts for people: a label for a
// password field is no password.
func translation(g *group) bool { return translations.MatchString(g.home + "/" + g.rel) }

// bases looks at the files that hold for all environments beside their
// overlays: what overlays repeat alike belongs there.
func (l *linter) bases(groups []*group) {
	done := map[int32]bool{}
	overlays := map[string]int{} // home -> environments that are overlays
	for _, g := range groups {
		if kustomization(g.rel) {
			overlays[g.home] = len(g.members)
		}
	}
	for _, g := range groups {
		if l.concerns(g) && (g.base >= 0 || len(g.members) == overlays[g.home] && !kustomization(g.rel)) {
			l.factorOut(g)
		}
		if g.base < 0 || !l.concerns(g) {
			continue
		}
		if done[g.base] {
			continue
		}
		done[g.base] = true
		id := l.t.entries[g.base].content
		if id < 0 || l.t.contents[id].facts == nil {
			continue
		}
		alone := &group{service: g.service, version: g.version, home: g.home, rel: l.t.path(g.base), base: -1}
		c := &class{id: id, members: []member{{g.base, &spot{home: g.home, service: g.service}}}, facts: l.t.contents[id].facts}
		only := *c.facts
		only.hits = slices.DeleteFunc(slices.Clone(only.hits), func(h hit) bool { return h.kind == hitAddress || h.kind == hitEnv })
		c.facts = &only
		l.same(alone, []*class{c}, nil)
	}
}

// factorOut finds keys that every overlay sets to the same value: they belong
// into the file that holds for all.
func (l *linter) factorOut(g *group) {
	if len(g.members) < 3 || !l.opt.rules["WX403"] {
		return
	}
	l.parser.Reset()
	var common map[string]string
	line := map[string]int32{}
	for i, m := range g.members {
		d := l.baseDocument(m.entry)
		if d == nil {
			return
		}
		own := map[string]string{}
		object := kubernetes(d.Root)
		leaves(d, func(path string, value string, at int32) {
			if object && naming.MatchString(path) {
				return // says which object is patched
			}
			own[path] = value
			if i == 0 {
				line[path] = at
			}
		})
		if common == nil {
			common = own
			continue
		}
		for k, v := range common {
			if own[k] != v {
				delete(common, k)
			}
		}
	}
	if len(common) == 0 {
		return
	}
	base := "the base"
	if g.base >= 0 {
		base = l.t.entries[g.base].name
	}
	keys := sortedKeys(common)
	f := l.about("WX403", g, g.members, keys[0])
	f.Line, f.Column = int(line[keys[0]]), 1
	if len(keys) > 1 {
		f.Keys = keys
	}
	f.Message = fmt.Sprintf("%s: %s the same in all %d overlays and belong%s into %s: %s", g.rel, counted(len(keys), "key is", "keys are"), len(g.members), map[bool]string{true: "s"}[len(keys) == 1], base, strings.Join(keys[:min(len(keys), 3)], ", "))
	l.add(f)
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// naming are the keys of a Kubernetes object that every patch of it repeats.
var naming = regexp.MustCompile(`^(?:apiVersion|kind)$|^metadata\.name$|\]\.name$`)

// leaves calls f for every scalar with its path.
func leaves(d *format.Document, f func(path, value string, line int32)) {
	d.Walk(func(trail []*format.Node) bool {
		n := trail[len(trail)-1]
		if n.Kind == format.Scalar {
			f(d.Path(trail), n.Value, n.Line)
		}
		return true
	})
}
