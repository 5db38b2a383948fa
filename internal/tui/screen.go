// Package tui is the live screen of a running stress test, and the same in
// lines for those who have no terminal.
//
// A [Screen] reads snapshots ten times a second and never waits for the test
// nor makes it wait; its keys hold, back off and abort, and none raises load.
// [Plain] turns the same snapshots into one line per step and decision, and
// [Summary] is what stays when the test is over. Nothing else in wxops imports
// bubbletea or lipgloss.
//
//	screen := tui.Screen{Title: "wxops stress demo", Snapshot: run.Snapshot, Command: run.Command, Abort: cancel}
//	err := screen.Run(ctx, os.Stdin, os.Stdout)
package tui

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"

	"github.com/wxops/wxops/internal/chart"
	"github.com/wxops/wxops/stress"
)

// framesPerSecond is as often as the screen is drawn. More would not be read,
// and would cost the machine that runs the test.
const framesPerSecond = 10

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
	m := newModel(s, out)
	p := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out), tea.WithAltScreen(),
		tea.WithFPS(framesPerSecond), tea.WithoutSignalHandler(), tea.WithoutBracketedPaste())
	_, err := p.Run()
	if errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		return nil // the test ended and took the screen with it
	}
	return err
}

// model is the state of the screen in bubbletea's terms.
type model struct {
	Screen
	now      stress.Snapshot
	help     bool
	aborting bool
	note     string // what the last key did
	noteLeft int    // frames until note goes
	open     [chart.Bad + 1]string
	shut     [chart.Bad + 1]string
}

type frameMsg struct{}

// nextFrame asks for the next look at the test.
func nextFrame() tea.Cmd {
	return tea.Tick(time.Second/framesPerSecond, func(time.Time) tea.Msg { return frameMsg{} })
}

func newModel(s Screen, out io.Writer) *model {
	if s.Width <= 0 || s.Height <= 0 {
		s.Width, s.Height = 80, 24
	}
	m := &model{Screen: s, now: s.Snapshot()}
	r := lipgloss.NewRenderer(out)
	r.SetColorProfile(termenv.Ascii)
	if s.Color {
		// Sixteen colours, so that the terminal's own theme decides how they look.
		r.SetColorProfile(termenv.ANSI)
	}
	colour := func(c string) lipgloss.Style { return r.NewStyle().Foreground(lipgloss.Color(c)) }
	for role, style := range map[chart.Role]lipgloss.Style{
		chart.Plain: r.NewStyle(), chart.Dim: colour("8"), chart.Strong: r.NewStyle().Bold(true),
		chart.Data: colour("4"), chart.Band: colour("4"), chart.Objective: colour("1"), chart.Knee: colour("5"),
		chart.Good: colour("2"), chart.Warn: colour("3"), chart.Bad: colour("1").Bold(true),
	} {
		// Rendered once: a style costs more than the text it wraps.
		m.open[role], m.shut[role], _ = strings.Cut(style.Render("x"), "x")
	}
	return m
}

// Init starts the frames.
func (m *model) Init() tea.Cmd { return nextFrame() }

// Update takes one event: a frame, a key or a new size.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.Width, m.Height = msg.Width, msg.Height
	case frameMsg:
		m.now = m.Snapshot()
		if m.noteLeft > 0 {
			m.noteLeft--
		}
		if m.now.Phase == stress.PhaseDone {
			return m, tea.Quit
		}
		return m, nextFrame()
	case tea.KeyMsg:
		m.key(msg.String())
	}
	return m, nil
}

func (m *model) key(key string) {
	ending := m.aborting || m.now.Phase == stress.PhaseRestore || m.now.Phase == stress.PhaseDone
	switch key {
	case "?":
		m.help = !m.help
	case "esc":
		m.help = false
	case "a", "q", "ctrl+c":
		if !m.aborting {
			m.aborting = true
			m.say("aborting: weights go back to their base")
			m.Abort()
		}
	case " ":
		switch {
		case ending:
			m.say("the test is ending")
		case m.now.Holding:
			m.say("going on")
			m.Command(stress.CommandResume)
		default:
			m.say("holding the rate; space goes on")
			m.Command(stress.CommandHold)
		}
	case "-":
		if ending {
			m.say("the test is ending")
			return
		}
		m.say("backing off; space goes on")
		m.Command(stress.CommandBackOff)
	case "+", "=", "up":
		m.say("no key raises load: give --max-share or --error-budget before the start")
	}
}

// say shows what a key did for three seconds.
func (m *model) say(note string) {
	m.note, m.noteLeft = note, 3*framesPerSecond
}

// View draws the screen.
func (m *model) View() string {
	f := frame{title: m.Title, s: m.now, ascii: m.ASCII, aborting: m.aborting, help: m.help}
	if m.noteLeft > 0 {
		f.note = m.note
	}
	g := f.draw(m.Width, m.Height)
	var b strings.Builder
	for y := range g.H {
		if y > 0 {
			b.WriteByte('\n')
		}
		for _, s := range g.Row(y) {
			b.WriteString(m.open[s.Role] + s.Text + m.shut[s.Role])
		}
	}
	return b.String()
}
