package cgroupctl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// Moved is what an attach did.
type Moved struct {
	PIDs       []int `json:"pids" doc:"every process that is in the slice now, with all its threads"`
	Passes     int   `json:"passes" doc:"walks of the process table; the last two found nothing left to do"`
	Stragglers []int `json:"stragglers" doc:"processes that could not be brought into every controller"`
	// UncoveredBytes is memory that was charged before the move. It stays with
	// the old group: the slice's limit does not count it.
	UncoveredBytes int64         `json:"uncovered_bytes"`
	Elapsed        time.Duration `json:"-"`
}

const (
	cleanPasses    = 2                // one may miss what forks while it is under way
	attachDeadline = 10 * time.Second // a tree that out-forks the walk for so long is reported
)

// Attach moves the processes pids, all their descendants and their sessions into
// a slice, in every controller, and repeats until two walks in a row find nothing
// left outside. Nothing is stopped or restarted. Stragglers are an [Error] beside
// the result.
//
// A child that is forked between the writes of two v1 controllers is in the slice
// by one and outside by the other; therefore each walk looks at all controllers
// of each process. The sessions of this process and of its ancestors are not
// followed, else a shell that attaches one of its jobs would move itself; there
// only descendants, process groups and their orphans count. What is born while
// the walk lasts, and has lost parent and session leader when it is first seen,
// is known by the old group: that is where the tree's last escapes are.
func (t *Tree) Attach(ctx context.Context, slice string, pids []int) (*Moved, error) {
	if err := t.ready(slice); err != nil {
		return nil, err
	}
	begin := time.Now()
	defer urgent()() // a tree that forks on every core would hold the walk up for a second
	w := &walk{Tree: t, known: map[int]uint64{}, groups: map[int]bool{}, sessions: map[int]bool{}}
	if err := w.seed(pids); err != nil {
		return nil, err
	}
	if up, err := t.host.uptime(); err == nil {
		w.begun = uint64(up / (10 * time.Millisecond)) // ticks of USER_HZ
	}
	w.want = foldersOf(t, slice)
	m := &Moved{}
	var last error
	for clean := 0; clean < cleanPasses; {
		if err := ctx.Err(); err != nil {
			return m, err
		}
		table, err := t.host.processes()
		if err != nil {
			return m, refuse("walk the process table").because(err)
		}
		m.Passes++
		w.grow(table)
		outside, err := w.pass(table, m)
		if err != nil {
			last = err
		}
		clean++
		if outside > 0 {
			clean = 0
		}
		if clean < cleanPasses && time.Since(begin) > attachDeadline {
			break
		}
	}
	m.Elapsed = time.Since(begin)
	m.PIDs, m.Stragglers = w.result()
	if len(m.Stragglers) > 0 {
		e := refuse("%s stayed outside of slice %s in some controller after %d walks", somePIDs(m.Stragglers), slice, m.Passes).because(last)
		return m, e.hint("run wxops slice attach again; wxops slice drift names what is outside")
	}
	return m, nil
}

// ready refuses a slice that is not in the file or not on the machine.
func (t *Tree) ready(slice string) error {
	i := slices.IndexFunc(t.groups(), func(g group) bool { return g.name == slice && slice != "" })
	if i < 0 {
		return badInput("slice %q is not in the file", slice)
	}
	for _, h := range t.host.Hierarchies {
		folder := t.folder(h, slice)
		switch st, _, err := t.state(folder); {
		case err != nil:
			return t.denied("look at "+folder, folder, err)
		case st == foreign || st == unseen:
			return stranger(folder, st)
		case st != ours:
			return refuse("slice %s is not on this machine (%s)", slice, folder).hint("wxops slice apply -f FILE")
		}
		if h.Version == 2 && t.host.units == nil {
			if on, err := read(t.host.FS, path.Join(folder, "cgroup.subtree_control")); err == nil && on != "" {
				return refuse("%s has groups of its own below it with controllers on (%s); the kernel lets no process into it", folder, on)
			}
		}
	}
	return nil
}

// A walk follows one tree of processes through the process table.
type walk struct {
	*Tree
	known    map[int]uint64 // PID -> start of every process that is or was of the tree
	groups   map[int]bool   // process groups of the tree
	sessions map[int]bool   // sessions of the tree
	first    uint64         // start of the oldest seed
	begun    uint64         // start of a process that would be born as the walk begins
	old      []string       // where the first seed was
	want     []string       // folder per hierarchy
	seen     []int          // alive in the last pass
	scope    string         // that this walk has started; only where slices are units
	outside  []int
}

