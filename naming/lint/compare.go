package lint

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/wxops/wxops/naming/lint/format"
)

// A linter turns the groups of one tree into findings.
type linter struct {
	t        *tree
	p        *placer
	opt      *Options
	root     string // of a directory source
	classes  map[string]bool
	findings []Finding
	fixes    []fix
	compared int
	targets  map[string]bool // what links of the tree point at
	parser   format.Parser
	present  []member // of the group in work
	buffer   []byte   // for reading files that are only hashed
}

func newLinter(t *tree, opt *Options) *linter {
	return &linter{t: t, opt: opt, parser: format.Parser{Secret: hidden}, p: newPlacer(t, opt), classes: map[string]bool{}, targets: map[string]bool{}}
}

func (l *linter) run(ctx context.Context) {
	l.p.place()
	if len(l.opt.layouts) == 0 {
		l.p.placeCopies()
	}
	for e := range l.p.envs {
		l.classes[envClass(e)] = true
	}
	groups := l.p.sorted()
	l.links(groups)
	renamed := l.presence(groups)
	for _, g := range groups {
		if ctx.Err() != nil {
			return
		}
		if l.concerns(g) {
			l.group(g, renamed)
		} else if l.comparable(g) {
			l.compared++ // nothing of it changed, so nothing of it is said
		}
	}
	if l.opt.MD5Only {
		return
	}
	l.versions(groups)
	l.bases(groups)
	l.singles(groups)
	l.services()
	l.shared(groups)
	for _, e := range l.p.stray {
		if leftover(l.t.entries[e].name) {
			l.leftover([]string{l.t.path(e)})
		} else if p := l.t.path(e); !l.targets[p] {
			l.add(Finding{Rule: "WX510", Paths: []string{p}, file: p, Message: p + ": lies outside of the layout " + l.layoutText()})
		}
	}
}

// concerns reports whether a group is to be linted when only changes are.
func (l *linter) concerns(g *group) bool {
	if l.opt.Changed == nil {
		return true
	}
	if g.base >= 0 && l.opt.Changed[l.t.path(g.base)] {
		return true
	}
	return slices.ContainsFunc(g.members, func(m member) bool { return l.opt.Changed[l.t.path(m.entry)] })
}

// comparable reports whether a group has at least two files that could be read.
func (l *linter) comparable(g *group) bool {
	n := 0
	for _, m := range g.members {
		if e := l.t.entries[m.entry]; e.kind == regular && e.content >= 0 {
			n++
		}
	}
	return n > 1
}

// A class is the members of a group that have one content.
type class struct {
	id      int32 // content
	members []member
	facts   *facts
	bytes   []byte
	doc     *format.Document
	binary  bool
}

var noFacts = &facts{}

func (l *linter) class(id int32) *class {
	return &class{id: id, facts: cmp.Or(l.t.contents[id].facts, noFacts)}
}

// classesOf splits members by content, the largest class first.
func (l *linter) classesOf(members []member) []*class {
	if id := l.t.entries[members[0].entry].content; !slices.ContainsFunc(members, func(m member) bool { return l.t.entries[m.entry].content != id }) {
		c := l.class(id)
		c.members = members
		return []*class{c}
	}
	bySum := map[sum]*class{}
	var out []*class
	for _, m := range members {
		id := l.t.entries[m.entry].content
		s := l.t.contents[id].sum
		c := bySum[s]
		if c == nil {
			c = l.class(id)
			bySum[s] = c
			out = append(out, c)
		}
		c.members = append(c.members, m)
	}
	slices.SortStableFunc(out, func(a, b *class) int { return len(b.members) - len(a.members) })
	return out
}

// group lints one file over all its instances and environments.
func (l *linter) group(g *group, renamed map[int32]bool) {
	var links, odd []member
	present := l.present[:0]
	for _, m := range g.members {
		switch e := l.t.entries[m.entry]; {
		case renamed[m.entry]:
		case e.kind == symlink:
			links = append(links, m)
		case e.kind == special:
			odd = append(odd, m)
		case e.kind == regular && e.content >= 0:
			present = append(present, m)
		}
	}
	l.unopened(g, links, "is a symbolic link", "are symbolic links")
	l.unopened(g, odd, "is no regular file", "are no regular files")
	l.present = present
	if len(present) == 0 {
		return
	}
	if name := path.Base(g.rel); leftover(name) {
		l.leftover(l.paths(present))
		return
	}
	if len(present) > 1 {
		l.compared++
	}
	if strings.Contains(g.rel, "{instance}") && g.fleet {
		f := l.about("WX204", g, present, "")
		f.Message = fmt.Sprintf("%s: the name of the file contains the name of the instance", g.rel)
		l.add(f)
	}
	l.modes(g, present)
	classes := l.classesOf(present)
	if len(classes) == 1 {
		if !l.opt.MD5Only {
			l.same(g, classes, nil)
		}
		return
	}
	l.differ(g, classes)
}

