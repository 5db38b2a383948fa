package lint

import (
	"path"
	"slices"
	"strings"
)

// buildFiles begin the names of files that belong to build tools; their
// variants are no environments of a service.
var buildFiles = []string{"tsconfig", "package", "webpack", "babel", "jest", "karma", "eslint", "rollup", "vite", "pom", "cypress", "playwright"}

func buildFile(name string) bool {
	name = strings.TrimPrefix(name, ".")
	return slices.ContainsFunc(buildFiles, func(b string) bool { return strings.HasPrefix(name, b) })
}

// A nameFamily is a set of files in one directory whose names differ in an
// environment.
type nameFamily struct {
	template string
	envs     []string
	entries  []int32
}

func (fam *nameFamily) add(env string, e int32) {
	fam.envs = append(fam.envs, env)
	fam.entries = append(fam.entries, e)
}

// nameFamilies are the families of a directory by template, in the order of
// its files.
type nameFamilies struct {
	of    map[string]*nameFamily
	order []*nameFamily
}

func (n *nameFamilies) at(template string) *nameFamily {
	fam := n.of[template]
	if fam == nil {
		if n.of == nil {
			n.of = map[string]*nameFamily{}
		}
		fam = &nameFamily{template: template}
		n.of[template] = fam
		n.order = append(n.order, fam)
	}
	return fam
}

// placeNames groups the files of one directory by environments in their names:
// values-ENV.yaml, application-ENV.properties, ENV.env, .env.ENV and the like.
// A name counts where at least two environments have it.
func (p *placer) placeNames(f int32) {
	if ci := p.paths[f]; strings.HasPrefix(ci, ".github") || strings.HasPrefix(ci, ".circleci") || strings.Contains("/"+ci+"/", "/locales/") {
		return
	}
	named := p.namedFiles(f)
	// A name is cut at its last word for an environment first: eu-prod-1.yaml and
	// eu-staging-1.yaml are one family, and so are us-prod-1.yaml and its sisters.
	var narrow nameFamilies
	for _, c := range named {
		narrow.at(c.name[:c.start]+"{env}"+c.name[c.end:]).add(c.name[c.start:c.end], c.entry)
	}
	placed := p.acceptNames(f, &narrow)
	// What found no sisters may be one with all that follows its first such word
	// as the environment, in a family of its own or in one of the above.
	var wide nameFamilies
	known := map[*nameFamily]bool{}
	for _, c := range named {
		ext := path.Ext(c.name)
		if placed[c.entry] {
			if t := c.name[:c.start] + "{env}" + c.name[c.end:]; strings.HasSuffix(t, "{env}"+ext) {
				known[wide.at(t)] = true
			}
			continue
		}
		if stem := strings.TrimSuffix(c.name, ext); 0 < c.first && c.first < len(stem) {
			wide.at(c.name[:c.first]+"{env}"+ext).add(stem[c.first:], c.entry)
		}
	}
	for _, fam := range wide.order {
		if known[fam] {
			p.extendNames(f, fam)
			*fam = nameFamily{}
		}
	}
	p.acceptNames(f, &wide)
	p.placeHosts(f)
}

// A namedFile is a file whose name holds words for environments: the first
// begins at first, the last spans start to end.
type namedFile struct {
	entry             int32
	name              string
	first, start, end int
}

// namedFiles are the configuration files of a directory whose names hold an
// environment. Where a name ends in it without an extension it counts for .env
// files only, and the extension .env is none.
func (p *placer) namedFiles(f int32) []namedFile {
	var out []namedFile
	for _, e := range p.files[f] {
		name := p.t.entries[e].name
		if p.t.entries[e].kind == special || leftover(name) || !p.configName(name) || buildFile(name) {
			continue
		}
		m := mentions(name, p.opt.envWords)
		if len(m) == 0 {
			continue
		}
		last := m[len(m)-1]
		if strings.Trim(name[last.start:], ".") == "env" || last.end == len(name) && !strings.HasPrefix(name, ".env") && !strings.Contains(name, "env") {
			continue
		}
		out = append(out, namedFile{e, name, m[0].start, last.start, last.end})
	}
	return out
}

// acceptNames places the families of at least two files and returns those files.
func (p *placer) acceptNames(f int32, families *nameFamilies) map[int32]bool {
	placed := map[int32]bool{}
	for _, fam := range families.order {
		if len(fam.entries) < 2 {
			continue
		}
		p.extendNames(f, fam)
		for _, e := range fam.entries {
			placed[e] = true
		}
	}
	return placed
}

