//go:build unix

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/wxops/wxops/internal/doc"
	"github.com/wxops/wxops/internal/realpart"
	"github.com/wxops/wxops/naming"
	"github.com/wxops/wxops/naming/haproxy"
	"github.com/wxops/wxops/naming/namingtest"
)

// said runs wxops and returns its exit code and all that it said.
func said(t *testing.T, state string, args ...string) (code int, out string) {
	t.Helper()
	cmd := exec.Command("wxops", args...)
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+state)
	b, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(b)
}

// printed runs cmd and reads the document of kind k that it must print. It
// returns the exit code and what was said on standard error.
func printed(t *testing.T, cmd *exec.Cmd, k doc.Kind, data any) (code int, stderr string) {
	t.Helper()
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	code = cmd.ProcessState.ExitCode()
	if _, err := doc.Read(&out, k, data); err != nil {
		t.Fatalf("exit %d: %v\n%s", code, err, log.Bytes())
	}
	return code, log.String()
}

// expectSaid fails the test unless wxops ends with code and says every text.
func expectSaid(t *testing.T, state string, code int, texts []string, args ...string) {
	t.Helper()
	got, out := said(t, state, args...)
	for _, text := range texts {
		if !strings.Contains(out, text) {
			t.Errorf("wxops %s does not say %q:\n%s", strings.Join(args, " "), text, out)
		}
	}
	if got != code {
		t.Errorf("wxops %s: exit %d, want %d:\n%s", strings.Join(args, " "), got, code, out)
	}
}

func startProxy(t *testing.T, c namingtest.Config) *namingtest.HAProxy {
	t.Helper()
	c.Binary = realpart.Binary(t, "haproxy", "apt-get install haproxy")
	return namingtest.StartHAProxy(t, c, namingtest.StartBackend(t, "a", nil), namingtest.StartBackend(t, "b", nil))
}

func TestRegistriesThatCannotBeUsedAreRefusedWithAHint(t *testing.T) {
	old := "haproxy:unix:" + namingtest.Answering(t, "Name: HAProxy\nVersion: 2.2.29-2\n\n")
	stranger := "haproxy:unix:" + namingtest.Answering(t, "-ERR unknown command\n")
	silent := "haproxy:unix:" + namingtest.Answering(t, "")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for names, texts := range map[string][]string{
		old:                    {"error: ", "it is 2.2.29-2, 2.4 or later is needed", "hint:  HAProxy 2.4 or later is needed"},
		stranger:               {"is not HAProxy's answer to show info", "hint:  "},
		silent:                 {"closed the connection without an answer", "hint:  is it running"},
		"haproxy:unix:" + file: {"connection refused", "hint:  is it running and is the path right"},
	} {
		expectSaid(t, t.TempDir(), 3, texts, "names", "ls", "--names", names)
		expectSaid(t, t.TempDir(), 3, texts, "stress", "shift", "checkout/a", "--slo", "p99<50ms", "--names", names)
	}
}

func TestCommandsOnARealHAProxy(t *testing.T) {
	h := startProxy(t, namingtest.Config{Weights: []int{100, 50}, Extra: "backend search\n  server x 127.0.0.1:1\n"})
	state := t.TempDir()
	for _, names := range []string{"haproxy:unix:" + h.Socket + "?backend=checkout", "haproxy:tcp:" + h.API + "?backend=checkout&layer=logic"} {
		expectSaid(t, state, 0, []string{"checkout/a", "66.7 %", "no check"}, "names", "ls", "--names", names)
		expectSaid(t, state, 2, []string{"did you mean checkout"}, "names", "ls", "chekout", "--names", names)
		expectSaid(t, state, 2, []string{"weight 300 is outside [0, 256]", "hint:  wxops names weight checkout/a 256 --names '" + names + "'"}, "names", "weight", "checkout/a", "300", "--names", names)
		expectSaid(t, state, 0, []string{"checkout/a: weight 100 -> 128"}, "names", "weight", "checkout/a", "128", "--names", names)
		expectSaid(t, state, 0, []string{"checkout/a: weight 128 -> 0"}, "names", "drain", "checkout/a", "--names", names)
		expectSaid(t, state, 2, []string{"last healthy instance"}, "names", "drain", "checkout/b", "--names", names)
		expectSaid(t, state, 0, []string{"checkout/a: weight 0 -> 128"}, "names", "drain", "checkout/a", "--undo", "--names", names)
		expectSaid(t, state, 0, []string{"checkout/a: weight 128 -> 100"}, "names", "weight", "checkout/a", "100", "--names", names)
		if _, out := said(t, state, "names", "ls", "--names", names); strings.Contains(out, "search") {
			t.Errorf("another backend is listed:\n%s", out)
		}
	}
	watchHAProxy(t, state, "haproxy:unix:"+h.Socket)

	operator := startProxy(t, namingtest.Config{Level: "operator"})
	expectSaid(t, state, 3, []string{"Permission denied", "hint:  ", "level admin"}, "names", "weight", "checkout/a", "5", "--names", "haproxy:unix:"+operator.Socket)
}

