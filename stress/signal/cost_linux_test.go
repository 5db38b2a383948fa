package signal_test

import (
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/wxops/wxops/stress"
	"github.com/wxops/wxops/stress/demo"
	"github.com/wxops/wxops/stress/signal"
)

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRead gives the CPU time of one reading of each source, of an
// instance with 50 connections.
func BenchmarkRead(b *testing.B) {
	in, err := demo.StartProcess("s/a", demo.Law{Workers: 8, Service: 20 * time.Millisecond, CV: 1, Queue: 200}, time.Second, 3)
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	for range 50 {
		conn, err := net.Dial("tcp", in.Addr())
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
	}
	metrics, err := signal.OpenMetrics(b.Context(), signal.MetricsOptions{URL: in.MetricsURL(), QueueWait: "http_queue_wait_seconds"})
	if err != nil {
		b.Fatal(err)
	}
	process, err := signal.OpenProcess(b.Context(), signal.ProcessOptions{Address: in.Addr()})
	if err != nil {
		b.Fatal(err)
	}
	sockets, err := signal.OpenSockets(b.Context(), signal.SocketsOptions{Address: in.Addr()})
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range []stress.Source{metrics, process, sockets} {
		b.Run(s.Name(), func(b *testing.B) {
			begun := cpuTime(b)
			for b.Loop() {
				if _, err := s.Read(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpuTime(b)-begun)/1e3/float64(b.N), "cpu-us/op")
		})
	}
}
