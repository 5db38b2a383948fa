package lint

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/wxops/wxops/naming/lint/format"
)

// A spot is where a file lies in terms of the standard.
type spot struct {
	home     string // the path that all spots of a service share; tells services of one name apart
	service  string
	version  string
	env      string
	region   string
	instance string
	folder   string // directory of the instance, else of the environment
	layout   string // how it was recognized
}

// instanceLabel names the spot in a message: "prod/checkout-3".
func (s *spot) label() string {
	parts := []string{}
	for _, p := range []string{s.env, s.region, s.instance} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, "/")
}

// A member is one copy of a file.
type member struct {
	entry int32
	spot  *spot
}

// A group is all copies of one file of one service and version.
type group struct {
	service, version, home string
	rel                    string // path below the instance or environment
	members                []member
	fleet                  bool   // the directory is the environment or instance: every file counts
	base                   int32  // entry of the file that holds for all environments, -1 if none
	layout                 string // as in spot
	number                 int    // how many groups were there before it
	family                 string // for copies that are not environments or instances: what they are
}

// A placer finds the layout of a tree and puts its files into groups.
type placer struct {
	t          *tree
	opt        *Options
	children   [][]int32
	files      [][]int32 // entries of each folder
	paths      []string
	envDir     []bool
	instDir    []bool
	hasEnv     []bool // an environment directory lies below
	groups     map[groupKey]*group
	spots      []*spot  // of each folder, nil outside of any layout
	below      []string // of each folder: its path below that of its spot
	found      map[string]int
	stray      []int32 // entries outside of a layout that holds for the tree
	envs       map[string]bool
	manifests  []int32
	emptySpots []*spot     // instances without any file
	above      []*manifest // of each folder: the nearest manifest there or above
	ownSpot    *spot       // the spot that own is about
	own        []string    // what its instance is called
	near       near
	words      map[string]bool // file names: whether an environment word is in them
}

type groupKey struct{ home, version, below, name string }

func newPlacer(t *tree, opt *Options) *placer {
	p := &placer{
		t: t, opt: opt, groups: map[groupKey]*group{}, words: map[string]bool{}, found: map[string]int{}, envs: map[string]bool{},
		children: make([][]int32, len(t.folders)), files: make([][]int32, len(t.folders)), paths: make([]string, len(t.folders)),
		envDir: make([]bool, len(t.folders)), instDir: make([]bool, len(t.folders)), hasEnv: make([]bool, len(t.folders)),
		spots: make([]*spot, len(t.folders)), below: make([]string, len(t.folders)),
	}
	count := make([]int32, len(t.folders))
	for i, f := range t.folders {
		if f.parent < 0 {
			continue
		}
		count[f.parent]++
		if p.paths[i] = f.name; p.paths[f.parent] != "" {
			p.paths[i] = p.paths[f.parent] + "/" + f.name
		}
	}
	kids := make([]int32, len(t.folders))
	for i, n := range count {
		p.children[i], kids = kids[:0:n], kids[n:]
	}
	for i, f := range t.folders {
		if f.parent >= 0 {
			p.children[f.parent] = append(p.children[f.parent], int32(i))
		}
	}
	at := 0
	all := make([]int32, len(t.entries))
	for i := range t.entries {
		all[i] = int32(i)
	}
	for i := range t.folders {
		start := at
		for at < len(t.entries) && t.entries[at].dir == int32(i) {
			at++
		}
		p.files[i] = all[start:at:at]
	}
	return p
}

var (
	// Directories whose children are environments, whatever they are called.
	envContainers = map[string]string{
		"overlays": "kustomize overlays/{env}", "overlay": "kustomize overlay/{env}",
		"environments": "environments/{env}", "environment": "environment/{env}", "envs": "envs/{env}", "env": "env/{env}",
		"inventories": "ansible inventories/{env}", "stages": "stages/{env}",
	}
	// Children of those that hold what the environments share.
	notEnv = map[string]bool{
		"base": true, "bases": true, "common": true, "shared": true, "components": true, "component": true, "modules": true,
		"template": true, "example": true, "examples": true, "sample": true, "samples": true, "skeleton": true, "archive": true,
		"default": true, "defaults": true, "global": true, "all": true, "lib": true, "templates": true, "_base": true, "_common": true, "scripts": true, "docs": true,
	}
	// Directory names that do not name a service.
	generic = map[string]bool{
		"overlays": true, "overlay": true, "environments": true, "environment": true, "envs": true, "env": true, "inventories": true, "stages": true,
		"config": true, "configs": true, "conf": true, "deploy": true, "deployment": true, "deployments": true, "k8s": true, "kubernetes": true, "kustomize": true,
		"helm": true, "chart": true, "charts": true, "values": true, "resources": true, "main": true, "src": true, "group_vars": true, "host_vars": true,
		"hieradata": true, "hiera": true, "data": true, "nodes": true, "settings": true, "manifests": true, "infra": true, "terraform": true, "ansible": true, "app": false,
	}
	versionName = regexp.MustCompile(`^v?\d+\.\d+(?:\.\d+)*(?:[-+][0-9A-Za-z.-]+)?$`)
	numbers     = regexp.MustCompile(`\d+`)
)

