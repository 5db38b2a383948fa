package cgroupctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"
	"testing"
)

// fakeSystemd keeps units in a memFS of version 2 as systemd does: it makes
// their folders and writes their control files. What else writes to one of those
// is counted.
type fakeSystemd struct {
	m     *memFS
	texts map[string]string // unit -> description
	own   bool              // the change under way is systemd's
	deaf  error             // answer to every question
	// delegated are the folders of scopes below which others may write.
	delegated []string
	strange   []string
}

func newFakeSystemd(m *memFS) *fakeSystemd {
	f := &fakeSystemd{m: m, texts: map[string]string{}}
	m.files["/cg/cgroup.subtree_control"] = "cpuset cpu io memory pids"
	return f
}

// watch counts the changes that are not systemd's.
func (f *fakeSystemd) watch(crash func(op, p string) error) {
	f.m.before = func(op, p string) error {
		if below := func(d string) bool { return strings.HasPrefix(p, d) }; !f.own && op != "kill" && !slices.ContainsFunc(f.delegated, below) {
			f.strange = append(f.strange, op+" "+p)
		}
		if crash != nil {
			return crash(op, p)
		}
		return nil
	}
}

func (f *fakeSystemd) act(do func() error) error {
	f.own = true
	defer func() { f.own = false }()
	return do()
}

// at is where a unit's folder lies: a dash in a slice's name is a level.
func (f *fakeSystemd) at(unit string) string {
	for folder := range f.m.folders {
		if path.Base(folder) == unit {
			return folder
		}
	}
	parent, _, nested := strings.Cut(unit, "-")
	if !nested {
		return "/cg/" + unit
	}
	return "/cg/" + parent + ".slice/" + unit
}

func (f *fakeSystemd) Description(unit string) (string, error) { return f.texts[unit], f.deaf }

func (f *fakeSystemd) Slice(unit, description string) error {
	return f.act(func() error {
		if err := f.m.Mkdir(f.at(unit)); err != nil {
			return err
		}
		f.m.files[f.at(unit)+"/cgroup.subtree_control"] = "cpuset cpu io memory pids"
		f.texts[unit] = description
		return nil
	})
}

func (f *fakeSystemd) Scope(unit, slice, description string, pid int, delegated bool) error {
	return f.act(func() error {
		folder := f.at(slice) + "/" + unit
		if slice == rootSlice {
			folder = "/cg/" + unit
		}
		if err := f.m.Mkdir(folder); err != nil {
			return err
		}
		f.texts[unit] = description
		if delegated {
			f.delegated = append(f.delegated, folder+"/")
		}
		return f.enter(folder, pid)
	})
}

func (f *fakeSystemd) enter(folder string, pid int) error {
	line := fmt.Sprintf("%d\n", pid)
	for p, text := range f.m.files {
		if path.Base(p) == "cgroup.procs" {
			f.m.files[p] = strings.ReplaceAll(text, line, "")
		}
	}
	f.m.files[folder+"/cgroup.procs"] += line
	f.m.files[fmt.Sprintf("/proc/%d/cgroup", pid)] = "0::" + strings.TrimPrefix(folder, "/cg") + "\n"
	return nil
}

func (f *fakeSystemd) Attach(unit, below string, pid int) error {
	if f.texts[unit] == "" {
		return fs.ErrNotExist
	}
	return f.enter(f.at(unit)+below, pid)
}

