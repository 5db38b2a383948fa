package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A HAProxy is a running haproxy in front of instances: the real load balancer
// that tests put in the place of the router of the fleet.
type HAProxy struct {
	Socket string // its runtime API, level admin
	addr   string
	config string
	front  *os.File // the listening socket that it inherits
	cmd    *exec.Cmd
	log    bytes.Buffer
	exited chan struct{}
}

// StartHAProxy starts haproxy from PATH with its files in dir, in front of a
// backend called service. The weight of each target is as given; extra are
// further lines of the backend. It returns when the runtime API answers.
func StartHAProxy(ctx context.Context, dir, service string, targets []Target, extra ...string) (*HAProxy, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	front, err := ln.(*net.TCPListener).File()
	if err != nil {
		return nil, err
	}
	h := &HAProxy{Socket: filepath.Join(dir, "haproxy.sock"), addr: ln.Addr().String(), config: filepath.Join(dir, "haproxy.cfg"), front: front}
	var b strings.Builder
	fmt.Fprintf(&b, `global
	stats socket %s mode 600 level admin
	maxconn 4000
	nbthread 1
defaults
	mode http
	timeout connect 2s
	timeout client 60s
	timeout server 60s
frontend users
	bind fd@3
	default_backend %s
backend %s
	balance roundrobin
`, h.Socket, service, service)
	for _, line := range extra {
		fmt.Fprintf(&b, "\t%s\n", line)
	}
	for _, t := range targets {
		fmt.Fprintf(&b, "\tserver %s %s weight %d\n", t.Name, t.Addr, t.Weight)
	}
	err = os.WriteFile(h.config, []byte(b.String()), 0o600)
	if err == nil {
		err = h.start(ctx)
	}
	if err != nil {
		front.Close()
		return nil, fmt.Errorf("haproxy: %w", err)
	}
	return h, nil
}

// URL returns the address of its frontend.
func (h *HAProxy) URL() string { return "http://" + h.addr + "/" }

// Process returns the running process, for tests that stop or kill it.
func (h *HAProxy) Process() *os.Process { return h.cmd.Process }

func (h *HAProxy) start(ctx context.Context) error {
	_ = os.Remove(h.Socket) // of a process that was killed
	h.log.Reset()
	h.cmd = exec.Command("haproxy", "-db", "-f", h.config)
	h.cmd.ExtraFiles = []*os.File{h.front}
	h.cmd.Stdout, h.cmd.Stderr = &h.log, &h.log
	if err := h.cmd.Start(); err != nil {
		return err
	}
	h.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		defer close(exited)
		_ = cmd.Wait() // whoever waits for the socket reports the log
	}(h.cmd, h.exited)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := net.Dial("unix", h.Socket); err == nil {
			return conn.Close()
		}
		select {
		case <-h.exited:
			return fmt.Errorf("it ended at once: %s", strings.TrimSpace(h.log.String()))
		case <-ctx.Done():
			_ = h.stop(os.Kill)
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (h *HAProxy) stop(s os.Signal) error {
	err := h.cmd.Process.Signal(s)
	<-h.exited
	return err
}

// Restart kills the process and starts another with the same configuration on
// the same address: weights are those of the configuration again.
func (h *HAProxy) Restart(ctx context.Context) error {
	_ = h.stop(os.Kill) // it may be gone already
	return h.start(ctx)
}

// Command carries out one command of the runtime API. What HAProxy answers is
// an error: the commands that change something answer nothing.
func (h *HAProxy) Command(ctx context.Context, command string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", h.Socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(command + "\n")); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if text := strings.TrimSpace(string(answer)); err == nil && text != "" {
		err = fmt.Errorf("haproxy: %s: %s", command, text)
	}
	return err
}

// Close stops the process.
func (h *HAProxy) Close() error {
	_ = h.stop(syscall.SIGTERM) // it may be gone already
	return h.front.Close()
}