// configName reports whether a name is that of a configuration file; .env.prod
// and the like have no extension that says so.
func (p *placer) configName(name string) bool {
	return parsedName(name) || strings.HasPrefix(name, ".env.") || strings.HasPrefix(name, "env.")
}

// Names of files that say what a file is for and not which service it belongs to.
var generalNames = []string{"application", "bootstrap", "appsettings", "config", "configuration", "settings", "values", "env", "environment", "docker-compose", "compose", "terraform", "vars", "variables", "secrets", "kustomization", "nginx", "log4j2", "logback", "database", "main", "app"}

// serviceOfName names the service that the files of a template belong to: in
// the folder of a config server each has its own, as in orders-{env}.yml.
func (p *placer) serviceOfName(f int32, template string) string {
	stem, _, found := strings.Cut(template, "{env}")
	stem = strings.Trim(stem, "-_.")
	if !found || stem == "" || !strings.Contains(stem, "-service") && !p.configServer(f) || slices.Contains(generalNames, strings.ToLower(stem)) {
		return p.serviceName(p.paths[f])
	}
	return stem
}

// configServer reports whether a folder is that of a Spring config server: what
// holds for all services lies beside what each of them has.
func (p *placer) configServer(f int32) bool {
	return slices.ContainsFunc(p.files[f], func(e int32) bool {
		name := p.t.entries[e].name
		return strings.HasPrefix(name, "application.") || strings.HasPrefix(name, "application-")
	})
}

func (p *placer) nameSpot(f int32, template, env string) *spot {
	return &spot{home: p.paths[f] + "\x00", service: p.serviceOfName(f, template), env: env, layout: layoutOfName(p.paths[f], template)}
}

// extendNames adds files of a directory to the group of their template.
func (p *placer) extendNames(f int32, fam *nameFamily) {
	for i, e := range fam.entries {
		s := p.nameSpot(f, fam.template, fam.envs[i])
		key := groupKey{s.home, s.version, "", fam.template}
		g := p.groups[key]
		if g == nil {
			rel := path.Join(p.paths[f], fam.template)
			g = &group{service: s.service, home: s.home, rel: rel, base: p.baseOf(f, fam.template), layout: s.layout}
			p.groups[key] = g
		}
		g.members = append(g.members, member{e, s})
		p.envs[fam.envs[i]] = true
	}
}

// Names of the file that holds for all environments beside files that are
// called like their environment only: common.yaml beside prod.yaml.
var commonNames = []string{"common", "default", "defaults", "all", "base", "shared", "global", "values"}

// baseOf finds the file that holds for all environments: values.yaml beside
// values-ENV.yaml, in the chart below it or above it, common.yaml beside ENV.yaml.
func (p *placer) baseOf(f int32, template string) int32 {
	var names []string
	for _, cut := range []string{"-{env}", ".{env}", "_{env}", "{env}-", "{env}."} {
		if name := strings.Replace(template, cut, "", 1); name != template && !strings.HasPrefix(template, "{env}.") {
			names = append(names, name)
		}
	}
	ext, alone := strings.CutPrefix(template, "{env}")
	if alone {
		for _, n := range commonNames {
			names = append(names, n+ext)
		}
	}
	if e := p.fileNamed(f, names); e >= 0 {
		return e
	}
	if alone {
		names = []string{"values" + ext}
	} else if !strings.HasPrefix(template, "values") {
		return -1
	}
	found := int32(-1)
	for _, c := range p.children[f] {
		if e := p.fileNamed(c, names); e >= 0 {
			if found >= 0 {
				return -1 // several charts: which one is meant nobody knows
			}
			found = e
		}
	}
	if parent := p.t.folders[f].parent; found < 0 && parent >= 0 {
		found = p.fileNamed(parent, names)
	}
	return found
}

// fileNamed returns the first of the names that is a file of a directory, else -1.
func (p *placer) fileNamed(f int32, names []string) int32 {
	for _, name := range names {
		for _, e := range p.files[f] {
			if p.t.entries[e].name == name && p.t.entries[e].kind == regular {
				return e
			}
		}
	}
	return -1
}