func (f *fakeSystemd) Set(unit string, list []property) error {
	return f.act(func() error {
		number := func(v any) string {
			if v == uint64(math.MaxUint64) {
				return "max"
			}
			return fmt.Sprint(v)
		}
		for _, p := range list {
			file, text := "", number(p.value)
			switch p.name {
			case descriptionProperty:
				if err := f.m.asked("describe", unit); err != nil {
					return err
				}
				f.texts[unit] = p.value.(string)
				continue
			case "CPUWeight":
				file = "cpu.weight"
				if err := f.m.WriteFile(f.at(unit)+"/cpu.idle", map[bool]string{true: "1", false: "0"}[p.value == uint64(0)]); err != nil || p.value == uint64(0) {
					return err
				}
			case "CPUQuotaPerSecUSec":
				file = "cpu.max"
				if quota := p.value.(uint64); quota != math.MaxUint64 {
					text = fmt.Sprint(quota / 10)
				}
				text += " 100000"
			case "MemoryLow", "MemoryHigh", "MemoryMax":
				file = "memory." + strings.ToLower(strings.TrimPrefix(p.name, "Memory"))
			case "IOWeight":
				file, text = "io.weight", "default "+text
			case "AllowedCPUs":
				var cores []int
				for i, b := range p.value.([]byte) {
					for bit := range 8 {
						if b&(1<<bit) != 0 {
							cores = append(cores, 8*i+bit)
						}
					}
				}
				file, text = "cpuset.cpus", formatCPUs(cores)
			default:
				return fmt.Errorf("unknown property %s", p.name)
			}
			if err := f.m.WriteFile(f.at(unit)+"/"+file, text); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f *fakeSystemd) Freeze(unit string, frozen bool) error {
	return f.act(func() error {
		return f.m.WriteFile(f.at(unit)+"/cgroup.freeze", map[bool]string{true: "1", false: "0"}[frozen])
	})
}

func (f *fakeSystemd) Stop(unit string) error {
	return f.act(func() error {
		for folder := range f.m.folders {
			if strings.HasPrefix(folder, f.at(unit)+"/") {
				return errors.New("stopped a unit with others below it: " + folder)
			}
		}
		if err := f.m.Rmdir(f.at(unit)); err != nil {
			return err
		}
		delete(f.texts, unit)
		return nil
	})
}

func systemdTree(t *testing.T, m *memFS, f *fakeSystemd, text string) *Tree {
	t.Helper()
	tree := memTree(t, m, text)
	tree.host.units = f
	return tree
}

// Everything that is changed goes over systemd's bus; a second apply finds
// nothing to do, and from each crash point the next apply completes the rest.
func TestUnderSystemdAllChangesGoOverItsBus(t *testing.T) {
	m := newMemFS(2)
	f := newFakeSystemd(m)
	f.watch(nil)
	tree := systemdTree(t, m, f, memSpec)
	plan, err := tree.Plan()
	if err != nil || len(m.writes) != 0 {
		t.Fatalf("plan: %v, wrote %v", err, m.writes)
	}
	done := apply(t, tree)
	if fmt.Sprint(done.Changes) != fmt.Sprint(plan.Changes) || len(f.strange) != 0 {
		t.Errorf("apply made %v past systemd, of the plan\n%v\n%v", f.strange, plan.Changes, done.Changes)
	}
	for file, want := range map[string]string{
		"wxops-web.slice/cpu.weight": "1000", "wxops-web.slice/cpu.max": "100000 100000", "wxops-web.slice/memory.max": itoa(1 << 30),
		"wxops-pin.slice/cpuset.cpus": "3", "wxops-offline.slice/cpu.idle": "1", "wxops-offline.slice/memory.high": itoa(1<<30 - 1<<26),
		"wxops-offline.slice/io.weight": "default 1", "memory.low": itoa(3 << 29),
	} {
		if got := m.files["/cg/wxops.slice/"+file]; got != want {
			t.Errorf("%s reads %q, want %q", file, got, want)
		}
	}
	if w := fmt.Sprint(done.Warnings); !strings.Contains(w, "cpu.max.burst") || len(done.Warnings) != 1 {
		t.Errorf("warnings are %v, want that of the file without a property", done.Warnings)
	}
	if again := apply(t, tree); len(again.Changes) != 0 {
		t.Errorf("second apply: %v", again.Changes)
	}
	whole := fmt.Sprint(m.files, f.texts)
	for k := range len(m.writes) {
		m := newMemFS(2)
		f := newFakeSystemd(m)
		left := k
		f.watch(func(string, string) error {
			left--
			if left < 0 {
				return errors.New("killed")
			}
			return nil
		})
		tree := systemdTree(t, m, f, memSpec)
		if _, err := tree.Apply(context.Background(), ApplyOptions{}); err == nil {
			t.Fatalf("crash point %d did not crash", k)
		}
		f.watch(nil)
		if apply(t, tree); fmt.Sprint(m.files, f.texts) != whole {
			t.Errorf("after a crash at %d the units differ", k)
		}
	}
}

func TestUnderSystemdProcessesJoinByAScope(t *testing.T) {
	m := newMemFS(2)
	f := newFakeSystemd(m)
	f.watch(nil)
	tree := systemdTree(t, m, f, strings.Replace(memSpec, "burst: 0.5", "match: 'checkout'", 1))
	apply(t, tree)
	m.files["/cg/system.slice/checkout.service/cgroup.procs"] = "40\n41\n"
	m.process(1, 0, 1, 1, "0::/init.scope\n", "init")
	m.process(40, 1, 40, 7, "0::/system.slice/checkout.service\n", "checkout")
	m.process(41, 40, 40, 8, "0::/system.slice/checkout.service\n", "checkout child")
	m.process(42, 1, 42, 9, "0::/system.slice/other.service\n", "other")
	if d, err := tree.Drift(); err != nil || len(d) != 2 || d[0].Slice != "web" {
		t.Errorf("drift before: %+v, %v; want both processes", d, err)
	}
	moved, err := tree.Attach(context.Background(), "web", []int{40})
	if err != nil || !slices.Equal(moved.PIDs, []int{40, 41}) {
		t.Fatalf("attach: %+v, %v", moved, err)
	}
	if got, want := m.files["/cg/wxops.slice/wxops-web.slice/wxops-web-40-7.scope/cgroup.procs"], "40\n41\n"; got != want {
		t.Errorf("the scope holds %q, want %q", got, want)
	}
	if len(f.strange) != 0 {
		t.Errorf("changes past systemd: %v", f.strange)
	}
	if d, err := tree.Drift(); err != nil || len(d) != 0 {
		t.Errorf("drift after: %+v, %v", d, err)
	}
	if _, err := tree.Remove(context.Background(), nil, RemoveOptions{}); err == nil || !strings.Contains(err.Error(), "is busy: PID 40, 41") {
		t.Errorf("remove of a busy slice: %v", err)
	}
	// systemd takes an empty scope away by itself.
	evacuated := tree.evacuate
	for _, pid := range []int{40, 41} {
		if err := evacuated(tree.host.Hierarchies[0], pid); err != nil {
			t.Fatal(err)
		}
	}
	if got := m.files["/proc/41/cgroup"]; got != "0::/evacuated-41-8.scope\n" {
		t.Errorf("the child was evacuated to %q", got)
	}
	if err := m.Rmdir("/cg/wxops.slice/wxops-web.slice/wxops-web-40-7.scope"); err != nil {
		t.Fatal(err)
	}
	f.strange = nil
	r, err := tree.Remove(context.Background(), nil, RemoveOptions{})
	if err != nil || len(r.Folders) != 4 || len(f.strange) != 0 {
		t.Errorf("remove: %+v, %v, past systemd %v", r, err, f.strange)
	}
	if _, left := m.folders["/cg/wxops.slice"]; left {
		t.Error("the parent's unit is left")
	}
}

// A job is killed as a whole: all of its processes are in a folder of wxops' own
// below a delegated scope, and back in their own folders if they do not belong.
func TestUnderSystemdEachJobIsFenced(t *testing.T) {
	m := newMemFS(2)
	f := newFakeSystemd(m)
	f.watch(nil)
	tree := systemdTree(t, m, f, memSpec)
	apply(t, tree)
	m.files["/cg/user.slice/session-1.scope/cgroup.procs"] = "40\n41\n"
	m.process(1, 0, 1, 1, "0::/init.scope\n", "init")
	m.process(40, 1, 40, 7, "0::/user.slice/session-1.scope\n", "train")
	m.process(41, 40, 40, 8, "0::/user.slice/session-1.scope\n", "train child")
	if moved, err := tree.Attach(context.Background(), "offline", []int{40}); err != nil || !slices.Equal(moved.PIDs, []int{40, 41}) {
		t.Fatalf("attach: %+v, %v", moved, err)
	}
	scope := "/cg/wxops.slice/wxops-offline.slice/wxops-offline-40-7.scope"
	if got := []string{m.files[scope+"/job/cgroup.procs"], m.files[scope+"/job/memory.oom.group"], m.files[scope+"/cgroup.procs"]}; !slices.Equal(got, []string{"40\n41\n", "1", ""}) {
		t.Errorf("the job's folder holds %q", got)
	}
	if len(f.strange) != 0 {
		t.Errorf("changes past systemd: %v", f.strange)
	}
	w := &walk{Tree: tree}
	if err := w.back(41, scope+"/job"); err != nil || m.files[scope+"/job/cgroup.procs"] != "40\n41\n" {
		t.Errorf("back: %v, %q", err, m.files[scope+"/job/cgroup.procs"])
	}
}

func TestUnderSystemdAnothersUnitIsLeftAlone(t *testing.T) {
	m := newMemFS(2)
	f := newFakeSystemd(m)
	tree := systemdTree(t, m, f, memSpec)
	apply(t, tree)
	f.texts["wxops-web.slice"] = "Slice /wxops/web"
	m.writes = nil
	_, err := tree.Apply(context.Background(), ApplyOptions{})
	if err == nil || !strings.Contains(err.Error(), "wxops-web.slice was not started by wxops") || len(m.writes) != 0 {
		t.Errorf("apply: %v, wrote %v", err, m.writes)
	}
	// Another file's mark is set over the bus, too.
	f.texts["wxops-web.slice"] = unitMark + "v1 online 0000"
	if done := apply(t, tree); len(done.Changes) != 1 || done.Changes[0].Op != OpSet || done.Changes[0].Attr != descriptionProperty {
		t.Errorf("apply of a mark: %+v", done.Changes)
	}
	partition := strings.Replace(memSpec, "pin: cores", "pin: partition", 1)
	spec, err := ReadSpec(strings.NewReader(partition))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(tree.host, spec); err == nil || !strings.Contains(err.Error(), "no property of a systemd unit") {
		t.Errorf("a partition under systemd: %v", err)
	}
}

// Where systemd does not answer, as to a user that its bus does not know, that is
// what every verb says; none takes it for a machine without slices.
func TestUnderSystemdSilenceIsNoAnswer(t *testing.T) {
	m := newMemFS(2)
	f := newFakeSystemd(m)
	tree := systemdTree(t, m, f, memSpec)
	apply(t, tree)
	f.deaf = errors.New("reach systemd: EOF")
	m.writes = nil
	tree.host.attr = ownerAttrRootless
	ctx := context.Background()
	for name, call := range map[string]func() error{
		"plan":   func() error { _, err := tree.Plan(); return err },
		"apply":  func() error { _, err := tree.Apply(ctx, ApplyOptions{}); return err },
		"ls":     func() error { _, err := tree.Usage(); return err },
		"drift":  func() error { _, err := tree.Drift(); return err },
		"rm":     func() error { _, err := tree.Remove(ctx, nil, RemoveOptions{}); return err },
		"gc":     func() error { _, err := tree.Collect(ctx); return err },
		"status": func() error { _, err := tree.OfflineStatus(); return err },
	} {
		var e *Error
		if err := call(); !errors.As(err, &e) || !strings.Contains(err.Error(), "reach systemd: EOF") || e.Hint != "run as root" || len(m.writes) != 0 {
			t.Errorf("%s: %v, wrote %v", name, err, m.writes)
		}
	}
	// A user whom it answers sees all but the lease, which is an attribute of root.
	f.deaf = nil
	if s, err := tree.OfflineStatus(); err != nil || s.Controller != "hidden" {
		t.Errorf("status for a user: %+v, %v", s, err)
	}
	// A unit that is gone is to be started again, and no error.
	tree.host.attr = ownerAttr
	if err := m.Rmdir("/cg/wxops.slice/wxops-offline.slice"); err != nil {
		t.Fatal(err)
	}
	delete(f.texts, "wxops-offline.slice")
	if p, err := tree.Plan(); err != nil || len(p.Changes) == 0 || p.Changes[0].Op != OpStart {
		t.Errorf("plan of a unit that is gone: %+v, %v", p, err)
	}
}

// A dash is a level in systemd's names, so that one in ours is written \x2d.
func TestUnitNamesCarryDashes(t *testing.T) {
	m := newMemFS(2)
	tree := systemdTree(t, m, newFakeSystemd(m), strings.Replace(strings.Replace(memSpec, "version: 1", "version: 1\nparent: a-b", 1), "name: web", "name: web-1", 1))
	if got := tree.folder(tree.host.Hierarchies[0], "web-1"); got != `/cg/a\x2db.slice/a\x2db-web\x2d1.slice` {
		t.Errorf("folder %q", got)
	}
	for _, name := range []string{"web-1", "pin", "x_y-z"} {
		if got := tree.groupName(tree.unitName(name)); got != name {
			t.Errorf("%q comes back as %q", name, got)
		}
	}
	if got := tree.groupName("stranger.slice"); got != "stranger.slice" {
		t.Errorf("a strange unit is taken for slice %q", got)
	}
}
