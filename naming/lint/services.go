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

// over reports whether a waiver lifts nothing any more; the zero today counts
// only what is no date.
func (w waiver) over(today time.Time) bool {
	return w.bad != "" || !w.until.IsZero() && !today.IsZero() && !today.Before(w.until)
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
	type cause struct{ rule, service, key, message string }
	var found causes[cause]
	for _, e := range l.p.manifests {
		p := l.t.path(e)
		if l.opt.Changed != nil && !l.opt.Changed[p] {
			continue
		}
		m := l.t.manifest(e)
		service := cmp.Or(m.fields["service"].value, path.Base(path.Dir(p)))
		l.manifestRules(m, func(rule, key, message string) {
			f := found.at(cause{rule, service, key, message}, func() Finding {
				at := m.fields[key]
				return Finding{Rule: rule, Service: service, Version: m.fields["version"].value, Key: key, Line: at.line, Column: at.column, Message: service + ": " + message, file: service + "/service.yaml"}
			})
			f.Paths = append(f.Paths, p)
		})
	}
	for f := range found.all {
		l.add(*f)
	}
}

// manifestRules puts what breaks a rule of the layer, and waivers that are over
// or lift nothing.
func (l *linter) manifestRules(m *manifest, put func(rule, key, message string)) {
	used := map[int]bool{}
	report := func(rule, key, message string) {
		for i, w := range m.waivers {
			if w.rule != rule {
				continue
			}
			used[i] = true
			if !w.over(l.opt.Today) {
				return
			}
		}
		put(rule, key, message)
	}
	l.dataRules(m, report)
	l.cloudRules(m, report)
	for i, w := range m.waivers {
		switch {
		case w.bad != "":
			put("WX903", "waivers", fmt.Sprintf("the waiver of %s until %q counts for nothing: a date is written 2026-12-31", w.rule, w.bad))
		case w.over(l.opt.Today):
			put("WX903", "waivers", fmt.Sprintf("the waiver of %s ended on %s", w.rule, w.until.AddDate(0, 0, -1).Format("2006-01-02")))
		case !used[i] && w.rule != "":
			put("WX902", "waivers", fmt.Sprintf("the waiver of %s suppresses nothing", w.rule))
		}
	}
}

// dataRules hold what a service keeps to its layer.
func (l *linter) dataRules(m *manifest, report func(rule, key, message string)) {
	data := m.get("data")
	persistent := strings.HasPrefix(data, "persist") || data == "disk" || data == "database" || data == "durable"
	switch m.get("tier") {
	case "access":
		if data != "" && data != "none" && data != "static" {
			report("WX701", "data", "the access layer holds no data, and data is "+data)
		}
	case "logic":
		ttl, err := parseSpan(m.get("cache_ttl"))
		switch {
		case persistent:
			report("WX702", "data", "the logic layer keeps nothing, and data is "+data)
		case data == "cache-long":
			report("WX704", "data", "the logic layer caches for a short time only, and data is "+data)
		case err == nil && ttl > l.opt.LongCache:
			report("WX704", "cache_ttl", fmt.Sprintf("the logic layer caches for at most %s, and cache_ttl is %s", span(l.opt.LongCache), m.get("cache_ttl")))
		}
	case "storage":
		if !persistent {
			report("WX703", "data", "the storage layer keeps data, and data is "+cmp.Or(data, "missing"))
		}
	}
}

// cloudRules hold where a service runs, and in what slice, to its layer.
func (l *linter) cloudRules(m *manifest, report func(rule, key, message string)) {
	tier, cloud := m.get("tier"), truth(m.get("cloud"))
	if tier == "logic" && cloud == "false" {
		report("WX803", "cloud", "a logic service runs on the cloud, and cloud is false; a waiver with reason and expiry allows it for a time")
		return // it needs no slice
	}
	if (tier == "access" || tier == "storage") && cloud == "true" {
		report("WX804", "cloud", "the "+tier+" layer does not run on the cloud, and cloud is true")
	}
	slice, has := m.fields["slice"]
	standard := l.opt.Inventory.slices()
	some := strings.Join(standard[:min(len(standard), 6)], ", ")
	switch {
	case !has && (tier == "logic" || cloud == "true"):
		report("WX801", "slice", "no slice is declared; standard ones are "+some)
	case has && !slices.Contains(standard, strings.ToLower(slice.value)):
		report("WX802", "slice", fmt.Sprintf("slice %s is not standard: %s", slice.value, some))
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

// span writes 1h for 1h0m0s and 1h30m for 1h30m0s.
func span(d time.Duration) string {
	s := d.String()
	if d%time.Minute == 0 {
		s = strings.TrimSuffix(s, "0s")
	}
	if d%time.Hour == 0 {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
