package cgroupctl

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Where systemd runs the machine on cgroup v2, the whole tree is its own: it
// writes the control files of its units again with every daemon-reload. There a
// slice is a slice unit, a property is set where elsewhere a file is written, and
// processes join by a transient scope below the slice. The control files are only
// read. memory.oom.group is no property of a slice: the scopes of offline work
// are delegated to wxops, which fences each in a folder of its own there, so that
// a job dies as a whole. cpu.max.burst belongs to the folder with the limit, a
// unit's; it is left out, and said.
//
// On v1 and hybrid machines systemd manages no cpuset, no freezer, no cpu.idle and
// no burst, so that a slice could not be a unit there: wxops keeps folders of its
// own beside those of the units.

// units is the part of systemd's bus interface that slices need,
// org.freedesktop.systemd1(5).
type units interface {
	// Description of a unit, "" when it is not active.
	Description(unit string) (string, error)
	// Slice starts a slice unit.
	Slice(unit, description string) error
	// Scope starts a scope in a slice unit with one process in it; what is below
	// the folder of a delegated one is left alone by systemd.
	Scope(unit, slice, description string, pid int, delegated bool) error
	// Attach moves one more process into a scope or service, or into a folder
	// below it, as /job.
	Attach(unit, below string, pid int) error
	Set(unit string, properties []property) error
	Freeze(unit string, frozen bool) error
	Stop(unit string) error
}

// A property of a unit: a uint64, a string, bytes or a list of ioLimit.
type property struct {
	name  string
	value any
}

// ioLimit is one element of IOReadBandwidthMax.
type ioLimit struct {
	Path string
	Rate uint64 // bytes per second
}

// unitMark begins the description of every unit that wxops starts.
const unitMark = "wxops "

// descriptionProperty carries the mark of a unit, as an extended attribute does
// that of a folder: it is there from the unit's first moment.
const descriptionProperty = "Description"

// unitName returns the slice unit of a group; systemd places wxops-web.slice
// below wxops.slice by its name.
func (t *Tree) unitName(name string) string {
	escape := func(s string) string { return strings.ReplaceAll(s, "-", `\x2d`) }
	if name == "" {
		return escape(t.spec.Parent) + ".slice"
	}
	return escape(t.spec.Parent) + "-" + escape(name) + ".slice"
}

// groupName is the inverse of unitName for the folders below the parent.
func (t *Tree) groupName(folder string) string {
	rest, ok := strings.CutPrefix(folder, strings.TrimSuffix(t.unitName(""), ".slice")+"-")
	if name, slice := strings.CutSuffix(rest, ".slice"); ok && slice {
		return strings.ReplaceAll(name, `\x2d`, "-")
	}
	return folder
}

// unitState is state for a unit's folder.
func (t *Tree) unitState(folder string) (state, string, error) {
	text, err := t.host.units.Description(path.Base(folder))
	mark, own := strings.CutPrefix(text, unitMark)
	switch {
	case err != nil || text == "":
		return absent, "", err
	case own:
		return ours, mark, nil
	}
	return foreign, "", nil
}

// unitsOf plans the units of all groups.
func (p *planner) unitsOf(h Hierarchy, groups []group) error {
	for _, g := range groups {
		folder := p.folder(h, g.name)
		st, mark, err := p.state(folder)
		switch {
		case err != nil:
			return p.denied("look at unit "+path.Base(folder), folder, err)
		case st == foreign:
			return refuse("unit %s was not started by wxops, and is left alone", path.Base(folder)).hint("choose another parent or name, or stop the unit yourself")
		case st == absent:
			p.early = append(p.early, Change{Op: OpStart, Path: folder, Attr: descriptionProperty, New: unitMark + g.mark()})
		case mark != g.mark():
			p.late = append(p.late, Change{Op: OpSet, Path: folder, Attr: descriptionProperty, Old: unitMark + mark, New: unitMark + g.mark()})
		}
		if err := p.group(h, g, st); err != nil {
			return err
		}
	}
	return nil
}

// unitDefault says what stands for a control file that a unit's folder lacks:
// systemd switches a controller on when the first unit asks for it.
func (p *planner) unitDefault(folder string, s setting) (text string, have bool) {
	controller, _, _ := strings.Cut(s.file, ".")
	on, err := read(p.host.FS, path.Join(path.Dir(folder), "cgroup.subtree_control"))
	if s.optional && err == nil && slices.Contains(strings.Fields(on), controller) {
		return "", false // this kernel has no such file
	}
	return s.def, true
}

// properties returns what makes systemd write want to a control file.
func properties(file, want string) ([]property, error) {
	number := func(s string) (uint64, error) {
		if s == "max" {
			return math.MaxUint64, nil
		}
		return strconv.ParseUint(s, 10, 64)
	}
	one := map[string]string{
		"cpu.weight": "CPUWeight", "memory.low": "MemoryLow", "memory.high": "MemoryHigh", "memory.max": "MemoryMax", "io.weight": "IOWeight",
	}
	words := strings.Fields(want)
	switch {
	case one[file] != "" && len(words) > 0:
		v, err := number(words[len(words)-1]) // io.weight reads "default 1"
		return []property{{one[file], v}}, err
	case file == "cpu.idle" && want == "1":
		return []property{{"CPUWeight", uint64(0)}}, nil // CPUWeight=idle, since systemd 252
	case file == "cpu.idle":
		return []property{{"CPUWeight", uint64(100)}}, nil
	case file == "cpu.max" && len(words) == 2:
		quota, err := number(words[0])
		if quota != math.MaxUint64 {
			quota = quota * 1_000_000 / period
		}
		return []property{{"CPUQuotaPerSecUSec", quota}}, err
	case file == "cpuset.cpus":
		cores, err := parseCPUs(want)
		mask := []byte{}
		for _, c := range cores {
			mask = append(mask, make([]byte, max(0, c/8+1-len(mask)))...)
			mask[c/8] |= 1 << (c % 8)
		}
		return []property{{"AllowedCPUs", mask}}, err
	case file == "io.max" && len(words) == 3:
		var out []property
		for i, name := range []string{"IOReadBandwidthMax", "IOWriteBandwidthMax"} {
			_, rate, _ := strings.Cut(words[i+1], "=")
			v, err := number(rate)
			if err != nil {
				return nil, err
			}
			out = append(out, property{name, []ioLimit{{"/dev/block/" + words[0], v}}})
		}
		return out, nil
	}
	return nil, fmt.Errorf("systemd has no property of a slice that writes %s", file)
}

