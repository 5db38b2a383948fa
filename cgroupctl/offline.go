package cgroupctl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The loop measures five times a second, so that a burst of online work is
// answered within half a second of its begin, and over two whole quota periods:
// one that is cut through would show a limited slice with half a period's work too
// much or too little. What costs one file per slice is read once a second.
const (
	offlineStep = 200 * time.Millisecond
	slowEvery   = 5
	leaseFor    = 15 * time.Second // a controller that misses five renewals is gone
	leaseEvery  = 3 * time.Second
)

// lease is the controller's claim on the quota of the offline slice, an
// extended attribute of its folder in the tree of the cpu controller. It ends by
// the time since boot: that clock is never set, and no attribute outlives it.
type lease struct {
	until time.Duration // after boot, whole seconds
	pid   int
	rule  Rule
}

func (l lease) String() string {
	return fmt.Sprintf("until=%d pid=%d rule=%s", int64(l.until/time.Second), l.pid, l.rule)
}

func parseLease(s string) (lease, error) {
	var l lease
	var seconds int64
	if _, err := fmt.Sscanf(s, "until=%d pid=%d rule=%s", &seconds, &l.pid, &l.rule); err != nil {
		return l, fmt.Errorf("lease %q: %w", s, err)
	}
	l.until = time.Duration(seconds) * time.Second
	return l, nil
}

// lapsed returns the lease of a controller that is gone, "" for none.
func (t *Tree) lapsed() (string, error) {
	text, err := t.leaseText()
	if text == "" || err != nil {
		return "", err
	}
	up, err := t.host.uptime()
	if err != nil {
		return "", err
	}
	l, err := parseLease(text)
	if left := l.until - up; err != nil || left < 0 || left > leaseFor {
		return text, nil
	}
	return "", nil
}

func (t *Tree) leaseText() (string, error) {
	if t.spec.Offline == nil {
		return "", nil
	}
	h, _ := t.host.hierarchy("cpu")
	folder := t.folder(h, t.spec.Offline.Name)
	st, _, err := t.state(folder)
	if err == nil && st != ours {
		return "", nil
	}
	text := ""
	if err == nil {
		text, err = t.host.FS.Attr(folder, t.host.attr+leaseSuffix)
	}
	if errors.Is(err, errNoAttr) || errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", t.denied("look at "+folder, folder, err)
	}
	return text, nil
}

// standing is what the offline slice gets in hierarchy h while no controller
// steers it: the window's rule with no online work measured.
func (t *Tree) standing(h Hierarchy) []setting {
	w, _ := t.spec.windowAt(t.now())
	limit := float64(t.host.Machine.MilliCPU)/1000*w.Target - t.reserveCores()
	switch w.Rule {
	case Unrestricted:
		limit = 0
	case Floor, Frozen:
		limit = windowFloor
	}
	return t.steering(h, limit, w.Rule == Frozen)
}

func (t *Tree) reserveCores() float64 {
	return float64(t.host.Machine.MilliCPU-t.spec.Reserve.Allocatable(t.host.Machine).MilliCPU) / 1000
}

// steering returns the settings of a decision; limit 0 is none.
func (t *Tree) steering(h Hierarchy, limit float64, freeze bool) []setting {
	quota := int64(-1)
	if limit > 0 {
		quota = max(int64(math.Round(limit*period)), 1000) // the kernel's least
	}
	var out []setting
	if h.Version == 2 {
		text := "max " + itoa(period)
		if quota > 0 {
			text = itoa(quota) + " " + itoa(period)
		}
		state := "0"
		if freeze {
			state = "1"
		}
		return []setting{{file: "cpu.max", want: text, rank: rankLimit}, {file: "cgroup.freeze", want: state, optional: true}}
	}
	if h.has("cpu") {
		out = append(out, setting{file: "cpu.cfs_quota_us", want: itoa(quota), rank: rankLimit})
	}
	if h.has("freezer") {
		state := "THAWED"
		if freeze {
			state = "FROZEN"
		}
		out = append(out, setting{file: "freezer.state", want: state})
	}
	return out
}

