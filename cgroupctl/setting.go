package cgroupctl

import (
	"crypto/sha256"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// period is the quota period in microseconds: the kernel's own default. Shorter
// ones follow a limit more closely and throttle more often.
const period = 100_000

// A group is one folder that the wish asks for in every hierarchy.
type group struct {
	name    string // of the folder below the parent; "" for the parent itself
	online  *Slice
	offline *Pool
	cores   []int // that it may use
	pinned  bool
}

func (g group) kind() string {
	switch {
	case g.online != nil:
		return "online"
	case g.offline != nil:
		return "offline"
	}
	return "parent"
}

// A setting is one control file of a group and the value it shall have.
type setting struct {
	file     string
	want     string
	def      string // what the kernel puts into a folder just made
	optional bool   // some kernels have no such file
	rank     rank
}

// rank orders the writes of one group where the kernel minds.
type rank int

const (
	rankPlain rank = iota
	rankLimit      // widened from the top down, narrowed from the bottom up
)

// Weights: one core is the kernel's default of 100 on v2 and 1024 on v1 for the
// parent, which stands beside groups that wxops does not know. Slices stand
// beside each other only, where ratios count, and have ten times as much: the
// fair scheduler charges run time by the inverse of the weight, so that a heavy
// slice runs ten times longer before it owes a tick of 4 ms to an idle group
// (measured: docs/formulas.md). Beyond ten cores a weight would pass the v2
// maximum of 10000; then every slice of the tree has a tenth.
func (t *Tree) weights(g group) (v1, v2 int64) {
	m, factor := t.weightMilliCPU(g), int64(1)
	if g.online != nil && !slices.ContainsFunc(t.spec.Online, func(o Slice) bool { return o.Shape.MilliCPU > 10000 }) {
		factor = 10
	}
	return min(max(factor*m*1024/1000, 2), 262144), min(max(factor*m/10, 1), 10000)
}

// groups returns the parent and every slice, the parent first.
func (t *Tree) groups() []group {
	free := slices.Clone(t.host.cores)
	var pinned []group
	for i := range t.spec.Online {
		o := &t.spec.Online[i]
		if o.Pin == PinNone {
			continue
		}
		// From the top, because interrupts and the init are usually on core 0.
		n := len(free) - int(o.Shape.MilliCPU/1000)
		if n < 1 {
			n = len(free) // fits has refused this; a tree opened on a smaller machine is not
		}
		pinned = append(pinned, group{name: o.Name, online: o, cores: slices.Clone(free[n:]), pinned: true})
		free = free[:n]
	}
	out := []group{{cores: t.host.cores}}
	for i := range t.spec.Online {
		o := &t.spec.Online[i]
		g := group{name: o.Name, online: o, cores: free}
		if o.Pin != PinNone {
			g, pinned = pinned[0], pinned[1:]
		}
		out = append(out, g)
	}
	if t.spec.Offline != nil {
		out = append(out, group{name: t.spec.Offline.Name, offline: t.spec.Offline, cores: free})
	}
	return out
}

// anyPinned reports whether some slice owns cores; otherwise cpusets stay as
// the kernel, or on v1 the fill from above, leaves them.
func (t *Tree) anyPinned() bool {
	return slices.ContainsFunc(t.spec.Online, func(o Slice) bool { return o.Pin != PinNone })
}

// settings lists what g needs in hierarchy h, in the order of a first write.
func (t *Tree) settings(h Hierarchy, g group) []setting {
	if h.Version == 2 {
		return t.settingsV2(h, g)
	}
	return t.settingsV1(h, g)
}

func (t *Tree) settingsV1(h Hierarchy, g group) []setting {
	var out []setting
	add := func(file, want, def string, optional bool, r rank) {
		out = append(out, setting{file, want, def, optional, r})
	}
	if h.has("cpu") {
		quota, burst := g.quota()
		shares, _ := t.weights(g)
		switch {
		case g.offline != nil:
			add("cpu.shares", "2", "1024", false, rankPlain)
			add("cpu.idle", "1", "0", true, rankPlain)
		default:
			add("cpu.idle", "0", "0", true, rankPlain)
			add("cpu.shares", itoa(shares), "1024", false, rankPlain)
			add("cpu.cfs_period_us", itoa(period), itoa(period), false, rankPlain)
			add("cpu.cfs_quota_us", itoa(quota), "-1", false, rankLimit)
			add("cpu.cfs_burst_us", itoa(burst), "0", true, rankPlain)
		}
	}
	if h.has("memory") {
		if limit := g.memory(); limit > 0 {
			add("memory.limit_in_bytes", itoa(limit), "max", false, rankLimit)
		}
	}
	if h.has("cpuset") {
		// A v1 cpuset starts empty and refuses every process until it is filled.
		add("cpuset.mems", t.mems(h), "", false, rankPlain)
		add("cpuset.cpus", formatCPUs(g.cores), "", false, rankLimit)
	}
	if h.has("blkio") && g.offline != nil {
		add("blkio.bfq.weight", "1", "100", true, rankPlain)
		if rate := g.offline.IOBytesPerSecond; rate > 0 {
			for _, d := range t.disks() {
				add("blkio.throttle.read_bps_device", d+" "+itoa(rate), "", false, rankPlain)
				add("blkio.throttle.write_bps_device", d+" "+itoa(rate), "", false, rankPlain)
			}
		}
	}
	return out
}

func (t *Tree) settingsV2(h Hierarchy, g group) []setting {
	var out []setting
	add := func(file, want, def string, optional bool, r rank) {
		out = append(out, setting{file, want, def, optional, r})
	}
	quota, burst := g.quota()
	_, weight := t.weights(g)
	text := "max " + itoa(period)
	if quota > 0 {
		text = itoa(quota) + " " + itoa(period)
	}
	if g.offline != nil {
		add("cpu.weight", "1", "100", false, rankPlain)
		add("cpu.idle", "1", "0", true, rankPlain)
	} else {
		add("cpu.idle", "0", "0", true, rankPlain)
		add("cpu.weight", itoa(weight), "100", false, rankPlain)
		add("cpu.max", text, "max "+itoa(period), false, rankLimit)
		add("cpu.max.burst", itoa(burst), "0", true, rankPlain)
	}
	add("memory.low", itoa(t.protected(g)), "0", false, rankPlain)
	switch limit := g.memory(); {
	case g.offline != nil:
		// Reclaim and slow-down begin a sixteenth below the limit that kills.
		add("memory.max", itoa(limit), "max", false, rankLimit)
		add("memory.high", itoa(limit-limit/16), "max", false, rankLimit)
		add("memory.oom.group", "1", "0", true, rankPlain)
	case limit > 0:
		add("memory.max", itoa(limit), "max", false, rankLimit)
		add("memory.high", "max", "max", false, rankLimit)
	}
	if h.has("cpuset") && (t.anyPinned() || g.name == "") {
		cpus, partition := "", "member"
		if t.anyPinned() && g.name != "" {
			cpus = formatCPUs(g.cores)
		}
		if g.online != nil && g.online.Pin == PinPartition {
			partition = "root"
		}
		if t.anyPartition() && g.name == "" {
			cpus, partition = formatCPUs(t.host.cores[1:]), "root"
		}
		if g.name != "" || t.anyPartition() {
			add("cpuset.cpus", cpus, "", false, rankLimit)
			add("cpuset.cpus.partition", partition, "member", true, rankPlain)
		}
	}
	if h.has("io") && g.offline != nil {
		add("io.weight", "default 1", "default 100", true, rankPlain)
		if rate := g.offline.IOBytesPerSecond; rate > 0 {
			for _, d := range t.disks() {
				add("io.max", fmt.Sprintf("%s rbps=%d wbps=%d", d, rate, rate), "", false, rankPlain)
			}
		}
	}
	return out
}

func (t *Tree) anyPartition() bool {
	return slices.ContainsFunc(t.spec.Online, func(o Slice) bool { return o.Pin == PinPartition })
}

// quota returns limit and burst in microseconds per period; -1 and 0 for none.
func (g group) quota() (quota, burst int64) {
	if g.online == nil || g.online.Ceiling == 0 {
		return -1, 0
	}
	quota = g.online.LimitMilliCPU() * period / 1000
	return quota, int64(g.online.Burst * float64(quota))
}

// memory returns the hard limit in bytes, 0 for none.
func (g group) memory() int64 {
	switch {
	case g.online != nil:
		return g.online.Shape.MemoryBytes
	case g.offline != nil:
		return g.offline.MemoryBytes
	}
	return 0
}

// weightMilliCPU is the share that a group's weight stands for: a slice has that
// of its shape, the parent the sum, so that all slices together compete with the
// rest of the machine as their shapes say.
func (t *Tree) weightMilliCPU(g group) int64 {
	if g.online != nil {
		return g.online.Shape.MilliCPU
	}
	var sum int64
	for _, o := range t.spec.Online {
		sum += o.Shape.MilliCPU
	}
	if sum == 0 {
		return 1000
	}
	return sum
}

// protected is the memory that reclaim spares: the shape of a guaranteed slice,
// and for the parent their sum, without which the kernel would ignore theirs.
func (t *Tree) protected(g group) int64 {
	if g.online != nil {
		if g.online.Mode == Guaranteed {
			return g.online.Shape.MemoryBytes
		}
		return 0
	}
	var sum int64
	if g.name == "" {
		for _, o := range t.spec.Online {
			if o.Mode == Guaranteed {
				sum += o.Shape.MemoryBytes
			}
		}
	}
	return sum
}

// mems returns the memory nodes of the tree's root.
func (t *Tree) mems(h Hierarchy) string {
	text, err := read(t.host.FS, path.Join(h.Path, "cpuset.mems"))
	if err != nil || text == "" {
		return "0"
	}
	return text
}

// disks returns the device numbers of the whole, real disks.
func (t *Tree) disks() []string {
	b, err := t.host.FS.ReadFile("/proc/partitions")
	if err != nil {
		return nil
	}
	var out []string
	for line := range strings.SplitSeq(string(b), "\n") {
		f := strings.Fields(line)
		if len(f) != 4 || strings.HasPrefix(f[3], "loop") || strings.HasPrefix(f[3], "ram") || strings.HasPrefix(f[3], "zram") {
			continue
		}
		if dev, err := read(t.host.FS, path.Join("/sys/block", f[3], "dev")); err == nil {
			out = append(out, dev)
		}
	}
	return out
}

// hash identifies the wish for one group in its mark.
func (g group) hash() string {
	var s string
	switch {
	case g.online != nil:
		o := *g.online
		s = fmt.Sprint(o.Name, o.Service, o.Instance, o.Shape, o.Mode, o.Pin, o.Ceiling, o.Burst, o.Match, g.cores)
	case g.offline != nil:
		s = fmt.Sprint(*g.offline)
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(s)))[:16]
}

