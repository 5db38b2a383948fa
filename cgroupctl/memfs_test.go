package cgroupctl

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// errInvalid is what the kernel answers with EINVAL.
var errInvalid = errors.New("invalid argument")

// memFS is a kernel in memory: folders that come with their control files,
// refuse what the kernel refuses, and fail where a test wants it.
type memFS struct {
	files   map[string]string
	folders map[string]int64 // path -> magic
	attrs   map[string]string
	version int
	hidden  bool // trusted.* attributes do not show
	// before is asked ahead of each change; an error ends the change.
	before func(op, path string) error
	// clamp rewrites what a control file keeps of a write.
	clamp  func(path, data string) string
	writes []string
}

func newMemFS(version int) *memFS {
	m := &memFS{files: map[string]string{}, folders: map[string]int64{}, attrs: map[string]string{}, version: version}
	m.files["/proc/meminfo"] = "MemTotal:        8388608 kB\nMemAvailable:    4194304 kB\n"
	m.files["/sys/devices/system/cpu/online"] = "0-3\n"
	m.files["/proc/self/status"] = "Name:\twxops\nCapEff:\t000001ffffffffff\nCapBnd:\t000001ffffffffff\n"
	m.files["/proc/self/uid_map"] = "         0          0 4294967295\n"
	m.files["/proc/uptime"] = "5000.00 9000.00\n"
	m.folders["/proc"] = 0x9fa0
	if version == 2 {
		m.files["/proc/self/mountinfo"] = "30 23 0:26 / /cg rw,nosuid - cgroup2 cgroup2 rw\n"
		m.root("/cg", magicV2)
		m.files["/cg/cgroup.controllers"] = "cpuset cpu io memory pids\n"
		m.files["/cg/cgroup.subtree_control"] = ""
		m.files["/cg/cgroup.procs"] = "1\n"
		return m
	}
	m.files["/proc/self/mountinfo"] = "31 23 0:27 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n" +
		"32 23 0:28 / /cg/memory rw - cgroup cgroup rw,memory\n33 23 0:29 / /cg/cpuset rw - cgroup cgroup rw,cpuset\n" +
		"34 23 0:30 / /cg/systemd rw - cgroup cgroup rw,xattr,name=systemd\n35 23 0:31 / /cg/devices rw - cgroup cgroup rw,devices\n"
	for _, c := range []string{"cpu,cpuacct", "memory", "cpuset"} {
		m.root("/cg/"+c, magicV1)
	}
	m.files["/cg/cpuset/cpuset.mems"] = "0\n"
	return m
}

func (m *memFS) root(p string, magic int64) { m.folders[p] = magic }

func (m *memFS) asked(op, p string) error {
	if m.before != nil {
		if err := m.before(op, p); err != nil {
			return err
		}
	}
	m.writes = append(m.writes, op+" "+p)
	return nil
}

func (m *memFS) ReadFile(p string) ([]byte, error) {
	s, ok := m.files[p]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
	}
	return []byte(s), nil
}

func (m *memFS) WriteFile(p, data string) error {
	old, ok := m.files[p]
	if !ok {
		return &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
	}
	if err := m.asked("write", p); err != nil {
		return err
	}
	if err := m.refused(p, data); err != nil {
		return &fs.PathError{Op: "write", Path: p, Err: err}
	}
	dir, file := path.Split(p)
	switch file {
	case "cgroup.procs": // a process is in one folder of each tree
		tree, _, _ := strings.Cut(strings.TrimPrefix(dir, "/cg/"), "/")
		for other := range m.files {
			if path.Base(other) == file && (m.version == 2 || strings.HasPrefix(other, "/cg/"+tree+"/")) {
				m.files[other] = strings.ReplaceAll(m.files[other], data+"\n", "")
			}
		}
		data = m.files[p] + data + "\n"
	case "cgroup.subtree_control":
		for w := range strings.FieldsSeq(data) {
			old += " " + strings.TrimPrefix(w, "+")
			for f := range m.folders {
				if path.Dir(f)+"/" == dir {
					m.fill(f)
				}
			}
		}
		data = strings.TrimSpace(old)
		m.files[p] = data
		for f := range m.folders {
			if path.Dir(f)+"/" == dir {
				m.fill(f)
			}
		}
	case "cpu.idle":
		locked := map[int][2]string{1: {"cpu.shares", "3"}, 2: {"cpu.weight", "0"}}[m.version]
		if data == "1" {
			m.files[dir+locked[0]] = locked[1]
		} else if old == "1" {
			m.files[dir+locked[0]] = map[int]string{1: "1024", 2: "100"}[m.version]
		}
	}
	if m.clamp != nil {
		data = m.clamp(p, data)
	}
	m.files[p] = data
	return nil
}