// Event is one line of the controller's log.
type Event struct {
	At time.Time
	Decision
	Sample Sample
	Killed []int // processes of the youngest job
	Err    error // a write that failed; the loop goes on and tries again
}

// RunOffline steers the offline slice until ctx ends, and tells say about each
// change. Two at a time on one slice are refused. When it ends, the slice gets
// what the window's rule alone gives it.
func (t *Tree) RunOffline(ctx context.Context, say func(Event)) error {
	if t.spec.Offline == nil {
		return badInput("the file has no offline slice").hint("add offline: {name: offline, memory: 4G}")
	}
	name := t.spec.Offline.Name
	if err := t.ready(name); err != nil {
		return err
	}
	cpu, _ := t.host.hierarchy("cpu")
	folder := t.folder(cpu, name)
	unlock, err := t.host.FS.Lock(folder, 0)
	if err != nil {
		return refuse("slice %s is steered already", name).because(err)
	}
	defer unlock()
	c := &Controller{Cores: float64(t.host.Machine.MilliCPU) / 1000, Reserve: t.reserveCores(), Eviction: t.spec.Evictions}
	m := &meter{Tree: t}
	m.measure(t.now(), true)
	ticker := time.NewTicker(offlineStep)
	defer ticker.Stop()
	var last Decision
	var renewed time.Time
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return t.release(cpu, folder)
		case <-ticker.C:
		}
		now := t.now()
		w, _ := t.spec.windowAt(now)
		s := m.measure(now, n%slowEvery == 0)
		d := c.Step(w, s)
		e := Event{At: now, Decision: d, Sample: s}
		if now.Sub(renewed) >= leaseEvery || d.Rule != last.Rule {
			up, err := t.host.uptime()
			if err != nil {
				return refuse("read the time since boot").because(err)
			}
			l := lease{until: up + leaseFor, pid: t.host.self, rule: d.Rule}
			if err := t.host.FS.SetAttr(folder, t.host.attr+leaseSuffix, l.String()); err != nil {
				return t.denied("take the lease of "+folder, folder, err)
			}
			renewed = now
		}
		changed := n == 1 || d.LimitCores != last.LimitCores || d.Freeze != last.Freeze || d.Rule != last.Rule
		if changed {
			e.Err = t.steer(name, d)
		}
		if d.KillYoungest {
			e.Killed, e.Err = t.killYoungest(name)
		}
		if changed || d.KillYoungest {
			say(e)
		}
		if last = d; e.Err != nil {
			last = Decision{} // try again with the next step
			if ok, err := exists(t.host.FS, folder); err == nil && !ok {
				return refuse("slice %s was removed while it was steered", name)
			}
		}
	}
}

// steer writes a decision.
func (t *Tree) steer(name string, d Decision) error {
	for _, h := range t.host.Hierarchies {
		for _, s := range t.steering(h, d.LimitCores, d.Freeze) {
			file := path.Join(t.folder(h, name), s.file)
			if err := t.write(file, s.want); err != nil {
				return fmt.Errorf("write %q to %s: %w", s.want, file, err)
			}
		}
	}
	return nil
}

// release leaves the slice as the window's rule alone wants it.
func (t *Tree) release(cpu Hierarchy, folder string) error {
	if ok, err := exists(t.host.FS, folder); err != nil || !ok {
		return err
	}
	for _, h := range t.host.Hierarchies {
		for _, s := range t.standing(h) {
			file := path.Join(t.folder(h, t.spec.Offline.Name), s.file)
			if err := t.write(file, s.want); err != nil {
				return t.denied("write "+file, folder, err)
			}
		}
	}
	if err := t.host.FS.RemoveAttr(folder, t.host.attr+leaseSuffix); err != nil {
		return t.denied("give the lease of "+cpu.Path+" back", folder, err)
	}
	return nil
}

