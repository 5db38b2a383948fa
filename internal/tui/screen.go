// Package tui is the live screen of a running stress test, and the same in
// lines for those who have no terminal.
//
// A [Screen] reads snapshots ten times a second and never waits for the test
// nor makes it wait; its keys hold, back off and abort, and none raises load.
// [Plain] turns the same snapshots into one line per step and decision, and
// [Summary] is what stays when the test is over. A [TableScreen] is a live table
// of anything else. Nothing else in wxops imports bubbletea or lipgloss.
//
//	screen := tui.Screen{Title: "wxops stress demo", Snapshot: run.Snapshot, Command: run.Command, Abort: cancel}
//	err := screen.Run(ctx, os.Stdin, os.Stdout)
package tui

import (
	"context"
	"io"

	"github.com/wxops/wxops/internal/chart"
	"github.com/wxops/wxops/stress"
)

// A Screen shows a running test and passes the user's keys on.
type Screen struct {
	Title    string                 // the command, as typed
	Snapshot func() stress.Snapshot // the test as it is now; must not block
	Command  func(stress.Command)   // hold, resume or back off; must not block
	Abort    func()                 // end the test and restore; must not block

	Color         bool // false for NO_COLOR: words say it all
	ASCII         bool // draw with ASCII characters only
	Width, Height int  // until the terminal tells its size; 0 means 80x24
}

// Run shows the screen until the test is done or ctx ends, and leaves the
// terminal as it was. Keys come from in. A screen that fails leaves the test
// running: the caller decides what the error means.
func (s Screen) Run(ctx context.Context, in io.Reader, out io.Writer) error {
	return run(ctx, s.program(out), in, out)
}

func (s Screen) program(out io.Writer) *program {
	return newProgram(&testView{Screen: s, now: s.Snapshot()}, out, s.Color, s.Width, s.Height)
}

// testView is the screen of a stress test.
type testView struct {
	Screen
	note
	now      stress.Snapshot
	help     bool
	aborting bool
}

func (v *testView) look() (done bool) {
	v.now = v.Snapshot()
	v.age()
	return v.now.Phase == stress.PhaseDone
}

func (v *testView) draw(w, h int) *chart.Grid {
	return frame{title: v.Title, s: v.now, ascii: v.ASCII, aborting: v.aborting, help: v.help, note: v.text}.draw(w, h)
}

func (v *testView) key(key string) {
	ending := v.aborting || v.now.Phase == stress.PhaseRestore || v.now.Phase == stress.PhaseDone
	switch key {
	case "?":
		v.help = !v.help
	case "esc":
		v.help = false
	case "a", "q", "ctrl+c":
		if !v.aborting {
			v.aborting = true
			v.say("aborting: weights go back to their base")
			v.Abort()
		}
	case " ":
		switch {
		case ending:
			v.say("the test is ending")
		case v.now.Holding:
			v.say("going on")
			v.Command(stress.CommandResume)
		default:
			v.say("holding the rate; space goes on")
			v.Command(stress.CommandHold)
		}
	case "-":
		if ending {
			v.say("the test is ending")
			return
		}
		v.say("backing off; space goes on")
		v.Command(stress.CommandBackOff)
	case "+", "=", "up":
		v.say("no key raises load: give --max-share or --error-budget before the start")
	}
}
