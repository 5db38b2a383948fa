package cgroupctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const memSpec = `version: 1
timezone: UTC
online:
  - {name: web, shape: 1C1G, ceiling: 1.0, burst: 0.5}
  - {name: pin, shape: 1C512M, pin: cores}
offline: {name: offline, memory: 1G}
`

func memTree(t *testing.T, m *memFS, text string) *Tree {
	t.Helper()
	spec, err := ReadSpec(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	host, err := detect(m)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := Open(host, spec)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func apply(t *testing.T, tree *Tree) *Plan {
	t.Helper()
	done, err := tree.Apply(context.Background(), ApplyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func bothVersions(t *testing.T, f func(t *testing.T, version int)) {
	for _, v := range []int{1, 2} {
		t.Run(fmt.Sprintf("v%d", v), func(t *testing.T) { f(t, v) })
	}
}

func TestPlanIsWhatApplyWrites(t *testing.T) {
	bothVersions(t, func(t *testing.T, version int) {
		m := newMemFS(version)
		tree := memTree(t, m, memSpec)
		plan, err := tree.Plan()
		if err != nil {
			t.Fatal(err)
		}
		if len(m.writes) != 0 {
			t.Fatalf("plan wrote %v", m.writes)
		}
		done := apply(t, tree)
		if fmt.Sprint(plan.Changes) != fmt.Sprint(done.Changes) || len(m.writes) != len(plan.Changes) {
			t.Errorf("apply made %d writes in %d changes, the plan has %d:\n%v\n%v", len(m.writes), len(done.Changes), len(plan.Changes), done.Changes, plan.Changes)
		}
		m.writes = nil
		if done := apply(t, tree); len(done.Changes)+len(m.writes) != 0 {
			t.Errorf("second apply wrote %v", m.writes)
		}
	})
}

// A run that dies before any of its changes is completed by the next: nothing
// foreign is seen, nothing leaks, and the machine is as the file says.
func TestApplyConvergesFromEveryCrashPoint(t *testing.T) {
	bothVersions(t, func(t *testing.T, version int) {
		whole := newMemFS(version)
		n := len(apply(t, memTree(t, whole, memSpec)).Changes)
		for k := range n {
			m := newMemFS(version)
			left := k
			m.before = func(string, string) error {
				if left == 0 {
					return errors.New("killed")
				}
				left--
				return nil
			}
			tree := memTree(t, m, memSpec)
			if _, err := tree.Apply(context.Background(), ApplyOptions{}); err == nil {
				t.Fatalf("crash point %d did not crash", k)
			}
			m.before = nil
			if _, err := tree.Apply(context.Background(), ApplyOptions{}); err != nil {
				t.Errorf("after a crash at %d: %v", k, err)
			}
			if fmt.Sprint(m.files) != fmt.Sprint(whole.files) || fmt.Sprint(m.attrs) != fmt.Sprint(whole.attrs) {
				t.Errorf("after a crash at %d the tree differs:\n%v\n%v", k, m.attrs, whole.attrs)
			}
		}
	})
}

// The same for a removal.
func TestRemoveConvergesFromEveryCrashPoint(t *testing.T) {
	bothVersions(t, func(t *testing.T, version int) {
		for k := 0; ; k++ {
			m := newMemFS(version)
			tree := memTree(t, m, memSpec)
			before := fmt.Sprint(m.folders)
			apply(t, tree)
			left := k
			m.before = func(string, string) error {
				left--
				if left < 0 {
					return errors.New("killed")
				}
				return nil
			}
			_, err := tree.Remove(context.Background(), nil, RemoveOptions{})
			m.before = nil
			if _, again := tree.Remove(context.Background(), nil, RemoveOptions{}); again != nil {
				t.Fatalf("after a crash at %d: %v", k, again)
			}
			if fmt.Sprint(m.folders) != before {
				t.Fatalf("after a crash at %d folders are left: %v", k, m.folders)
			}
			if err == nil {
				return
			}
		}
	})
}

func TestLimitsNeverCrossOnTheWay(t *testing.T) {
	ceilings := []string{"", ", ceiling: 0.1", ", ceiling: 0.1, burst: 1.0", ", ceiling: 1.0, burst: 0.1", ", ceiling: 1.0, burst: 1.0", ", ceiling: 0.5, burst: 0.2"}
	bothVersions(t, func(t *testing.T, version int) {
		for _, from := range ceilings {
			for _, to := range ceilings {
				m := newMemFS(version)
				apply(t, memTree(t, m, strings.Replace(memSpec, ", ceiling: 1.0, burst: 0.5", from, 1)))
				tree := memTree(t, m, strings.Replace(memSpec, ", ceiling: 1.0, burst: 0.5", to, 1))
				if _, err := tree.Apply(context.Background(), ApplyOptions{}); err != nil {
					t.Errorf("from %q to %q: %v", from, to, err)
				}
			}
		}
	})
}

// memory.high is tightened before memory.max and widened after it.
func TestMemoryHighGoesWithMax(t *testing.T) {
	m := newMemFS(2)
	apply(t, memTree(t, m, memSpec))
	for _, c := range []struct{ size, first, second string }{{"512M", "memory.high", "memory.max"}, {"2G", "memory.max", "memory.high"}} {
		m.writes = nil
		apply(t, memTree(t, m, strings.Replace(memSpec, "memory: 1G", "memory: "+c.size, 1)))
		i := slices.Index(m.writes, "write /cg/wxops/offline/"+c.first)
		j := slices.Index(m.writes, "write /cg/wxops/offline/"+c.second)
		if i < 0 || j < i {
			t.Errorf("to %s: %s is not before %s in %v", c.size, c.first, c.second, m.writes)
		}
	}
}

// A v1 cpuset is filled from above before the slices get theirs, and its cores
// are taken away from below first.
func TestEmptyCpusetIsFilledFromTheParent(t *testing.T) {
	m := newMemFS(1)
	tree := memTree(t, m, memSpec)
	apply(t, tree)
	if got := m.files["/cg/cpuset/wxops/pin/cpuset.cpus"]; got != "3" {
		t.Errorf("the pinned slice has cores %q, want 3", got)
	}
	if got := m.files["/cg/cpuset/wxops/offline/cpuset.cpus"]; got != "0-2" {
		t.Errorf("the offline slice has cores %q, want 0-2", got)
	}
	if got := m.files["/cg/cpuset/wxops/web/cpuset.mems"]; got != "0" {
		t.Errorf("mems are %q, want 0", got)
	}
	apply(t, memTree(t, m, strings.Replace(memSpec, ", pin: cores", "", 1)))
	if got := m.files["/cg/cpuset/wxops/web/cpuset.cpus"]; got != "0-3" {
		t.Errorf("without a pin cores are %q, want 0-3", got)
	}
}

func TestIdleLocksTheWeightAndIsNoDrift(t *testing.T) {
	bothVersions(t, func(t *testing.T, version int) {
		m := newMemFS(version)
		tree := memTree(t, m, memSpec)
		apply(t, tree)
		file, locked := "/cg/wxops/offline/cpu.weight", "0"
		if version == 1 {
			file, locked = "/cg/cpu,cpuacct/wxops/offline/cpu.shares", "3"
		}
		if m.files[file] != locked {
			t.Fatalf("%s reads %q, want %q", file, m.files[file], locked)
		}
		if d, err := tree.Drift(); err != nil || len(d) != 0 {
			t.Errorf("drift: %v, %v", d, err)
		}
		// A folder that was idle becomes an online slice: idle goes first.
		swapped := strings.Replace(strings.Replace(memSpec, "name: offline", "name: other", 1), "name: web", "name: offline", 1)
		if _, err := memTree(t, m, swapped).Apply(context.Background(), ApplyOptions{}); err != nil {
			t.Error(err)
		}
	})
}

func TestSilentClampIsAFailure(t *testing.T) {
	for _, c := range []struct{ file, keeps string }{{"cpu.weight", "77"}, {"cpuset.cpus.partition", "root invalid (Parent is not a partition root)"}} {
		m := newMemFS(2)
		m.clamp = func(p, data string) string {
			if path.Base(p) == c.file && data != "member" {
				return c.keeps
			}
			return data
		}
		_, err := memTree(t, m, strings.Replace(memSpec, "pin: cores", "pin: partition", 1)).Apply(context.Background(), ApplyOptions{})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("reads %q", c.keeps)) {
			t.Errorf("%s that keeps %q: %v", c.file, c.keeps, err)
		}
	}
}

func TestTmpfsIsNoControlGroup(t *testing.T) {
	bothVersions(t, func(t *testing.T, version int) {
		m := newMemFS(version)
		for p := range m.folders {
			if strings.HasPrefix(p, "/cg") {
				m.folders[p] = 0x01021994
			}
		}
		if _, err := detect(m); err == nil || !strings.Contains(err.Error(), "file system (type 0x1021994)") {
			t.Errorf("a tmpfs was taken: %v", err)
		}
	})
}

func TestNoProcessInANonLeafOnV2(t *testing.T) {
	m := newMemFS(2)
	tree := memTree(t, m, memSpec)
	apply(t, tree)
	m.files["/cg/wxops/cgroup.procs"] = "42\n"
	m.process(42, 1, 42, 7, "0::/wxops\n", "stray")
	m.files["/cg/wxops/cgroup.subtree_control"] = "cpu"
	if _, err := tree.Plan(); err == nil || !strings.Contains(err.Error(), "holds processes itself (PID 42)") {
		t.Errorf("plan: %v", err)
	}
	m.files["/cg/wxops/cgroup.subtree_control"] = "cpuset cpu io memory pids"
	if d, err := tree.Drift(); err != nil || len(d) != 1 || d[0].PID != 42 {
		t.Errorf("drift: %+v, %v", d, err)
	}
	m.files["/cg/wxops/web/cgroup.subtree_control"] = "cpu"
	if _, err := tree.Attach(context.Background(), "web", []int{42}); err == nil || !strings.Contains(err.Error(), "groups of its own below") {
		t.Errorf("attach to a non-leaf: %v", err)
	}
}

// A limit above the one of a group higher up: v1 refuses the write, v2 takes it
// and gives less.
func TestChildAboveParentIsSaid(t *testing.T) {
	m := newMemFS(2)
	m.files["/cg/cpu.max"] = "350000 100000"
	m.files["/cg/cgroup.subtree_control"] = "cpuset cpu io memory pids"
	tree := memTree(t, m, strings.Replace(memSpec, "ceiling: 1.0, burst: 0.5", "ceiling: 3.9", 1))
	p, err := tree.Plan()
	if err != nil || len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "3900m has the effect of 3500m") {
		t.Errorf("v2: %v, %v", p, err)
	}
	m = newMemFS(1)
	m.files["/cg/cpu,cpuacct/cpu.cfs_quota_us"] = "350000"
	m.files["/cg/cpu,cpuacct/cpu.cfs_period_us"] = "100000"
	tree = memTree(t, m, strings.Replace(memSpec, "ceiling: 1.0, burst: 0.5", "ceiling: 3.9", 1))
	if _, err := tree.Plan(); err == nil || !strings.Contains(err.Error(), "3900m is more than the 3500m") {
		t.Errorf("v1: %v", err)
	}
}

func TestBelowUseIsRefusedBeforeAnyWrite(t *testing.T) {
	bothVersions(t, func(t *testing.T, version int) {
		m := newMemFS(version)
		apply(t, memTree(t, m, memSpec))
		use := "/cg/wxops/web/memory.current"
		if version == 1 {
			use = "/cg/memory/wxops/web/memory.usage_in_bytes"
		}
		m.files[use] = "600000000"
		m.writes = nil
		tree := memTree(t, m, strings.Replace(memSpec, "1C1G", "2C512M", 1))
		if _, err := tree.Apply(context.Background(), ApplyOptions{}); err == nil || len(m.writes) != 0 {
			t.Errorf("apply: %v, wrote %v", err, m.writes)
		}
		if _, err := tree.Apply(context.Background(), ApplyOptions{Force: true}); err != nil {
			t.Errorf("forced: %v", err)
		}
	})
}

func TestErrorsOfTheFileSystemAreExplained(t *testing.T) {
	m := newMemFS(2)
	m.before = func(_, p string) error { return &fs.PathError{Op: "mkdir", Path: p, Err: fs.ErrPermission} }
	_, err := memTree(t, m, memSpec).Apply(context.Background(), ApplyOptions{})
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(e.Hint, "have /cg delegated") {
		t.Errorf("no permission: %+v", err)
	}
	m = newMemFS(2)
	m.before = func(_, p string) error { return &fs.PathError{Op: "setxattr", Path: p, Err: syscall.EROFS} }
	if _, err := memTree(t, m, memSpec).Apply(context.Background(), ApplyOptions{}); !errors.As(err, &e) || !strings.Contains(e.Hint, "mounted read-only") || len(m.writes) != 0 {
		t.Errorf("read-only: %+v, wrote %v", err, m.writes)
	}
	m = newMemFS(2)
	m.files["/cg/cgroup.controllers"] = "cpu io pids\n"
	if _, err := detect(m); err == nil || !strings.Contains(err.Error(), "the memory controller is not enabled") {
		t.Errorf("without memory: %v", err)
	}
}

// The lease of a controller that is gone gives way to the window's rule; one
// that is alive keeps its quota.
func TestLapsedLeaseRevertsToTheWindow(t *testing.T) {
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	bothVersions(t, func(t *testing.T, version int) {
		m := newMemFS(version)
		tree := memTree(t, m, memSpec)
		tree.now = func() time.Time { return noon }
		apply(t, tree)
		folder, quota, text := "/cg/wxops/offline", "/cpu.max", "max 100000"
		standing := fmt.Sprintf("%d 100000", int64((4*0.65-0.2)*period))
		if version == 1 {
			folder, quota, text, standing = "/cg/cpu,cpuacct/wxops/offline", "/cpu.cfs_quota_us", "-1", fmt.Sprint(int64((4*0.65-0.2)*period))
		}
		for _, c := range []struct {
			until time.Duration
			want  string
		}{{time.Second * 10, text}, {-time.Second, standing}, {time.Hour, standing}} { // beyond any lease: none of this boot
			m.files[folder+quota] = text
			m.attrs[folder+"#"+ownerAttr+leaseSuffix] = lease{until: 5000*time.Second + c.until, pid: 9, rule: Unrestricted}.String()
			apply(t, tree)
			if got := m.files[folder+quota]; got != c.want {
				t.Errorf("lease with %s left: quota %q, want %q", c.until, got, c.want)
			}
			m.files[folder+quota] = text
			delete(m.attrs, folder+"#"+ownerAttr+leaseSuffix)
		}
	})
}

// What one slice forbids is said before any other is touched; gc leaves such a
// slice where it is and takes the rest.
func TestRemoveChecksAllSlicesBeforeItTouchesOne(t *testing.T) {
	bothVersions(t, func(t *testing.T, version int) {
		top := map[int]string{1: "/cg/memory/wxops", 2: "/cg/wxops"}[version]
		for name, c := range map[string]struct {
			prepare func(m *memFS)
			options RemoveOptions
			want    string
		}{
			"group below": {func(m *memFS) { m.folders[top+"/web/theirs"] = m.folders[top+"/web"] }, RemoveOptions{Kill: true}, "web has groups below it that wxops did not make (theirs)"},
			"busy":        {func(m *memFS) { m.files[top+"/web/cgroup.procs"] = "40\n" }, RemoveOptions{}, "slice web is busy: PID 40"},
			"busy parent": {func(m *memFS) { m.files[top+"/cgroup.procs"] = "40\n" }, RemoveOptions{}, "parent folder wxops is busy: PID 40"},
		} {
			m := newMemFS(version)
			tree := memTree(t, m, memSpec)
			apply(t, tree)
			m.process(40, 1, 40, 7, "", "somebody")
			c.prepare(m)
			m.writes = nil
			if _, err := tree.Remove(context.Background(), nil, c.options); err == nil || !strings.Contains(err.Error(), c.want) || len(m.writes) != 0 {
				t.Errorf("%s: %v, wrote %v; want %q and nothing written", name, err, m.writes, c.want)
			}
			tree.spec.Online = nil
			r, err := tree.Collect(context.Background())
			if left := m.folders[top+"/web"] != 0; err != nil || left != (name != "busy parent") || m.folders[top+"/pin"] != 0 {
				t.Errorf("%s: gc took %v, %v", name, r.Folders, err)
			}
		}
	})
}