// refused holds the rules of the kernel that the order of writes must obey.
func (m *memFS) refused(p, data string) error {
	dir, file := path.Split(p)
	num := func(name string) int64 {
		first, _, _ := strings.Cut(m.files[dir+name], " ")
		n, err := strconv.ParseInt(first, 10, 64)
		if err != nil || n < 0 {
			return 1 << 62
		}
		return n
	}
	first, _, _ := strings.Cut(data, " ")
	n, err := strconv.ParseInt(first, 10, 64)
	if err != nil || n < 0 {
		n = 1 << 62
	}
	switch file {
	case "cpu.cfs_burst_us":
		if n > num("cpu.cfs_quota_us") {
			return errInvalid
		}
	case "cpu.max.burst":
		if n > num("cpu.max") {
			return errInvalid
		}
	case "cpu.cfs_quota_us":
		if num("cpu.cfs_burst_us") > n {
			return errInvalid
		}
	case "cpu.max":
		if num("cpu.max.burst") > n {
			return errInvalid
		}
	case "cpu.shares", "cpu.weight":
		if m.files[dir+"cpu.idle"] == "1" {
			return errInvalid
		}
	case "cpuset.cpus":
		if above, ok := m.files[path.Dir(path.Clean(dir))+"/cpuset.cpus"]; ok && m.version == 1 {
			a, _ := parseCPUs(above)
			c, _ := parseCPUs(data)
			for _, cpu := range c {
				if !slices.Contains(a, cpu) {
					return errInvalid
				}
			}
		}
		if m.version == 1 { // a parent cannot drop what a child has
			c, _ := parseCPUs(data)
			for f := range m.folders {
				if path.Dir(f)+"/" == dir {
					below, _ := parseCPUs(m.files[f+"/cpuset.cpus"])
					for _, cpu := range below {
						if !slices.Contains(c, cpu) {
							return errInvalid
						}
					}
				}
			}
		}
	}
	return nil
}

// fill gives a folder the control files that the kernel would.
func (m *memFS) fill(p string) {
	set := func(file, value string) {
		if _, ok := m.files[p+"/"+file]; !ok {
			m.files[p+"/"+file] = value
		}
	}
	set("cgroup.procs", "")
	if m.version == 1 {
		switch {
		case strings.HasPrefix(p, "/cg/cpu,"):
			set("cpu.shares", "1024")
			set("cpu.idle", "0")
			set("cpu.cfs_period_us", "100000")
			set("cpu.cfs_quota_us", "-1")
			set("cpu.cfs_burst_us", "0")
			set("cpu.stat", "nr_periods 0\nnr_throttled 0\nthrottled_time 0\n")
			set("cpuacct.usage", "0")
		case strings.HasPrefix(p, "/cg/memory"):
			set("memory.limit_in_bytes", "9223372036854771712")
			set("memory.usage_in_bytes", "0")
		case strings.HasPrefix(p, "/cg/cpuset"):
			set("cpuset.cpus", "")
			set("cpuset.mems", "")
		}
		return
	}
	set("cgroup.type", "domain")
	set("cgroup.subtree_control", "")
	set("cgroup.freeze", "0")
	set("cpu.stat", "usage_usec 0\n")
	on := strings.Fields(m.files[path.Dir(p)+"/cgroup.subtree_control"])
	if slices.Contains(on, "cpu") {
		set("cpu.weight", "100")
		set("cpu.idle", "0")
		set("cpu.max", "max 100000")
		set("cpu.max.burst", "0")
	}
	if slices.Contains(on, "memory") {
		for _, f := range []string{"memory.low", "memory.oom.group", "memory.current"} {
			set(f, "0")
		}
		set("memory.max", "max")
		set("memory.high", "max")
	}
	if slices.Contains(on, "io") {
		set("io.weight", "default 100")
	}
	if slices.Contains(on, "cpuset") {
		set("cpuset.cpus", "")
		set("cpuset.cpus.partition", "member")
	}
}

