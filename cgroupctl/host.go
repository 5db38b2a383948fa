package cgroupctl

import (
	"bufio"
	"bytes"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Layout names how a machine mounts its control groups.
type Layout string

const (
	V1     Layout = "v1"
	V2     Layout = "v2"
	Hybrid Layout = "hybrid" // v1 controllers with a v2 tree beside them
)

// The extended attributes of a folder that wxops made; user.* where the caller
// may not set trusted ones.
const (
	ownerAttr         = "trusted.wxops"
	ownerAttrRootless = "user.wxops"
	leaseSuffix       = ".lease"
	intentSuffix      = ".intent"
)

// A Hierarchy is one mounted control-group tree that slices use.
type Hierarchy struct {
	Path        string // of the mount
	Root        string // what of the tree is mounted there, "/" for all
	Version     int    // 1 or 2
	Controllers []string
}

func (h Hierarchy) has(controller string) bool { return slices.Contains(h.Controllers, controller) }

// A Host is a machine with its control groups.
type Host struct {
	FS          FS
	Layout      Layout
	Hierarchies []Hierarchy // those that slices use, in the order of their mounting
	Machine     Machine
	Systemd     bool // systemd is the init of this machine

	cores []int // that are online

	attr      string // ownerAttr or ownerAttrRootless
	self      int    // this process; never moved
	units     units  // systemd where slices are its units, else nil
	delegated bool   // the mount shows a part of the v2 tree, as in a container
}

// v1Used are the only v1 controllers that are ever written.
var v1Used = []string{"cpu", "cpuacct", "cpuset", "memory", "blkio", "pids", "freezer"}

// detect reads /proc and decides which trees are used. Where v1 controllers are
// mounted the v2 tree beside them has none of use, and is left alone.
func detect(f FS) (*Host, error) {
	mounts, err := f.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, refuse("find control groups").because(err)
	}
	all := parseMounts(mounts)
	h := &Host{FS: f, attr: ownerAttr}
	if !sysAdmin(f) {
		h.attr = ownerAttrRootless
	}
	for _, m := range all {
		if m.Version == 1 {
			h.Hierarchies = append(h.Hierarchies, m)
		}
	}
	unified := slices.IndexFunc(all, func(m Hierarchy) bool { return m.Version == 2 })
	switch {
	case len(h.Hierarchies) > 0 && unified >= 0:
		h.Layout = Hybrid
	case len(h.Hierarchies) > 0:
		h.Layout = V1
	case unified >= 0:
		h.Layout = V2
		m := all[unified]
		list, err := read(f, path.Join(m.Path, "cgroup.controllers"))
		if err != nil {
			return nil, refuse("read the controllers of %s", m.Path).because(err)
		}
		m.Controllers = strings.Fields(list)
		h.Hierarchies = []Hierarchy{m}
		// The root of the whole tree has no type.
		if h.delegated, err = exists(f, path.Join(m.Path, "cgroup.type")); err != nil {
			return nil, refuse("look at %s", m.Path).because(err)
		}
	default:
		return nil, refuse("no control groups are mounted here").hint("mount -t cgroup2 cgroup2 /sys/fs/cgroup")
	}
	for _, need := range []string{"cpu", "memory"} {
		if _, ok := h.hierarchy(need); !ok {
			return nil, refuse("the %s controller is not enabled on this machine", need).
				hint("see /proc/cgroups, and cgroup_disable= in /proc/cmdline")
		}
	}
	for _, m := range h.Hierarchies {
		want := int64(magicV2)
		if m.Version == 1 {
			want = magicV1
		}
		// A tmpfs takes mkdir as gladly as a control group does.
		if magic, err := f.Magic(m.Path); err != nil || magic != want {
			return nil, refuse("%s is no cgroup v%d file system (type %#x)", m.Path, m.Version, magic).because(err)
		}
	}
	if h.Machine, err = measure(f, h); err != nil {
		return nil, err
	}
	ok, err := exists(f, "/run/systemd/system")
	h.Systemd = ok && err == nil
	return h, nil
}

// sysAdmin reports whether this process has CAP_SYS_ADMIN over the machine.
// Without it trusted.* attributes neither show nor can be set, xattr(7); that of
// a user namespace does not count, capabilities(7).
func sysAdmin(f FS) bool {
	status, _ := read(f, "/proc/self/status")
	ids, _ := read(f, "/proc/self/uid_map")
	_, rest, _ := strings.Cut(status, "CapEff:")
	set, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
	caps, err := strconv.ParseUint(set, 16, 64)
	return err == nil && caps&(1<<21) != 0 && slices.Equal(strings.Fields(ids), []string{"0", "0", "4294967295"})
}

// hierarchy returns the tree that carries a controller.
func (h *Host) hierarchy(controller string) (Hierarchy, bool) {
	for _, m := range h.Hierarchies {
		if m.has(controller) {
			return m, true
		}
	}
	return Hierarchy{}, false
}

