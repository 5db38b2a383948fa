package cgroupctl

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// A Stray is one difference between the file and the machine.
type Stray struct {
	Kind  string `json:"kind" doc:"limit, membership or ownership"`
	Slice string `json:"slice"`
	Path  string `json:"path,omitempty" doc:"the control file or folder"`
	PID   int    `json:"pid,omitempty"`
	What  string `json:"what"`
}

// Drift lists what has strayed from the file: limits that read otherwise, marks
// that are gone, processes that are in a slice by some controllers only, as after
// a set-property of systemd, and processes that match a slice and are outside.
func (t *Tree) Drift() ([]Stray, error) {
	plan, err := t.Plan()
	if err != nil {
		return nil, err
	}
	out := []Stray{}
	for _, c := range plan.Changes {
		s := Stray{Kind: "limit", Slice: t.sliceOf(c.Path), Path: c.Path}
		switch c.Op {
		case OpMkdir:
			s.Kind, s.What = "ownership", "the folder is not there"
		case OpStart:
			s.Kind, s.What = "ownership", "the unit is not there"
		case OpMark:
			if strings.HasSuffix(c.Attr, intentSuffix) || slices.ContainsFunc(out, func(o Stray) bool { return o.Path == c.Path }) {
				continue // a step of making a folder that has been named
			}
			s.Kind, s.What = "ownership", "the mark is of another file"
			if c.Old == "" {
				s.What = "the mark is missing"
			}
		case OpUnmark:
			if c.Old == "" {
				continue
			}
			s.Kind, s.What = "ownership", "left behind by a run that ended: "+c.Attr
		case OpSet, OpWrite:
			if c.Attr == descriptionProperty {
				s.Kind, s.What = "ownership", "the mark is of another file"
				break
			}
			if slices.ContainsFunc(out, func(o Stray) bool { return o.Path == path.Dir(c.Path) }) {
				continue // its folder has been named
			}
			s.What = fmt.Sprintf("reads %q, wanted %q", c.Old, c.New)
		}
		out = append(out, s)
	}
	strays, err := t.straying()
	return append(out, strays...), err
}

// sliceOf returns the name of the slice that a path belongs to.
func (t *Tree) sliceOf(p string) string {
	for _, h := range t.host.Hierarchies {
		for _, g := range t.groups()[1:] {
			if folder := t.folder(h, g.name); p == folder || strings.HasPrefix(p, folder+"/") {
				return g.name
			}
		}
	}
	return ""
}

// straying looks at every process that is in a slice or should be.
func (t *Tree) straying() ([]Stray, error) {
	var out []Stray
	table, err := t.host.processes()
	if err != nil {
		return nil, refuse("walk the process table").because(err)
	}
	named := map[int]bool{}
	name := func(pid int, slice, format string, args ...any) {
		if p, ok := table[pid]; ok && !p.gone() && !named[pid] {
			named[pid] = true
			out = append(out, Stray{Kind: "membership", Slice: slice, PID: pid, What: fmt.Sprintf(format, args...)})
		}
	}
	for _, g := range t.groups() {
		if g.name == "" {
			for _, pid := range t.members("") {
				name(pid, "", "is in the parent folder, in no slice")
			}
			continue
		}
		want := foldersOf(t, g.name)
		for _, pid := range t.members(g.name) {
			if at := t.host.placed(pid); at != nil && !t.within(at, want) {
				name(pid, g.name, "is outside in %s", t.differing(at, want))
			}
		}
		if g.online == nil || g.online.Match == nil {
			continue
		}
		pids, err := t.Matching(g.online.Match)
		if err != nil {
			return nil, err
		}
		for _, pid := range pids {
			if at := t.host.placed(pid); at != nil && !t.within(at, want) {
				name(pid, g.name, "matches %q and is outside in %s", g.online.Match, t.differing(at, want))
			}
		}
	}
	return out, nil
}

// differing names the controllers in which at is not want.
func (t *Tree) differing(at, want []string) string {
	var out []string
	for i, h := range t.host.Hierarchies {
		if at[i] != want[i] {
			if h.Version == 2 {
				return at[i]
			}
			out = append(out, h.Controllers...)
		}
	}
	return strings.Join(out, ", ")
}
