package realpart

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A Terminal is a real terminal, of tmux, with a program in it.
type Terminal struct {
	t      testing.TB
	tmux   string
	socket string
}

// NewTerminal starts command, a shell line, in a terminal of w columns and h
// rows with env added to its environment. The terminal has a server and a
// socket of its own and ends with the test. After the command has ended its
// screen stays, with the line "EXIT n" below.
func NewTerminal(t testing.TB, w, h int, env []string, command string) *Terminal {
	t.Helper()
	term := &Terminal{
		t: t, tmux: Binary(t, "tmux", "apt-get install tmux"),
		socket: filepath.Join(t.TempDir(), "tmux"), // short enough for a socket's path
	}
	script := filepath.Join(t.TempDir(), "run")
	line := fmt.Sprintf("%s\necho \"EXIT $?\"\nexec cat\n", command)
	if err := os.WriteFile(script, []byte(line), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"new-session", "-d", "-x", fmt.Sprint(w), "-y", fmt.Sprint(h)}
	for _, e := range env {
		args = append(args, "-e", e)
	}
	t.Cleanup(func() { _, _ = term.run("kill-server") }) // it may have ended by itself
	if out, err := term.run(append(args, "sh "+script)...); err != nil {
		t.Fatalf("tmux: %v: %s", err, out)
	}
	return term
}

func (term *Terminal) run(args ...string) (string, error) {
	cmd := exec.Command(term.tmux, append([]string{"-f", "/dev/null", "-u", "-S", term.socket}, args...)...)
	// CI would turn the screen off; a tmux around this one would refuse to nest.
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "CI=") && !strings.HasPrefix(e, "TMUX") && !strings.HasPrefix(e, "NO_COLOR=") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Screen returns what the terminal shows now, one line per row.
func (term *Terminal) Screen() string {
	term.t.Helper()
	out, err := term.run("capture-pane", "-p")
	if err != nil {
		term.t.Fatalf("tmux capture-pane: %v: %s", err, out)
	}
	return out
}

// Keys types keys, in tmux's names: "q", "Space", "C-c".
func (term *Terminal) Keys(keys ...string) {
	term.t.Helper()
	if out, err := term.run(append([]string{"send-keys"}, keys...)...); err != nil {
		term.t.Fatalf("tmux send-keys: %v: %s", err, out)
	}
}

// WaitFor returns the screen as soon as it contains text, and fails the test
// when it does not within limit.
func (term *Terminal) WaitFor(text string, limit time.Duration) string {
	term.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); ; <-tick.C {
		screen := term.Screen()
		if strings.Contains(screen, text) {
			return screen
		}
		if time.Now().After(deadline) {
			term.t.Fatalf("after %v the terminal does not show %q:\n%s", limit, text, screen)
		}
	}
}
