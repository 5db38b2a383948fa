package cgroupctl

import (
	"bufio"
	"bytes"
	"path"
	"strconv"
	"strings"
	"time"
)

// Usage is what one slice has used and may use.
type Usage struct {
	Name             string   `json:"name"`
	Kind             string   `json:"kind" doc:"online or offline"`
	Shape            string   `json:"shape,omitempty"`
	Present          bool     `json:"present" doc:"on the machine and made by wxops"`
	Processes        int      `json:"processes"`
	CPUSeconds       float64  `json:"cpu_seconds" doc:"since the slice was made"`
	LimitCores       float64  `json:"limit_cores" doc:"hard CPU limit; 0 for none"`
	Periods          int64    `json:"periods" doc:"quota periods in which the slice ran"`
	ThrottledPeriods int64    `json:"throttled_periods"`
	ThrottledSeconds float64  `json:"throttled_seconds"`
	MemoryBytes      int64    `json:"memory_bytes"`
	MemoryPeakBytes  int64    `json:"memory_peak_bytes,omitempty" doc:"where the kernel keeps it"`
	MemoryLimitBytes int64    `json:"memory_limit_bytes" doc:"0 for none"`
	OOMKills         int64    `json:"oom_kills"`
	CPUPressureRatio *float64 `json:"cpu_pressure_ratio,omitempty" doc:"share of the last 10 s in which some task waited for CPU; cgroup v2 only"`
	Frozen           bool     `json:"frozen"`
}

// Usage reads every slice of the file, in its order, the offline pool last.
func (t *Tree) Usage() ([]Usage, error) {
	out := []Usage{}
	for _, g := range t.groups()[1:] {
		u := Usage{Name: g.name, Kind: g.kind(), Present: true}
		if g.online != nil {
			u.Shape = g.online.Shape.String()
		}
		for _, h := range t.host.Hierarchies {
			folder := t.folder(h, g.name)
			switch st, _, err := t.state(folder); {
			case err != nil:
				return nil, t.denied("look at "+folder, folder, err)
			case st == unseen:
				return nil, stranger(folder, st)
			case st != ours:
				u.Present = false
			}
		}
		if u.Present {
			u.Processes = len(t.members(g.name))
			for _, h := range t.host.Hierarchies {
				t.fill(&u, h, t.folder(h, g.name))
			}
		}
		out = append(out, u)
	}
	return out, nil
}

func (t *Tree) fill(u *Usage, h Hierarchy, folder string) {
	f := t.host.FS
	get := func(file string) string { s, _ := read(f, path.Join(folder, file)); return s }
	num := func(file string) int64 { n, _ := number(get(file)); return n }
	if h.has("cpu") {
		s := keyed(get("cpu.stat"))
		u.Periods, u.ThrottledPeriods = s["nr_periods"], s["nr_throttled"]
		u.ThrottledSeconds = float64(s["throttled_usec"])/1e6 + float64(s["throttled_time"])/1e9
		if milli, ok := quotaMilliCPU(f, h, folder); ok {
			u.LimitCores = float64(milli) / 1000
		}
	}
	if used, ok := cpuUsed(f, h, folder); ok {
		u.CPUSeconds = used.Seconds()
	}
	if h.has("memory") {
		u.MemoryBytes, _ = memoryUsed(f, h, folder)
		if h.Version == 1 {
			u.MemoryLimitBytes, u.MemoryPeakBytes = num("memory.limit_in_bytes"), num("memory.max_usage_in_bytes")
			u.OOMKills = keyed(get("memory.oom_control"))["oom_kill"]
		} else {
			u.MemoryLimitBytes, u.MemoryPeakBytes = num("memory.max"), num("memory.peak")
			u.OOMKills = keyed(get("memory.events"))["oom_kill"]
		}
	}
	if h.has("freezer") {
		u.Frozen = get("freezer.state") != "THAWED"
	}
	if h.Version == 2 {
		u.Frozen = get("cgroup.freeze") == "1"
		if p, ok := pressure(get("cpu.pressure")); ok {
			u.CPUPressureRatio = &p.avg10
		}
	}
}

// cpuUsed returns the CPU time of a folder and all below it.
func cpuUsed(f FS, h Hierarchy, folder string) (time.Duration, bool) {
	switch {
	case h.Version == 2:
		s, err := read(f, path.Join(folder, "cpu.stat"))
		return time.Duration(keyed(s)["usage_usec"]) * time.Microsecond, err == nil
	case h.has("cpuacct"):
		s, err := read(f, path.Join(folder, "cpuacct.usage"))
		n, ok := number(s)
		return time.Duration(n), err == nil && ok
	}
	return 0, false
}

// keyed reads a file of "key value" lines.
func keyed(s string) map[string]int64 {
	out := map[string]int64{}
	for line := range strings.SplitSeq(s, "\n") {
		if key, value, ok := strings.Cut(line, " "); ok {
			if n, err := strconv.ParseInt(value, 10, 64); err == nil {
				out[key] = n
			}
		}
	}
	return out
}

// stall is one line of a pressure file, Documentation/accounting/psi.rst.
type stall struct {
	avg10 float64       // ratio of the last 10 s
	total time.Duration // since boot
}

// pressure reads the "some" line.
func pressure(s string) (stall, bool) {
	for sc := bufio.NewScanner(bytes.NewReader([]byte(s))); sc.Scan(); {
		rest, ok := strings.CutPrefix(sc.Text(), "some ")
		if !ok {
			continue
		}
		var p stall
		for word := range strings.FieldsSeq(rest) {
			if v, ok := strings.CutPrefix(word, "avg10="); ok {
				x, err := strconv.ParseFloat(v, 64)
				if err != nil {
					return stall{}, false
				}
				p.avg10 = x / 100
			}
			if v, ok := strings.CutPrefix(word, "total="); ok {
				n, err := strconv.ParseInt(v, 10, 64)
				if err != nil {
					return stall{}, false
				}
				p.total = time.Duration(n) * time.Microsecond
			}
		}
		return p, true
	}
	return stall{}, false
}
