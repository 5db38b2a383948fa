package namingtest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A Backend is a plain HTTP server that counts the requests it gets.
type Backend struct {
	Name, Address string
	Requests      atomic.Int64
}

// StartBackend starts a backend on a free port of 127.0.0.1. A nil handler
// answers 200 at once.
func StartBackend(t testing.TB, name string, handler http.Handler) *Backend {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &Backend{Name: name, Address: l.Addr().String()}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.Requests.Add(1)
		if handler != nil {
			handler.ServeHTTP(w, r)
		}
	})}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return b
}

// HAProxy is a real HAProxy in front of backends, with its runtime API on a
// Unix socket and on TCP.
type HAProxy struct {
	Socket   string // path of the runtime API's socket
	API      string // host:port of the same
	Frontend string // host:port for requests
	Process  *os.Process

	binary, config string
	state          string // file of SaveWeights
	log            bytes.Buffer
	t              testing.TB
	exited         chan struct{}
}

// Config is what goes into the configuration of StartHAProxy.
type Config struct {
	Binary  string // the path of haproxy
	Level   string // of the runtime API: admin if empty
	Balance string // roundrobin if empty
	Server  string // parameters of every server: "check inter 100ms", ...
	Weights []int  // in the order of the backends; HAProxy's default where 0
	Extra   string // further sections
}

// StartHAProxy starts HAProxy with one backend, "checkout", that has a server
// for every backend, and waits until its runtime API answers.
func StartHAProxy(t testing.TB, c Config, backends ...*Backend) *HAProxy {
	t.Helper()
	dir, err := os.MkdirTemp("", "wxh") // short: a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &HAProxy{
		Socket: filepath.Join(dir, "s"), API: freeAddress(t), Frontend: freeAddress(t),
		binary: c.Binary, config: filepath.Join(dir, "haproxy.cfg"), state: filepath.Join(dir, "state"), t: t,
	}
	level, balance := "admin", "roundrobin"
	if c.Level != "" {
		level = c.Level
	}
	if c.Balance != "" {
		balance = c.Balance
	}
	var b strings.Builder
	fmt.Fprintf(&b, `global
  stats socket %s mode 600 level %s
  stats socket ipv4@%s level %s
  maxconn 2000
  server-state-file %s
defaults
  load-server-state-from-file global
  mode http
  balance %s
  timeout connect 1s
  timeout client 10s
  timeout server 10s
  timeout queue 2s
frontend f
  bind %s
  default_backend checkout
backend checkout
`, h.Socket, level, h.API, level, h.state, balance, h.Frontend)
	for k, back := range backends {
		fmt.Fprintf(&b, "  server %s %s %s", back.Name, back.Address, c.Server)
		if k < len(c.Weights) && c.Weights[k] > 0 {
			fmt.Fprintf(&b, " weight %d", c.Weights[k])
		}
		b.WriteByte('\n')
	}
	b.WriteString(c.Extra)
	if err := os.WriteFile(h.config, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	h.Start()
	t.Cleanup(h.Stop)
	return h
}

// SaveWeights lets the next Start begin with the weights in force now, as people
// do who save "show servers state" before a restart.
func (h *HAProxy) SaveWeights() {
	h.t.Helper()
	conn, err := net.Dial("unix", h.Socket)
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close()
	var state []byte
	if _, err = io.WriteString(conn, "show servers state\n"); err == nil {
		if state, err = io.ReadAll(conn); err == nil {
			err = os.WriteFile(h.state, state, 0o600)
		}
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// Start starts the process, waits until its runtime API answers and returns the
// last instant at which it did not.
func (h *HAProxy) Start() (silent time.Time) {
	h.t.Helper()
	cmd := exec.Command(h.binary, "-db", "-f", h.config)
	cmd.Stdout, cmd.Stderr = &h.log, &h.log
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { cmd.Wait(); close(exited) }()
	h.Process, h.exited = cmd.Process, exited
	silent = time.Now()
	Eventually(h.t, 10*time.Second, "haproxy answers", func() error {
		select {
		case <-exited:
			h.t.Fatalf("haproxy ended: %s", h.log.String())
		default:
		}
		at := time.Now()
		conn, err := net.Dial("unix", h.Socket)
		if err != nil {
			silent = at
			return err
		}
		conn.Close()
		conn, err = net.Dial("tcp", h.Frontend)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	_ = os.Remove(h.state) // for one start; there is none if nothing was saved
	return silent
}

// Stop kills the process, if it still runs, and waits for its end.
func (h *HAProxy) Stop() {
	if h.Process != nil {
		_ = h.Process.Kill()
		<-h.exited
		h.Process = nil
	}
}

// Get sends n requests, one after another on a few connections, and fails the
// test unless all are answered with 200.
func (h *HAProxy) Get(n int) {
	h.t.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	defer client.CloseIdleConnections()
	for range n {
		resp, err := client.Get("http://" + h.Frontend + "/")
		if err != nil {
			h.t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			h.t.Fatalf("status %d", resp.StatusCode)
		}
	}
}

// Answering returns the socket of a server that gives one answer to every
// connection, whatever it is asked.
func Answering(t testing.TB, answer string) (path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "wxh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path = filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, func() string { return answer }, true)
	return path
}

// An AgentServer is what HAProxy's agent-check asks.
type AgentServer struct {
	Port string // of 127.0.0.1
	says atomic.Value
}

// Agent starts an agent that says "up".
func Agent(t testing.TB) *AgentServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &AgentServer{}
	_, a.Port, _ = net.SplitHostPort(l.Addr().String())
	a.Say("up")
	serve(t, l, func() string { return a.says.Load().(string) + "\n" }, false)
	return a
}

// Say changes what the agent answers from now on: "up", "30%", "drain".
func (a *AgentServer) Say(answer string) { a.says.Store(answer) }

// serve writes one answer to every connection, after a line was read where
// asked says so.
func serve(t testing.TB, l net.Listener, answer func() string, asked bool) {
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if asked {
				_, _ = bufio.NewReader(conn).ReadString('\n') // the client may be gone
			}
			_, _ = io.WriteString(conn, answer())
			conn.Close()
		}
	}()
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Eventually calls try until it returns nil, at most for d.
func Eventually(t testing.TB, d time.Duration, what string, try func() error) time.Duration {
	t.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return time.Since(start)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %v: %v", what, d, err)
		case <-tick.C:
		}
	}
}