func (w *walk) seed(pids []int) error {
	if len(pids) == 0 {
		return badInput("no process to attach")
	}
	for _, pid := range pids {
		p, err := w.host.process(pid)
		switch {
		case errors.Is(err, fs.ErrNotExist) || isGone(err) || err == nil && p.gone():
			return refuse("PID %d is not running", pid)
		case err != nil:
			return refuse("look at PID %d", pid).because(err)
		case p.kernel:
			return refuse("PID %d is a kernel thread; it cannot be limited", pid)
		case pid == 1:
			return refuse("PID 1 is the init of this machine; it is never moved")
		}
		w.known[pid] = p.start
		if w.old == nil {
			w.old = w.host.placed(p.alive)
		}
		if w.first == 0 || p.start < w.first {
			w.first = p.start
		}
	}
	return nil
}

// grow adds to the known processes all that belong to them.
func (w *walk) grow(table map[int]process) {
	self := table[w.host.self]
	callers := map[int]bool{0: true, 1: true} // sessions of the init, of this process and its ancestors
	for pid := w.host.self; pid > 1; pid = table[pid].parent {
		callers[table[pid].session] = true
	}
	for pid, start := range w.known {
		if p, ok := table[pid]; ok && p.start != start {
			w.forget(pid)
		}
	}
	alive := func(pid int) bool { p, ok := table[pid]; return ok && !p.gone() }
	for changed := true; changed; {
		changed = false
		for pid, p := range table {
			if start, ok := w.known[pid]; ok && start == p.start {
				if s := p.session; !w.sessions[s] && !callers[s] {
					w.sessions[s], changed = true, true
				}
				if g := p.pgrp; !w.groups[g] && g > 1 && g != self.pgrp && (w.is(g, table) || !alive(g)) {
					w.groups[g], changed = true, true
				}
				continue
			}
			if p.kernel || pid == 1 || pid == w.host.self {
				continue
			}
			parent, ok := table[p.parent]
			child := ok && w.is(p.parent, table) && parent.start <= p.start
			orphan := p.parent == 1 && callers[p.session] && p.session > 1 && p.start >= w.first && w.knownIn(p.pgrp)
			lost := p.parent == 1 && w.begun > 0 && p.start >= w.begun && !alive(p.session) && !alive(p.pgrp) &&
				!p.gone() && slices.Equal(w.host.placed(p.alive), w.old)
			if child || w.sessions[p.session] || w.groups[p.pgrp] || orphan || lost {
				w.known[pid] = p.start
				changed = true
			}
		}
	}
}

func (w *walk) is(pid int, table map[int]process) bool {
	start, ok := w.known[pid]
	return ok && table[pid].start == start
}

// knownIn reports whether a process of the tree has led the process group.
func (w *walk) knownIn(pgrp int) bool { _, ok := w.known[pgrp]; return ok }

// pass moves all known processes that are outside and counts them. Parents come
// before children, so that what they fork meanwhile is born inside.
func (w *walk) pass(table map[int]process, m *Moved) (outside int, last error) {
	var todo []process
	for pid, start := range w.known {
		if p, ok := table[pid]; ok && p.start == start && !p.gone() {
			todo = append(todo, p)
		}
	}
	slices.SortFunc(todo, func(a, b process) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.pid, b.pid)) })
	w.seen, w.outside = w.seen[:0], w.outside[:0]
	for _, p := range todo {
		at := w.host.placed(p.alive)
		if at != nil && !w.within(at, w.want) {
			_, at = w.host.where(p.pid) // as a first thread that ends meanwhile reads
		}
		if at == nil {
			continue // it has ended
		}
		w.seen = append(w.seen, p.pid)
		if w.within(at, w.want) {
			continue
		}
		outside++
		if memory := w.memoryHierarchy(); at[memory] != w.want[memory] {
			m.UncoveredBytes += w.host.ownMemory(p.pid)
		}
		if err := w.move(p, at); err != nil {
			last = err
			w.outside = append(w.outside, p.pid)
		}
	}
	return outside, last
}

func (w *walk) memoryHierarchy() int {
	return slices.IndexFunc(w.host.Hierarchies, func(h Hierarchy) bool { return h.has("memory") })
}

