package lint

import (
	"maps"
	"regexp"
	"strings"
)

var (
	versionName = regexp.MustCompile(`^v?\d+\.\d+(?:\.\d+)*(?:[-+][0-9A-Za-z.-]+)?$`)
	numbers     = regexp.MustCompile(`\d+`)
)

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
	return shareName(list, func(c int32, names map[string]bool) {
		for _, e := range p.files[c] {
			names[p.t.entries[e].name] = true
		}
		for _, s := range p.children[c] {
			for _, e := range p.files[s] {
				names[p.t.folders[s].name+"/"+p.t.entries[e].name] = true
			}
		}
	})
}

// shareName reports whether two of the directories have a name in common, among
// those that collect adds.
func shareName(list []int32, collect func(c int32, names map[string]bool)) bool {
	seen := map[string]bool{}
	for _, c := range list {
		own := map[string]bool{}
		collect(c, own)
		for n := range own {
			if seen[n] {
				return true
			}
		}
		maps.Copy(seen, own)
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
