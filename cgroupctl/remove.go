package cgroupctl

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"time"
)

// RemoveOptions say what to do with the processes of a busy slice. The zero
// value refuses it at once.
type RemoveOptions struct {
	Evacuate bool          // move them to the folder that holds the parent
	Kill     bool          // kill them
	Wait     time.Duration // for the kernel to let an emptied folder go; 10 s when zero
}

// Removed is what a removal or a collection did.
type Removed struct {
	Folders []string `json:"folders" doc:"folders that are gone, in the order of their removal"`
	PIDs    []int    `json:"pids" doc:"processes that were moved out or killed"`
}

// Remove takes slices away, all of the tree when names is empty, and the parent
// once nothing is left below it. Folders that wxops did not make stay.
func (t *Tree) Remove(ctx context.Context, names []string, o RemoveOptions) (*Removed, error) {
	unlock, err := t.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	all, err := t.marked()
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if !slices.Contains(all, n) {
			return nil, refuse("slice %q is not on this machine", n)
		}
	}
	if len(names) == 0 {
		names = all
	}
	if err := t.removable(names, o); err != nil {
		return nil, err
	}
	return t.remove(ctx, names, o)
}

// removable refuses what one of the slices forbids, before any is touched: those
// that are busy, unless o says what to do, and those with another's group below.
func (t *Tree) removable(names []string, o RemoveOptions) error {
	busy := func(what string, pids []int) error {
		if len(pids) == 0 || o.Evacuate || o.Kill {
			return nil
		}
		return refuse("%s is busy: %s", what, somePIDs(pids)).hint("--evacuate moves them out, --kill kills them")
	}
	for _, n := range names {
		if err := busy("slice "+n, t.members(n)); err != nil {
			return err
		}
		for _, h := range t.host.Hierarchies {
			if err := t.nothingBelow(t.folder(h, n)); err != nil {
				return err
			}
		}
	}
	left, err := t.children()
	if err != nil || slices.ContainsFunc(left, func(n string) bool { return !slices.Contains(names, n) }) {
		return err // the parent stays
	}
	return busy("parent folder "+t.spec.Parent, t.members(""))
}

// nothingBelow refuses a slice that has groups of its own below it; those of a
// unit are its scopes.
func (t *Tree) nothingBelow(folder string) error {
	if t.host.units != nil {
		return nil
	}
	below, err := t.host.FS.Folders(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return t.denied("list "+folder, folder, err)
	}
	if len(below) == 0 {
		return nil
	}
	return refuse("%s has groups below it that wxops did not make (%s)", folder, below[0]).hint("rmdir %s first", path.Join(folder, below[0]))
}

// Collect removes what is marked, empty and not in the file.
func (t *Tree) Collect(ctx context.Context) (*Removed, error) {
	unlock, err := t.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	all, err := t.marked()
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(n string) bool {
		return slices.ContainsFunc(t.groups(), func(g group) bool { return g.name == n }) || t.removable([]string{n}, RemoveOptions{}) != nil
	})
	return t.remove(ctx, all, RemoveOptions{})
}

func (t *Tree) remove(ctx context.Context, names []string, o RemoveOptions) (*Removed, error) {
	r := &Removed{Folders: []string{}, PIDs: []int{}}
	if o.Wait == 0 {
		o.Wait = 10 * time.Second
	}
	for _, n := range names {
		if err := t.empty(ctx, n, o, r); err != nil {
			return r, err
		}
		for _, h := range t.host.Hierarchies {
			if err := t.rmdir(ctx, t.folder(h, n), o.Wait, r); err != nil {
				return r, err
			}
		}
	}
	left, err := t.children()
	if err != nil || len(left) > 0 {
		return r, err
	}
	for _, h := range t.host.Hierarchies {
		if st, _, err := t.state(t.folder(h, "")); err != nil || st != ours {
			continue
		}
		if err := t.empty(ctx, "", o, r); err != nil {
			return r, err
		}
		if err := t.rmdir(ctx, t.folder(h, ""), o.Wait, r); err != nil {
			return r, err
		}
	}
	return r, nil
}

// marked lists the slices on this machine that wxops made, by name.
func (t *Tree) marked() ([]string, error) {
	names, err := t.children()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, n := range names {
		for _, h := range t.host.Hierarchies {
			folder := t.folder(h, n)
			st, _, err := t.state(folder)
			if err != nil {
				return nil, t.denied("look at "+folder, folder, err)
			}
			if st == unseen {
				return nil, stranger(folder, st)
			}
			if st == ours || st == unfinished {
				out = append(out, n)
				break
			}
		}
	}
	return out, nil
}

