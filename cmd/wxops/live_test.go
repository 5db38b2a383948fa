//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
	"github.com/wxops/wxops/internal/realpart"
	"github.com/wxops/wxops/naming"
	"github.com/wxops/wxops/naming/haproxy"
	"github.com/wxops/wxops/stress/demo"
)

// A site is what the live tests stress: a real HAProxy in front of three
// instances of known capacity, each in a process of its own, and open-loop
// users.
type site struct {
	names     string // the value of --names
	service   demo.Service
	instances []*demo.Process
	proxy     *demo.HAProxy
	state     string // XDG_STATE_HOME
	stop      func() demo.Report
	ended     <-chan struct{} // of the process of begin
}

// startSite starts a site of three instances of one weight, whose users send
// requests until the test ends.
func startSite(t *testing.T, service demo.Service, weight int) *site {
	return startSiteOf(t, service, []int{weight, weight, weight})
}

// startSiteOf starts a site with an instance for each weight; extra are further
// lines of the backend.
func startSiteOf(t *testing.T, service demo.Service, weights []int, extra ...string) *site {
	t.Helper()
	realpart.Binary(t, "haproxy", "apt-get install haproxy")
	s := &site{service: service, state: t.TempDir()}
	var targets []demo.Target
	for i, weight := range weights {
		name := string(rune('a' + i))
		p, err := demo.StartProcess(service.Name+"/"+name, service.Law, service.Bound, service.Seed+uint64(i)<<32)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close() })
		s.instances = append(s.instances, p)
		targets = append(targets, demo.Target{Name: name, Addr: p.Addr(), Weight: weight})
	}
	var err error
	if s.proxy, err = demo.StartHAProxy(t.Context(), t.TempDir(), service.Name, targets, extra...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.proxy.Close() })
	s.names = "haproxy:unix:" + s.proxy.Socket + "?backend=" + service.Name

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	report := make(chan demo.Report, 1)
	go func() {
		report <- demo.Users{URL: s.proxy.URL(), Rate: service.Rate, Seed: service.Seed}.Run(ctx, 0)
	}()
	s.stop = func() demo.Report {
		cancel()
		r := <-report
		report <- r // for the next caller
		return r
	}
	t.Cleanup(func() { s.stop() })
	return s
}

// shift returns the command that stresses instance a, with further flags.
func (s *site) shift(flags ...string) *exec.Cmd {
	args := append([]string{"stress", "shift", s.service.Name + "/a", "--names", s.names, "--slo", s.service.Objective() + ",errors<0.1%", "--plain", "-o", "json"}, flags...)
	cmd := exec.Command("wxops", args...)
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+s.state)
	return cmd
}

// weights reads the weights from HAProxy itself.
func (s *site) weights(t *testing.T) []naming.Weight {
	t.Helper()
	reg, err := haproxy.Open(t.Context(), haproxy.Config{Network: "unix", Address: s.proxy.Socket})
	if err != nil {
		t.Fatal(err)
	}
	defer reg.Close()
	all, err := reg.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []naming.Weight
	for _, in := range all {
		out = append(out, in.Weight)
	}
	return out
}