// write gives a control file a value, by the property of its unit where the
// folder is one.
func (t *Tree) write(file, data string) error {
	if t.host.units == nil {
		return t.host.FS.WriteFile(file, data)
	}
	unit := path.Base(path.Dir(file))
	if path.Base(file) == "cgroup.freeze" {
		return t.host.units.Freeze(unit, data == "1")
	}
	p, err := properties(path.Base(file), data)
	if err != nil {
		return err
	}
	return t.host.units.Set(unit, p)
}

// asProperty turns a planned write of a control file into one of a property; a
// file that systemd has none for stays as it is, and is named.
func (p *planner) asProperty(c Change) (Change, bool) {
	if p.host.units == nil {
		return c, true
	}
	c.Op = OpSet
	switch path.Base(c.Path) {
	case "cgroup.freeze":
		c.Attr = "FreezerState"
		return c, true
	case "memory.oom.group":
		return c, false // each job has its own, see fence
	}
	list, err := properties(path.Base(c.Path), c.New)
	if err != nil {
		p.plan.Warnings = append(p.plan.Warnings, fmt.Sprintf("%s stays at %q: %v", c.Path, c.Old, err))
		return c, false
	}
	for i, l := range list {
		if i > 0 {
			c.Attr += ","
		}
		c.Attr += l.name
	}
	return c, true
}

// scope starts a scope below a slice unit with one process, and returns its
// name. PID and start together are never used twice.
func (t *Tree) scope(slice string, p process) (string, error) {
	stem := "evacuated"
	if slice != rootSlice {
		stem = strings.TrimSuffix(slice, ".slice")
	}
	name := fmt.Sprintf("%s-%d-%d.scope", stem, p.pid, p.start)
	err := t.host.units.Scope(name, slice, "Processes placed by wxops", p.pid, t.fenced(slice))
	if err == nil && t.fenced(slice) {
		err = t.fence(path.Join(t.folder(t.host.Hierarchies[0], t.spec.Offline.Name), name))
	}
	return name, err
}

// fenced reports whether a slice unit is the one of offline work.
func (t *Tree) fenced(slice string) bool {
	return t.spec.Offline != nil && slice == t.unitName(t.spec.Offline.Name)
}

// job is the folder of wxops' own in a delegated scope.
const job = "/job"

// fence moves the processes of a scope into one folder that the kernel kills as a
// whole when memory runs out. What they fork meanwhile is born where they are.
func (t *Tree) fence(scope string) error {
	f := t.host.FS
	if err := f.Mkdir(scope + job); err != nil {
		return err
	}
	for range cleanPasses {
		for _, pid := range t.pids(scope) {
			if err := f.WriteFile(scope+job+"/cgroup.procs", strconv.Itoa(pid)); err != nil && !isGone(err) {
				return err
			}
		}
	}
	if err := f.WriteFile(scope+"/cgroup.subtree_control", "+memory"); err != nil {
		return err
	}
	return f.WriteFile(scope+job+"/memory.oom.group", "1")
}

// rootSlice is the unit of the root of the tree.
const rootSlice = "-.slice"

// join brings a process into the slice of the walk; the first one starts the
// walk's scope, the others follow it.
func (w *walk) join(p process) error {
	if w.scope != "" {
		below := ""
		if w.fenced(path.Base(w.want[0])) {
			below = job
		}
		err := w.host.units.Attach(w.scope, below, p.pid)
		if now, e := w.host.process(p.pid); err == nil || e != nil || now.gone() {
			return nil
		}
		// The scope ends with its last process: then another begins.
	}
	name, err := w.Tree.scope(path.Base(w.want[0]), p)
	if err == nil {
		w.scope = name
	}
	return err
}

// within reports whether a process placed at at is in a slice: in its folders,
// or below them where a slice is a unit with scopes in it.
func (t *Tree) within(at, want []string) bool {
	if t.host.units == nil {
		return slices.Equal(at, want)
	}
	return len(at) == 1 && (at[0] == want[0] || strings.HasPrefix(at[0], want[0]+"/"))
}

// below lists the processes in a folder and, for the folder of a unit, in the
// scopes below it.
func (t *Tree) below(folder string) []int {
	out := t.pids(folder)
	if t.host.units != nil {
		names, _ := t.host.FS.Folders(folder)
		for _, n := range names {
			out = append(out, t.below(path.Join(folder, n))...)
		}
	}
	return out
}

// stop ends the unit of a folder that holds no process any more.
func (t *Tree) stop(folder string, r *Removed) error {
	if pids := t.below(folder); len(pids) > 0 {
		return refuse("unit %s is busy: %s", path.Base(folder), somePIDs(pids))
	}
	if err := t.host.units.Stop(path.Base(folder)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return t.denied("stop unit "+path.Base(folder), folder, err)
	}
	r.Folders = append(r.Folders, folder)
	return nil
}