// isEnv reports whether a name is an environment of the inventory or a known word.
func (p *placer) isEnv(name string) bool {
	return p.opt.Inventory.hasEnv(name) || isEnvName(name)
}

// markEnvs finds the environment directories: children of a container such as
// overlays, and siblings of which at least two are named by environment words.
func (p *placer) markEnvs() {
	single := map[int][]int32{} // depth -> lone candidates
	depthWith := map[int]bool{}
	for i := range p.t.folders {
		name := p.t.folders[i].name
		kids := p.children[i]
		_, container := envContainers[strings.ToLower(name)]
		var words, others []int32
		for _, c := range kids {
			child := p.t.folders[c].name
			switch {
			case notEnv[strings.ToLower(child)] || strings.HasPrefix(child, "."):
			case p.isEnv(child):
				words = append(words, c)
			default:
				others = append(others, c)
			}
		}
		depth := strings.Count(p.paths[i], "/") + 1
		if p.paths[i] == "" {
			depth = 0
		}
		switch {
		case container && len(words)+len(others) >= 2 && (len(words) > 0 || strings.HasPrefix(name, "overlay")):
			for _, c := range append(words, others...) {
				p.envDir[c] = true
			}
		case len(words) >= 2 && (container || slices.ContainsFunc(words, p.numbered) || p.configured(words)):
			for _, c := range words {
				p.envDir[c] = true
			}
			depthWith[depth] = true
		case len(words) == 1:
			single[depth] = append(single[depth], words[0])
		}
	}
	for depth, list := range single {
		for _, c := range list {
			if depthWith[depth] || p.opt.Inventory.hasEnv(p.t.folders[c].name) || len(list) >= 3 || p.numbered(c) {
				p.envDir[c] = true
			}
		}
	}
	for i := len(p.t.folders) - 1; i > 0; i-- {
		if p.envDir[i] || p.hasEnv[i] {
			p.hasEnv[p.t.folders[i].parent] = true
		}
	}
}

// isVersion reports whether a directory is named like a version.
func isVersion(name string) bool {
	return name != "" && (name[0] == 'v' || name[0] >= '0' && name[0] <= '9') && versionName.MatchString(name)
}

// stemOf returns a name with # for each number in it.
func stemOf(name string) string {
	digit := func(i int) bool { return i < len(name) && name[i] >= '0' && name[i] <= '9' }
	var stem []byte
	kept := 0 // up to where name is in stem
	for i := 0; i < len(name); i++ {
		if !digit(i) {
			continue
		}
		stem = append(append(stem, name[kept:i]...), '#')
		for digit(i + 1) {
			i++
		}
		kept = i + 1
	}
	if kept == 0 {
		return name
	}
	return string(append(stem, name[kept:]...))
}

// numbered reports whether at least two subdirectories differ only in numbers.
func (p *placer) numbered(f int32) bool {
	seen := map[string]bool{}
	for _, c := range p.children[f] {
		name := p.t.folders[c].name
		stem := stemOf(name)
		if stem != name && seen[stem] {
			return true
		}
		seen[stem] = true
	}
	return false
}

// markInstances finds instance directories among the children of f: those the
// inventory knows, and those whose names differ only in numbers and whose
// files have the same names.
func (p *placer) markInstances(f int32, service string) bool {
	byStem := map[string][]int32{}
	any := false
	for _, c := range p.children[f] {
		name := p.t.folders[c].name
		if p.opt.Inventory.hasInstance(service, name) {
			p.instDir[c], any = true, true
			continue
		}
		if stem := stemOf(name); stem != name && !isVersion(name) {
			byStem[stem] = append(byStem[stem], c)
		}
	}
	for stem, list := range byStem {
		own := service != "" && strings.Trim(stem, "-_.#") == strings.Trim(stemOf(service), "-_.#")
		if len(list) < 2 && !own || len(list) >= 2 && !own && !p.alike(list) {
			continue
		}
		for _, c := range list {
			p.instDir[c], any = true, true
		}
	}
	return any
}

