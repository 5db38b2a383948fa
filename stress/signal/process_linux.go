package signal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// findProcesses returns the processes that hold a listening socket of address.
func findProcesses(ctx context.Context, address string) ([]int, error) {
	table, err := openSocketTable(ctx, address, 0)
	if err != nil {
		return nil, err
	}
	defer table.close()
	listening, _, err := table.look()
	if err != nil {
		return nil, err
	}
	if len(listening) == 0 {
		return nil, errors.New("nothing on this host listens there")
	}
	links := map[string]bool{}
	for _, l := range listening {
		links[fmt.Sprintf("socket:[%d]", l.inode)] = true
	}
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err != nil || !links[target] {
			continue // closed meanwhile, or another socket
		}
		pid, err := strconv.Atoi(strings.Split(fd, "/")[2])
		if err == nil && !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	if len(pids) == 0 {
		return nil, errors.New("its process belongs to another user; run as that user, or pass --pid")
	}
	slices.Sort(pids)
	return pids, nil
}

// runDelay returns for how many seconds each thread of a process was ready to
// run and had no CPU.
func runDelay(pid int) (map[int]float64, error) {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	delays := make(map[int]float64, len(tasks))
	for _, t := range tasks {
		text, err := os.ReadFile(path.Join(dir, t.Name(), "schedstat"))
		if err != nil {
			continue // the thread has ended, or the kernel keeps no such numbers
		}
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		if delays[tid], err = parseSchedstat(string(text)); err != nil {
			return nil, err
		}
	}
	return delays, nil
}

// cpuQuota returns the cores that the cgroup of a process, or one above it,
// allows; 0 without a limit. Both versions are looked for where distributions
// mount them.
func cpuQuota(pid int) float64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return 0
	}
	lowest := 0.0
	take := func(quota float64) {
		if quota > 0 && (lowest == 0 || quota < lowest) {
			lowest = quota
		}
	}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for dir := parts[2]; ; dir = path.Dir(dir) {
			switch {
			case parts[1] == "":
				max, _ := os.ReadFile(path.Join("/sys/fs/cgroup", dir, "cpu.max"))
				take(parseQuota(string(max)))
			case slices.Contains(strings.Split(parts[1], ","), "cpu"):
				quota, _ := os.ReadFile(path.Join("/sys/fs/cgroup/cpu", dir, "cpu.cfs_quota_us"))
				period, _ := os.ReadFile(path.Join("/sys/fs/cgroup/cpu", dir, "cpu.cfs_period_us"))
				take(parseQuota(strings.TrimSpace(string(quota)) + " " + strings.TrimSpace(string(period))))
			}
			if dir == "/" || dir == "." {
				break
			}
		}
	}
	return lowest
}
