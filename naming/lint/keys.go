package lint

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/wxops/wxops/naming/lint/format"
)

// A deviation says who differs in one fact: whole environments, and instances
// that differ from the rest of their own.
type deviation struct {
	envMembers, instanceMembers []member
	byEnv                       map[string]string // the value of most members
	global                      string
	tied                        bool // no value is right in more environments than another: all are listed
}

// deviations splits the members of the classes by the value of one fact. The
// value of most members is right; where two are equally common, that of ref is.
func deviations(classes []*class, valueOf func(*class) string, ref *class, forced bool) deviation {
	d := deviation{byEnv: map[string]string{}}
	refValue := valueOf(ref)
	total := map[string]int{}
	perEnv := map[string]map[string]int{}
	size := map[string]int{}
	for _, c := range classes {
		v := valueOf(c)
		total[v] += len(c.members)
		for _, m := range c.members {
			if perEnv[m.spot.env] == nil {
				perEnv[m.spot.env] = map[string]int{}
			}
			perEnv[m.spot.env][v]++
			size[m.spot.env]++
		}
	}
	d.global = refValue
	if !forced {
		for _, v := range sortedKeys(total) {
			if total[v] > total[d.global] {
				d.global = v
			}
		}
	}
	for env, counts := range perEnv {
		best := d.global
		for _, v := range sortedKeys(counts) {
			if counts[v] > counts[best] {
				best = v
			}
		}
		// Instances of an environment that agree on nothing differ one by one, and
		// so do up to two thirds of them where the others have what is right.
		if best != d.global && size[env] > 1 && (counts[best]*2 <= size[env] || counts[d.global] > 0 && counts[best]*3 <= size[env]*2) {
			best = d.global
		}
		d.byEnv[env] = best
	}
	d.tied = !forced && tied(d)
	for _, c := range classes {
		v := valueOf(c)
		if v == d.global && !d.tied {
			continue
		}
		for _, m := range c.members {
			if d.byEnv[m.spot.env] == v && m.spot.env != "" {
				d.envMembers = append(d.envMembers, m)
			} else {
				d.instanceMembers = append(d.instanceMembers, m)
			}
		}
	}
	byEntry := func(a, b member) int { return int(a.entry) - int(b.entry) }
	slices.SortFunc(d.envMembers, byEntry)
	slices.SortFunc(d.instanceMembers, byEntry)
	return d
}

// tied reports whether at least as many environments have some other value as
// have the one taken for right.
func tied(d deviation) bool {
	count := map[string]int{}
	for _, v := range d.byEnv {
		count[v]++
	}
	for v, n := range count {
		if v != d.global && n >= count[d.global] {
			return true
		}
	}
	return false
}

// A keyDiff is one key that does not have the same value in all classes.
type keyDiff struct {
	path   string
	ref    *format.Node
	vals   map[*class]*format.Node // nil: the key is missing there
	secret bool                    // it is a credential in some class
	absent []*class                // they do not have what the key is in, which is said elsewhere

	// Where vals has what most have in place of what a class has, because the
	// difference is said about the keys inside: that itself, and those keys.
	whole  map[*class]*format.Node
	inside map[string]*keyDiff
}

// show prints a value of the key in a message.
func (k *keyDiff) show(n *format.Node) string {
	if k.secret && n != nil {
		return "(hidden)"
	}
	return show(k.path, n)
}

func (k *keyDiff) node(c, ref *class) *format.Node {
	if c == ref {
		return k.ref
	}
	if n, ok := k.vals[c]; ok {
		return n
	}
	return k.ref
}

const missing = "\x00missing"

func (k *keyDiff) text(c, ref *class) string { return nodeText(k.node(c, ref)) }

func nodeText(n *format.Node) string {
	switch {
	case n == nil:
		return missing
	case n.Kind == format.Scalar:
		return n.Value
	}
	var b strings.Builder
	writeNode(&b, n)
	return b.String()
}

func writeNode(b *strings.Builder, n *format.Node) {
	if n.Kind == format.Scalar {
		b.WriteString(n.Value)
		return
	}
	open, end := "{", "}"
	if n.Kind == format.List {
		open, end = "[", "]"
	}
	b.WriteString(open)
	for c := n.First; c != nil; c = c.Next {
		if c != n.First {
			b.WriteString(", ")
		}
		if n.Kind == format.Map {
			b.WriteString(c.Key + ": ")
		}
		writeNode(b, c)
		if b.Len() > 4096 {
			b.WriteString("...")
			return
		}
	}
	b.WriteString(end)
}

