package signal_test

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wxops/wxops/internal/realpart"
	"github.com/wxops/wxops/stress"
	"github.com/wxops/wxops/stress/demo"
	"github.com/wxops/wxops/stress/signal"
)

func TestMain(m *testing.M) {
	demo.ServeProcess()
	os.Exit(m.Run())
}

// eventually reads until ok says that the reading is as expected: the kernel
// handles a segment a little after its sender's write returned.
func eventually(t *testing.T, s stress.Source, ok func(stress.Sample) bool) stress.Sample {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		r, err := s.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if ok(r.Sample) {
			return r.Sample
		}
		if time.Now().After(deadline) {
			t.Fatalf("still %+v", r.Sample)
		}
	}
}

func TestSocketsSeeAFilledAcceptQueueAndUnreadBytes(t *testing.T) {
	for _, network := range []string{"tcp4", "tcp6"} {
		t.Run(network, func(t *testing.T) {
			host := map[string]string{"tcp4": "127.0.0.1", "tcp6": "[::1]"}[network]
			// net.Listener accepts on Accept only, but its backlog is that of
			// the system: enough for three.
			ln, err := net.Listen(network, host+":0")
			if errors.Is(err, unix.EADDRNOTAVAIL) {
				realpart.Missing(t, "this host has no IPv6 loopback address", "sysctl net.ipv6.conf.lo.disable_ipv6=0")
			}
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			s, err := signal.OpenSockets(t.Context(), signal.SocketsOptions{Address: ln.Addr().String()})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			eventually(t, s, func(s stress.Sample) bool { return s.Backlog == 0 })
			for range 3 {
				conn, err := net.Dial(network, ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if _, err := conn.Write([]byte("request")); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, s, func(s stress.Sample) bool { return s.Backlog == 3 })
			conn, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			// Accepted, but its bytes are not read: two in the accept queue,
			// one request not read, three that owe an answer.
			eventually(t, s, func(s stress.Sample) bool { return s.Backlog == 3 && s.InFlight == 3 })
			if _, err := io.ReadFull(conn, make([]byte, 7)); err != nil {
				t.Fatal(err)
			}
			eventually(t, s, func(s stress.Sample) bool { return s.Backlog == 2 && s.InFlight == 3 })
			if _, err := conn.Write([]byte("answer")); err != nil {
				t.Fatal(err)
			}
			eventually(t, s, func(s stress.Sample) bool { return s.Backlog == 2 && s.InFlight == 2 })
			_ = ln.Close()
			if _, err := s.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing listens") {
				t.Errorf("after the listener closed: %v", err)
			}
		})
	}
}

func TestAddressWithoutListenerIsRefused(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	if _, err := signal.OpenSockets(t.Context(), signal.SocketsOptions{Address: ln.Addr().String()}); err == nil || !strings.Contains(err.Error(), "nothing listens") {
		t.Errorf("sockets: %v", err)
	}
	if _, err := signal.OpenProcess(t.Context(), signal.ProcessOptions{Address: ln.Addr().String()}); err == nil || !strings.Contains(err.Error(), "nothing on this host listens there") {
		t.Errorf("process: %v", err)
	}
	if _, err := signal.OpenProcess(t.Context(), signal.ProcessOptions{PID: 1 << 22}); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("pid: %v", err)
	}
}

// The oracle of the CPU time is getrusage of the child after its end.
func TestProcessIsFoundAndItsCPUCounted(t *testing.T) {
	in, err := demo.StartProcess("s/a", demo.Law{Workers: 4, Service: 5 * time.Millisecond, CV: 1, Queue: 100}, time.Second, 1)
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	defer func() {
		if !closed {
			_ = in.Close()
		}
	}()
	p, err := signal.OpenProcess(t.Context(), signal.ProcessOptions{Address: in.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if pids := p.PIDs(); len(pids) != 1 || pids[0] != in.PID() {
		t.Fatalf("found processes %v, want %d", pids, in.PID())
	}
	if _, err := p.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	demo.Users{URL: "http://" + in.Addr() + "/", Rate: 2000, Seed: 1}.Run(t.Context(), 3000)
	r, err := p.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := r.Sample
	used := s.CPU * s.Window.Seconds()
	total, err := in.CPUTime()
	if err != nil {
		t.Fatal(err)
	}
	closed = true
	// Start and end of the process are outside the window.
	if used <= 0 || used > total.Seconds()+0.02 || used < total.Seconds()/2-0.05 {
		t.Errorf("counted %.3f s of CPU, the process used %.3f s in all", used, total.Seconds())
	}
	if !(s.Backlog >= 0) || !(s.CPULimit > 0) {
		t.Errorf("sample %+v", s)
	}
	if _, err := p.Read(t.Context()); err == nil {
		t.Error("a process that ended gives no error")
	}
}

// A process in a network namespace of its own is reached by its pid.
func TestSocketsOfAnotherNetworkNamespace(t *testing.T) {
	if os.Geteuid() != 0 {
		realpart.Missing(t, "entering a network namespace needs root", "sudo go test ./stress/signal")
	}
	unshare := realpart.Binary(t, "unshare", "apt-get install util-linux")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(unshare, "--net", "sh", "-c", "ip link set lo up && exec "+self)
	cmd.Env = append(os.Environ(), `WXOPS_DEMO_INSTANCE={"Name":"s/a","Law":{"Workers":1,"Service":1000000},"Bound":1000000000}`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = in.Close()
		_ = cmd.Wait()
	}()
	line := make([]byte, 64)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimSpace(string(line[:n]))
	if _, err := signal.OpenSockets(t.Context(), signal.SocketsOptions{Address: address}); err == nil {
		t.Errorf("%s is seen from outside its namespace", address)
	}
	s, err := signal.OpenSockets(t.Context(), signal.SocketsOptions{Address: address, PID: cmd.Process.Pid})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	eventually(t, s, func(s stress.Sample) bool { return s.Backlog == 0 && s.InFlight == 0 })
}
