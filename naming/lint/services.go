package lint

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wxops/wxops/naming/lint/format"
)

// A manifest is what service.yaml says of a service: service, version, tier,
// data, cache_ttl, slice, cloud, waivers.
type manifest struct {
	fields  map[string]field
	waivers []waiver
}

type field struct {
	value        string
	line, column int
}

// A waiver lifts one rule from one service until a day.
type waiver struct {
	rule, reason string
	until        time.Time
	bad          string // an expiry that is no date
	line         int
}

func (m *manifest) get(key string) string {
	return strings.ToLower(strings.TrimSpace(m.fields[key].value))
}

// readManifest returns nil for a service.yaml of another kind, as Kubernetes has.
func readManifest(d *format.Document) *manifest {
	if d.Root.Kind != format.Map || kubernetes(d.Root) {
		return nil
	}
	m := &manifest{fields: map[string]field{}}
	for c := d.Root.First; c != nil; c = c.Next {
		key := strings.ToLower(c.Key)
		if c.Kind == format.Scalar {
			m.fields[key] = field{c.Value, int(c.Line), int(c.Column)}
		}
		if key == "waivers" {
			for w := c.First; w != nil; w = w.Next {
				m.waivers = append(m.waivers, readWaiver(w))
			}
		}
	}
	if m.get("tier") == "" && m.get("service") == "" {
		return nil
	}
	return m
}

func readWaiver(n *format.Node) waiver {
	w := waiver{line: int(n.Line)}
	for c := n.First; c != nil; c = c.Next {
		switch c.Key {
		case "rule":
			w.rule = strings.ToUpper(c.Value)
		case "reason":
			w.reason = c.Value
		case "until":
			t, err := time.Parse("2006-01-02", c.Value)
			if err != nil {
				w.bad = c.Value
				continue
			}
			w.until = t.AddDate(0, 0, 1) // the day itself still counts
		}
	}
	return w
}

// manifest returns the manifest that an entry is, or nil.
func (t *tree) manifest(e int32) *manifest {
	if id := t.entries[e].content; id >= 0 && t.contents[id].facts != nil {
		return t.contents[id].facts.manifest
	}
	return nil
}

// findManifests notes for every folder the nearest manifest at or above it.
func (p *placer) findManifests() {
	p.above = make([]*manifest, len(p.t.folders))
	for i, f := range p.t.folders {
		if f.parent >= 0 {
			p.above[i] = p.above[f.parent]
		}
		for _, e := range p.files[i] {
			if n := p.t.entries[e].name; n == "service.yaml" || n == "service.yml" {
				if m := p.t.manifest(e); m != nil {
					p.above[i] = m
				}
			}
		}
	}
}

// versionOf returns the version of a group: from its path, else from the manifest.
func (p *placer) versionOf(g *group) string {
	if g.version != "" || len(g.members) == 0 {
		return g.version
	}
	if m := p.above[p.t.entries[g.members[0].entry].dir]; m != nil {
		return m.fields["version"].value
	}
	return ""
}

// splitVersions takes groups apart whose members belong to different versions
// by their manifests: two versions may differ.
func (p *placer) splitVersions() {
	for _, key := range p.groupKeys() {
		g := p.groups[key]
		if g.version != "" || !g.fleet {
			continue
		}
		one := p.above[p.t.entries[g.members[0].entry].dir]
		if !slices.ContainsFunc(g.members, func(m member) bool { return p.above[p.t.entries[m.entry].dir] != one }) {
			continue
		}
		byVersion := map[string][]member{}
		for _, m := range g.members {
			v := ""
			if mf := p.above[p.t.entries[m.entry].dir]; mf != nil {
				v = mf.fields["version"].value
			}
			byVersion[v] = append(byVersion[v], m)
		}
		if len(byVersion) < 2 {
			continue
		}
		delete(p.groups, key)
		for v, members := range byVersion {
			part := *g
			part.version, part.members = v, members
			p.groups[groupKey{key.home, v, key.below, key.name}] = &part
		}
	}
}

func (p *placer) groupKeys() []groupKey {
	out := make([]groupKey, 0, len(p.groups))
	for k := range p.groups {
		out = append(out, k)
	}
	return out
}

