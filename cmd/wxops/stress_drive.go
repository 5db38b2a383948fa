package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/wxops/wxops/stress/load"
)

// driven is a running load test, with the CPU time of the service beside it.
type driven struct {
	generator *load.Generator
	cpu       *processCPU
	result    *load.Result
	report    load.Document
}

// drive starts a run; pid is the process of the service, 0 if it is unknown.
func drive(ctx context.Context, o load.Options, pid int) (*driven, error) {
	d := &driven{}
	if pid > 0 {
		var err error
		if d.cpu, err = newProcessCPU(pid); err != nil {
			return nil, err
		}
		next := o.OnInterval
		o.OnInterval = func(i load.Interval) {
			d.cpu.lap()
			if next != nil {
				next(i)
			}
		}
	}
	g, err := load.Start(ctx, o)
	d.generator = g
	return d, err
}

// finish waits for the end and makes the report.
func (d *driven) finish() {
	d.result = d.generator.Wait()
	d.report = d.result.Report(nil)
	if d.cpu == nil {
		return
	}
	for i := range d.report.Intervals {
		w := &d.report.Intervals[i]
		if n := w.Throughput * w.Seconds; i < len(d.cpu.laps) && n > 0 && d.cpu.laps[i] > 0 {
			perRequest := d.cpu.laps[i] / n
			w.CPU = &perRequest
		}
	}
}

// processCPU reads the CPU seconds of a process and its threads.
type processCPU struct {
	pid  int
	last float64
	laps []float64 // seconds of CPU in each interval
}

func newProcessCPU(pid int) (*processCPU, error) {
	p := &processCPU{pid: pid}
	var err error
	p.last, err = p.read()
	return p, err
}

func (p *processCPU) lap() {
	now, err := p.read()
	if err != nil {
		p.laps = append(p.laps, 0)
		return
	}
	// A thread that has ended takes its time along: such a lap counts for nothing.
	p.laps = append(p.laps, max(0, now-p.last))
	p.last = now
}

// read adds the run times of all threads, which the kernel keeps to the
// nanosecond; /proc/PID/stat counts in hundredths of a second.
func (p *processCPU) read() (float64, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.pid))
	if err != nil {
		return 0, err
	}
	if len(files) == 0 {
		return 0, fmt.Errorf("process %d: no CPU times in /proc/%d", p.pid, p.pid)
	}
	sum := 0.0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		first, _, _ := strings.Cut(string(b), " ")
		ns, err := strconv.ParseFloat(first, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", f, err)
		}
		sum += ns
	}
	return sum / 1e9, nil
}
