package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/wxops/wxops/internal/realpart"
	"github.com/wxops/wxops/internal/vmtest"
)

// TestGuestsWithSystemd runs testdata/systemd/check.sh in guests whose init is
// systemd: on v2 slices are its units, on hybrid folders beside them. On v1 the
// same would be seen as on hybrid, whose v2 tree wxops leaves alone; WXOPS_SYSTEMD=v1
// runs it.
func TestGuestsWithSystemd(t *testing.T) {
	script, err := os.ReadFile("../../testdata/systemd/check.sh")
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(t.TempDir(), "wxops")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	layouts := []string{"v2", "hybrid"}
	if l := os.Getenv("WXOPS_SYSTEMD"); l != "" {
		layouts = []string{l}
	}
	for _, layout := range layouts {
		t.Run(layout, func(t *testing.T) {
			t.Parallel() // a guest keeps one core busy, and no claim depends on its pace
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
			defer cancel()
			r, err := vmtest.Boot(ctx, vmtest.Guest{Binary: bin, Layout: layout, Script: string(script)})
			if errors.Is(err, vmtest.ErrMissing) {
				realpart.Missing(t, err.Error(), vmtest.Install)
			}
			if err == nil && r.Exit != 0 {
				err = errors.New("not every claim holds")
			}
			if r != nil {
				t.Logf("\n%s", r.Console)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}