// startWatch starts names watch. interrupt ends it, and fails the test if it says
// anything else or does not exit as interrupted.
func startWatch(t *testing.T, args ...string) (lines *bufio.Scanner, interrupt func()) {
	t.Helper()
	cmd := exec.Command("wxops", append([]string{"names", "watch"}, args...)...)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // of a failed test; else it has ended by then
	lines = bufio.NewScanner(out)
	return lines, func() {
		t.Helper()
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			t.Errorf("watch also says %q", lines.Text())
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 130 {
			t.Errorf("exit %d after an interrupt (%v): %s", cmd.ProcessState.ExitCode(), err, log.Bytes())
		}
	}
}

// watchHAProxy watches one backend while weights change, until it is interrupted.
func watchHAProxy(t *testing.T, state, names string) {
	t.Helper()
	lines, interrupt := startWatch(t, "checkout", "--names", names)
	next := func(want string) {
		t.Helper()
		if lines.Scan(); !strings.HasPrefix(lines.Text(), want) {
			t.Fatalf("watch says %q, want %q", lines.Text(), want)
		}
	}
	next("checkout/a: weight 100, no check, at 127.0.0.1:")
	next("checkout/b: weight 50, no check, at 127.0.0.1:")
	for _, to := range []int{7, 100} {
		expectSaid(t, state, 0, nil, "names", "weight", "checkout/a", fmt.Sprint(to), "--names", names)
		next(fmt.Sprintf("checkout/a: weight %d -> %d", 107-to, to))
	}
	interrupt()
	expectSaid(t, state, 2, []string{"did you mean checkout"}, "names", "watch", "checkuot", "--names", names)
}

// names watch -o json gives one document a line, at once.
func TestNamesWatchStreamsDocuments(t *testing.T) {
	h := startProxy(t, namingtest.Config{Weights: []int{100, 50}})
	names := "haproxy:unix:" + h.Socket
	lines, interrupt := startWatch(t, "--names", names, "-o", "json")
	next := func(want nameEvent) {
		t.Helper()
		var got nameEvent
		lines.Scan()
		if _, err := doc.Read(bytes.NewReader(lines.Bytes()), kindNamesEvent, &got); err != nil {
			t.Fatalf("%v: %s", err, lines.Bytes())
		}
		for _, state := range []*nameState{got.Before, got.Now} {
			if state != nil {
				state.Address = ""
			}
		}
		want.Registry, want.Service = got.Registry, "checkout"
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("watch says %s", lines.Bytes())
		}
	}
	next(nameEvent{Instance: "checkout/a", Event: eventListed, Now: &nameState{Weight: 100, Health: "no check"}})
	next(nameEvent{Instance: "checkout/b", Event: eventListed, Now: &nameState{Weight: 50, Health: "no check"}})
	expectSaid(t, t.TempDir(), 0, nil, "names", "weight", "checkout/b", "7", "--names", names)
	next(nameEvent{Instance: "checkout/b", Event: eventChanged, Before: &nameState{Weight: 50, Health: "no check"}, Now: &nameState{Weight: 7, Health: "no check"}})
	interrupt()
}

