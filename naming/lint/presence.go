package lint

import (
	"cmp"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wxops/wxops/naming/lint/format"
)

// A unit is one version of a service with all its files and places.
type unit struct {
	groups []*group
	places []*placeState
	index  map[placeKey]*placeState // of places, once there are more than fewPlaces
	at     int                      // the place that the next member of a group mostly has
}

// fewPlaces are searched one by one; nearly every service has no more, and a
// map for each would be a tenth of the memory of a run.
const fewPlaces = 32

type placeKey struct{ env, region, instance string }

func keyOf(s *spot) placeKey { return placeKey{s.env, s.region, s.instance} }

type placeState struct {
	spot    *spot
	folders map[string]bool // directories below the spot that hold a file; see findFolders
	files   int             // groups that have a member here
	last    *group          // that group itself
	missing []*group
	extra   []*group
}

// links remembers what symbolic links point at: such a file is no stray.
func (l *linter) links(groups []*group) {
	if l.root == "" {
		return
	}
	for _, g := range groups {
		for _, m := range g.members {
			if l.t.entries[m.entry].kind != symlink {
				continue
			}
			p := l.t.path(m.entry)
			if target := readlink(l.root, p); target != "" && !filepath.IsAbs(target) {
				l.targets[path.Join(path.Dir(p), filepath.ToSlash(target))] = true
			}
		}
	}
}

// presence reports files that are missing, extra or renamed and returns the
// entries that those findings explain.
func (l *linter) presence(groups []*group) map[int32]bool {
	units := map[[2]string]*unit{}
	var order []*unit
	at := func(home, version string) *unit {
		k := [2]string{home, version}
		u := units[k]
		if u == nil {
			u = &unit{}
			units[k] = u
			order = append(order, u)
		}
		return u
	}
	for _, g := range groups {
		if !g.fleet || g.family != "" {
			continue
		}
		u := at(g.home, g.version)
		u.groups = append(u.groups, g)
		u.at = 0
		for _, m := range g.members {
			st := u.place(m.spot)
			if st.last != g {
				st.last = g
				st.files++
			}
		}
	}
	for _, s := range l.p.emptySpots {
		if u := units[[2]string{s.home, s.version}]; u != nil {
			u.place(s)
		}
	}
	explained := map[int32]bool{}
	for _, u := range order {
		if len(u.places) >= 2 {
			l.unit(u, explained)
		}
	}
	return explained
}

// place returns the state of a place, a new one if the unit did not have it.
// Groups have their members in one order, so it mostly is the next one.
func (u *unit) place(s *spot) *placeState {
	for range 2 {
		if u.at < len(u.places) {
			st := u.places[u.at]
			if u.at++; st.spot == s {
				return st
			}
		}
	}
	st := u.find(s)
	if st == nil {
		st = &placeState{spot: s}
		u.places = append(u.places, st)
		switch {
		case u.index != nil:
			u.index[keyOf(s)] = st
		case len(u.places) > fewPlaces:
			u.index = map[placeKey]*placeState{}
			for _, st := range u.places {
				u.index[keyOf(st.spot)] = st
			}
		}
	}
	return st
}

// find returns the state of a place, nil if the unit does not have it.
func (u *unit) find(s *spot) *placeState {
	k := keyOf(s)
	if u.index != nil {
		return u.index[k]
	}
	for _, st := range u.places {
		if keyOf(st.spot) == k {
			return st
		}
	}
	return nil
}

// dropOutside takes out the places that are no instance.
func (u *unit) dropOutside() {
	u.places = slices.DeleteFunc(u.places, func(st *placeState) bool {
		if st.spot.instance == "" {
			delete(u.index, keyOf(st.spot))
			return true
		}
		return false
	})
}

// findFolders notes which directories each place has. Only the names of what
// is missing need it.
func (u *unit) findFolders() {
	for _, g := range u.groups {
		for _, m := range g.members {
			st := u.find(m.spot)
			if st == nil {
				continue
			}
			if st.folders == nil {
				st.folders = map[string]bool{}
			}
			for d := path.Dir(g.rel); !st.folders[d]; d = path.Dir(d) {
				st.folders[d] = true
			}
		}
	}
}

// has returns the member of a group at this place.
func (st *placeState) has(g *group) member {
	for i := len(g.members) - 1; i >= 0; i-- {
		if s := g.members[i].spot; s == st.spot || keyOf(s) == keyOf(st.spot) {
			return g.members[i]
		}
	}
	return member{entry: -1}
}