// killYoungest kills the job that began last: the youngest process whose parent
// is not in the slice, with all below it. A job on v1 must be thawed to die.
func (t *Tree) killYoungest(name string) ([]int, error) {
	table, err := t.host.processes()
	if err != nil {
		return nil, err
	}
	members := t.members(name)
	var tops []process
	for _, pid := range members {
		if p, ok := table[pid]; ok && !slices.Contains(members, p.parent) {
			tops = append(tops, p)
		}
	}
	if len(tops) == 0 {
		return nil, nil
	}
	top := slices.MaxFunc(tops, func(a, b process) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.pid, b.pid)) })
	doomed := []int{top.pid}
	for i := 0; i < len(doomed); i++ {
		for _, pid := range members {
			if p, ok := table[pid]; ok && p.parent == doomed[i] {
				doomed = append(doomed, pid)
			}
		}
	}
	for _, pid := range doomed {
		if err := t.host.FS.Kill(pid); err != nil && !isGone(err) {
			return doomed, fmt.Errorf("kill PID %d: %w", pid, err)
		}
	}
	for _, h := range t.host.Hierarchies {
		if h.Version == 1 {
			if err := t.thaw(h, t.folder(h, name)); err != nil {
				return doomed, err
			}
		}
	}
	return doomed, nil
}

// A meter takes samples.
type meter struct {
	*Tree
	last      reading
	throttled float64
	pressure  float64
	slices    map[string][2]int64 // periods and throttled ones at the last slow step
}

// reading is what the files said at one time.
type reading struct {
	at                     time.Time
	busy, wxops, offline   time.Duration
	memoryStall            time.Duration
	ok, haveStall, shortOf bool
}

// measure reads the machine and returns the difference to the time before. slow
// reads what costs a file per slice, too.
func (m *meter) measure(now time.Time, slow bool) Sample {
	r := m.read(now)
	if slow {
		m.perSlice()
	}
	before := m.last
	s := Sample{Throttled: m.throttled, Pressure: m.pressure, MemoryShort: r.shortOf, Stale: !r.ok || !before.ok}
	s.Seconds = offlineStep.Seconds()
	if dt := r.at.Sub(before.at).Seconds(); dt > 0.01 && dt < 5 {
		s.Seconds = dt
	} else {
		s.Stale = true // a step of the clock: the rates would be nonsense
	}
	if r.ok {
		m.last = r
	}
	if s.Stale {
		return s
	}
	s.Offline = (r.offline - before.offline).Seconds() / s.Seconds
	s.Online = max(0, (r.wxops-before.wxops).Seconds()/s.Seconds-s.Offline)
	s.System = max(0, (r.busy-before.busy).Seconds()/s.Seconds-s.Online-s.Offline)
	if r.haveStall {
		s.MemoryPressure = (r.memoryStall - before.memoryStall).Seconds() / s.Seconds
	}
	return s
}

func (m *meter) read(now time.Time) reading {
	f := m.host.FS
	r := reading{at: now}
	h, found := m.host.hierarchy("cpuacct")
	if !found {
		h, _ = m.host.hierarchy("cpu")
	}
	var ok1, ok2 bool
	r.wxops, ok1 = cpuUsed(f, h, m.folder(h, ""))
	r.offline, ok2 = cpuUsed(f, h, m.folder(h, m.spec.Offline.Name))
	stat, err := f.ReadFile("/proc/stat")
	r.busy = busy(stat)
	if s, err := read(f, "/proc/pressure/memory"); err == nil {
		var p stall
		p, r.haveStall = pressure(s)
		r.memoryStall = p.total
	}
	if info, err := f.ReadFile("/proc/meminfo"); err == nil {
		room := m.host.Machine.MemoryBytes - m.spec.Reserve.Allocatable(m.host.Machine).MemoryBytes
		available := meminfo(info, "MemAvailable")
		r.shortOf = available > 0 && available < room/2
	}
	r.ok = ok1 && ok2 && err == nil
	return r
}

