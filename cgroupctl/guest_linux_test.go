package cgroupctl

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wxops/wxops/internal/realpart"
	"github.com/wxops/wxops/internal/vmtest"
)

// guestBinary builds this package's tests as a static binary.
func guestBinary(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "slice.test")
	c := exec.Command("go", "test", "-c", "-o", bin, ".")
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// boot runs tests in a guest and fails with its console when they fail.
func boot(t *testing.T, g vmtest.Guest) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	r, err := vmtest.Boot(ctx, g)
	if errors.Is(err, vmtest.ErrMissing) {
		realpart.Missing(t, err.Error(), vmtest.Install)
	}
	if err != nil {
		console := ""
		if r != nil {
			console = r.Console
		}
		t.Fatalf("%v\n%s", err, console)
	}
	if r.Exit != 0 || strings.Contains(r.Console, "no tests to run") {
		t.Fatalf("exit status %d in the guest\n%s", r.Exit, r.Console)
	}
	for line := range strings.Lines(r.Console) {
		if strings.Contains(line, "_test.go:") {
			t.Log(strings.TrimSpace(line))
		}
	}
	return r.Console
}

// TestGuests runs the live tests on the layouts that this machine does not have.
func TestGuests(t *testing.T) {
	if os.Getenv("WXOPS_GUEST") != "" {
		return // this is the guest
	}
	bin := guestBinary(t)
	for _, c := range []struct{ layout, tests string }{
		{"v2", "^TestLive"},
		{"hybrid", "^TestLive"},
		{"v1", "^TestLive(Apply|Foreign|Attach|Drift)"}, // without a v2 tree beside it, which the code never reads
	} {
		t.Run(c.layout, func(t *testing.T) {
			t.Parallel() // no claim depends on the pace of a guest
			boot(t, vmtest.Guest{Binary: bin, Layout: c.layout, Args: []string{"-test.v", "-test.run=" + c.tests, "-test.timeout=12m"}})
		})
	}
}