// unit reports what one version of a service lacks or has too much.
func (l *linter) unit(u *unit, explained map[int32]bool) {
	withInstances := slices.ContainsFunc(u.places, func(st *placeState) bool { return st.spot.instance != "" })
	if withInstances { // what lies beside the instances is no instance
		u.dropOutside()
	}
	l.judge(u, withInstances)
	type cause struct{ rule, what string }
	var found causes[cause]
	put := func(rule, what string, g *group, path string) *Finding {
		f := found.at(cause{rule, what}, func() Finding {
			return Finding{Rule: rule, Service: g.service, Version: cmp.Or(g.version, l.p.versionOf(g)), file: g.home + "/" + what}
		})
		f.Paths = append(f.Paths, path)
		return f
	}
	total, overlaid := len(u.places), u.overlaid()
	for _, st := range u.places {
		if !withInstances && st.files*10 < len(u.groups)*3 {
			continue // an environment of another kind: nothing to expect from it
		}
		l.renames(st, explained)
		if overlaid {
			continue
		}
		for _, miss := range st.missingTops() {
			if p := path.Join(st.spot.folder, miss.path); l.wanted(p, miss.group) {
				f := put("WX501", miss.path, miss.group, p)
				f.Message = fmt.Sprintf("%s: missing in %d of %d %s of %s (%s)", miss.path, len(f.Paths), total, unitWord(withInstances), f.Service, lastLabel(f, st))
			}
		}
		for _, g := range st.extra {
			m := st.has(g)
			if p := l.t.path(m.entry); !explained[m.entry] && !leftover(path.Base(g.rel)) && !l.targets[p] && l.wanted(p, g) {
				f := put("WX502", g.rel, g, p)
				f.Message = fmt.Sprintf("%s: only in %d of %d %s of %s", g.rel, len(f.Paths), total, unitWord(withInstances), g.service)
			}
		}
	}
	for f := range found.all {
		l.add(*f)
	}
}

// judge notes for each place of a unit which files it lacks because most places
// have them, and which it has that most do not have.
func (l *linter) judge(u *unit, withInstances bool) {
	lacking := false
	for _, g := range u.groups {
		if !withInstances && !expected(g.rel) {
			continue
		}
		most := 2*len(g.members) > len(u.places)
		switch {
		case len(g.members) == len(u.places), most && leftover(path.Base(g.rel)):
		case most:
			for _, m := range g.members {
				if st := u.find(m.spot); st != nil {
					st.last = g
				}
			}
			for _, st := range u.places {
				if st.last != g {
					st.missing = append(st.missing, g)
					lacking = true
				}
			}
		default:
			for _, m := range g.members {
				kind := l.t.entries[m.entry].kind
				if st := u.find(m.spot); st != nil && kind != symlink && kind != special {
					st.extra = append(st.extra, g)
				}
			}
		}
	}
	if lacking {
		u.findFolders()
	}
}

// expected reports whether a file of one environment can be expected in the
// others: configuration, and not that of one host.
func expected(rel string) bool {
	if slices.ContainsFunc(strings.Split(path.Dir(rel), "/"), func(d string) bool { return hostFolders[strings.ToLower(d)] }) {
		return false
	}
	return parsedName(path.Base(rel)) || format.Detect(rel, nil) == format.Env
}

// wanted reports whether the file belongs to what the run is about.
func (l *linter) wanted(p string, g *group) bool {
	if l.opt.Changed == nil {
		return true
	}
	return l.opt.Changed[p] || l.concerns(g)
}

func unitWord(instances bool) string {
	if instances {
		return "instances"
	}
	return "environments"
}

// lastLabel names the place that a finding is about, or the last of several.
func lastLabel(f *Finding, st *placeState) string {
	if len(f.Paths) == 1 {
		return st.spot.label()
	}
	return "the last is " + st.spot.label()
}

type missingTop struct {
	path  string
	group *group
}

// missingTops names what is missing once: a directory that is not there stands
// for its files.
func (st *placeState) missingTops() []missingTop {
	var out []missingTop
	seen := map[string]bool{}
	for _, g := range st.missing {
		top := g.rel
		for d := path.Dir(g.rel); d != "." && !st.folders[d]; d = path.Dir(d) {
			top = d
		}
		if !seen[top] {
			seen[top] = true
			out = append(out, missingTop{top, g})
		}
	}
	return out
}

// renames pairs a missing file with an extra one that has the bytes most
// copies of the missing one have.
func (l *linter) renames(st *placeState, explained map[int32]bool) {
	for i := 0; i < len(st.missing); i++ {
		g := st.missing[i]
		want, ok := l.common(g)
		if !ok || want.size == 0 {
			continue
		}
		j := slices.IndexFunc(st.extra, func(x *group) bool {
			e := l.t.entries[st.has(x).entry]
			return e.content >= 0 && l.t.contents[e.content].sum == want
		})
		if j < 0 {
			continue
		}
		m := st.has(st.extra[j])
		explained[m.entry] = true
		is := l.t.path(m.entry)
		should := path.Join(st.spot.folder, g.rel)
		if l.wanted(is, g) {
			l.add(Finding{
				Rule: "WX503", Service: g.service, Version: cmp.Or(g.version, l.p.versionOf(g)), Paths: []string{should, is}, Places: 1, file: g.home + "/" + g.rel,
				Message: fmt.Sprintf("%s: renamed in %s: %s has the same MD5", g.rel, st.spot.label(), path.Base(is)),
			})
		}
		st.missing = slices.Delete(st.missing, i, i+1)
		st.extra = slices.Delete(st.extra, j, j+1)
		i--
	}
}

// common returns the sum that most copies of a file have.
func (l *linter) common(g *group) (sum, bool) {
	count := map[sum]int{}
	var best sum
	for _, m := range g.members {
		if id := l.t.entries[m.entry].content; id >= 0 {
			s := l.t.contents[id].sum
			if count[s]++; count[s] > count[best] {
				best = s
			}
		}
	}
	return best, len(count) > 0
}
