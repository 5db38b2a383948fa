package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/doc"
	"github.com/wxops/wxops/internal/realpart"
)

// TestFullDiskEndsTheTest fills the disk that holds the journal in mid-test:
// what cannot be recorded is not done, the weights go back, and the next test
// begins without any cleanup once there is room again.
func TestFullDiskEndsTheTest(t *testing.T) {
	s := startSite(t, liveService(), 100)
	base := s.weights(t)
	s.state = t.TempDir()
	if err := syscall.Mount("tmpfs", s.state, "tmpfs", 0, "size=256k"); err != nil {
		realpart.Missing(t, "a small disk cannot be mounted: "+err.Error(), "run the test as root")
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(s.state, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	var out, log bytes.Buffer
	start := func() *exec.Cmd {
		out.Reset()
		log.Reset()
		cmd := s.shift("--metrics", s.instances[0].MetricsURL())
		cmd.Stdout, cmd.Stderr = &out, &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	cmd := s.begin(t, base, start)
	junk := filepath.Join(s.state, "junk")
	f, err := os.Create(junk)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 512))
	}
	f.Close()
	<-s.ended
	s.restored(t, base)
	var c capacity.Curve
	if _, err := doc.Read(&out, kindCurve, &c); err != nil || c.Verdict != capacity.VerdictGuard || cmd.ProcessState.ExitCode() != 4 {
		t.Errorf("exit %d, verdict %q (%v)\n%s", cmd.ProcessState.ExitCode(), c.Verdict, err, log.Bytes())
	}
	if !bytes.Contains([]byte(c.Reason), []byte("no space left on device")) {
		t.Errorf("the reason does not name the disk: %s", c.Reason)
	}
	if err := os.Remove(junk); err != nil {
		t.Fatal(err)
	}
	next := s.begin(t, base, start)
	if err := next.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-s.ended
	s.restored(t, base) // while its HAProxy still runs, so that no watchdog has to wait for it
}