// alike reports whether at least two of the directories have a file, or a
// directory with a file, of the same name.
func (p *placer) alike(list []int32) bool {
	if len(list) >= 2 && p.twins(list[0], list[1]) {
		return true
	}
	seen := map[string]bool{}
	for _, c := range list {
		own := map[string]bool{}
		for _, e := range p.files[c] {
			own[p.t.entries[e].name] = true
		}
		for _, s := range p.children[c] {
			for _, e := range p.files[s] {
				own[p.t.folders[s].name+"/"+p.t.entries[e].name] = true
			}
		}
		for n := range own {
			if seen[n] {
				return true
			}
		}
		for n := range own {
			seen[n] = true
		}
	}
	return false
}

// twins is a quick test for what nearly all instances have: a first file, there
// or one directory below, of the same name.
func (p *placer) twins(a, b int32) bool {
	same := func(a, b int32) bool {
		return len(p.files[a]) > 0 && len(p.files[b]) > 0 && p.t.entries[p.files[a][0]].name == p.t.entries[p.files[b][0]].name
	}
	if same(a, b) {
		return true
	}
	return len(p.children[a]) > 0 && len(p.children[b]) > 0 && p.t.folders[p.children[a][0]].name == p.t.folders[p.children[b][0]].name && same(p.children[a][0], p.children[b][0])
}

// serviceName names the service that a directory belongs to: the nearest part
// of its path that is not a word like overlays or config.
func (p *placer) serviceName(dir string) string {
	parts := strings.Split(dir, "/")
	for i := len(parts) - 1; i >= 0; i-- {
		if parts[i] != "" && !generic[strings.ToLower(parts[i])] && !isVersion(parts[i]) {
			return parts[i]
		}
	}
	return p.opt.rootName()
}

// place assigns every directory its spot, parents first, then every file its group.
func (p *placer) place() {
	p.findManifests()
	defer p.splitVersions()
	if len(p.opt.layouts) > 0 {
		p.placeExplicit()
		return
	}
	p.markEnvs()
	for i := range p.t.folders {
		p.placeFolder(int32(i))
	}
	for i := range p.t.folders {
		s := p.spots[i]
		for _, e := range p.files[i] {
			if p.isManifest(e) {
				p.manifests = append(p.manifests, e)
				continue
			}
			if s != nil {
				p.join(e, s, p.below[i], true)
			}
		}
		if s == nil || s.instance == "" && s.env == "" {
			p.placeNames(int32(i))
		}
		if s != nil && len(p.files[i]) == 0 && len(p.children[i]) == 0 && p.below[i] == "" && s.instance != "" {
			p.emptySpots = append(p.emptySpots, s)
		}
	}
	p.strays()
}

func (p *placer) isManifest(e int32) bool {
	n := p.t.entries[e].name
	return (n == "service.yaml" || n == "service.yml") && p.t.entries[e].kind == regular && p.t.manifest(e) != nil
}

func (p *placer) placeFolder(f int32) {
	parent := p.t.folders[f].parent
	name := p.t.folders[f].name
	var s spot
	var below string
	if parent >= 0 && p.spots[parent] != nil {
		above := p.spots[parent]
		if below = p.below[parent]; above.instance != "" && (above.env != "" || !p.envDir[f]) { // all below an instance is one spot
			p.spots[f], p.below[f] = above, name
			if below != "" {
				p.below[f] = below + "/" + name
			}
			return
		}
		s = *above
	}
	switch {
	case parent < 0:
	case s.env == "" && p.envDir[f]:
		if s.home == "" || s.version == "" {
			s.home = p.paths[parent] + "\x00"
		}
		if s.service == "" {
			s.service = p.serviceName(p.paths[parent])
		}
		s.env, s.folder, below = name, p.paths[f], ""
		s.layout = "{service}/{env}"
		if l, ok := envContainers[strings.ToLower(p.t.folders[parent].name)]; ok {
			s.layout = l
		}
	case s.instance == "" && p.instDir[f]:
		s.instance, s.folder, below = name, p.paths[f], ""
		if s.home == "" {
			s.home, s.service = p.paths[parent]+"\x00", p.serviceName(p.paths[parent])
		}
		if s.env != "" {
			s.layout += "/{instance}"
		} else {
			s.layout = "{service}/{instance}"
		}
	case s.env == "" && s.instance == "" && p.hasEnv[f] && isVersion(name):
		s.version, s.home, s.service = name, p.paths[parent]+"\x00", p.serviceName(p.paths[parent])
		kept := s
		p.spots[f] = &kept
		return
	case s.env != "" || s.instance != "":
		if s.env != "" && s.instance == "" && below == "" && (generic[strings.ToLower(p.t.folders[p.parentOfEnv(f)].name)] || p.parentOfEnv(f) == 0) && !generic[strings.ToLower(name)] {
			s.service = name // env first: environments/prod/checkout
		}
		below = path.Join(below, name)
	default:
		if p.hasEnv[f] {
			return
		}
	}
	if s.instance == "" && (s.env != "" || !p.hasEnv[f] && parent >= 0 || parent < 0 && !p.hasEnv[f]) {
		p.markInstances(f, p.serviceGuess(&s, f))
	}
	if s.env != "" || s.instance != "" {
		kept := s // only what is kept is allocated
		p.spots[f], p.below[f] = &kept, below
	}
}