// versions reports services that run in more than one version.
func (l *linter) versions(groups []*group) {
	seen := map[string]map[string]string{} // home -> version -> a path
	for _, g := range groups {
		if g.version == "" || len(g.members) == 0 || !l.concerns(g) {
			continue
		}
		if seen[g.home] == nil {
			seen[g.home] = map[string]string{}
		}
		if seen[g.home][g.version] == "" {
			seen[g.home][g.version] = l.t.path(g.members[0].entry)
		}
	}
	for _, home := range sortedKeys(seen) {
		versions := sortedKeys(seen[home])
		if len(versions) < 2 {
			continue
		}
		f := Finding{Rule: "WX104", file: home}
		for _, v := range versions {
			f.Paths = append(f.Paths, seen[home][v])
		}
		for _, g := range groups {
			if g.home == home {
				f.Service = g.service
				break
			}
		}
		f.Message = fmt.Sprintf("%s runs in %d versions: %s", f.Service, len(versions), strings.Join(versions, ", "))
		l.add(f)
	}
}

// services holds the manifests to the rules of their layers.
func (l *linter) services() {
	type key struct{ rule, service, value string }
	found := map[key]*Finding{}
	var order []key
	for _, e := range l.p.manifests {
		p := l.t.path(e)
		if l.opt.Changed != nil && !l.opt.Changed[p] {
			continue
		}
		m := l.t.manifest(e)
		service := m.fields["service"].value
		if service == "" {
			service = path.Base(path.Dir(p))
		}
		put := func(rule, name, message string) {
			k := key{rule, service, name + message}
			f := found[k]
			if f == nil {
				f = &Finding{Rule: rule, Service: service, Version: m.fields["version"].value, Key: name, Line: m.fields[name].line, Column: m.fields[name].column, Message: service + ": " + message, file: service + "/service.yaml"}
				found[k] = f
				order = append(order, k)
			}
			f.Paths = append(f.Paths, p)
		}
		l.manifestRules(m, put)
	}
	for _, k := range order {
		f := found[k]
		f.Places = len(f.Paths)
		l.add(*f)
	}
}

func (l *linter) manifestRules(m *manifest, put func(rule, key, message string)) {
	used := map[int]bool{}
	report := func(rule, key, message string) {
		for i, w := range m.waivers {
			if w.rule != rule {
				continue
			}
			used[i] = true
			if w.bad == "" && (w.until.IsZero() || l.opt.Today.IsZero() || l.opt.Today.Before(w.until)) {
				return
			}
		}
		put(rule, key, message)
	}
	tier, data, cloud := m.get("tier"), m.get("data"), truth(m.get("cloud"))
	ttl, ttlErr := parseSpan(m.get("cache_ttl"))
	persistent := strings.HasPrefix(data, "persist") || data == "disk" || data == "database" || data == "durable"
	switch tier {
	case "access":
		if data != "" && data != "none" && data != "static" {
			report("WX701", "data", "the access layer holds no data, and data is "+data)
		}
	case "logic":
		switch {
		case persistent:
			report("WX702", "data", "the logic layer keeps nothing, and data is "+data)
		case data == "cache-long":
			report("WX704", "data", "the logic layer caches for a short time only, and data is "+data)
		case ttlErr == nil && ttl > l.opt.LongCache:
			report("WX704", "cache_ttl", fmt.Sprintf("the logic layer caches for at most %s, and cache_ttl is %s", span(l.opt.LongCache), m.get("cache_ttl")))
		}
	case "storage":
		if !persistent {
			report("WX703", "data", "the storage layer keeps data, and data is "+cmp.Or(data, "missing"))
		}
	}
	if tier == "logic" && cloud == "false" {
		report("WX803", "cloud", "a logic service runs on the cloud, and cloud is false; a waiver with reason and expiry allows it for a time")
	}
	if (tier == "access" || tier == "storage") && cloud == "true" {
		report("WX804", "cloud", "the "+tier+" layer does not run on the cloud, and cloud is true")
	}
	slice, has := m.fields["slice"]
	standard := l.opt.Inventory.slices()
	switch {
	case tier == "logic" && cloud == "false":
	case !has && (tier == "logic" || cloud == "true"):
		report("WX801", "slice", "no slice is declared; standard ones are "+strings.Join(standard[:min(len(standard), 6)], ", "))
	case has && !slices.Contains(standard, strings.ToLower(slice.value)):
		report("WX802", "slice", fmt.Sprintf("slice %s is not standard: %s", slice.value, strings.Join(standard[:min(len(standard), 6)], ", ")))
	}
	for i, w := range m.waivers {
		expired := w.bad != "" || !w.until.IsZero() && !l.opt.Today.IsZero() && !l.opt.Today.Before(w.until)
		switch {
		case w.bad != "":
			put("WX903", "waivers", fmt.Sprintf("the waiver of %s until %q counts for nothing: a date is written 2026-12-31", w.rule, w.bad))
		case expired:
			put("WX903", "waivers", fmt.Sprintf("the waiver of %s ended on %s", w.rule, w.until.AddDate(0, 0, -1).Format("2006-01-02")))
		case !used[i] && w.rule != "":
			put("WX902", "waivers", fmt.Sprintf("the waiver of %s suppresses nothing", w.rule))
		}
	}
}