// move brings one process into every hierarchy. If its PID turns out to belong
// to a younger process by then, that one is put back.
func (w *walk) move(p process, at []string) error {
	if now, err := w.host.process(p.pid); err != nil || now.start != p.start {
		return nil // it has ended: nothing to move
	}
	for i, folder := range w.want {
		if w.within(at[i:i+1], w.want[i:i+1]) {
			continue
		}
		err := w.into(p, folder)
		if isGone(err) {
			return nil
		}
		if err != nil {
			if now, e := w.host.process(p.pid); e == nil && now.gone() {
				return nil
			}
			return fmt.Errorf("move PID %d: %w", p.pid, err)
		}
	}
	if now, err := w.host.process(p.pid); err == nil && now.start != p.start {
		for i, folder := range at {
			if w.want[i] != folder && w.back(p.pid, folder) != nil {
				return fmt.Errorf("PID %d was reused during the move and could not be put back to %s", p.pid, folder)
			}
		}
		w.forget(p.pid)
	}
	return nil
}

// forget drops a PID that another process has now. The kernel gives none away
// that still names a session or a process group, so those have ended as well.
func (w *walk) forget(pid int) {
	delete(w.known, pid)
	delete(w.sessions, pid)
	delete(w.groups, pid)
}

// into moves a process to a folder of the slice.
func (w *walk) into(p process, folder string) error {
	if w.host.units != nil {
		return w.join(p)
	}
	return w.host.FS.WriteFile(path.Join(folder, "cgroup.procs"), strconv.Itoa(p.pid))
}

// back moves a process to where it was; under systemd that is a unit, too.
func (w *walk) back(pid int, folder string) error {
	if w.host.units != nil {
		// Below a unit that is delegated lie folders of somebody's own.
		unit, below := folder, ""
		for !unitFolder(unit) && unit != w.host.Hierarchies[0].Path {
			below, unit = "/"+path.Base(unit)+below, path.Dir(unit)
		}
		return w.host.units.Attach(path.Base(unit), below, pid)
	}
	return w.host.FS.WriteFile(path.Join(folder, "cgroup.procs"), strconv.Itoa(pid))
}

// result looks a last time where every process of the tree is.
func (w *walk) result() (inside, outside []int) {
	for _, pid := range w.seen {
		switch p, at := w.host.where(pid); {
		case at == nil || p.start != w.known[pid]: // it has ended
		case w.within(at, w.want):
			inside = append(inside, pid)
		default:
			outside = append(outside, pid)
		}
	}
	slices.Sort(inside)
	slices.Sort(outside)
	return inside, outside
}

// ownMemory returns the anonymous memory of a process in bytes, from its status.
func (h *Host) ownMemory(pid int) int64 {
	b, err := h.FS.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	return meminfo(b, "RssAnon") + meminfo(b, "RssShmem")
}

// Matching returns the processes whose command line matches, without this one,
// its parents, the init and kernel threads.
func (t *Tree) Matching(re *regexp.Regexp) ([]int, error) {
	table, err := t.host.processes()
	if err != nil {
		return nil, refuse("walk the process table").because(err)
	}
	mine := map[int]bool{1: true}
	for pid := t.host.self; pid > 1 && !mine[pid]; pid = table[pid].parent {
		mine[pid] = true
	}
	var out []int
	for pid, p := range table {
		if !p.kernel && !p.gone() && !mine[pid] && re.MatchString(t.host.commandLine(pid)) {
			out = append(out, pid)
		}
	}
	slices.Sort(out)
	return out, nil
}

// Enter moves the calling process alone into a slice, for exec to follow.
func (t *Tree) Enter(slice string) error {
	if err := t.ready(slice); err != nil {
		return err
	}
	p, err := t.host.process(t.host.self)
	if err != nil {
		return refuse("look at this process").because(err)
	}
	w := &walk{Tree: t, want: foldersOf(t, slice)}
	for _, folder := range w.want {
		if err := w.into(p, folder); err != nil {
			return t.denied("enter "+folder, folder, err)
		}
	}
	if at := t.host.placed(t.host.self); !t.within(at, foldersOf(t, slice)) {
		return refuse("this process is not in slice %s after it was moved there (%v)", slice, at)
	}
	return nil
}

func foldersOf(t *Tree, slice string) []string {
	var out []string
	for _, h := range t.host.Hierarchies {
		out = append(out, t.folder(h, slice))
	}
	return out
}