func shorten(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	r := []rune(s)
	if len(r) > limit {
		return string(r[:limit-3]) + "..."
	}
	return s
}

// maxKeys is how many deviating keys of one file are findings of their own.
const maxKeys = 20

// keys explains the classes that differ by keys. It returns the keys spoken for
// and the members that differ from the reference in bytes only.
func (l *linter) keys(g *group, ref *class, classes []*class) (spoken map[string]bool, equal []member) {
	spoken = map[string]bool{}
	if syntax := l.parse(ref, classes); ref.doc == nil || !syntax.Parsed() {
		rest := classes
		if syntax.Strict() {
			rest = slices.DeleteFunc(slices.Clone(classes), func(c *class) bool { return c.facts.broken != nil && c != ref })
		}
		if ref.facts.broken == nil || len(rest) > 1 {
			l.byteDrift(g, ref, rest, func(c *class) int { return firstDifference(ref.bytes, c.bytes) })
		}
		return spoken, nil
	}
	readable := slices.DeleteFunc(slices.Clone(classes), func(c *class) bool { return c.doc == nil }) // WX512 says it
	diffs, order, equal := l.keyDiffs(g, ref, readable)
	nest(diffs, order)
	for i := 0; i < len(order); i++ {
		for _, sub := range diffs[order[i]].among(readable, ref) {
			if diffs[sub.path] == nil {
				diffs[sub.path] = sub
				order = append(order, sub.path)
			}
		}
	}
	before := len(l.findings)
	for _, path := range order {
		spoken[path] = true
		if l.duplicated(readable, path) || l.secretAt(readable, path) || composition(g, path) || l.opt.rules["WX304"] && l.hasHit(readable, hitConditional, path) {
			continue
		}
		k := diffs[path]
		k.secret = l.hasHit(readable, hitSecret, path) || l.hasHit(readable, hitPlaceholder, path)
		l.key(g, ref, k.having(readable), k)
	}
	l.collapse(g, before)
	return spoken, equal
}

// parse reads the documents of the classes, and notes which of them cannot be
// read. It returns the syntax they are compared in: text, where theirs was
// guessed and one of them is not written in it.
func (l *linter) parse(ref *class, classes []*class) format.Syntax {
	syntax := l.t.contents[ref.id].syntax
	l.parser.Reset()
	if !syntax.Parsed() {
		return syntax
	}
	for _, c := range classes {
		b := c.bytes
		if c.facts.notUTF8 {
			b = latin1(b)
		}
		d, err := l.parser.Parse(syntax, b)
		switch {
		case err == nil:
			c.doc = d
		case syntax.Strict():
			c.facts = withBroken(c.facts, err)
		default:
			return format.Text
		}
	}
	return syntax
}

// keyDiffs compares the documents of the classes with that of ref: the keys that
// differ, in the order in which they came up, and the members that differ in
// nothing.
func (l *linter) keyDiffs(g *group, ref *class, classes []*class) (diffs map[string]*keyDiff, order []string, equal []member) {
	differ := format.Differ{}
	if l.opt.ordered != nil {
		differ.Ordered = func(p string) bool { return l.opt.ordered.ignored("", p, false) }
	}
	diffs = map[string]*keyDiff{}
	for _, c := range classes {
		if c == ref {
			continue
		}
		changes := l.insideTexts(l.throughBase(g, differ.Diff(ref.doc, c.doc)))
		if len(changes) == 0 && len(fileFacts(ref, c)) == 0 {
			equal = append(equal, c.members...)
		}
		for _, ch := range changes {
			if encrypted(ch.Old) && encrypted(ch.New) || strings.HasPrefix(ch.Path, "sops.") {
				continue
			}
			k := diffs[ch.Path]
			if k == nil {
				k = &keyDiff{path: ch.Path, ref: ch.Old, vals: map[*class]*format.Node{}}
				diffs[ch.Path] = k
				order = append(order, ch.Path)
			}
			k.vals[c] = ch.New
		}
	}
	return diffs, order, equal
}