// A journal stays while its registry cannot be reached, and is replayed at the
// place to which that has moved.
func TestRestoreFollowsARegistryThatMoved(t *testing.T) {
	h := startProxy(t, namingtest.Config{Weights: []int{100, 100}})
	reg, err := haproxy.Open(t.Context(), haproxy.Config{Network: "unix", Address: h.Socket})
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	shift, err := naming.Begin(t.Context(), reg, "checkout", "a", naming.Options{StateDir: filepath.Join(home, "wxops")})
	if err == nil {
		_, err = shift.SetShare(t.Context(), 0.7)
	}
	if err != nil {
		t.Fatal(err)
	}
	journal, err := os.ReadFile(shift.Journal())
	if err != nil {
		t.Fatal(err)
	}
	expectSaid(t, home, 0, []string{"checkout: its test is running"}, "stress", "restore")
	// As after the death of the owner and its watchdog: the lock is free, the
	// journal and its weights are there, and the socket has moved.
	if _, err := shift.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	var left struct {
		Weights []struct{ Ours []naming.Weight }
	}
	if err := json.Unmarshal(journal, &left); err != nil {
		t.Fatal(err)
	}
	ours := left.Weights[0].Ours[len(left.Weights[0].Ours)-1]
	if _, err := reg.SetWeights(t.Context(), "checkout", []naming.Change{{Instance: "a", From: 100, To: ours}}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(shift.Journal(), journal, 0o600); err != nil {
		t.Fatal(err)
	}
	moved := h.Socket + "2"
	if err := os.Rename(h.Socket, moved); err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(shift.Journal())
	expectSaid(t, home, 3, []string{"error: restore from " + shift.Journal(), "hint:  has it moved? wxops stress restore " + name + " --moved-to URL"}, "stress", "restore")
	expectSaid(t, home, 2, []string{"--moved-to haproxy:unix:" + moved + " without a journal"}, "stress", "restore", "--moved-to", "haproxy:unix:"+moved)
	cmd := exec.Command("wxops", "stress", "restore", "-o", "json")
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+home)
	out, _ := cmd.Output() // its exit code is that of the failure
	var document weightsDocument
	if _, err := doc.Read(bytes.NewReader(out), kindWeights, &document); err != nil || len(document.Weights) != 1 || document.Weights[0].Outcome != weightFailed {
		t.Errorf("%v: %s", err, out)
	}
	expectSaid(t, home, 0, []string{fmt.Sprintf("checkout/a: weight %d -> 100, restored", ours), "checkout/b: at its base weight"}, "stress", "restore", name, "--moved-to", "haproxy:unix:"+moved)
	expectSaid(t, home, 2, []string{"no such file"}, "stress", "restore", name)
	expectSaid(t, home, 0, []string{"nothing to restore"}, "stress", "restore")
}

// --dry-run on live traffic reads every signal and writes nothing.
func TestDryRunOnALiveHAProxyChangesNothing(t *testing.T) {
	s := startSite(t, liveService(), 100)
	before := s.weights(t)
	for _, flags := range [][]string{{"--dry-run", "-o", "table", "--metrics", s.instances[0].MetricsURL()}, {"--dry-run", "-o", "table"}} {
		cmd := s.shift(flags...)
		out, err := cmd.CombinedOutput()
		for _, want := range []string{"signal registry: fresh", "checkout/a *", "requests are dealt out in turn", "would raise its share from 33.3 % to at most 66.7 %", "dry run: no weight was written"} {
			if !bytes.Contains(out, []byte(want)) {
				t.Errorf("%v (%v): it does not say %q:\n%s", flags, err, want, out)
			}
		}
	}
	cmd := s.shift("--dry-run", "--metrics", s.instances[0].MetricsURL())
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var plan dryRunDocument
	if _, err := doc.Read(bytes.NewReader(out), kindDryRun, &plan); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	rate := s.service.Rate / 3
	if !plan.Ready || plan.Balance != "turn" || plan.Rule != "roundrobin" || len(plan.Instances) != 3 || len(plan.Signals) != 2 ||
		plan.Offered == nil || *plan.Offered < 0.7*rate || *plan.Offered > 1.3*rate || math.Abs(*plan.Reach / *plan.Offered - 2) > 1e-9 {
		t.Errorf("the plan is not what is running: %s", out)
	}
	if after := s.weights(t); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("weights %v, they were %v", after, before)
	}
	if left, err := filepath.Glob(filepath.Join(s.state, "wxops", "*", "*")); err != nil || len(left) > 0 {
		t.Errorf("left over: %v %v", left, err)
	}
}
