package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/realpart"
)

// TestSliceRefusalsOnThisMachine holds the exit codes and words of what slice
// refuses with the machine in view, and that a refusal writes nothing.
func TestSliceRefusalsOnThisMachine(t *testing.T) {
	dir := t.TempDir()
	parent := fmt.Sprintf("wxopstest-refuse-%d", os.Getpid())
	file := func(name, body string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("version: 1\nparent: "+parent+"\n"+body), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good.yaml", "online: [{name: web, shape: 100m64M, ceiling: 1.0}]\n")
	run := func(args ...string) (int, string) {
		return said(t, dir, append([]string{"slice"}, args...)...)
	}
	want := func(code int, text string, args ...string) {
		t.Helper()
		if got, out := run(args...); got != code || !strings.Contains(out, text) {
			t.Errorf("slice %s: exit code %d, want %d with %q:\n%s", strings.Join(args, " "), got, code, text, out)
		}
	}
	folders := func() (all []string) {
		for _, pattern := range []string{"/sys/fs/cgroup/" + parent, "/sys/fs/cgroup/*/" + parent, "/sys/fs/cgroup/" + parent + ".slice"} {
			found, err := filepath.Glob(pattern)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, found...)
		}
		return all
	}
	// Root may write, everybody else only what was delegated to them.
	if code, out := run("apply", "-f", good); code == cli.ExitFailed {
		realpart.Missing(t, "control groups are not writable: "+out, "run the tests as root on Linux with cgroup v1 or v2 mounted")
	}
	defer run("rm", "-f", good, "--kill") // only of use when the test fails half-way
	want(0, "nothing to do", "plan", "-f", good)
	want(1, "writes to make", "plan", "-f", file("more.yaml", "online: [{name: web, shape: 100m128M, ceiling: 1.0}]\n"))
	if comm, err := os.ReadFile("/proc/2/comm"); err == nil && string(comm) == "kthreadd\n" { // not so in a PID namespace
		want(3, "PID 2 is a kernel thread", "attach", "-f", good, "web", "2")
	}
	want(3, "is not running", "attach", "-f", good, "web", "999999999")
	want(3, "PID 1 is the init of this machine", "attach", "-f", good, "web", "1")
	want(2, `slice "web/a" is not in the file`, "attach", "-f", good, "web/a", "2")
	want(2, `slice "wbe" is not in the file`, "run", "-f", good, "wbe", "--", "true")
	want(3, `find the command "no-such-command"`, "run", "-f", good, "web", "--", "no-such-command")
	want(3, `slice "wbe" is not on this machine`, "rm", "-f", good, "wbe")

	// The live table on a real terminal; the last look stays behind.
	wxops, err := exec.LookPath("wxops")
	if err != nil {
		t.Fatal(err)
	}
	term := realpart.NewTerminal(t, 100, 30, []string{"LC_ALL=C.UTF-8"}, "echo prompt-line; "+wxops+" slice top --interval 100ms -f "+good)
	if screen := term.WaitFor("0.00 cores", 30*time.Second); !strings.Contains(screen, "q quit") || strings.Contains(screen, "prompt-line") {
		t.Errorf("the screen is\n%s", screen)
	}
	term.Keys("q")
	if last := term.WaitFor("EXIT 0", 30*time.Second); !strings.Contains(last, "prompt-line") || !strings.Contains(last, "web") || strings.Contains(last, "q quit") {
		t.Errorf("after the end the terminal shows\n%s", last)
	}

	// drift names a process that matches and runs outside; attach brings it in.
	mark := fmt.Sprintf("1000.%d", os.Getpid())
	matched := file("matched.yaml", "online: [{name: web, shape: 100m64M, ceiling: 1.0, match: '^sleep "+mark+"$'}]\n")
	sleeper := exec.Command("sleep", mark)
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() }()
	pid := fmt.Sprint(sleeper.Process.Pid)
	want(0, "writes made", "apply", "-f", matched) // the mark holds a hash of the wish
	want(1, "PID "+pid, "drift", "-f", matched)
	want(0, "1 process inside", "attach", "-f", matched, "web", "--match", "^sleep "+mark+"$")
	want(0, `"pids": [`+"\n      "+pid+"\n", "attach", "-f", matched, "web", pid, "-o", "json")
	want(0, "no drift", "drift", "-f", matched)
	want(3, "slice web is busy: PID "+pid, "rm", "-f", matched)
	want(0, "nothing to remove", "gc", "-f", file("none.yaml", ""))
	want(0, `"folders": []`, "gc", "-f", file("none.yaml", ""), "-o", "json")
	want(0, `"pids": [`+"\n      "+pid+"\n", "rm", "-f", matched, "--kill", "-o", "json")
	want(0, "writes made", "apply", "-f", good)
	want(0, "/web\n", "gc", "-f", file("none.yaml", ""))
	want(1, "mkdir", "plan", "-f", good)
	want(0, "writes made", "apply", "-f", good)

	// Groups that somebody else made, below a slice and in the place of the
	// parent, stay. Under systemd slices lie elsewhere, as units.
	made := folders()
	if len(made) == 0 {
		t.Fatal("apply made no folder")
	}
	sub := filepath.Join(made[0], "web", "sub")
	if err := os.Mkdir(sub, 0o755); err == nil {
		want(3, "has groups below it that wxops did not make (sub)", "rm", "-f", good)
		if err := os.Remove(sub); err != nil {
			t.Fatal(err)
		}
	} else if !strings.HasSuffix(made[0], ".slice") {
		t.Fatal(err)
	}
	want(0, "removed", "rm", "-f", good)
	if !strings.HasSuffix(made[0], ".slice") {
		if err := os.Mkdir(made[0], 0o755); err != nil {
			t.Fatal(err)
		}
		for _, verb := range []string{"plan", "apply", "drift"} {
			want(3, made[0]+" was not made by wxops, and is left alone", verb, "-f", good)
		}
		for _, verb := range []string{"rm", "gc"} {
			want(0, "nothing to remove", verb, "-f", good)
		}
		if left := folders(); len(left) != 1 || left[0] != made[0] {
			t.Errorf("folders %v, want only that of somebody else, %s", left, made[0])
		}
		if err := os.Remove(made[0]); err != nil {
			t.Error(err)
		}
	}

	// A machine that is too small, with nothing left behind.
	for body, text := range map[string]string{
		"online: [{name: web, shape: 500000C1G}]\n":                                 "guaranteed slices need 500000000m of CPU",
		"online: [{name: web, shape: 500000C1G, mode: shared}]\n":                   "online slices need 500000000m of CPU",
		"online: [{name: web, shape: 100m64M}]\noffline: {memory: 2000000G}\n":      "of memory",
		"machine: {reserve: {memory_min: 2000000G}}\noffline: {memory: 64M}\n":      "0 MiB are left beside the reserve",
		"machine: {reserve: {cpu: 99.99%}}\nonline: [{name: web, shape: 64C64M}]\n": "guaranteed slices need 64000m of CPU",
	} {
		small := file("small.yaml", body)
		for _, verb := range []string{"plan", "apply"} {
			want(2, "the machine is too small: ", verb, "-f", small)
			want(2, text, verb, "-f", small)
		}
	}
	if left := folders(); len(left) > 0 {
		t.Fatalf("refusals left %v", left)
	}
}
