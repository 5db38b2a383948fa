package signal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v3/process"

	"github.com/wxops/wxops/stress"
)

// ProcessOptions say which process to look at.
type ProcessOptions struct {
	// Address is the host:port on which the instance listens: its processes
	// are those that hold the listening socket. It is not used with PID.
	Address string
	PID     int

	// Now is the clock, time.Now if nil; it must be monotonic.
	Now func() time.Time
}

// Process is a source that sees the CPU time of an instance on this host, and
// for how long its threads were ready to run and had no CPU.
type Process struct {
	o       ProcessOptions
	pids    []int
	limit   float64 // cores
	at      time.Time
	cpu     map[int]float64         // seconds by pid
	delayed map[int]map[int]float64 // seconds by pid and thread
}

var _ stress.Source = (*Process)(nil)

// OpenProcess finds the processes of the instance. The error wraps
// ErrUnsupported where they cannot be found by address; PID works everywhere
// that gopsutil does, with CPU alone.
func OpenProcess(ctx context.Context, o ProcessOptions) (*Process, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Process{o: o, pids: []int{o.PID}}
	if o.PID == 0 {
		pids, err := findProcesses(ctx, o.Address)
		if err != nil {
			return nil, fmt.Errorf("process of %s: %w", o.Address, err)
		}
		p.pids = pids
	}
	for _, pid := range p.pids {
		if ok, err := process.PidExistsWithContext(ctx, int32(pid)); err != nil || !ok {
			return nil, fmt.Errorf("process %d does not exist", pid)
		}
	}
	p.limit = float64(runtime.NumCPU())
	if quota := cpuQuota(p.pids[0]); quota > 0 {
		p.limit = min(p.limit, quota)
	}
	return p, nil
}

// PIDs returns the processes of the instance.
func (p *Process) PIDs() []int { return p.pids }

// Name implements stress.Source.
func (p *Process) Name() string { return "process" }

// Close implements stress.Source.
func (p *Process) Close() error { return nil }

// Read implements stress.Source.
func (p *Process) Read(ctx context.Context) (stress.Reading, error) {
	at := p.o.Now()
	cpu, delayed := map[int]float64{}, map[int]map[int]float64{}
	for _, pid := range p.pids {
		proc, err := process.NewProcessWithContext(ctx, int32(pid))
		if err != nil {
			return stress.Reading{}, fmt.Errorf("process %d: %w", pid, err)
		}
		times, err := proc.TimesWithContext(ctx)
		if err != nil {
			return stress.Reading{}, fmt.Errorf("process %d: %w", pid, err)
		}
		cpu[pid] = times.User + times.System
		if delayed[pid], err = runDelay(pid); err != nil && !errors.Is(err, ErrUnsupported) {
			return stress.Reading{}, fmt.Errorf("process %d: %w", pid, err)
		}
	}
	s := stress.Unmeasured()
	s.CPULimit = p.limit
	if !p.at.IsZero() {
		s.Window = at.Sub(p.at)
		if seconds := s.Window.Seconds(); seconds > 0 {
			p.window(&s, cpu, delayed, seconds)
		}
	}
	p.at, p.cpu, p.delayed = at, cpu, delayed
	return stress.Reading{At: at, Sample: plausible(s), Excess: math.NaN()}, nil
}

func (p *Process) window(s *stress.Sample, cpu map[int]float64, delayed map[int]map[int]float64, seconds float64) {
	s.CPU = 0
	waited, known := 0.0, false
	for pid, now := range cpu {
		s.CPU += (now - p.cpu[pid]) / seconds
		for thread, d := range delayed[pid] {
			known = true
			waited += max(0, d-p.delayed[pid][thread]) // a new thread has waited since its start
		}
	}
	if known {
		s.Backlog = waited / seconds // threads that wait for a CPU, by Little's law
	}
}

// parseSchedstat reads /proc/PID/task/TID/schedstat: nanoseconds on a CPU,
// nanoseconds ready and waiting for one, and slices run (the kernel's
// Documentation/scheduler/sched-stats.rst). It returns the second in seconds.
func parseSchedstat(text string) (float64, error) {
	var running, waiting, slices uint64
	if n, err := fmt.Sscanf(strings.TrimSpace(text), "%d %d %d", &running, &waiting, &slices); n != 3 || err != nil {
		return 0, fmt.Errorf("schedstat %q: want three numbers", text)
	}
	return float64(waiting) / 1e9, nil
}

// parseQuota reads cpu.max of cgroup v2 ("200000 100000", "max 100000") and
// returns cores, 0 without a limit.
func parseQuota(text string) float64 {
	var quota, period float64
	if n, err := fmt.Sscanf(text, "%g %g", &quota, &period); n != 2 || err != nil || quota <= 0 || period <= 0 {
		return 0
	}
	return quota / period
}
