package tui

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxops/wxops/internal/realpart"
	"github.com/wxops/wxops/stress"
)

// TestMain becomes the program in the terminal when it is told to: the screen
// over the scripted test, which goes on until somebody aborts.
func TestMain(m *testing.M) {
	if os.Getenv("WXOPS_TEST_SCREEN") == "" {
		os.Exit(m.Run())
	}
	all := script()
	start := time.Now()
	var aborted atomic.Bool
	err := Screen{
		Title: "wxops stress shift", Color: true,
		Command: func(stress.Command) {},
		Abort:   func() { aborted.Store(true) },
		Snapshot: func() stress.Snapshot {
			if aborted.Load() {
				return all[len(all)-1]
			}
			return all[min(int(time.Since(start)/(100*time.Millisecond)), len(all)-2)]
		},
	}.Run(context.Background(), os.Stdin, os.Stdout)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("summary follows")
}

func TestScreenOnARealTerminal(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	term := realpart.NewTerminal(t, 100, 30, []string{"WXOPS_TEST_SCREEN=1"}, "echo prompt-line; "+self)
	first := term.WaitFor("BASELINE", 20*time.Second)
	if !strings.Contains(first, "objective p99<50ms") || strings.Contains(first, "prompt-line") {
		t.Errorf("the screen is\n%s", first)
	}
	term.Keys("?")
	term.WaitFor("space again goes on", 20*time.Second)
	term.Keys("?")
	term.WaitFor("control ──", 20*time.Second)
	term.Keys("+")
	term.WaitFor("no key raises load", 20*time.Second)
	term.Keys("q")
	last := term.WaitFor("EXIT 0", 20*time.Second)
	// The screen is gone, what was before it is back, the summary stays.
	if !strings.Contains(last, "prompt-line") || !strings.Contains(last, "summary follows") || strings.Contains(last, "objective") {
		t.Errorf("after the end the terminal shows\n%s", last)
	}
}