// busy returns the time that all cores were not idle, from /proc/stat.
func busy(stat []byte) time.Duration {
	line, _, _ := strings.Cut(string(stat), "\n")
	var ticks int64
	for i, f := range strings.Fields(line) {
		if i == 0 || i == 4 || i == 5 || i > 8 { // name, idle, iowait; guest is in user
			continue
		}
		n, _ := strconv.ParseInt(f, 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 on every platform of Linux
}

// perSlice finds the online slice that is worst off.
func (m *meter) perSlice() {
	f := m.host.FS
	cpu, _ := m.host.hierarchy("cpu")
	m.throttled, m.pressure = 0, 0
	if m.slices == nil {
		m.slices = map[string][2]int64{}
	}
	for _, o := range m.spec.Online {
		folder := m.folder(cpu, o.Name)
		if o.Ceiling > 0 {
			text, _ := read(f, path.Join(folder, "cpu.stat"))
			k := keyed(text)
			now, before := [2]int64{k["nr_periods"], k["nr_throttled"]}, m.slices[o.Name]
			if periods := now[0] - before[0]; periods > 0 {
				m.throttled = max(m.throttled, float64(now[1]-before[1])/float64(periods))
			}
			m.slices[o.Name] = now
		}
		if cpu.Version == 2 {
			text, _ := read(f, path.Join(folder, "cpu.pressure"))
			if p, ok := pressure(text); ok {
				m.pressure = max(m.pressure, p.avg10)
			}
		}
	}
}

// OfflineStatus is the state of offline work on this machine.
type OfflineStatus struct {
	Name         string     `json:"name"`
	Window       string     `json:"window"`
	Rule         Rule       `json:"rule"`
	Until        *time.Time `json:"until,omitempty" doc:"when another window begins"`
	AdmitsJobs   bool       `json:"admits_jobs"`
	AdmitsFrom   *time.Time `json:"admits_from,omitempty" doc:"when a job may begin next; absent while one may now"`
	Controller   string     `json:"controller" doc:"running, gone (its lease has lapsed), none, or hidden from a user who is not root"`
	PID          int        `json:"pid,omitempty" doc:"of the controller"`
	LimitCores   float64    `json:"limit_cores" doc:"hard limit; 0 for none"`
	CPUSeconds   float64    `json:"cpu_seconds"`
	MemoryBytes  int64      `json:"memory_bytes"`
	Processes    int        `json:"processes"`
	Frozen       bool       `json:"frozen"`
	ReserveCores float64    `json:"reserve_cores"`
}

// OfflineStatus reads the state of offline work.
func (t *Tree) OfflineStatus() (*OfflineStatus, error) {
	if t.spec.Offline == nil {
		return nil, badInput("the file has no offline slice").hint("add offline: {name: offline, memory: 4G}")
	}
	if err := t.ready(t.spec.Offline.Name); err != nil {
		return nil, err
	}
	now := t.now()
	w, admit := t.spec.windowAt(now)
	s := &OfflineStatus{Name: t.spec.Offline.Name, Window: w.Name, Rule: w.Rule, AdmitsJobs: admit, Controller: "none", ReserveCores: t.reserveCores()}
	if end := t.spec.windowEnd(now); !end.IsZero() {
		s.Until = &end
	}
	if from := t.spec.AdmitsFrom(now); !admit && !from.IsZero() {
		s.AdmitsFrom = &from
	}
	text, err := t.leaseText()
	if err != nil {
		return nil, err
	}
	if text == "" && t.host.units != nil && t.host.attr == ownerAttrRootless {
		s.Controller = "hidden"
	}
	if text != "" {
		s.Controller = "running"
		if gone, err := t.lapsed(); err != nil || gone != "" {
			s.Controller = "gone"
		}
		if l, err := parseLease(text); err == nil {
			s.PID = l.pid
		}
	}
	all, err := t.Usage()
	if err != nil {
		return nil, err
	}
	u := all[len(all)-1]
	s.LimitCores, s.CPUSeconds, s.MemoryBytes, s.Processes, s.Frozen = u.LimitCores, u.CPUSeconds, u.MemoryBytes, u.Processes, u.Frozen
	return s, nil
}