func (m *memFS) Mkdir(p string) error {
	if err := m.asked("mkdir", p); err != nil {
		return err
	}
	if _, ok := m.folders[p]; ok {
		return &fs.PathError{Op: "mkdir", Path: p, Err: fs.ErrExist}
	}
	magic, ok := m.folders[path.Dir(p)]
	if !ok {
		return &fs.PathError{Op: "mkdir", Path: p, Err: fs.ErrNotExist}
	}
	m.folders[p] = magic
	m.fill(p)
	return nil
}

func (m *memFS) Rmdir(p string) error {
	if err := m.asked("rmdir", p); err != nil {
		return err
	}
	delete(m.folders, p)
	for f := range m.files {
		if path.Dir(f) == p {
			delete(m.files, f)
		}
	}
	for a := range m.attrs {
		if strings.HasPrefix(a, p+"#") {
			delete(m.attrs, a)
		}
	}
	return nil
}

func (m *memFS) Folders(p string) ([]string, error) {
	if _, ok := m.folders[p]; !ok {
		return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
	}
	var out []string
	for f := range m.folders {
		if path.Dir(f) == p && f != p {
			out = append(out, path.Base(f))
		}
	}
	slices.Sort(out)
	return out, nil
}

func (m *memFS) Magic(p string) (int64, error) {
	if magic, ok := m.folders[p]; ok {
		return magic, nil
	}
	if _, ok := m.files[p]; ok {
		return m.folders[path.Dir(p)], nil
	}
	return 0, &fs.PathError{Op: "statfs", Path: p, Err: fs.ErrNotExist}
}

func (m *memFS) Attr(p, name string) (string, error) {
	if _, ok := m.folders[p]; !ok {
		return "", &fs.PathError{Op: "getxattr", Path: p, Err: fs.ErrNotExist}
	}
	if v, ok := m.attrs[p+"#"+name]; ok && !(m.hidden && strings.HasPrefix(name, "trusted.")) {
		return v, nil
	}
	return "", errNoAttr
}

func (m *memFS) SetAttr(p, name, value string) error {
	if err := m.asked("setxattr", p); err != nil {
		return err
	}
	m.attrs[p+"#"+name] = value
	return nil
}

func (m *memFS) RemoveAttr(p, name string) error {
	if err := m.asked("removexattr", p); err != nil {
		return err
	}
	delete(m.attrs, p+"#"+name)
	return nil
}

func (m *memFS) Lock(p string, _ time.Duration) (func(), error) {
	if _, ok := m.folders[p]; !ok {
		return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
	}
	return func() {}, nil
}

func (m *memFS) Kill(pid int) error {
	if err := m.asked("kill", strconv.Itoa(pid)); err != nil {
		return err
	}
	delete(m.folders, fmt.Sprintf("/proc/%d", pid))
	delete(m.files, fmt.Sprintf("/proc/%d/stat", pid))
	return nil
}

// process adds a line to the process table.
func (m *memFS) process(pid, parent, session int, start uint64, cgroup, command string) {
	m.folders[fmt.Sprintf("/proc/%d", pid)] = 0x9fa0
	m.files[fmt.Sprintf("/proc/%d/stat", pid)] = fmt.Sprintf("%d (a (b) c) S %d %d %d 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %d 0", pid, parent, pid, session, start)
	m.files[fmt.Sprintf("/proc/%d/cgroup", pid)] = cgroup
	m.files[fmt.Sprintf("/proc/%d/cmdline", pid)] = strings.ReplaceAll(command, " ", "\x00")
}