func withBroken(f *facts, err error) *facts {
	c := *f
	c.broken, _ = err.(*format.SyntaxError)
	return &c
}

func firstDifference(a, b []byte) int {
	k := 0
	for k < len(a) && k < len(b) && a[k] == b[k] {
		k++
	}
	return bytes.Count(b[:k], []byte("\n")) + 1
}

func (l *linter) hasHit(classes []*class, kind hitKind, key string) bool {
	for _, c := range classes {
		for _, h := range c.facts.hits {
			if h.kind == kind && (h.key == key || kind != hitDuplicate && h.key != "" && strings.HasPrefix(key, h.key+".")) {
				return true
			}
		}
	}
	return false
}

func (l *linter) duplicated(classes []*class, key string) bool {
	return l.opt.rules["WX513"] && l.hasHit(classes, hitDuplicate, key)
}

func (l *linter) secretAt(classes []*class, key string) bool {
	if pair, ok := strings.CutSuffix(key, "].valueFrom"); ok {
		key = pair + "].value" // a reference in the others, a credential here
	}
	return l.opt.rules["WX602"] && l.hasHit(classes, hitSecret, key) || l.opt.rules["WX603"] && l.hasHit(classes, hitPlaceholder, key)
}

// key turns one deviating key into findings: the most specific rule that holds.
func (l *linter) key(g *group, ref *class, classes []*class, k *keyDiff) {
	d := deviations(classes, func(c *class) string { return k.text(c, ref) }, ref, l.opt.Reference != "")
	of := map[int32]*class{}
	for _, c := range classes {
		for _, m := range c.members {
			of[m.entry] = c
		}
	}
	node := func(m member) *format.Node {
		if n := k.whole[of[m.entry]]; n != nil {
			return n
		}
		return k.node(of[m.entry], ref)
	}
	others := l.commonNode(k, classes, ref, d.global)
	rest := l.ownValues(g, k, d.instanceMembers, node, others)
	l.drift(g, "WX101", k, rest, node, others)
	if !d.tied || len(d.envMembers) == len(d.byEnv) {
		d.envMembers = l.ownValues(g, k, d.envMembers, node, others)
	}
	if len(d.envMembers) == 0 {
		return
	}
	l.wrongInside(g, k, d.envMembers, node)
	wrong, own := l.envValues(classes, d, node, placement(g, k.path))
	if len(wrong) > 0 {
		f := l.keyFinding("WX303", g, k, wrong, node)
		f.Message = fmt.Sprintf("%s: %s: key %s is %s and names another environment", g.rel, l.who(g, wrong, "differs", "differ"), k.path, k.show(node(wrong[0])))
		l.add(f)
	}
	if placement(g, k.path) {
		return
	}
	if len(own) > 0 {
		rule := "WX301"
		if v := node(own[0]); v != nil && endpoint(k.path, v.Value) {
			rule = "WX302"
		}
		f := l.keyFinding(rule, g, k, own, node)
		f.Message = fmt.Sprintf("%s: %s: key %s is %s, which names the environment", g.rel, l.who(g, own, "differs", "differ"), k.path, k.show(node(own[0])))
		l.add(f)
		return
	}
	left := slices.DeleteFunc(slices.Clone(d.envMembers), func(m member) bool {
		return slices.ContainsFunc(wrong, func(w member) bool { return w.entry == m.entry })
	})
	if d.tied {
		if len(wrong) == 0 {
			l.byEnvironment(g, k, left, node)
		}
		return
	}
	rule := "WX102"
	if n := others; n != nil && len(left) > 0 && node(left[0]) != nil && n.Kind == format.Scalar && endpoint(k.path, n.Value) && endpoint(k.path, node(left[0]).Value) {
		rule = "WX302"
	}
	l.drift(g, rule, k, left, node, others)
}

func (l *linter) commonNode(k *keyDiff, classes []*class, ref *class, value string) *format.Node {
	for _, c := range classes {
		if k.text(c, ref) == value {
			return k.node(c, ref)
		}
	}
	return nil
}

func (l *linter) keyFinding(rule string, g *group, k *keyDiff, members []member, node func(member) *format.Node) Finding {
	f := l.about(rule, g, members, k.path)
	if n := node(members[0]); n != nil {
		f.Line, f.Column = int(n.Line), int(n.Column)
	}
	return f
}

