package cgroupctl

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A process is one line of the process table, proc_pid_stat(5).
type process struct {
	pid, parent, pgrp, session int
	state                      byte
	kernel                     bool // a kernel thread
	exiting                    bool // its first thread is on its way out
	threads                    int
	alive                      int    // a thread that runs; 0 when all have ended
	start                      uint64 // clock ticks after boot: tells a process from a later one of the same PID
}

// gone reports whether a process has ended. On v1 it is back in / by then.
func (p process) gone() bool { return p.alive == 0 }

// Flags of a task, include/linux/sched.h.
const (
	flagExiting      = 0x00000004
	flagKernelThread = 0x00200000
)

func parseStat(b []byte) (process, error) {
	// The name may hold anything, spaces and parentheses too: the last ) ends it.
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 1 || end < open {
		return process{}, fmt.Errorf("%q is no line of /proc/PID/stat", b)
	}
	var f [20][]byte
	n := 0
	for word := range bytes.FieldsSeq(b[end+1:]) {
		if n == len(f) {
			break
		}
		f[n] = word
		n++
	}
	if n < len(f) {
		return process{}, fmt.Errorf("%q is no line of /proc/PID/stat", b)
	}
	var p process
	p.state = f[0][0]
	var flags int
	var err error
	for _, n := range []struct {
		text []byte
		to   *int
	}{{bytes.TrimSpace(b[:open]), &p.pid}, {f[1], &p.parent}, {f[2], &p.pgrp}, {f[3], &p.session}, {f[6], &flags}, {f[17], &p.threads}} {
		if *n.to, err = strconv.Atoi(string(n.text)); err != nil {
			return process{}, err
		}
	}
	p.kernel, p.exiting = flags&flagKernelThread != 0, flags&flagExiting != 0
	if p.state != 'Z' && p.state != 'X' && !p.exiting {
		p.alive = p.pid
	}
	p.start, err = strconv.ParseUint(string(f[19]), 10, 64)
	return p, err
}

func (h *Host) process(pid int) (process, error) {
	b, err := h.FS.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, err
	}
	p, err := parseStat(b)
	if err == nil && p.gone() && p.threads > 1 {
		// The first thread may end before the others do; then those tell where the
		// process is.
		names, _ := h.FS.Folders("/proc/" + strconv.Itoa(pid) + "/task")
		for _, n := range names {
			b, err := h.FS.ReadFile("/proc/" + strconv.Itoa(pid) + "/task/" + n + "/stat")
			if err != nil {
				continue
			}
			if thread, err := parseStat(b); err == nil && !thread.gone() {
				p.alive = thread.pid
				break
			}
		}
	}
	return p, err
}

// processes returns the process table; what ends during the walk is left out.
func (h *Host) processes() (map[int]process, error) {
	names, err := h.FS.Folders("/proc")
	if err != nil {
		return nil, err
	}
	table := make(map[int]process, len(names))
	for _, n := range names {
		pid, err := strconv.Atoi(n)
		if err != nil {
			continue
		}
		if p, err := h.process(pid); err == nil {
			table[pid] = p
		}
	}
	return table, nil
}

// placed returns the folder of a process in every used hierarchy, in their
// order and as paths inside the mounts; nil when the process is gone.
func (h *Host) placed(pid int) []string {
	b, err := h.FS.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return nil
	}
	out := make([]string, len(h.Hierarchies))
	for line := range strings.SplitSeq(strings.TrimSpace(string(b)), "\n") {
		_, rest, _ := strings.Cut(line, ":")
		list, folder, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		for i, m := range h.Hierarchies {
			if m.Version == 2 && list == "" || m.Version == 1 && slices.Contains(strings.Split(list, ","), m.Controllers[0]) {
				if m.Root != "/" {
					folder = "/" + strings.TrimPrefix(strings.TrimPrefix(folder, m.Root), "/")
				}
				out[i] = path.Join(m.Path, folder)
			}
		}
	}
	return out
}

// where returns a process and its folders, nil when it has ended. On v1 a thread
// that ends is back in / before it is gone, and a process whose first thread ends
// runs on by the others for a moment; so the thread that was looked at must be
// the one that still runs afterwards.
func (h *Host) where(pid int) (process, []string) {
	for p, err := h.process(pid); err == nil && !p.gone(); {
		at := h.placed(p.alive)
		now, again := h.process(pid)
		if again == nil && at != nil && now.alive == p.alive && now.start == p.start {
			return p, at
		}
		p, err = now, again
	}
	return process{}, nil
}

// commandLine returns the arguments of a process with spaces between.
func (h *Host) commandLine(pid int) string {
	b, err := h.FS.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(strings.ReplaceAll(string(b), "\x00", " "))
}

// pids lists the processes in a folder itself, in ascending order.
func (t *Tree) pids(folder string) []int {
	b, err := t.host.FS.ReadFile(path.Join(folder, "cgroup.procs"))
	if err != nil {
		return nil
	}
	var out []int
	for f := range strings.FieldsSeq(string(b)) {
		if pid, err := strconv.Atoi(f); err == nil {
			out = append(out, pid)
		}
	}
	slices.Sort(out)
	return out
}

// somePIDs names at most five processes.
func somePIDs(pids []int) string {
	var b strings.Builder
	for i, pid := range pids {
		if i == 5 {
			fmt.Fprintf(&b, " and %d more", len(pids)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d", pid)
	}
	return "PID " + b.String()
}
