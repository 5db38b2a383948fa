package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/stress/load"
)

// watchers puts what else looks at each interval behind the screen's own view:
// JSON lines, the histogram log and the guard. The function returned closes the
// log.
func (f *loadFlags) watchers(s *cli.IO, out *cli.Output, o *load.Options, guard *production) (closeLog func() error, err error) {
	all := []func(load.Interval){o.OnInterval}
	closeLog = func() error { return nil }
	if out.Format == "ndjson" {
		open := len(o.Stages) > 0
		all = append(all, func(i load.Interval) {
			b, err := json.Marshal(struct {
				Interval load.Window `json:"interval"`
			}{i.Window(open)})
			if err == nil {
				fmt.Fprintf(s.Out, "%s\n", b)
			}
		})
	}
	if f.hlog != "" {
		file, err := os.Create(f.hlog)
		if err != nil {
			return nil, cli.Failf("the histogram log cannot be written").WithCause(err)
		}
		write, err := hdrLog(file, time.Now())
		if err != nil {
			return nil, cli.Failf("the histogram log cannot be written").WithCause(err)
		}
		closeLog = file.Close
		all = append(all, write)
	}
	if f.production {
		all = append(all, guard.watch)
	}
	o.OnInterval = func(i load.Interval) {
		for _, watch := range all {
			if watch != nil {
				watch(i)
			}
		}
	}
	return closeLog, nil
}

// hdrLog writes the histogram of each interval to a .hlog file.
func hdrLog(f io.Writer, start time.Time) (func(load.Interval), error) {
	w := hdrhistogram.NewHistogramLogWriter(f)
	if err := w.OutputLogFormatVersion(); err != nil {
		return nil, err
	}
	if err := w.OutputStartTime(start.UnixMilli()); err != nil {
		return nil, err
	}
	if err := w.OutputLegend(); err != nil {
		return nil, err
	}
	return func(i load.Interval) {
		h := i.Response
		h.SetStartTimeMs(start.Add(i.Start).UnixMilli())
		h.SetEndTimeMs(start.Add(i.Start + i.Length).UnixMilli())
		_ = w.OutputIntervalHistogram(h) // a full disk shows when the file is closed
	}, nil
}

// production is the guard of a run against production: two intervals in a row
// that miss an objective end it.
type production struct {
	terms []capacity.Term
	mu    sync.Mutex
	in    int
	fired string
	stop  func()
}

func (p *production) watch(i load.Interval) {
	n := i.Throughput*i.Length.Seconds() + float64(i.Failed)
	missed := ""
	for _, t := range p.terms {
		v := i.P99
		switch {
		case t.Metric == "errors" && n > 0:
			v = float64(i.Bad+i.Failed) / n
		case t.Metric == "p50":
			v = i.P50
		case t.Metric == "p90":
			v = i.P90
		case t.Metric == "p99.9":
			v = i.P999
		case t.Metric == "max":
			v = i.Max
		case t.Metric != "p99":
			continue
		}
		if v == v && !t.Met(v) {
			missed = t.String()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if missed == "" {
		p.in = 0
		return
	}
	if p.in++; p.in >= 2 && p.fired == "" && p.stop != nil {
		p.fired = missed
		p.stop()
	}
}

// guard arms p with the generator.
func (p *production) guard(stop func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop = stop
}

// reason says which objective ended the run, empty if none did.
func (p *production) reason() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fired
}