func (l *linter) unopened(g *group, members []member, verb, plural string) {
	if len(members) == 0 {
		return
	}
	was := "was"
	if len(members) > 1 {
		was = "were"
	}
	f := l.about("WX505", g, members, "")
	f.Message = fmt.Sprintf("%s: %s, which %s not opened", g.rel, l.who(g, members, verb, plural), was)
	l.add(f)
}

func (l *linter) leftover(paths []string) {
	l.add(Finding{Rule: "WX511", Paths: paths, file: paths[0], Message: path.Base(paths[0]) + ": left behind by an editor, a tool or a person"})
}

// modes finds members whose permissions differ from those of most.
func (l *linter) modes(g *group, present []member) {
	if l.opt.MD5Only || !g.fleet || len(present) < 2 {
		return
	}
	mode := l.t.entries[present[0].entry].mode
	if !slices.ContainsFunc(present, func(m member) bool { return l.t.entries[m.entry].mode != mode }) {
		return
	}
	count := map[uint16]int{}
	for _, m := range present {
		k := l.t.entries[m.entry].mode
		if count[k]++; count[k] > count[mode] {
			mode = k
		}
	}
	var off []member
	got := map[string]bool{}
	for _, m := range present {
		if k := l.t.entries[m.entry].mode; k != mode {
			off = append(off, m)
			got[fmt.Sprintf("%04o", k)] = true
		}
	}
	f := l.about("WX504", g, off, "")
	f.Message = fmt.Sprintf("%s: %s: mode is %s, others %04o", g.rel, l.who(g, off, "differs", "differ"), strings.Join(sortedKeys(got), ", "), mode)
	l.add(f)
	l.fix(fix{kind: fixMode, mode: mode, paths: f.Paths, finding: len(l.findings) - 1})
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// reference returns the class that the others are compared with: the one asked
// for, else the largest that can be read, and of equal ones that of production.
func (l *linter) reference(classes []*class) *class {
	if want, ok := strings.CutPrefix(l.opt.Reference, "env="); ok {
		for _, c := range classes {
			if slices.ContainsFunc(c.members, func(m member) bool { return m.spot.env == want }) {
				return c
			}
		}
	} else if dir := l.opt.Reference; dir != "" {
		dir = strings.Trim(path.Clean(dir), "/")
		for _, c := range classes {
			if slices.ContainsFunc(c.members, func(m member) bool { return strings.HasPrefix(l.t.path(m.entry), dir+"/") }) {
				return c
			}
		}
	}
	best := classes[0]
	score := func(c *class) int {
		n := 2 * len(c.members)
		if slices.ContainsFunc(c.members, func(m member) bool { return envClass(m.spot.env) == "prod" }) {
			n++
		}
		if c.facts.broken != nil && l.t.contents[c.id].syntax.Strict() {
			n -= 1 << 20
		}
		return n
	}
	for _, c := range classes[1:] {
		if score(c) > score(best) {
			best = c
		}
	}
	return best
}

// differ explains a group whose members have more than one content.
func (l *linter) differ(g *group, classes []*class) {
	ref := l.reference(classes)
	large := false
	for _, c := range classes {
		e := l.t.entries[c.members[0].entry]
		large = large || e.large
		c.binary = c.facts.binary
	}
	if l.opt.MD5Only || large || ref.binary || slices.ContainsFunc(classes, func(c *class) bool { return c.binary }) {
		l.byteDrift(g, ref, classes, nil)
		return
	}
	for _, c := range classes {
		b, err := l.t.bytesOf(c.id)
		if err != nil {
			l.t.failed = append(l.t.failed, failure{l.t.path(c.members[0].entry), err})
			return
		}
		c.bytes = b
	}
	// Copies that differ from the reference in nothing but such facts have its
	// keys, and count with it when the keys of the others are judged.
	alike := *ref
	left := []*class{&alike} // what still needs an explanation by keys
	flagged := map[string][]member{}
	var equal []member // in meaning
	want := normal(ref.bytes)
	for _, c := range classes {
		if c == ref {
			continue
		}
		rules := fileFacts(ref, c)
		for _, r := range rules {
			flagged[r] = append(flagged[r], c.members...)
		}
		same := bytes.Equal(normal(c.bytes), want)
		if same || slices.Contains(rules, "WX508") && l.sameUntilBroken(ref, c) {
			alike.members = slices.Concat(alike.members, c.members)
		} else {
			left = append(left, c)
		}
		if same && len(rules) == 0 {
			equal = append(equal, c.members...)
		}
	}
	for _, rule := range sortedKeys(flagged) {
		l.fileFact(rule, g, flagged[rule], ref)
	}
	keys := map[string]bool{}
	if len(left) > 1 {
		var more []member
		keys, more = l.keys(g, &alike, left)
		equal = append(equal, more...)
	}
	if len(equal) > 0 {
		f := l.about("WX103", g, equal, "")
		f.Message = fmt.Sprintf("%s: %s in bytes only: comments, key order, quoting or white space; the meaning is the same", g.rel, l.who(g, equal, "differs", "differ"))
		l.add(f)
	}
	l.same(g, classes, keys)
}

// normal is the text without what WX506 to WX509 speak of.
func normal(b []byte) []byte {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	return bytes.TrimRight(b, "\n")
}

// fileFacts returns the rules about a whole file in which c differs from ref.
func fileFacts(ref, c *class) []string {
	var out []string
	if c.facts.crlf != ref.facts.crlf {
		out = append(out, "WX506")
	}
	if c.facts.bom != ref.facts.bom {
		out = append(out, "WX507")
	}
	if c.facts.notUTF8 && !ref.facts.notUTF8 {
		out = append(out, "WX508")
	}
	if c.facts.noFinalNewline != ref.facts.noFinalNewline {
		out = append(out, "WX509")
	}
	return out
}

// sameUntilBroken reports whether a file that is no UTF-8 differs from the
// reference only in the lines that are not.
func (l *linter) sameUntilBroken(ref, c *class) bool {
	strip := func(b []byte) []byte {
		var out []byte
		for line := range bytes.Lines(normal(b)) {
			if !bytes.Equal(latin1(line), line) {
				continue
			}
			out = append(out, line...)
		}
		return bytes.TrimRight(out, "\n")
	}
	return bytes.Equal(strip(ref.bytes), strip(c.bytes))
}

func (l *linter) fileFact(rule string, g *group, members []member, ref *class) {
	f := l.about(rule, g, members, "")
	what := map[string]string{
		"WX506": "line ends differ from the others'", "WX507": "a byte order mark differs from the others'",
		"WX508": "is not UTF-8", "WX509": "the final newline differs from the others'",
	}[rule]
	f.Message = fmt.Sprintf("%s: %s: %s", g.rel, l.who(g, members, "differs", "differ"), what)
	if rule == "WX508" {
		if b, err := l.t.bytesOf(l.t.entries[members[0].entry].content); err == nil {
			f.Line, f.Column = invalidAt(b)
		}
	}
	l.add(f)
	if rule == "WX506" || rule == "WX507" || rule == "WX509" {
		l.fix(fix{kind: fixText, rule: rule, paths: f.Paths, want: ref.facts, finding: len(l.findings) - 1})
	}
}

// invalidAt returns the place of the first byte that is no UTF-8.
func invalidAt(b []byte) (line, column int) {
	line = 1
	for text := range bytes.Lines(b) {
		if fixed := latin1(text); !bytes.Equal(fixed, text) {
			k := 0
			for k < len(text) && k < len(fixed) && text[k] == fixed[k] {
				k++
			}
			return line, k + 1
		}
		line++
	}
	return 1, 1
}

// byteDrift reports classes that differ in bytes, with their MD5, by
// environment where a whole one differs and by instance otherwise.
func (l *linter) byteDrift(g *group, ref *class, classes []*class, position func(*class) (line int)) {
	value := map[*member]string{}
	index := map[int32]*class{}
	for _, c := range classes {
		for i := range c.members {
			index[c.members[i].entry] = c
			value[&c.members[i]] = fmt.Sprint(c.id)
		}
	}
	d := deviations(classes, func(c *class) string { return fmt.Sprint(c.id) }, ref, l.opt.Reference != "")
	report := func(rule string, members []member) {
		if len(members) == 0 {
			return
		}
		f := l.about(l.familyRule(rule, g), g, members, "")
		c := index[members[0].entry]
		detail := fmt.Sprintf("MD5 is %s, others %s", l.md5(c), l.md5(ref))
		if position != nil {
			f.Line = position(c)
			f.Column = 1
			detail = fmt.Sprintf("line %d is the first that differs", f.Line)
		}
		f.Message = fmt.Sprintf("%s: %s: %s", g.rel, l.who(g, members, "differs", "differ"), detail)
		l.add(f)
	}
	report("WX102", d.envMembers)
	report("WX101", d.instanceMembers)
}

// familyRule names drift between copies of a shared file by its own rule.
func (l *linter) familyRule(rule string, g *group) string {
	if g.family == "copies" && (rule == "WX101" || rule == "WX102" || rule == "WX105") {
		return "WX402"
	}
	return rule
}

// md5 returns the MD5 of a class, computed only where it is printed.
func (l *linter) md5(c *class) string {
	b := c.bytes
	if b == nil || l.t.sums != nil || int64(len(b)) != l.t.contents[c.id].sum.size {
		s, err := l.fullMD5(c.members[0].entry)
		if err != nil {
			return "unreadable"
		}
		return s
	}
	h := md5.Sum(b)
	return hex.EncodeToString(h[:])
}
