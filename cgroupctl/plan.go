package cgroupctl

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// Operations of a [Change].
const (
	OpMkdir  = "mkdir"
	OpWrite  = "write"
	OpMark   = "mark"   // set an extended attribute
	OpUnmark = "unmark" // remove one
	OpStart  = "start"  // a slice unit of systemd
	OpSet    = "set"    // a property of a unit, which writes the control file
)

// A Change is one step that makes the machine what the file says.
type Change struct {
	Op   string `json:"op" doc:"mkdir, write, mark (set an extended attribute), unmark, or under systemd start (a slice unit) and set (a property)"`
	Path string `json:"path" doc:"the folder or the control file"`
	Attr string `json:"attribute,omitempty" doc:"of the folder, for mark and unmark; the property of the unit for start and set"`
	Old  string `json:"old" doc:"as it reads now; empty where the folder is not there yet"`
	New  string `json:"new"`

	optional bool
}

// A Plan is the list of changes in the order in which they are safe.
type Plan struct {
	Changes  []Change `json:"changes"`
	Warnings []string `json:"-"`
	// BelowUse lists limits that are below what the group uses at this moment.
	// Apply refuses them unless told what to do.
	BelowUse []BelowUse `json:"below_use"`
}

// BelowUse is a memory limit that would be below use.
type BelowUse struct {
	Path       string `json:"path"`
	UsageBytes int64  `json:"usage_bytes"`
	LimitBytes int64  `json:"limit_bytes"`
}

// A Tree is a wish on a host.
type Tree struct {
	host *Host
	spec *Spec
	now  func() time.Time
}

// Open joins a wish to a host. It fails when the host cannot carry the slices.
func Open(h *Host, s *Spec) (*Tree, error) {
	if err := s.fits(h.Machine); err != nil {
		return nil, err
	}
	for _, o := range s.Online {
		if o.Pin == PinPartition && h.units != nil {
			return nil, refuse("slice %s: pin: partition is no property of a systemd unit", o.Name).hint("use pin: cores")
		}
		if o.Pin == PinPartition && h.Layout != V2 {
			return nil, refuse("slice %s: pin: partition needs cgroup v2; this machine has %s", o.Name, h.Layout).hint("use pin: cores")
		}
	}
	return &Tree{host: h, spec: s, now: time.Now}, nil
}

// folder returns the folder of a group in a hierarchy; name "" is the parent's.
func (t *Tree) folder(h Hierarchy, name string) string {
	if t.host.units != nil {
		if name == "" {
			return path.Join(h.Path, t.unitName(""))
		}
		return path.Join(h.Path, t.unitName(""), t.unitName(name))
	}
	return path.Join(h.Path, t.spec.Parent, name)
}

// state says who made a folder.
type state int

const (
	absent state = iota
	ours
	unfinished // made by a run that died before it could mark it
	foreign
	unseen // another's, or root's, whose marks do not show to this user
)

func (t *Tree) state(folder string) (state, string, error) {
	if t.host.units != nil {
		return t.unitState(folder)
	}
	ok, err := exists(t.host.FS, folder)
	if err != nil || !ok {
		return absent, "", err
	}
	for _, name := range []string{ownerAttr, ownerAttrRootless} {
		mark, err := t.host.FS.Attr(folder, name)
		if err == nil {
			return ours, mark, nil
		}
		if !errors.Is(err, errNoAttr) && !errors.Is(err, fs.ErrPermission) {
			return absent, "", err
		}
	}
	intent, err := t.host.FS.Attr(path.Dir(folder), t.host.attr+intentSuffix)
	if err == nil && slices.Contains(strings.Split(intent, ","), path.Base(folder)) {
		return unfinished, "", nil
	}
	if t.host.attr == ownerAttrRootless {
		return unseen, "", nil
	}
	return foreign, "", nil
}

// stranger is the refusal to touch a folder that is foreign or unseen.
func stranger(folder string, st state) *Error {
	if st == unseen {
		return refuse("%s is there, and whether wxops made it does not show", folder).
			because(errors.New("the marks that root sets are hidden from users without CAP_SYS_ADMIN")).hint("run as root")
	}
	return refuse("%s was not made by wxops, and is left alone", folder).hint("choose another parent or name, or remove the folder yourself")
}

// Plan compares the wish with the machine and writes nothing.
func (t *Tree) Plan() (*Plan, error) {
	p := &planner{Tree: t, plan: &Plan{BelowUse: []BelowUse{}}}
	groups := t.groups()
	var err error
	if p.lapsed, err = t.lapsed(); err != nil {
		return nil, err
	}
	for _, h := range t.host.Hierarchies {
		if err := p.hierarchy(h, groups); err != nil {
			return nil, err
		}
	}
	slices.Reverse(p.narrow)
	p.plan.Changes = slices.Concat(p.early, p.plain, p.widen, p.narrow, p.late)
	if p.plan.Changes == nil {
		p.plan.Changes = []Change{}
	}
	return p.plan, nil
}

// planner collects changes by the phase they belong to.
type planner struct {
	*Tree
	plan                              *Plan
	lapsed                            string // lease of a controller that is gone
	early, plain, widen, narrow, late []Change
}