// mark is the owner attribute of a group's folder.
func (g group) mark() string { return "v1 " + g.kind() + " " + g.hash() }

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// number reads a control file that holds one number; "max", and the v1 values
// that stand for it, are not ok.
func number(s string) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	return n, err == nil && n >= 0 && n < 1<<62
}

// same reports whether a control file that reads got has the value that writing
// want gives. The kernel rounds memory to pages, reorders lists and adds words.
func same(file, got, want string) bool {
	got, want = strings.TrimSpace(got), strings.TrimSpace(want)
	if got == want {
		return true
	}
	switch {
	case strings.HasPrefix(file, "memory.") && file != "memory.oom.group":
		g, gok := number(got)
		w, wok := number(want)
		if !gok || !wok {
			return !gok && !wok
		}
		return g/4096 == w/4096
	case file == "cpuset.cpus" || file == "cpuset.mems":
		g, err1 := parseCPUs(got)
		w, err2 := parseCPUs(want)
		return err1 == nil && err2 == nil && slices.Equal(g, w)
	case file == "cpu.max":
		return strings.Join(strings.Fields(got), " ") == want
	case file == "io.weight" || file == "io.max" || strings.HasPrefix(file, "blkio.throttle."):
		words := strings.Fields(want)
		for line := range strings.SplitSeq(got, "\n") {
			have := strings.Fields(line)
			if len(have) > 0 && have[0] == words[0] && !slices.ContainsFunc(words, func(w string) bool { return !slices.Contains(have, w) }) {
				return true
			}
		}
	}
	return false
}

// narrows reports whether replacing old by want makes a limit tighter.
func narrows(file, old, want string) bool {
	if file == "cpuset.cpus" {
		o, _ := parseCPUs(old)
		w, _ := parseCPUs(want)
		return len(o) > 0 && len(w) < len(o)
	}
	size := func(s string) int64 {
		first, _, _ := strings.Cut(strings.TrimSpace(s), " ")
		if n, ok := number(first); ok {
			return n
		}
		return 1 << 62
	}
	return size(want) < size(old)
}
