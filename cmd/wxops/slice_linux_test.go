package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/realpart"
)

const sliceFile = `version: 1
parent: wxopstest-cmd-%d
timezone: UTC
online: [{name: web, service: web, instance: web/1, shape: 100m64M, ceiling: 1.0}]
offline: {name: offline, memory: 64M}
windows: [{name: all, from: "00:00", to: "24:00", rule: throttled}]
`

// TestSliceCommandsOnThisMachine runs every verb of slice against the real
// control groups, each with the exit code of the contract.
func TestSliceCommandsOnThisMachine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "slices.yaml")
	text := fmt.Sprintf(sliceFile, os.Getpid())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (code int, out, errs string) {
		t.Helper()
		s, o, e := testIO()
		code = cli.Code(cli.Run(context.Background(), s, newRoot(s), append([]string{"slice", args[0], "-f", file}, args[1:]...)))
		return code, o.String(), e.String()
	}
	want := func(code int, text string, args ...string) {
		t.Helper()
		got, out, errs := run(args...)
		if got != code || !strings.Contains(out+errs, text) {
			t.Errorf("slice %s: exit code %d, want %d with %q:\n%s%s", strings.Join(args, " "), got, code, text, out, errs)
		}
	}
	if code, _, errs := run("apply"); code == cli.ExitFailed {
		realpart.Missing(t, "control groups are not writable: "+errs, "run the tests as root on Linux with cgroup v1 or v2 mounted")
	}
	defer func() { want(0, "removed", "rm", "--kill") }()
	want(0, "0 writes", "apply")
	want(0, "nothing to do", "plan")
	want(0, `"changes": []`, "plan", "-o", "json")
	want(0, "web", "ls")
	want(0, `"schema": "wxops/slices/v1"`, "ls", "-o", "json")
	want(0, "cpu limit", "show", "web")
	want(2, "wxops slice show -f", "show", "wbe")
	want(0, "offline", "top", "--count", "2", "--interval", "100ms")
	want(0, "no drift", "drift")
	want(0, "nothing to remove", "gc")
	want(0, "throttled", "offline", "status")
	want(3, "is not running", "attach", "web", "999999999")
	want(2, `slice "wbe" is not in the file`, "attach", "wbe", "1")
	want(2, `PID "x" is not a positive whole number`, "attach", "web", "x")
	want(3, "no process matches", "attach", "web", "--match", "no-such-command-line-anywhere")

	// As a process of its own: run becomes the command.
	self := func(args ...string) *exec.Cmd {
		c := exec.Command("wxops", args...)
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		return c
	}
	var exit *exec.ExitError
	out, err := self("slice", "run", "-f", file, "web", "--", "sh", "-c", "grep -c wxopstest-cmd.*/web$ /proc/self/cgroup; exit 7").Output()
	if !errors.As(err, &exit) || exit.ExitCode() != 7 || strings.TrimSpace(string(out)) == "0" {
		t.Errorf("run: %v, %q; want exit code 7 from inside the slice", err, out)
	}
	log := filepath.Join(t.TempDir(), "jobs.jsonl")
	job := self("slice", "offline", "run", "-f", file, "--log", log, "--", "sh", "-c", "cat /proc/self/oom_score_adj; exit 5")
	var errs bytes.Buffer
	job.Stderr = &errs
	out, err = job.Output()
	if !errors.As(err, &exit) || exit.ExitCode() != 5 || strings.TrimSpace(string(out)) != "1000" || !strings.Contains(errs.String(), "exit 5") {
		t.Errorf("job: %v, %q, %q", err, out, errs.String())
	}
	if b, err := os.ReadFile(log); err != nil || !strings.Contains(string(b), `"exit":5`) {
		t.Errorf("job log: %q, %v", b, err)
	}
	// Ten minutes before a window without jobs none begins; it waits and says so.
	now := time.Now().UTC()
	soon := strings.Replace(text, `windows: [{name: all, from: "00:00", to: "24:00", rule: throttled}]`, fmt.Sprintf(
		"windows: [{name: open, from: %q, to: %q, rule: unrestricted}, {name: peak, from: %[2]q, to: %[3]q, rule: frozen}]",
		now.Add(-time.Hour).Format("15:04"), now.Add(10*time.Minute).Format("15:04"), now.Add(2*time.Hour).Format("15:04")), 1)
	waiting := filepath.Join(t.TempDir(), "waiting.yaml")
	if err := os.WriteFile(waiting, []byte(soon), 0o600); err != nil {
		t.Fatal(err)
	}
	queued := self("slice", "offline", "run", "-f", waiting, "--", "false")
	said, err := queued.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := queued.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(said).ReadString('\n')
	if wanted := "queued: window open admits no job now; "; err != nil || !strings.HasPrefix(line, wanted) {
		t.Errorf("a job before the peak says %q, %v; want %q", line, err, wanted)
	}
	_ = queued.Process.Signal(os.Interrupt)
	if err := queued.Wait(); !errors.As(err, &exit) || exit.ExitCode() != cli.ExitInterrupted {
		t.Errorf("a queued job that is interrupted: %v", err)
	}
	sleeper := self("slice", "run", "-f", file, "web", "--", "sh", "-c", "echo inside; exec sleep 1000")
	pipe, err := sleeper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() }()
	if line, err := bufio.NewReader(pipe).ReadString('\n'); err != nil || line != "inside\n" {
		t.Fatalf("the sleeper said %q, %v", line, err)
	}
	want(3, "is busy: PID "+fmt.Sprint(sleeper.Process.Pid), "rm")
	want(0, "removed", "rm", "web", "--evacuate")
	want(1, "mkdir", "plan")
	want(1, "the folder is not there", "drift")
}