// drift reports members whose value of a key differs from the others'.
func (l *linter) drift(g *group, rule string, k *keyDiff, members []member, node func(member) *format.Node, others *format.Node) {
	if len(members) == 0 {
		return
	}
	n := node(members[0])
	switch {
	case (n == nil || others == nil) && rule != "WX302":
		rule = "WX105"
	case rule == "WX102" && !slices.ContainsFunc(members, func(m member) bool { return !onlyVersion(k.path, node(m), others) }):
		rule = "WX104"
	}
	f := l.keyFinding(l.familyRule(rule, g), g, k, members, node)
	values := []string{}
	for _, m := range members {
		if v := k.show(node(m)); !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	if len(values) > 3 {
		values = append(values[:3:3], fmt.Sprintf("%d other values", len(values)-3))
	}
	f.Message = fmt.Sprintf("%s: %s: key %s is %s, others %s", g.rel, l.who(g, members, "differs", "differ"), k.path, strings.Join(values, " or "), k.show(others))
	l.add(f)
}

// byEnvironment reports a key of which no value is more common than another:
// every environment is listed with what it has.
func (l *linter) byEnvironment(g *group, k *keyDiff, members []member, node func(member) *format.Node) {
	rule := "WX102"
	absent, addresses := false, true
	var parts []string
	for _, m := range members {
		n := node(m)
		absent = absent || n == nil
		addresses = addresses && (n == nil || n.Kind == format.Scalar && endpoint(k.path, n.Value))
		if part := m.spot.env + " " + k.show(n); !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	if len(parts) > 6 {
		parts = append(parts[:6:6], fmt.Sprintf("%d more", len(parts)-6))
	}
	switch {
	case absent:
		rule = "WX105"
	case !slices.ContainsFunc(members, func(m member) bool { return !onlyVersion(k.path, node(m), node(members[0])) }):
		rule = "WX104"
	case addresses:
		rule = "WX302"
	}
	// The first path is one that has the key, so that there is a line to show.
	if i := slices.IndexFunc(members, func(m member) bool { return node(m) != nil }); i > 0 {
		members = slices.Concat(members[i:i+1], members[:i], members[i+1:])
	}
	f := l.keyFinding(l.familyRule(rule, g), g, k, members, node)
	f.Message = fmt.Sprintf("%s: key %s of %s is not the same in all environments: %s", g.rel, k.path, g.service, strings.Join(parts, ", "))
	l.add(f)
}

// collapse turns more than maxKeys findings about the keys of one file into one.
func (l *linter) collapse(g *group, from int) {
	list := l.findings[from:]
	keys := map[string]bool{}
	for _, f := range list {
		keys[f.Key] = true
	}
	if len(keys) <= maxKeys {
		return
	}
	groups := map[string][]Finding{}
	var rules []string
	for _, f := range list {
		rule := f.Rule
		switch rule {
		case "WX101", "WX105":
			rule = "WX102"
			if !slices.ContainsFunc(list, func(o Finding) bool { return o.Rule == "WX102" }) {
				rule = "WX101"
			}
		}
		if groups[rule] == nil {
			rules = append(rules, rule)
		}
		groups[rule] = append(groups[rule], f)
	}
	l.findings = l.findings[:from]
	for _, rule := range rules {
		part := groups[rule]
		if len(part) <= 3 {
			l.findings = append(l.findings, part...)
			continue
		}
		one := part[0]
		one.Rule, one.Severity, one.Key = rule, severityOf(rule), ""
		if s, ok := l.opt.Severity[rule]; ok {
			one.Severity = s
		}
		paths := map[string]bool{}
		for _, f := range part {
			one.Keys = append(one.Keys, f.Key)
			for _, p := range f.Paths {
				paths[p] = true
			}
		}
		one.Paths = sortedKeys(paths)
		one.Places = len(one.Paths)
		shown := one.Keys[:min(len(one.Keys), 3)]
		one.Message = fmt.Sprintf("%s: %d keys differ in %d of %d copies: %s and %d more", g.rel, len(one.Keys), one.Places, len(g.members), strings.Join(shown, ", "), len(one.Keys)-len(shown))
		l.findings = append(l.findings, one)
	}
}
