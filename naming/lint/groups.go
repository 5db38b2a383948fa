package lint

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// join adds a file to the group of its service, version and path.
func (p *placer) join(e int32, s *spot, below string, fleet bool) {
	name := p.t.entries[e].name
	if strings.HasPrefix(s.layout, "ansible inventories") && below == "" && listsHosts(name) {
		return // it lists what the environment is made of, so it differs by nature
	}
	if s.instance != "" {
		name = p.withoutInstance(name, s)
	} else if fleet && ownByNature(name) {
		return
	}
	if s.env != "" && fleet {
		if strings.Contains(name, s.env) || p.worded(name) {
			name = withoutEnv(name, s.env)
		}
	}
	g := p.near.find(s, below, name)
	if g == nil {
		key := groupKey{s.home, s.version, below, name}
		if g = p.groups[key]; g == nil {
			g = &group{service: s.service, version: s.version, home: s.home, rel: path.Join(below, name), fleet: fleet, base: -1, layout: s.layout, members: make([]member, 0, 8), number: len(p.groups)}
			p.groups[key] = g
		}
		p.near.put(s, below, name, g)
	}
	g.members = append(g.members, member{e, s})
	if s.env != "" {
		p.envs[s.env] = true
	}
}

// A near remembers the groups of the directory that was placed last: the next
// one mostly is that of the next instance, with the same files.
type near struct {
	home, version, below string
	names                []string
	groups               []*group
	at                   int
}

func (n *near) find(s *spot, below, name string) *group {
	if n.home != s.home || n.version != s.version || n.below != below {
		return nil
	}
	for range n.names {
		if n.at++; n.at >= len(n.names) {
			n.at = 0
		}
		if n.names[n.at] == name {
			return n.groups[n.at]
		}
	}
	return nil
}

// put remembers a group that find did not find.
func (n *near) put(s *spot, below, name string, g *group) {
	const most = 16 // names are searched one by one
	if n.home != s.home || n.version != s.version || n.below != below || len(n.names) == most {
		*n = near{s.home, s.version, below, n.names[:0], n.groups[:0], 0}
	}
	n.at = len(n.names)
	n.names, n.groups = append(n.names, name), append(n.groups, g)
}

// worded reports whether an environment word stands in a file name.
func (p *placer) worded(name string) bool {
	yes, known := p.words[name]
	if !known {
		yes = len(mentions(name, nil)) > 0
		p.words[name] = yes
	}
	return yes
}

// withoutEnv replaces what names the environment in a file name: the name
// itself, or another word for it, as in group_vars/production.yml of prd.
func withoutEnv(name, env string) string {
	if strings.Contains(name, env) {
		return strings.Replace(name, env, "{env}", 1)
	}
	if m := mentions(name, nil); len(m) == 1 && m[0].class == envClass(env) {
		return name[:m[0].start] + "{env}" + name[m[0].end:]
	}
	return name
}

// withoutInstance replaces what names the instance in a file name.
func (p *placer) withoutInstance(name string, s *spot) string {
	if p.ownSpot != s {
		p.ownSpot, p.own = s, append(append(p.own[:0], s.instance), p.opt.Inventory.namesOf(s)...)
	}
	for _, n := range p.own {
		if n != "" && strings.Contains(name, n) && n != s.service {
			return strings.Replace(name, n, "{instance}", 1)
		}
	}
	return name
}

// sorted returns the groups by home, version and path.
func (p *placer) sorted() []*group {
	out := make([]*group, len(p.groups), 2*len(p.groups))
	for _, g := range p.groups { // first as they were found, which is nearly in order
		if g.number < len(p.groups) && out[g.number] == nil {
			out[g.number] = g
		} else {
			out = append(out, g)
		}
	}
	out = slices.DeleteFunc(out, func(g *group) bool { return g == nil })
	for _, g := range out {
		slices.SortFunc(g.members, func(a, b member) int { return cmp.Compare(a.entry, b.entry) })
	}
	slices.SortFunc(out, func(a, b *group) int {
		return cmp.Or(cmp.Compare(a.home, b.home), cmp.Compare(a.version, b.version), cmp.Compare(a.rel, b.rel), cmp.Compare(a.family, b.family))
	})
	return out
}
