//go:build unix

package tui

import (
	"context"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/wxops/wxops/stress"
)

// cpu is the CPU time of this process so far.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkScreen runs the whole screen, terminal renderer included, over a
// test as it goes, ten snapshots a second, and reports the share of a core.
func BenchmarkScreen(b *testing.B) {
	for b.Loop() {
		all := script()
		var i, bytes atomic.Int64
		screen := Screen{
			Title: "wxops stress shift", Color: true, Width: 100, Height: 30, Abort: func() {}, Command: func(stress.Command) {},
			Snapshot: func() stress.Snapshot { return all[min(int(i.Add(1)), len(all)-1)] },
		}
		keys := keyboard{make(chan byte)}
		before, start := cpu(b), time.Now()
		if err := screen.Run(context.Background(), keys, writer(func(p []byte) { bytes.Add(int64(len(p))) })); err != nil {
			b.Fatal(err)
		}
		used, took := cpu(b)-before, time.Since(start)
		close(keys.keys)
		b.ReportMetric(100*used.Seconds()/took.Seconds(), "%-of-a-core")
		b.ReportMetric(float64(bytes.Load())/float64(i.Load()), "bytes/frame")
	}
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) {
	w(b)
	return len(b), nil
}