func (p *planner) hierarchy(h Hierarchy, groups []group) error {
	if p.host.units != nil {
		return p.unitsOf(h, groups)
	}
	if err := p.controllers(h, h.Path, h.Path); err != nil {
		return err
	}
	states := make([]state, len(groups))
	missing := map[string][]string{} // folder above -> names to make below it
	for i, g := range groups {
		folder := p.folder(h, g.name)
		st, mark, err := p.state(folder)
		if err != nil {
			return p.denied("look at "+folder, folder, err)
		}
		states[i] = st
		switch {
		case st == foreign || st == unseen:
			return stranger(folder, st)
		case st == absent:
			missing[path.Dir(folder)] = append(missing[path.Dir(folder)], path.Base(folder))
		case st == ours && mark != g.mark():
			p.late = append(p.late, Change{Op: OpMark, Path: folder, Attr: p.host.attr, Old: mark, New: g.mark()})
		}
	}
	for i, g := range groups {
		folder := p.folder(h, g.name)
		above := path.Dir(folder)
		intent := p.host.attr + intentSuffix
		if names := missing[above]; states[i] == absent && names[0] == path.Base(folder) {
			p.early = append(p.early, Change{Op: OpMark, Path: above, Attr: intent, New: strings.Join(names, ",")})
		}
		switch states[i] {
		case absent:
			p.early = append(p.early, Change{Op: OpMkdir, Path: folder}, Change{Op: OpMark, Path: folder, Attr: p.host.attr, New: g.mark()})
		case unfinished:
			p.early = append(p.early, Change{Op: OpMark, Path: folder, Attr: p.host.attr, New: g.mark()})
		}
		if g.name == "" {
			if err := p.forget(h.Path, states[:1]); err != nil {
				return err
			}
			if err := p.controllers(h, folder, h.Path); err != nil {
				return err
			}
		}
	}
	if err := p.forget(p.folder(h, ""), states[1:]); err != nil {
		return err
	}
	for i, g := range groups {
		if err := p.group(h, g, states[i]); err != nil {
			return err
		}
	}
	return nil
}

// forget plans the end of an intent once all folders it names are marked.
func (p *planner) forget(above string, below []state) error {
	old, err := p.host.FS.Attr(above, p.host.attr+intentSuffix)
	if err != nil && !errors.Is(err, errNoAttr) && !errors.Is(err, fs.ErrNotExist) {
		return p.denied("look at "+above, above, err)
	}
	if err == nil || slices.Contains(below, absent) {
		p.early = append(p.early, Change{Op: OpUnmark, Path: above, Attr: p.host.attr + intentSuffix, Old: old})
	}
	return nil
}

// controllers plans cgroup.subtree_control of a v2 folder. It only ever adds.
func (p *planner) controllers(h Hierarchy, folder, root string) error {
	if h.Version != 2 {
		return nil
	}
	file := path.Join(folder, "cgroup.subtree_control")
	old, err := read(p.host.FS, file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return p.denied("read "+file, folder, err)
	}
	var add []string
	for _, c := range []string{"cpu", "memory", "cpuset", "io", "pids"} {
		if h.has(c) && !slices.Contains(strings.Fields(old), c) {
			add = append(add, "+"+c)
		}
	}
	if len(add) == 0 {
		return nil
	}
	// The kernel takes +cpu with processes inside and then lets none into a child.
	typ, err := exists(p.host.FS, path.Join(folder, "cgroup.type"))
	if err != nil {
		return p.denied("look at "+folder, folder, err)
	}
	if folder != root || typ {
		if pids := p.pids(folder); len(pids) > 0 {
			return refuse("%s holds processes itself (%s); on cgroup v2 only folders without children may", folder, somePIDs(pids)).
				hint("move them into a slice with wxops slice attach")
		}
	}
	p.early = append(p.early, Change{Op: OpWrite, Path: file, Old: old, New: strings.Join(add, " ")})
	return nil
}

// group plans the control files of one folder.
func (p *planner) group(h Hierarchy, g group, st state) error {
	folder := p.folder(h, g.name)
	want := p.settings(h, g)
	if g.offline != nil && p.lapsed != "" && st == ours {
		want = append(want, p.standing(h)...)
		if h.has("cpu") {
			p.late = append(p.late, Change{Op: OpUnmark, Path: folder, Attr: p.host.attr + leaseSuffix, Old: p.lapsed})
		}
	}
	idle, _ := read(p.host.FS, path.Join(folder, "cpu.idle"))
	var burst *Change
	var quota Change
	for _, s := range want {
		file := path.Join(folder, s.file)
		old, ok, err := p.current(folder, s, st)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		// An idle group's weight is locked; it reads 0 on v2 and 3 on v1.
		if idle == "1" && g.offline != nil && (s.file == "cpu.weight" || s.file == "cpu.shares") {
			continue
		}
		if same(s.file, old, s.want) {
			continue
		}
		c := Change{Op: OpWrite, Path: file, Old: old, New: s.want, optional: s.optional}
		var can bool
		if c, can = p.asProperty(c); !can {
			continue
		}
		tighter := narrows(s.file, old, s.want)
		if (s.file == "memory.limit_in_bytes" || s.file == "memory.max") && st != absent && tighter {
			if err := p.belowUse(h, folder, s.want); err != nil {
				return err
			}
		}
		switch {
		case s.file == "cpu.cfs_quota_us" || s.file == "cpu.max":
			quota = c
			if err := p.ancestors(h, folder, s); err != nil {
				return err
			}
		case s.file == "cpu.cfs_burst_us" || s.file == "cpu.max.burst":
			burst = &c
		case s.rank == rankLimit && tighter:
			p.narrow = append(p.narrow, c)
		case s.rank == rankLimit:
			p.widen = append(p.widen, c)
		default:
			p.plain = append(p.plain, c)
		}
	}
	p.quota(quota, burst)
	return nil
}