// say sends a command to HAProxy, as another operator does.
func (s *site) say(t *testing.T, command string) {
	t.Helper()
	conn, err := net.Dial("unix", s.proxy.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err = io.WriteString(conn, command+"\n"); err == nil {
		_, err = io.Copy(io.Discard, conn)
	}
	if err != nil {
		t.Error(err)
	}
}

// liveService is what the live tests measure: 8 workers of 20 ms, a capacity of
// about 370 requests a second.
func liveService() demo.Service { return demo.Choose(0, false) }

// begin starts cmd and waits until HAProxy gives the tested instance another
// share. A guard may end a test before its first step when the machine stalls
// for seconds, so another is begun, up to five.
func (s *site) begin(t *testing.T, base []naming.Weight, start func() *exec.Cmd) *exec.Cmd {
	t.Helper()
	for range 5 {
		cmd := start()
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait() // its exit code is read later
			close(ended)
		}()
		for waiting := true; waiting; {
			if fmt.Sprint(s.weights(t)) != fmt.Sprint(base) {
				t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
				s.ended = ended
				return cmd
			}
			select {
			case <-ended:
				waiting = false
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	t.Fatal("five tests ended before they changed a weight")
	return nil
}

// TestShiftNeedsTraffic stresses an instance that nobody calls.
func TestShiftNeedsTraffic(t *testing.T) {
	in, err := demo.StartInstance("checkout/a", liveService().Law, liveService().Bound, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	names := filepath.Join(t.TempDir(), "names.yaml")
	text := fmt.Sprintf("services:\n  checkout:\n    instances:\n      a: {address: %q, weight: 1}\n      b: {address: %q, weight: 1}\n", in.Addr(), in.Addr())
	if err := os.WriteFile(names, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, flags := range [][]string{nil, {"--dry-run"}, {"--dry-run", "-o", "json"}} {
		args := []string{"stress", "shift", "checkout/a", "--names", "file:" + names, "--slo", "p99<50ms", "--metrics", in.MetricsURL()}
		cmd := exec.Command("wxops", append(args, flags...)...)
		cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+t.TempDir())
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		if cmd.ProcessState.ExitCode() != 3 || !bytes.Contains(stderr.Bytes(), []byte("no traffic reaches checkout/a")) {
			t.Errorf("%v: exit %d (%v):\n%s%s", flags, cmd.ProcessState.ExitCode(), err, stdout.Bytes(), stderr.Bytes())
		}
		if len(flags) == 3 {
			var plan dryRunDocument
			if _, err := doc.Read(&stdout, kindDryRun, &plan); err != nil || plan.Ready || plan.Reason != "no traffic reaches checkout/a" {
				t.Errorf("%v: %+v (%v)", flags, plan, err)
			}
		}
	}
	if _, out := said(t, t.TempDir(), "stress", "shift", "checkout/a", "--names", "file:"+names, "--slo", "p99<50ms", "--pid", "4194305"); !bytes.Contains([]byte(out), []byte("without --pid it is found by the address of checkout/a")) {
		t.Errorf("a process that does not exist:\n%s", out)
	}
	if after, err := os.ReadFile(names); err != nil || string(after) != text {
		t.Errorf("the names changed (%v):\n%s", err, after)
	}
}

// restored returns how long it took until HAProxy had the base weights again,
// and fails the test when that is longer than 3 s or they do not stay.
func (s *site) restored(t *testing.T, base []naming.Weight) time.Duration {
	t.Helper()
	begin := time.Now()
	var took time.Duration
	for same := 0; same < 10; {
		if fmt.Sprint(s.weights(t)) == fmt.Sprint(base) {
			if same == 0 {
				took = time.Since(begin)
			}
			same++
		} else if same = 0; time.Since(begin) > 3*time.Second {
			t.Fatalf("weights %v 3 s later, they were %v", s.weights(t), base)
		}
		<-time.After(20 * time.Millisecond)
	}
	return took
}

// TestShiftLeavesNoWeightBehind ends a test in its ramp in every way we know,
// and begins the next one without any cleanup.
func TestShiftLeavesNoWeightBehind(t *testing.T) {
	s := startSite(t, liveService(), 100)
	base := s.weights(t)
	gate := newGate(t, s.instances[0].MetricsURL())
	for _, tc := range []struct {
		name string
		end  func(*testing.T, *os.Process)
		code int    // -1: killed by a signal
		said string // in the reason or the warnings of the document
	}{
		{"SIGINT", sendSignal(syscall.SIGINT), 130, ""},
		{"SIGTERM", sendSignal(syscall.SIGTERM), 130, ""},
		{"SIGHUP", sendSignal(syscall.SIGHUP), 130, ""},
		{"SIGKILL", sendSignal(syscall.SIGKILL), -1, ""},
		{"SIGKILL to the group", func(t *testing.T, p *os.Process) {
			if err := syscall.Kill(-p.Pid, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}, -1, ""},
		{"SIGSTOP and SIGCONT", func(t *testing.T, p *os.Process) {
			sendSignal(syscall.SIGSTOP)(t, p)
			s.restored(t, base)
			sendSignal(syscall.SIGCONT)(t, p)
		}, 4, "the lease"},
		{"panic", sendSignal(syscall.SIGUSR2), panicCode, ""},
		{"HAProxy restarts", func(t *testing.T, _ *os.Process) {
			if err := s.proxy.Restart(t.Context()); err != nil {
				t.Error(err)
			}
		}, 4, ""},
		{"metrics are gone", func(*testing.T, *os.Process) { gate.shut() }, 4, "signal metrics is silent"},
		{"a peer goes into maintenance", func(t *testing.T, _ *os.Process) { s.say(t, "disable server checkout/b") }, 4, "checkout/b is in maintenance"},
		{"somebody else sets a weight", func(t *testing.T, _ *os.Process) {
			s.say(t, "set server checkout/b weight 77")
			<-s.ended
			if w := s.weights(t); w[0] != base[0] || w[1] != 77 || w[2] != base[2] {
				t.Errorf("weights %v, want that of somebody else left alone", w)
			}
			s.say(t, "set server checkout/b weight 100")
		}, 4, "checkout/b was left at weight 77, it was 100 before: changed by somebody else"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			gate.open()
			var out, log bytes.Buffer
			cmd := s.begin(t, base, func() *exec.Cmd {
				out.Reset()
				log.Reset()
				cmd := s.shift("--metrics", gate.url)
				if tc.code == panicCode {
					cmd = exec.Command("wxops-panics", cmd.Args[1:]...)
					cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+s.state)
				}
				cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
				cmd.Stdout, cmd.Stderr = &out, &log
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				return cmd
			})
			tc.end(t, cmd.Process)
			took := s.restored(t, base)
			<-s.ended
			s.say(t, "enable server checkout/b")
			if code := cmd.ProcessState.ExitCode(); code != tc.code {
				t.Errorf("exit %d, want %d\n%s", code, tc.code, log.Bytes())
			}
			if tc.code >= 0 && tc.code != panicCode {
				var c capacity.Curve
				env, err := doc.Read(&out, kindCurve, &c)
				if err != nil {
					t.Error(err)
				}
				if said := fmt.Sprint(c.Reason, env.Warnings); !strings.Contains(said, tc.said) {
					t.Errorf("reason and warnings are %q, want %q in it", said, tc.said)
				}
			}
			t.Logf("base weights after %s", took.Round(time.Millisecond))
		})
	}
}

// panicCode is how Go ends a process that panics.
const panicCode = 2

func init() { programs["wxops-panics"] = panicking }

// panicking is the program wxops-panics of the tests: wxops, with a goroutine
// that breaks an invariant on SIGUSR2 (SIGUSR1 tells a watchdog of a death).
func panicking() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGUSR2)
	go func() {
		<-told
		panic("a broken invariant")
	}()
	os.Exit(cli.Main(newRoot))
}

func sendSignal(s syscall.Signal) func(*testing.T, *os.Process) {
	return func(t *testing.T, p *os.Process) {
		if err := p.Signal(s); err != nil {
			t.Error(err)
		}
	}
}

// A gate is a /metrics endpoint that can go away.
type gate struct {
	url  string
	gone atomic.Bool
}

func newGate(t *testing.T, target string) *gate {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: to.Scheme, Host: to.Host}) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.gone.Load() {
			panic(http.ErrAbortHandler) // the connection breaks off
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	g.url = server.URL + "/metrics"
	return g
}

func (g *gate) open() { g.gone.Store(false) }
func (g *gate) shut() { g.gone.Store(true) }
