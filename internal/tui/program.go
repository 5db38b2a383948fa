package tui

import (
	"context"
	"io"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"

	"github.com/wxops/wxops/internal/chart"
)

// framesPerSecond is as often as a screen is drawn. More would not be read, and
// would cost the machine that runs the test.
const framesPerSecond = 10

// A view is what a screen shows and does; a program runs it.
type view interface {
	look() (done bool) // take the state as it is now
	draw(w, h int) *chart.Grid
	key(name string)
}

// program is a view in bubbletea's terms.
type program struct {
	view
	w, h       int
	open, shut [chart.Bad + 1]string // around the text of a role
}

func newProgram(v view, out io.Writer, color bool, w, h int) *program {
	if w <= 0 || h <= 0 {
		w, h = 80, 24
	}
	p := &program{view: v, w: w, h: h}
	r := lipgloss.NewRenderer(out)
	r.SetColorProfile(termenv.Ascii)
	if color {
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
		p.open[role], p.shut[role], _ = strings.Cut(style.Render("x"), "x")
	}
	return p
}

// run shows p until its view is done or ctx ends.
func run(ctx context.Context, p *program, in io.Reader, out io.Writer) error {
	t := tea.NewProgram(p, tea.WithInput(in), tea.WithOutput(out), tea.WithAltScreen(),
		tea.WithFPS(framesPerSecond), tea.WithoutSignalHandler(), tea.WithoutBracketedPaste())
	// A program that is killed, as by a context of its own, closes the terminal's
	// reader while that still reads.
	stop := context.AfterFunc(ctx, t.Quit)
	defer stop()
	_, err := t.Run()
	return err
}

type frameMsg struct{}

// nextFrame asks for the next look.
func nextFrame() tea.Cmd {
	return tea.Tick(time.Second/framesPerSecond, func(time.Time) tea.Msg { return frameMsg{} })
}

// Init starts the frames.
func (p *program) Init() tea.Cmd { return nextFrame() }

// Update takes one event: a frame, a key or a new size.
func (p *program) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		p.w, p.h = msg.Width, msg.Height
	case frameMsg:
		if p.look() {
			return p, tea.Quit
		}
		return p, nextFrame()
	case tea.KeyMsg:
		p.key(msg.String())
	}
	return p, nil
}

// View draws the screen.
func (p *program) View() string {
	g := p.draw(p.w, p.h)
	var b strings.Builder
	for y := range g.H {
		if y > 0 {
			b.WriteByte('\n')
		}
		for _, s := range g.Row(y) {
			b.WriteString(p.open[s.Role] + s.Text + p.shut[s.Role])
		}
	}
	return b.String()
}

// A note says for three seconds what a key did.
type note struct {
	text string
	left int // frames
}

func (n *note) say(text string) { n.text, n.left = text, 3*framesPerSecond }

// age is called once a frame.
func (n *note) age() {
	if n.left--; n.left <= 0 {
		n.text = ""
	}
}