func truth(s string) string {
	switch s {
	case "true", "yes", "on", "1":
		return "true"
	case "false", "no", "off", "0":
		return "false"
	}
	return s
}

// parseSpan reads 30s, 10m, 720h or 30d.
func parseSpan(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		return time.Duration(n * 24 * float64(time.Hour)), err
	}
	if n, err := strconv.Atoi(s); err == nil {
		return time.Duration(n) * time.Second, nil
	}
	return time.ParseDuration(s)
}

func span(d time.Duration) string {
	return strings.TrimSuffix(strings.TrimSuffix(d.String(), "0s"), "0m")
}

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
	services := map[uint64]map[string]bool{}
	visit := func(f func(g *group, id int32, e int32, b []block)) {
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
					f(g, id, m.entry, b)
				}
			}
		}
	}
	first := map[uint64]string{}
	visit(func(g *group, _, _ int32, blocks []block) {
		service := g.home + g.service
		for _, b := range blocks {
			// Nearly every block belongs to one service: it needs no set.
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
	for shape, set := range services {
		if len(set) < l.opt.SharedServices {
			delete(services, shape)
		}
	}
	if len(services) == 0 {
		return
	}
	found := map[uint64][]shared{}
	seen := map[[2]any]bool{}
	visit(func(g *group, id, e int32, blocks []block) {
		wanted := false
		for _, b := range blocks {
			wanted = wanted || services[b.shape] != nil
		}
		if k := [2]any{id, g}; !wanted || seen[k] {
			return
		} else {
			seen[k] = true
		}
		l.sharedIn(g, id, e, services, found)
	})
	shapes := make([]uint64, 0, len(found))
	for s := range found {
		shapes = append(shapes, s)
	}
	slices.SortFunc(shapes, func(a, b uint64) int {
		return cmp.Or(cmp.Compare(found[a][0].path, found[b][0].path), cmp.Compare(strings.Join(found[a][0].keys, ","), strings.Join(found[b][0].keys, ",")))
	})
	for _, s := range shapes {
		l.sharedBlock(found[s])
	}
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
	common := map[string]string{} // key -> the value most services have
	equal := 0
	for _, key := range list[0].keys {
		count := map[string]map[string]bool{}
		for _, s := range list {
			v := s.values[key].Value
			if count[v] == nil {
				count[v] = map[string]bool{}
			}
			count[v][s.service] = true
		}
		best, n, second := "", 0, 0
		for _, v := range sortedKeys(count) {
			switch k := len(count[v]); {
			case k > n:
				best, n, second = v, k, n
			case k > second:
				second = k
			}
		}
		// Copies that somebody changed differ from each other, so what three times
		// as many services have as any other value was the item, not a choice.
		if n >= 3 && n >= 3*second {
			common[key] = best
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
	type cause struct {
		g          *group
		key, value string
	}
	found := map[cause]*Finding{} // two contents of a file with one drifted value are one cause
	var order []cause
	for _, s := range list {
		for _, k := range s.keys {
			want, ok := common[k]
			got := s.values[k]
			if !ok || format.Same(got.Value, want) {
				continue
			}
			c := cause{s.g, k, got.Value}
			f := found[c]
			if f == nil {
				n := l.about("WX402", s.g, nil, joinPath(path, k))
				n.Line, n.Column = int(got.Line), int(got.Column)
				n.Message = fmt.Sprintf("%s: key %s of an item that %d services share is %s in %s, others %s", s.g.rel, n.Key, len(services), show(k, got), s.g.service, show(k, &format.Node{Kind: format.Scalar, Value: want}))
				f = &n
				found[c] = f
				order = append(order, c)
			}
			for _, m := range s.g.members {
				if l.t.entries[m.entry].content == l.t.entries[s.entry].content {
					f.Paths = append(f.Paths, l.t.path(m.entry))
				}
			}
		}
	}
	for _, c := range order {
		slices.Sort(found[c].Paths)
		l.add(*found[c])
	}
}
