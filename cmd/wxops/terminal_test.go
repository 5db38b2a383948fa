package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wxops/wxops/internal/realpart"
)

// A command that draws no screen writes no escape sequence to a terminal and
// does not wait for one: libraries for screens like to ask at start.
func TestCommandsWithoutAScreenLeaveTheTerminalAlone(t *testing.T) {
	wxops, err := exec.LookPath("wxops")
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "typescript")
	script := realpart.Binary(t, "script", "apt-get install bsdutils")
	cmd := exec.Command(script, "-qec", wxops+" version", log)
	cmd.Env = append(os.Environ(), "TERM=xterm-256color", "CI=")
	start := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), "wxops ") || strings.Contains(string(b), "\x1b") {
		t.Errorf("the terminal got %q", b)
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("it took %v; a question to the terminal waits 5 s", took)
	}
}

// The demo on a real terminal: its screen is drawn, q ends the test and puts
// everything back, and the terminal is left as it was with the summary on it.
func TestDemoOnARealTerminal(t *testing.T) {
	wxops, err := exec.LookPath("wxops")
	if err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	term := realpart.NewTerminal(t, 100, 30, []string{"LC_ALL=C.UTF-8", "XDG_STATE_HOME=" + state}, "echo prompt-line; "+wxops+" stress demo")
	screen := term.WaitFor("space hold", time.Minute)
	for _, want := range []string{"wxops stress demo", "checkout/", "objective p99<", "control ──", "guards", "decisions ──"} {
		if !strings.Contains(screen, want) {
			t.Errorf("the screen lacks %q:\n%s", want, screen)
		}
	}
	term.Keys("q")
	last := term.WaitFor("EXIT ", time.Minute)
	if !strings.Contains(last, "EXIT 130") && !strings.Contains(last, "the test was not begun") { // on a machine that is too busy for it
		t.Errorf("after q the terminal shows\n%s", last)
	}
	if !strings.Contains(last, "prompt-line") || strings.Contains(last, "space hold") || !strings.Contains(last, "about 20 s") {
		t.Errorf("after the end the terminal shows\n%s", last)
	}
	if strings.Contains(last, "verdict") && !strings.Contains(last, "restored") {
		t.Errorf("the summary does not say that weights are back:\n%s", last)
	}
}

// The screen of a load test takes keys, gives the terminal back and leaves the
// report; a pipe with --plain gets a line for each interval.
func TestLoadScreenOnARealTerminal(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	wxops, err := exec.LookPath("wxops")
	if err != nil {
		t.Fatal(err)
	}
	term := realpart.NewTerminal(t, 100, 30, []string{"LC_ALL=C.UTF-8"}, "echo prompt-line; "+wxops+" stress load "+server.URL+" -r 200 -d 60s -c 4 --threshold 'p99<10s'")
	term.WaitFor("MET,", 30*time.Second)
	term.Keys("+")
	term.WaitFor("220 req/s", 30*time.Second)
	term.Keys("Space")
	term.WaitFor("PAUSED", 30*time.Second)
	term.Keys("Space", "q")
	last := term.WaitFor("EXIT", 30*time.Second) // 4 where this machine is too busy to send on time
	if !strings.Contains(last, "prompt-line") || !strings.Contains(last, "verdict: ") {
		t.Errorf("after the end the terminal shows\n%s", last)
	}
	var out, errs bytes.Buffer
	cmd := exec.Command(wxops, "stress", "load", server.URL, "-r", "200", "-d", "1s", "-c", "4", "--plain", "--every", "500ms")
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil || strings.Count(errs.String(), "achieved") < 2 || strings.Contains(out.String(), "\x1b") {
		t.Errorf("--plain: %v\n%s%s", err, out.String(), errs.String())
	}
}
