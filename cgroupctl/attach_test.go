package cgroupctl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// attachTree returns a tree on which the process 40 of an old group, with a
// child, can be moved; moved is asked at each write of its PID.
func attachTree(t *testing.T, moved func(m *memFS, folder string)) (*Tree, *memFS) {
	t.Helper()
	m := newMemFS(2)
	tree := memTree(t, m, memSpec)
	apply(t, tree)
	m.folders["/cg/old"] = magicV2
	m.files["/cg/old/cgroup.procs"] = "40\n"
	m.process(1, 0, 1, 1, "0::/\n", "init")
	m.process(40, 1, 40, 7, "0::/old\n", "checkout")
	m.before = func(op, p string) error {
		if folder, ok := strings.CutSuffix(p, "/cgroup.procs"); ok && op == "write" {
			moved(m, strings.TrimPrefix(folder, "/cg"))
		}
		return nil
	}
	m.writes = nil
	return tree, m
}

// A PID that belongs to a younger process by the time of its move is put back.
func TestReusedPIDIsPutBack(t *testing.T) {
	reused := false
	tree, m := attachTree(t, func(m *memFS, folder string) {
		if !reused {
			reused = true
			m.process(40, 1, 40, 99, "", "stranger")
		}
		m.files["/proc/40/cgroup"] = "0::" + folder + "\n"
	})
	moved, err := tree.Attach(context.Background(), "web", []int{40})
	if err != nil || len(moved.PIDs) != 0 {
		t.Errorf("attach: %+v, %v; the process named has ended", moved, err)
	}
	if want := []string{"write /cg/wxops/web/cgroup.procs", "write /cg/old/cgroup.procs"}; !slices.Equal(m.writes, want) || m.files["/proc/40/cgroup"] != "0::/old\n" {
		t.Errorf("writes %v, want %v; the stranger is in %q", m.writes, want, m.files["/proc/40/cgroup"])
	}
}

// Memory charged before the move stays with the old group, and is told once.
func TestMemoryLeftBehindIsTold(t *testing.T) {
	tree, m := attachTree(t, func(m *memFS, folder string) { m.files["/proc/40/cgroup"] = "0::" + folder + "\n" })
	m.files["/proc/40/status"] = "Name:\tcheckout\nRssAnon:\t    2048 kB\nRssFile:\t    9000 kB\nRssShmem:\t    1024 kB\n"
	moved, err := tree.Attach(context.Background(), "web", []int{40})
	if err != nil || moved.UncoveredBytes != 3<<20 || !slices.Equal(moved.PIDs, []int{40}) {
		t.Errorf("attach: %+v, %v; want 3 MiB left behind", moved, err)
	}
	if again, err := tree.Attach(context.Background(), "web", []int{40}); err != nil || again.UncoveredBytes != 0 {
		t.Errorf("a second attach: %+v, %v; nothing is left behind any more", again, err)
	}
}

// rootless makes m the kernel as a user without CAP_SYS_ADMIN sees it.
func rootless(m *memFS) {
	m.files["/proc/self/status"] = "Name:\twxops\nCapEff:\t0000000000000000\n"
	m.hidden = true
}

// Without root marks are user attributes, and root knows those as well.
func TestRootlessMarksAreUserAttributes(t *testing.T) {
	m := newMemFS(2)
	rootless(m)
	tree := memTree(t, m, memSpec)
	apply(t, tree)
	for attr := range m.attrs {
		if !strings.HasSuffix(attr, "#"+ownerAttrRootless) {
			t.Errorf("%s is set without root", attr)
		}
	}
	if len(m.attrs) != 4 {
		t.Errorf("%d marks, want 4: %v", len(m.attrs), m.attrs)
	}
	m.files["/proc/self/status"] = newMemFS(2).files["/proc/self/status"]
	if p, err := memTree(t, m, memSpec).Plan(); err != nil || len(p.Changes) != 0 {
		t.Errorf("root plans %v, %v", fmt.Sprint(p), err)
	}
}

// The marks of root do not show to others; that is what they are told, whatever
// they ask for, and not that the slices are somebody else's or not there.
func TestWithoutRootHiddenMarksAreNamed(t *testing.T) {
	bothVersions(t, func(t *testing.T, version int) {
		m := newMemFS(version)
		apply(t, memTree(t, m, memSpec))
		rootless(m)
		tree := memTree(t, m, memSpec)
		ctx := context.Background()
		for name, call := range map[string]func() error{
			"plan":   func() error { _, err := tree.Plan(); return err },
			"apply":  func() error { _, err := tree.Apply(ctx, ApplyOptions{}); return err },
			"ls":     func() error { _, err := tree.Usage(); return err },
			"drift":  func() error { _, err := tree.Drift(); return err },
			"attach": func() error { _, err := tree.Attach(ctx, "web", []int{40}); return err },
			"rm":     func() error { _, err := tree.Remove(ctx, nil, RemoveOptions{}); return err },
			"gc":     func() error { _, err := tree.Collect(ctx); return err },
			"status": func() error { _, err := tree.OfflineStatus(); return err },
		} {
			m.writes = nil
			var e *Error
			if err := call(); !errors.As(err, &e) || !strings.Contains(err.Error(), "hidden from users without CAP_SYS_ADMIN") || e.Hint != "run as root" || len(m.writes) != 0 {
				t.Errorf("%s: %v, wrote %v", name, err, m.writes)
			}
		}
		// A user namespace's root has the capability there only.
		m.files["/proc/self/status"], m.files["/proc/self/uid_map"] = newMemFS(version).files["/proc/self/status"], "0 1000 1\n"
		if host, err := detect(m); err != nil || host.attr != ownerAttrRootless {
			t.Errorf("in a user namespace: %+v, %v", host, err)
		}
	})
}

// A mount that another one covers does not show, as in a container whose own part
// of the tree is mounted in its place.
func TestCoveredMountsAreLeftOut(t *testing.T) {
	got := parseMounts([]byte("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n31 30 0:26 /part /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n" +
		"32 23 0:27 / /other rw - cgroup cgroup rw,memory\n33 23 0:27 / /again rw - cgroup cgroup rw,memory\n"))
	if len(got) != 2 || got[0].Root != "/part" || got[1].Path != "/other" {
		t.Errorf("mounts %+v", got)
	}
}