func (p *placer) serviceGuess(s *spot, f int32) string {
	if s.service != "" {
		return s.service
	}
	return p.serviceName(p.paths[f])
}

// parentOfEnv returns the folder that holds the environment directory above f.
func (p *placer) parentOfEnv(f int32) int32 {
	for ; f > 0; f = p.t.folders[f].parent {
		if p.envDir[f] {
			return p.t.folders[f].parent
		}
	}
	return 0
}

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

// strays finds files beside the layout that nearly the whole tree follows.
func (p *placer) strays() {
	in := 0
	for _, g := range p.groups {
		for _, m := range g.members {
			if m.spot.instance != "" && g.fleet {
				in++
			}
		}
	}
	if in == 0 || in*10 < len(p.t.entries)*9 {
		return
	}
	for i := range p.t.folders {
		s := p.spots[i]
		if s == nil || s.instance != "" || s.env == "" {
			continue
		}
		for _, e := range p.files[i] {
			if p.t.entries[e].kind == regular && !p.isManifest(e) && p.below[i] == "" {
				p.stray = append(p.stray, e)
			}
		}
	}
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

func (p *placer) placeExplicit() {
	spots := map[spot]*spot{}
	for e := range p.t.entries {
		full := p.t.path(int32(e))
		if p.isManifest(int32(e)) {
			p.manifests = append(p.manifests, int32(e))
			continue
		}
		ok := false
		for _, l := range p.opt.layouts {
			s, rel, fits := l.place(full)
			if !fits {
				continue
			}
			if s.service == "" {
				s.service = p.opt.rootName()
			}
			shared := spots[s]
			if shared == nil {
				shared = &s
				spots[s] = shared
			}
			p.found[l.text]++
			key := groupKey{s.home, s.version, "", rel}
			g := p.groups[key]
			if g == nil {
				g = &group{service: s.service, version: s.version, home: s.home, rel: rel, fleet: s.folder != "", base: -1, layout: l.text}
				p.groups[key] = g
			}
			g.members = append(g.members, member{int32(e), shared})
			if s.env != "" {
				p.envs[s.env] = true
			}
			ok = true
			break
		}
		if !ok {
			p.stray = append(p.stray, int32(e))
		}
	}
	p.emptyExplicit()
}

// emptyExplicit finds instances of an explicit layout that have a directory but no file.
func (p *placer) emptyExplicit() {
	for i := range p.t.folders {
		if len(p.files[i]) > 0 || len(p.children[i]) > 0 || p.paths[i] == "" {
			continue
		}
		for _, l := range p.opt.layouts {
			tail := l.text
			if k := strings.LastIndex(tail, "{instance}"); k >= 0 {
				tail = strings.Trim(tail[k+len("{instance}"):], "/")
			} else {
				continue
			}
			probe := path.Join(p.paths[i], strings.ReplaceAll(tail, "{file...}", "x"))
			if s, _, ok := l.place(probe); ok && s.instance != "" && s.folder == p.paths[i] {
				p.emptySpots = append(p.emptySpots, &s)
				break
			}
		}
	}
}

// parsedName reports whether a file is configuration by its name.
func parsedName(name string) bool {
	return format.Detect(name, nil) != format.Text || slices.Contains([]string{".conf", ".cfg", ".config"}, path.Ext(name))
}
