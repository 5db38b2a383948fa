package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wxops/wxops/internal/cli"
)

// --watch prints a report at once, another one after a change, none without
// one, and ends when it is interrupted.
func TestWatchReportsEveryChange(t *testing.T) {
	root := t.TempDir()
	set := func(instance, text string) {
		t.Helper()
		name := filepath.Join(root, "shop/prod", instance, "a.yaml")
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range []string{"shop-0", "shop-1", "shop-2"} {
		set(i, "ttl: 60\n")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, in := io.Pipe()
	s := &cli.IO{In: strings.NewReader(""), Out: in, Err: io.Discard, Getenv: func(string) string { return "" }}
	done := make(chan error, 1)
	go func() {
		done <- cli.Run(ctx, s, newRoot(s), []string{"lint-config", root, "--watch", "--cache=off"})
		in.Close()
	}()
	lines := bufio.NewScanner(out)
	next := func(prefix string) {
		t.Helper()
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "layouts: ") {
				continue
			}
			if !strings.HasPrefix(lines.Text(), prefix) {
				t.Fatalf("%q, want %q", lines.Text(), prefix)
			}
			return
		}
		t.Fatalf("no line %q", prefix)
	}
	next("OK: ")
	set("shop-1", "ttl: 90\n")
	next("shop/prod/shop-1/a.yaml:1:1: ERROR WX101")
	next("FAIL: ")
	set("shop-1", "ttl: 60\n")
	next("OK: ")
	cancel()
	for lines.Scan() { // nothing but the line of layouts
		if !strings.HasPrefix(lines.Text(), "layouts: ") {
			t.Errorf("then %q", lines.Text())
		}
	}
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}
