package lint

import (
	"path"
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

// generic are directory names that do not name a service.
var generic = map[string]bool{
	"overlays": true, "overlay": true, "environments": true, "environment": true, "envs": true, "env": true, "inventories": true, "stages": true,
	"config": true, "configs": true, "conf": true, "deploy": true, "deployment": true, "deployments": true, "k8s": true, "kubernetes": true, "kustomize": true,
	"helm": true, "chart": true, "charts": true, "values": true, "resources": true, "main": true, "src": true, "group_vars": true, "host_vars": true,
	"hieradata": true, "hiera": true, "data": true, "nodes": true, "settings": true, "manifests": true, "infra": true, "terraform": true, "ansible": true, "app": false,
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
	}
	if s.instance == "" && (s.env != "" || !p.hasEnv[f]) {
		service := s.service
		if service == "" {
			service = p.serviceName(p.paths[f])
		}
		p.markInstances(f, service)
	}
	if s.env != "" || s.instance != "" {
		kept := s // only what is kept is allocated
		p.spots[f], p.below[f] = &kept, below
	}
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

// parsedName reports whether a file is configuration by its name.
func parsedName(name string) bool {
	return format.Detect(name, nil) != format.Text || slices.Contains([]string{".conf", ".cfg", ".config"}, path.Ext(name))
}
