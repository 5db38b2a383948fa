package main

import (
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
