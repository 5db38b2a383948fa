package lint

import (
	"regexp"
	"slices"
	"strings"

	"github.com/wxops/wxops/naming/lint/format"
)

// having leaves out the classes that the key is not about.
func (k *keyDiff) having(classes []*class) []*class {
	if len(k.absent) == 0 {
		return classes
	}
	return slices.DeleteFunc(slices.Clone(classes), func(c *class) bool { return slices.Contains(k.absent, c) })
}

// nest looks for keys inside of one that the reference has and some class does
// not: that it is missing there is one fact, and those classes have no part in
// the facts about the keys inside.
func nest(diffs map[string]*keyDiff, order []string) {
	for _, path := range order {
		sub := diffs[path]
		for i := 1; i < len(path); i++ {
			if path[i] != '.' && path[i] != '[' && path[i] != '@' {
				continue
			}
			k := diffs[path[:i]]
			if k == nil || k.ref == nil {
				continue
			}
			for c, n := range k.vals {
				if n == nil && !slices.Contains(sub.absent, c) {
					sub.absent = append(sub.absent, c)
				}
			}
			if k.inside == nil {
				k.inside, k.whole = map[string]*keyDiff{}, map[*class]*format.Node{}
			}
			k.inside[path] = sub
			for c := range sub.vals {
				if n := c.doc.Lookup(k.path); n != nil {
					k.whole[c] = n
				}
			}
		}
	}
}

// among looks into a map or list that the reference does not have and several
// others have. That it is missing is one fact, which stays with k; where the
// others differ from what most of them have are facts of their own, about the
// keys inside, and those it returns.
func (k *keyDiff) among(classes []*class, ref *class) []*keyDiff {
	if k.ref != nil || len(k.vals) < 2 {
		return nil
	}
	var most *format.Node
	count := map[string]int{}
	var absent []*class
	for _, c := range classes {
		n := k.node(c, ref)
		if n == nil {
			absent = append(absent, c)
			continue
		}
		if n.Kind == format.Scalar {
			return nil
		}
		text := nodeText(n)
		if count[text] += len(c.members); most == nil || count[text] > count[nodeText(most)] {
			most = n
		}
	}
	var out []*keyDiff
	inside := map[string]*keyDiff{}
	whole := map[*class]*format.Node{}
	for _, c := range classes {
		n := k.vals[c]
		if n == nil || n == most {
			continue
		}
		for _, ch := range (format.Differ{}).Diff(&format.Document{Root: most}, &format.Document{Root: n}) {
			if ch.Path == "" {
				return nil // one has a map where another has a list
			}
			path := joinPath(k.path, ch.Path)
			sub := inside[path]
			if sub == nil {
				sub = &keyDiff{path: path, ref: ch.Old, vals: map[*class]*format.Node{}, absent: absent}
				inside[path] = sub
				out = append(out, sub)
			}
			sub.vals[c] = ch.New
		}
		whole[c] = n
	}
	k.whole, k.inside = whole, inside
	for c := range whole {
		k.vals[c] = most
	}
	return out
}

// throughBase gives a key that an overlay does not set the value it has in the
// file that holds for all environments.
func (l *linter) throughBase(g *group, changes []format.Change) []format.Change {
	if g.base < 0 {
		return changes
	}
	base := l.baseDocument(g.base)
	if base == nil {
		return changes
	}
	var out []format.Change
	for _, ch := range changes {
		if ch.Old != nil && ch.New != nil {
			out = append(out, ch)
			continue
		}
		b := base.Lookup(ch.Path)
		if b == nil {
			out = append(out, ch)
			continue
		}
		old, now := ch.Old, ch.New
		if old == nil {
			old = b
		} else {
			now = b
		}
		for _, sub := range (format.Differ{}).Diff(&format.Document{Root: old}, &format.Document{Root: now}) {
			// What the overlay leaves out is as in the base; what it adds is its own.
			if old == b && sub.New == nil || now == b && sub.Old == nil {
				continue
			}
			sub.Path = joinPath(ch.Path, sub.Path)
			out = append(out, sub)
		}
	}
	return out
}

// encrypted reports whether a value is the cipher of Ansible Vault, eyaml or
// sops: equal plain texts have different ciphers, so a difference says nothing.
func encrypted(n *format.Node) bool {
	return n != nil && n.Kind == format.Scalar && (strings.HasPrefix(n.Value, "$ANSIBLE_VAULT;") || strings.HasPrefix(n.Value, "ENC["))
}

// insideTexts looks into values that are files themselves, as ConfigMaps have
// them: data."app.properties" becomes the keys in it that differ.
func (l *linter) insideTexts(changes []format.Change) []format.Change {
	var out []format.Change
	for _, ch := range changes {
		sub := l.insideText(ch)
		if sub == nil {
			sub = []format.Change{ch}
		}
		out = append(out, sub...)
	}
	return out
}

// sections begins a text that has sections of keys with values.
var sections = regexp.MustCompile(`^\s*\[[A-Za-z][A-Za-z0-9 ._-]*\]\n\s*[A-Za-z][A-Za-z0-9_.-]* ?=`)

func (l *linter) insideText(ch format.Change) []format.Change {
	if ch.Old == nil || ch.New == nil || ch.Old.Kind != format.Scalar || ch.New.Kind != format.Scalar || !strings.Contains(ch.Old.Value, "\n") || !strings.Contains(ch.New.Value, "\n") {
		return nil
	}
	syntax := format.Detect(ch.New.Key, []byte(ch.New.Value))
	switch {
	case ch.New.Key == "patch":
		syntax = format.YAML // of a kustomization
	case syntax == format.Text && sections.MatchString(ch.New.Value):
		syntax = format.INI // a connection of NetworkManager, a unit of systemd
	}
	if !syntax.Parsed() {
		return nil
	}
	old, err := l.parser.Parse(syntax, []byte(ch.Old.Value))
	if err != nil {
		return nil
	}
	now, err := l.parser.Parse(syntax, []byte(ch.New.Value))
	if err != nil {
		return nil
	}
	out := (format.Differ{}).Diff(old, now)
	for i := range out {
		out[i].Path = joinPath(ch.Path, out[i].Path)
		for _, side := range []struct{ at, in *format.Node }{{out[i].Old, ch.Old}, {out[i].New, ch.New}} {
			if side.at != nil { // the text begins on the line below its key
				moved := *side.at
				moved.Line, moved.Column = side.at.Line+side.in.Line, 1
				*side.at = moved
			}
		}
	}
	return out
}

func joinPath(a, b string) string {
	if b == "" || strings.HasPrefix(b, "[") || strings.HasPrefix(b, "@") {
		return a + b
	}
	return a + "." + b
}

func (l *linter) baseDocument(e int32) *format.Document {
	id := l.t.entries[e].content
	if id < 0 || !l.t.contents[id].syntax.Parsed() {
		return nil
	}
	b, err := l.t.bytesOf(id)
	if err != nil {
		return nil
	}
	d, err := l.parser.Parse(l.t.contents[id].syntax, b)
	if err != nil {
		return nil
	}
	return d
}