// current returns what a setting of a folder is now; ok is false if the machine
// does not have it and may go without.
func (p *planner) current(folder string, s setting, st state) (text string, ok bool, err error) {
	if st == absent {
		return s.def, true, nil
	}
	file := path.Join(folder, s.file)
	text, err = read(p.host.FS, file)
	switch {
	case err == nil:
		return text, true, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", false, p.denied("read "+file, folder, err)
	case p.host.units != nil:
		text, ok = p.unitDefault(folder, s)
		return text, ok, nil
	case s.optional:
		return "", false, nil
	case slices.ContainsFunc(p.early, func(c Change) bool { return c.Path == path.Join(path.Dir(folder), "cgroup.subtree_control") }):
		return s.def, true, nil // appears when the controller is switched on
	}
	return "", false, refuse("%s is not there: its controller is not enabled in %s", file, path.Dir(folder)).hint("see cgroup.subtree_control of the folders above")
}

// quota plans limit and burst so that the burst is never above the limit, which
// the kernel refuses: a burst that shrinks goes first, one that grows last.
func (p *planner) quota(quota Change, burst *Change) {
	grows := burst != nil && narrows("", burst.New, burst.Old)
	tighter := quota.Path != "" && narrows(path.Base(quota.Path), quota.Old, quota.New)
	list := &p.widen
	if tighter {
		list = &p.narrow
	}
	var order []Change
	if burst != nil && !grows {
		order = append(order, *burst)
	}
	if quota.Path != "" {
		order = append(order, quota)
	}
	if burst != nil && grows {
		order = append(order, *burst)
	}
	if tighter {
		slices.Reverse(order) // the whole list is reversed in the end
	}
	*list = append(*list, order...)
}

// ancestors compares a limit with those above the tree: v1 refuses a child with
// more, v2 takes it and gives the least of all.
func (p *planner) ancestors(h Hierarchy, folder string, s setting) error {
	first, _, _ := strings.Cut(s.want, " ")
	want, ok := number(first)
	if !ok {
		return nil
	}
	above, limited := quotaMilliCPU(p.host.FS, h, h.Path)
	if !limited || want*1000/period <= above {
		return nil
	}
	if h.Version == 1 {
		return refuse("%s: a limit of %dm is more than the %dm of %s", path.Join(folder, s.file), want*1000/period, above, h.Path)
	}
	p.plan.Warnings = append(p.plan.Warnings, fmt.Sprintf("%s: the limit of %dm has the effect of %dm, the limit of %s", path.Join(folder, s.file), want*1000/period, above, h.Path))
	return nil
}

func (p *planner) belowUse(h Hierarchy, folder, want string) error {
	used, err := memoryUsed(p.host.FS, h, folder)
	if err != nil {
		return p.denied("read the memory use of "+folder, folder, err)
	}
	if limit, ok := number(want); ok && used > limit {
		p.plan.BelowUse = append(p.plan.BelowUse, BelowUse{folder, used, limit})
	}
	return nil
}

func memoryUsed(f FS, h Hierarchy, folder string) (int64, error) {
	name := "memory.current"
	if h.Version == 1 {
		name = "memory.usage_in_bytes"
	}
	text, err := read(f, path.Join(folder, name))
	used, _ := number(text)
	return used, err
}

// denied explains an error of the file system on a folder.
func (t *Tree) denied(what, folder string, err error) *Error {
	e := refuse("%s", what).because(err)
	switch {
	case errors.Is(err, fs.ErrPermission):
		if t.host.units != nil {
			return e.hint("run as root: nobody else may change systemd's units")
		}
		for _, h := range t.host.Hierarchies {
			if folder == h.Path || strings.HasPrefix(folder, h.Path+"/") {
				return e.hint("run as root, or have %s delegated to this user (chown the folder and its cgroup.* files)", h.Path)
			}
		}
		return e.hint("run as root")
	case isReadOnly(err):
		return e.hint("the control groups are mounted read-only; remount with rw, or run outside of the container")
	case isUnsupported(err):
		return e.hint("before Linux 5.7 control groups keep no mark of a user who is not root; run as root")
	case t.host.attr == ownerAttrRootless:
		return e.hint("run as root")
	}
	return e
}