func layoutOfName(dir, template string) string {
	switch {
	case strings.HasPrefix(template, "values"):
		return "helm " + template
	case strings.HasPrefix(template, "application") || strings.HasPrefix(template, "bootstrap"):
		return "spring " + template
	case strings.Contains(dir, "group_vars") || strings.Contains(dir, "host_vars"):
		return "ansible " + template
	case strings.Contains(dir, "hiera"):
		return "hiera " + template
	}
	return template
}

// hostFolders hold one file for each host.
var hostFolders = map[string]bool{"nodes": true, "node": true, "hosts": true, "host": true, "hostname": true, "hostnames": true, "machines": true, "host_vars": true, "certname": true, "fqdn": true, "servers": true, "agents": true, "instances": true}

// placeHosts groups files of one directory that are named after hosts and
// differ only in numbers: nodes/ci-agent-1.yaml. At least three make a family.
func (p *placer) placeHosts(f int32) {
	inFolder := hostFolders[strings.ToLower(p.t.folders[f].name)]
	byStem := map[string][]int32{}
	var stems []string
	for _, e := range p.files[f] {
		name := p.t.entries[e].name
		if p.t.entries[e].kind != regular || leftover(name) || !parsedName(name) {
			continue
		}
		stem := stemOf(name)
		if stem == name || strings.HasPrefix(stem, "#") || strings.IndexByte("vV", stem[0]) >= 0 && stem[1] == '#' {
			continue
		}
		if byStem[stem] == nil {
			stems = append(stems, stem)
		}
		byStem[stem] = append(byStem[stem], e)
	}
	for _, stem := range stems {
		list := byStem[stem]
		if len(list) < 3 || !inFolder && !p.mostlyEqual(list) {
			continue
		}
		template := strings.Replace(stem, "#", "{n}", 1)
		for _, e := range list {
			name := p.t.entries[e].name
			host := strings.TrimSuffix(name, path.Ext(name))
			s := &spot{home: p.paths[f] + "\x00", service: strings.Trim(strings.SplitN(stem, "#", 2)[0], "-_."), instance: host, layout: "hosts " + template}
			key := groupKey{s.home, "", "", template}
			g := p.groups[key]
			if g == nil {
				g = &group{service: s.service, home: s.home, rel: path.Join(p.paths[f], template), base: -1, layout: s.layout, family: "hosts"}
				p.groups[key] = g
			}
			g.members = append(g.members, member{e, s})
		}
	}
}

// mostlyEqual reports whether more than half of the files have one content.
func (p *placer) mostlyEqual(list []int32) bool {
	count := map[int32]int{}
	for _, e := range list {
		c := p.t.entries[e].content
		if count[c]++; c >= 0 && 2*count[c] > len(list) {
			return true
		}
	}
	return false
}

// placeCopies groups files of one name that lie in sibling directories of the
// same shape, as bootstrap-prod.yml in each of six modules does, when at least
// three of them, and three fifths, are equal and the others are not.
func (p *placer) placeCopies() {
	if len(p.t.entries) > 50_000 {
		return // a fleet: its services have files of their own
	}
	type wild struct {
		key string
		e   int32
		at  string
	}
	families := map[string][]wild{}
	for e := range p.t.entries {
		ent := p.t.entries[e]
		if ent.kind != regular || ent.content < 0 || !p.configName(ent.name) || p.t.contents[ent.content].sum.size < 32 {
			continue
		}
		if s := p.spots[ent.dir]; s != nil {
			continue
		}
		parts := strings.Split(p.t.path(int32(e)), "/")
		for i := range len(parts) - 1 {
			at := parts[i]
			parts[i] = "*"
			key := strings.Join(parts, "/")
			parts[i] = at
			families[key] = append(families[key], wild{key, int32(e), at})
		}
	}
	var keys []string
	for k, list := range families {
		if len(list) >= 4 {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	used := map[int32]bool{}
	for _, k := range keys {
		list := families[k]
		count := map[int32]int{}
		most := 0
		for _, w := range list {
			c := p.t.entries[w.e].content
			count[c]++
			most = max(most, count[c])
		}
		if most < 3 || most*5 < len(list)*3 || most == len(list) || used[list[0].e] {
			continue
		}
		g := &group{service: p.serviceName(strings.SplitN(k, "*", 2)[0]), home: k, rel: k, base: -1, layout: "copies", family: "copies"}
		for _, w := range list {
			used[w.e] = true
			g.members = append(g.members, member{w.e, &spot{home: k, service: w.at, instance: w.at}})
		}
		p.groups[groupKey{home: k, name: "copies"}] = g
	}
}