// children lists the folders below the parent in any hierarchy.
func (t *Tree) children() ([]string, error) {
	var out []string
	for _, h := range t.host.Hierarchies {
		folder := t.folder(h, "")
		names, err := t.host.FS.Folders(folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, t.denied("list "+folder, folder, err)
		}
		if t.host.units != nil {
			for i, n := range names {
				names[i] = t.groupName(n)
			}
		}
		out = append(out, names...)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// members lists the processes of a slice in any controller, without zombies.
func (t *Tree) members(name string) []int {
	var out []int
	for _, h := range t.host.Hierarchies {
		list := t.pids(t.folder(h, name))
		if name != "" {
			list = t.below(t.folder(h, name))
		}
		for _, pid := range list {
			if p, err := t.host.process(pid); err == nil && !p.gone() {
				out = append(out, pid)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// empty moves or kills the processes of a slice until none is left.
func (t *Tree) empty(ctx context.Context, name string, o RemoveOptions, r *Removed) error {
	if !o.Evacuate && !o.Kill {
		return nil
	}
	deadline := t.now().Add(o.Wait)
	for {
		pids := t.members(name)
		if len(pids) == 0 {
			return nil
		}
		if t.now().After(deadline) {
			return refuse("slice %s still holds %s after %s", name, somePIDs(pids), o.Wait)
		}
		for _, h := range t.host.Hierarchies {
			folder := t.folder(h, name)
			if err := t.thaw(h, folder); err != nil {
				return t.denied("thaw "+folder, folder, err)
			}
			if !o.Evacuate {
				continue
			}
			for _, pid := range t.below(folder) {
				err := t.evacuate(h, pid)
				if err != nil && !isGone(err) {
					return t.denied("move PID "+strconv.Itoa(pid)+" to "+h.Path, folder, err)
				}
				if err == nil && !slices.Contains(r.PIDs, pid) {
					r.PIDs = append(r.PIDs, pid)
				}
			}
		}
		if o.Kill && !o.Evacuate {
			for _, pid := range pids {
				if err := t.host.FS.Kill(pid); err != nil && !isGone(err) {
					return refuse("kill PID %d", pid).because(err)
				}
				if !slices.Contains(r.PIDs, pid) {
					r.PIDs = append(r.PIDs, pid)
				}
			}
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

// evacuate moves a process to the folder that holds the parent.
func (t *Tree) evacuate(h Hierarchy, pid int) error {
	if t.host.units == nil {
		return t.host.FS.WriteFile(path.Join(h.Path, "cgroup.procs"), strconv.Itoa(pid))
	}
	p, err := t.host.process(pid)
	if err == nil && !p.gone() {
		_, err = t.scope(rootSlice, p)
	}
	return err
}

// thaw lets a frozen group go on: on v1 a frozen process does not even die.
func (t *Tree) thaw(h Hierarchy, folder string) error {
	file, frozen, thawed := path.Join(folder, "cgroup.freeze"), "1", "0"
	if h.Version == 1 {
		if !h.has("freezer") {
			return nil
		}
		file, frozen, thawed = path.Join(folder, "freezer.state"), "FROZEN", "THAWED"
	}
	text, err := read(t.host.FS, file)
	if errors.Is(err, fs.ErrNotExist) || err == nil && text != frozen && text != "FREEZING" {
		return nil
	}
	if err != nil {
		return err
	}
	return t.write(file, thawed)
}

// rmdir removes one folder of ours. A folder stays busy for a moment after its
// last process has gone, until the kernel has let go of its memory.
func (t *Tree) rmdir(ctx context.Context, folder string, wait time.Duration, r *Removed) error {
	switch st, _, err := t.state(folder); {
	case err != nil:
		return t.denied("look at "+folder, folder, err)
	case st != ours && st != unfinished:
		return nil
	}
	if t.host.units != nil {
		return t.stop(folder, r)
	}
	deadline := t.now().Add(wait)
	for {
		err := t.host.FS.Rmdir(folder)
		switch {
		case err == nil:
			r.Folders = append(r.Folders, folder)
			return nil
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case !isBusy(err):
			return t.denied("remove "+folder, folder, err)
		}
		if err := t.nothingBelow(folder); err != nil { // made since the look at all slices
			return err
		}
		if t.now().After(deadline) {
			return refuse("remove %s: still busy after %s", folder, wait).because(err)
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
