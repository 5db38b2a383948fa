package cgroupctl

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Tests of what a machine's mounts and a user's rights allow run in a helper with
// a mount namespace of its own, which dies with it.

// apart runs a helper mode there and returns what it printed.
func apart(t *testing.T, mode string, args ...string) string {
	t.Helper()
	c := helperCommand(mode, args...)
	c.SysProcAttr.Unshareflags = unix.CLONE_NEWNS
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("helper %s: %v\n%s", mode, err, out)
	}
	return strings.TrimSpace(string(out))
}

// report prints what a person would see of an error.
func report(err error) {
	var e *Error
	if errors.As(err, &e) {
		fmt.Printf("%v | %s\n", e, e.Hint)
		return
	}
	fmt.Println(err)
}

// readOnly mounts every hierarchy read-only and applies.
func readOnly(text string) error {
	tree, err := liveTree(text)
	if err != nil {
		return err
	}
	for _, h := range tree.host.Hierarchies {
		if err := unix.Mount("", h.Path, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("remount %s: %w", h.Path, err)
		}
	}
	_, err = tree.Apply(context.Background(), ApplyOptions{})
	return err
}

func TestLiveReadOnlyMountIsExplained(t *testing.T) {
	tree, text := live(t, liveOnline)
	parent := tree.spec.Parent + "-ro"
	got := apart(t, "read-only", strings.ReplaceAll(strings.Replace(text, tree.spec.Parent, parent, 1), "\n", ";"))
	if !strings.Contains(got, "read-only file system") || !strings.Contains(got, "mounted read-only; remount with rw") {
		t.Errorf("apply says %q", got)
	}
	for _, h := range tree.host.Hierarchies {
		if _, err := os.Stat(path.Join(h.Path, parent)); err == nil {
			t.Errorf("%s was made", path.Join(h.Path, parent))
		}
	}
}

// rootlessUser is nobody in particular.
const rootlessUser = 1000

// delegate makes the folder name of every hierarchy the user's, shows it in place
// of the whole tree, moves this process below it and becomes the user.
func delegate(name string) error {
	host, err := Detect()
	if err != nil {
		return err
	}
	for _, h := range host.Hierarchies {
		folder := path.Join(h.Path, name)
		for _, f := range []string{folder, folder + "/init"} {
			if err := os.Mkdir(f, 0o755); err != nil {
				return err
			}
		}
		if h.has("cpuset") && h.Version == 1 {
			for _, f := range []string{folder, folder + "/init"} {
				for file, text := range map[string]string{"/cpuset.mems": "0", "/cpuset.cpus": formatCPUs(host.cores)} {
					if err := os.WriteFile(f+file, []byte(text), 0); err != nil {
						return err
					}
				}
			}
		}
		owned, err := filepath.Glob(folder + "/cgroup.*")
		if err != nil {
			return err
		}
		for _, f := range append(owned, folder, folder+"/init", folder+"/init/cgroup.procs") {
			if err := os.Chown(f, rootlessUser, rootlessUser); err != nil {
				return err
			}
		}
		if err := os.WriteFile(folder+"/init/cgroup.procs", []byte("0"), 0); err != nil {
			return err
		}
		if err := unix.Mount(folder, h.Path, "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	return errors.Join(syscall.Setgroups(nil), syscall.Setgid(rootlessUser), syscall.Setuid(rootlessUser))
}

// rootlessStory applies, attaches, looks and removes as that user.
func rootlessStory(name, text string) error {
	if err := delegate(name); err != nil {
		return fmt.Errorf("delegate: %w", err)
	}
	ctx := context.Background()
	tree, err := liveTree(text)
	if err != nil {
		return err
	}
	if _, err := tree.Apply(ctx, ApplyOptions{}); err != nil {
		return err
	}
	if again, err := tree.Apply(ctx, ApplyOptions{}); err != nil || len(again.Changes) > 0 {
		return fmt.Errorf("second apply: %v, %w", again, err)
	}
	if mark, err := tree.host.FS.Attr(tree.folder(tree.host.Hierarchies[0], "web"), ownerAttrRootless); err != nil || !strings.HasPrefix(mark, "v1 online ") {
		return fmt.Errorf("mark %q: %w", mark, err)
	}
	child := start("wait")
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	if moved, err := tree.Attach(ctx, "web", []int{child.Process.Pid}); err != nil || len(moved.PIDs) != 1 {
		return fmt.Errorf("attach: %v, %w", moved, err)
	}
	if d, err := tree.Drift(); err != nil || len(d) > 0 {
		return fmt.Errorf("drift: %v, %w", d, err)
	}
	if _, err := tree.Remove(ctx, nil, RemoveOptions{}); err == nil {
		return errors.New("a busy slice was removed")
	}
	r, err := tree.Remove(ctx, nil, RemoveOptions{Kill: true})
	if err != nil || len(r.Folders) != 4*len(tree.host.Hierarchies) {
		return fmt.Errorf("remove: %v, %w", r, err)
	}
	return errors.New("all well")
}

// TestLiveWithoutRoot plays a user to whom a part of the tree is delegated, and
// one to whom nothing is.
func TestLiveWithoutRoot(t *testing.T) {
	tree, text := live(t, liveOnline)
	name := tree.spec.Parent + "-delegated"
	defer func() {
		for _, h := range tree.host.Hierarchies {
			for _, f := range []string{"/init", ""} {
				if err := os.Remove(path.Join(h.Path, name) + f); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	text = strings.ReplaceAll(text, "\n", ";")
	if got := apart(t, "rootless", name, text); got != "all well" {
		t.Errorf("in a delegated tree: %q", got)
	}
	if got := apart(t, "as-user", text); !strings.Contains(got, "is there, and whether wxops made it does not show") || !strings.HasSuffix(got, "| run as root") {
		t.Errorf("a user on root's slices: %q", got)
	}
	other := strings.Replace(text, tree.spec.Parent, tree.spec.Parent+"-x", 1)
	if got := apart(t, "as-user", other); !strings.Contains(got, "permission denied | run as root, or have "+tree.host.Hierarchies[0].Path+" delegated to this user") {
		t.Errorf("a user to whom nothing is delegated: %q", got)
	}
}

// asUser applies as a user to whom nothing is delegated.
func asUser(text string) error {
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(rootlessUser), syscall.Setuid(rootlessUser)); err != nil {
		return err
	}
	tree, err := liveTree(text)
	if err == nil {
		_, err = tree.Apply(context.Background(), ApplyOptions{})
	}
	return err
}
