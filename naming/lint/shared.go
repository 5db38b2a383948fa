package lint

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/wxops/wxops/naming/lint/format"
)

// A shared is one appearance of a block of keys in a service.
type shared struct {
	service string
	g       *group
	entry   int32
	path    string
	keys    []string
	values  map[string]*format.Node
}

// shared finds blocks of keys that several services carry as copies (WX401),
// and copies that differ from the others (WX402).
func (l *linter) shared(groups []*group) {
	if !l.opt.rules["WX401"] && !l.opt.rules["WX402"] || l.opt.Changed != nil {
		return
	}
	services := l.copiedShapes(groups)
	if len(services) == 0 {
		return
	}
	type groupContent struct {
		g  *group
		id int32
	}
	seen := map[groupContent]bool{}
	found := map[uint64][]shared{}
	l.eachContent(groups, func(g *group, id, e int32, blocks []block) {
		k := groupContent{g, id}
		if !seen[k] && slices.ContainsFunc(blocks, func(b block) bool { return services[b.shape] != nil }) {
			seen[k] = true
			l.sharedIn(g, id, e, services, found)
		}
	})
	shapes := slices.SortedFunc(maps.Keys(found), func(a, b uint64) int {
		x, y := found[a][0], found[b][0]
		return cmp.Or(cmp.Compare(x.path, y.path), cmp.Compare(strings.Join(x.keys, ","), strings.Join(y.keys, ",")))
	})
	for _, s := range shapes {
		l.sharedBlock(found[s])
	}
}

// eachContent visits the contents of configuration files that have blocks of keys.
func (l *linter) eachContent(groups []*group, visit func(g *group, id, entry int32, blocks []block)) {
	for _, g := range groups {
		if g.family != "" || leftover(path.Base(g.rel)) {
			continue
		}
		last := int32(-1)
		for _, m := range g.members {
			id := l.t.entries[m.entry].content
			if id < 0 || id == last || l.t.contents[id].facts == nil || l.t.contents[id].syntax == format.XML {
				continue
			}
			last = id
			if b := l.t.contents[id].facts.blocks; len(b) > 0 {
				visit(g, id, m.entry, b)
			}
		}
	}
}

// copiedShapes returns the shapes of blocks that enough services have, and
// those services.
func (l *linter) copiedShapes(groups []*group) map[uint64]map[string]bool {
	first := map[uint64]string{} // nearly every block belongs to one service: it needs no set
	services := map[uint64]map[string]bool{}
	l.eachContent(groups, func(g *group, _, _ int32, blocks []block) {
		service := g.home + g.service
		for _, b := range blocks {
			switch f, ok := first[b.shape]; {
			case !ok:
				first[b.shape] = service
			case f != service:
				if services[b.shape] == nil {
					services[b.shape] = map[string]bool{f: true}
				}
				services[b.shape][service] = true
			}
		}
	})
	maps.DeleteFunc(services, func(_ uint64, set map[string]bool) bool { return len(set) < l.opt.SharedServices })
	return services
}

// sharedIn adds the wanted blocks of one content to found.
func (l *linter) sharedIn(g *group, id, e int32, services map[uint64]map[string]bool, found map[uint64][]shared) {
	b, err := l.t.bytesOf(id)
	if err != nil {
		return
	}
	p := format.Parser{Secret: hidden} // the nodes stay in use
	d, err := p.Parse(l.t.contents[id].syntax, b)
	if err != nil {
		return
	}
	var a analyzer
	d.Walk(func(trail []*format.Node) bool {
		n := trail[len(trail)-1]
		if n.Kind != format.Map {
			return n.Kind == format.List
		}
		a.trail = trail
		shape := a.block(n).shape
		if services[shape] == nil {
			return true
		}
		s := shared{service: g.home + g.service, g: g, entry: e, path: d.Path(trail), values: map[string]*format.Node{}}
		for c := n.First; c != nil; c = c.Next {
			if c.Kind == format.Scalar {
				s.keys = append(s.keys, c.Key)
				s.values[c.Key] = c
			}
		}
		slices.Sort(s.keys)
		found[shape] = append(found[shape], s)
		return true
	})
}

// sharedBlock judges one block over the services that have it.
func (l *linter) sharedBlock(list []shared) {
	common, equal := map[string]string{}, 0 // key -> the value most services have
	for _, key := range list[0].keys {
		value, n, second := commonValue(list, key)
		// Copies that somebody changed differ from each other, so what three times
		// as many services have as any other value was the item, not a choice.
		if n >= 3 && n >= 3*second {
			common[key] = value
		}
		if n >= l.opt.SharedServices {
			equal++
		}
	}
	if equal < l.opt.SharedKeys {
		return
	}
	path := list[0].path
	f := Finding{Rule: "WX401", Service: list[0].g.service, Key: path, file: path}
	for _, k := range list[0].keys {
		if _, ok := common[k]; ok {
			f.Keys = append(f.Keys, joinPath(path, k))
		}
	}
	services := map[string]bool{}
	for _, s := range list {
		services[s.service] = true
		f.Paths = append(f.Paths, l.t.path(s.entry))
	}
	n := list[0].values[list[0].keys[0]]
	f.Line, f.Column = int(n.Line), int(n.Column)
	f.Message = fmt.Sprintf("%s: a block of %d keys is copied into %d services; name it once and refer to it", path, len(f.Keys), len(services))
	l.add(f)
	l.sharedDrift(list, common, len(services))
}

// commonValue returns the value of a key that most services have, in how many,
// and how many have the next.
func commonValue(list []shared, key string) (value string, most, second int) {
	services := map[string]map[string]bool{}
	for _, s := range list {
		v := s.values[key].Value
		if services[v] == nil {
			services[v] = map[string]bool{}
		}
		services[v][s.service] = true
	}
	for _, v := range sortedKeys(services) {
		switch n := len(services[v]); {
		case n > most:
			value, most, second = v, n, most
		case n > second:
			second = n
		}
	}
	return value, most, second
}

// sharedDrift reports copies of an item that differ from what is common. Two
// contents of a file with one drifted value are one cause.
func (l *linter) sharedDrift(list []shared, common map[string]string, services int) {
	type cause struct {
		g          *group
		key, value string
	}
	var found causes[cause]
	for _, s := range list {
		for _, k := range s.keys {
			want, ok := common[k]
			got := s.values[k]
			if !ok || format.Same(got.Value, want) {
				continue
			}
			f := found.at(cause{s.g, k, got.Value}, func() Finding {
				n := l.about("WX402", s.g, nil, joinPath(list[0].path, k))
				n.Line, n.Column = int(got.Line), int(got.Column)
				n.Message = fmt.Sprintf("%s: key %s of an item that %d services share is %s in %s, others %s", s.g.rel, n.Key, services, show(k, got), s.g.service, show(k, &format.Node{Kind: format.Scalar, Value: want}))
				return n
			})
			for _, m := range s.g.members {
				if l.t.entries[m.entry].content == l.t.entries[s.entry].content {
					f.Paths = append(f.Paths, l.t.path(m.entry))
				}
			}
		}
	}
	for f := range found.all {
		slices.Sort(f.Paths)
		l.add(*f)
	}
}
