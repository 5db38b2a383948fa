package cgroupctl

import (
	"path"
	"slices"
	"strings"
)

// UnitPIDs returns the processes of a systemd unit, found by its folder: systemd
// names it after the unit in each tree that it keeps, name=systemd or the unified
// one. Reading is all that is done there.
func (t *Tree) UnitPIDs(unit string) ([]int, error) {
	if strings.Contains(unit, "/") || unit == "" {
		return nil, badInput("unit %q is not the name of a unit", unit).hint("as in checkout.service")
	}
	if !strings.Contains(unit, ".") {
		unit += ".service"
	}
	if !t.host.Systemd {
		return nil, refuse("unit %s: systemd does not run this machine", unit).hint("name PIDs, or use --match")
	}
	table, err := t.host.processes()
	if err != nil {
		return nil, refuse("walk the process table").because(err)
	}
	var out []int
	for pid, p := range table {
		if p.kernel || p.gone() {
			continue
		}
		if slices.Contains(strings.Split(t.host.systemdFolder(pid), "/"), unit) {
			out = append(out, pid)
		}
	}
	if len(out) == 0 {
		return nil, refuse("unit %s has no running process", unit).hint("systemctl status %s", unit)
	}
	slices.Sort(out)
	return out, nil
}

// unitFolder reports whether a folder is that of a unit with processes.
func unitFolder(folder string) bool {
	return slices.Contains([]string{".service", ".scope"}, path.Ext(folder))
}

// systemdFolder returns where systemd keeps a process.
func (h *Host) systemdFolder(pid int) string {
	b, err := h.FS.ReadFile(path.Join("/proc", itoa(int64(pid)), "cgroup"))
	if err != nil {
		return ""
	}
	unified := ""
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if _, folder, ok := strings.Cut(line, ":name=systemd:"); ok {
			return folder
		}
		if folder, ok := strings.CutPrefix(line, "0::"); ok {
			unified = folder
		}
	}
	return unified
}