// parseMounts reads proc_pid_mountinfo(5) and keeps the cgroup trees that may be
// used, the first mount of each that no other covers. Of v1 only those with a
// controller of v1Used.
func parseMounts(b []byte) []Hierarchy {
	var out []Hierarchy
	covered := map[string]bool{} // a mount's ID and place; what covers it names both
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		if f := strings.Fields(s.Text()); len(f) > 4 {
			covered[f[1]+" "+f[4]] = true
		}
	}
	seen := map[string]bool{}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		head, tail, ok := strings.Cut(s.Text(), " - ")
		fields, kind := strings.Fields(head), strings.Fields(tail)
		if !ok || len(fields) < 6 || len(kind) < 3 || covered[fields[0]+" "+fields[4]] {
			continue
		}
		m := Hierarchy{Path: unescape(fields[4]), Root: unescape(fields[3])}
		switch kind[0] {
		case "cgroup2":
			m.Version = 2
		case "cgroup":
			m.Version = 1
			for _, o := range strings.Split(kind[2], ",") {
				if slices.Contains(v1Used, o) {
					m.Controllers = append(m.Controllers, o)
				}
			}
			if m.Controllers == nil {
				continue
			}
		default:
			continue
		}
		key := fmt.Sprint(m.Version, m.Controllers)
		if !seen[key] {
			seen[key] = true
			out = append(out, m)
		}
	}
	return out
}

// unescape undoes the octal escapes of mountinfo: \040 is a space.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// measure returns cores and memory, or less where this tree's own root is
// limited, as inside a container.
func measure(f FS, h *Host) (Machine, error) {
	var m Machine
	online, err := read(f, "/sys/devices/system/cpu/online")
	if err != nil {
		return m, refuse("count the cores of this machine").because(err)
	}
	cores, err := parseCPUs(online)
	if err != nil || len(cores) == 0 {
		return m, refuse("count the cores of this machine: %q", online).because(err)
	}
	h.cores = cores
	m.MilliCPU = int64(len(cores)) * 1000
	info, err := f.ReadFile("/proc/meminfo")
	if err != nil {
		return m, refuse("measure the memory of this machine").because(err)
	}
	m.MemoryBytes = meminfo(info, "MemTotal")
	if m.MemoryBytes == 0 {
		return m, refuse("measure the memory of this machine: /proc/meminfo has no MemTotal")
	}
	cpu, _ := h.hierarchy("cpu")
	if quota, ok := quotaMilliCPU(f, cpu, cpu.Path); ok {
		m.MilliCPU = min(m.MilliCPU, quota)
	}
	memory, _ := h.hierarchy("memory")
	name := "memory.max"
	if memory.Version == 1 {
		name = "memory.limit_in_bytes"
	}
	if text, err := read(f, path.Join(memory.Path, name)); err == nil {
		if v, ok := number(text); ok {
			m.MemoryBytes = min(m.MemoryBytes, v)
		}
	}
	return m, nil
}

// uptime is the time since boot, that asleep included, in steps of 10 ms. It is
// the clock of the process table, and no step of the wall clock moves it.
func (h *Host) uptime() (time.Duration, error) {
	text, err := read(h.FS, "/proc/uptime")
	if err != nil {
		return 0, err
	}
	var seconds float64
	if _, err := fmt.Sscan(text, &seconds); err != nil {
		return 0, fmt.Errorf("/proc/uptime reads %q: %w", text, err)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// quotaMilliCPU returns the hard CPU limit of a folder in thousandths of a core.
func quotaMilliCPU(f FS, h Hierarchy, folder string) (int64, bool) {
	var quota, period int64
	if h.Version == 2 {
		text, err := read(f, path.Join(folder, "cpu.max"))
		if n, _ := fmt.Sscan(text, &quota, &period); err != nil || n != 2 {
			return 0, false
		}
	} else {
		q, err1 := read(f, path.Join(folder, "cpu.cfs_quota_us"))
		p, err2 := read(f, path.Join(folder, "cpu.cfs_period_us"))
		if err1 != nil || err2 != nil {
			return 0, false
		}
		quota, _ = strconv.ParseInt(q, 10, 64)
		period, _ = strconv.ParseInt(p, 10, 64)
	}
	if quota <= 0 || period <= 0 {
		return 0, false
	}
	return quota * 1000 / period, true
}

// meminfo returns a line of /proc/meminfo in bytes, 0 when it is not there.
func meminfo(b []byte, key string) int64 {
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), key+":"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// parseCPUs reads a list such as "0-3,8" in ascending order.
func parseCPUs(s string) ([]int, error) {
	var out []int
	for part := range strings.SplitSeq(s, ",") {
		if part == "" {
			continue
		}
		first, last, span := strings.Cut(strings.TrimSpace(part), "-")
		if !span {
			last = first
		}
		a, err1 := strconv.Atoi(first)
		b, err2 := strconv.Atoi(last)
		if err1 != nil || err2 != nil || a < 0 || b < a || b > 1<<16 {
			return nil, fmt.Errorf("%q is no list of CPUs", s)
		}
		for c := a; c <= b; c++ {
			out = append(out, c)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// formatCPUs writes cores as the kernel does: "0-3,8".
func formatCPUs(cores []int) string {
	var b strings.Builder
	for i := 0; i < len(cores); {
		j := i
		for j+1 < len(cores) && cores[j+1] == cores[j]+1 {
			j++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(cores[i]))
		if j > i {
			b.WriteString("-" + strconv.Itoa(cores[j]))
		}
		i = j + 1
	}
	return b.String()
}
