package chart

import (
	"strings"
)

// A Role says what a mark or a word stands for; who shows it chooses the look.
// No meaning hangs on the look alone: every role is paired with a word.
type Role uint8

// The roles, from the quietest.
const (
	Plain     Role = iota // ordinary text
	Dim                   // axes, labels, rules
	Strong                // headings and the number that matters
	Data                  // what was measured
	Band                  // an interval around data
	Objective             // the limit to keep
	Knee                  // the capacity and its interval
	Good                  // within limits
	Warn                  // near a limit
	Bad                   // beyond a limit
	roles
)

// A Span is a run of text of one role.
type Span struct {
	Role Role
	Text string
}

// A Grid is a rectangle of character cells, the common ground of terminal
// screens and their pictures. Every cell is one column wide: a rune that takes
// two columns is followed by an empty cell.
type Grid struct {
	W, H  int
	cells []cell
}

type cell struct {
	r    rune // 0: blank, or covered by the wide rune before it
	role Role
	wide bool // covered by the wide rune before it
}

// NewGrid returns a blank grid of w columns and h rows; negative sizes count as 0.
func NewGrid(w, h int) *Grid {
	w, h = max(w, 0), max(h, 0)
	return &Grid{W: w, H: h, cells: make([]cell, w*h)}
}

// Put writes text from column x of row y to the right and returns the column
// after it. What lies outside the grid is dropped; control characters become
// spaces.
func (g *Grid) Put(x, y int, role Role, text string) int {
	return g.PutMax(x, y, g.W-x, role, text)
}

// PutMax is Put within width columns; a text that does not fit ends in "…".
func (g *Grid) PutMax(x, y, width int, role Role, text string) int {
	width = min(width, g.W-x)
	if width <= 0 || y < 0 || y >= g.H {
		return x
	}
	cut := Width(text) > width
	limit := x + width
	if cut {
		limit--
	}
	for _, r := range text {
		if r < ' ' || r == 0x7f {
			r = ' '
		}
		n := runeWidth(r)
		if n == 0 {
			continue
		}
		if x+n > limit {
			break
		}
		g.set(x, y, r, role)
		if n == 2 && x+1 >= 0 {
			g.cells[y*g.W+x+1] = cell{role: role, wide: true}
		}
		x += n
	}
	if cut {
		g.set(x, y, '…', role)
		x++
	}
	return x
}

// Right writes text so that it ends before column x.
func (g *Grid) Right(x, y int, role Role, text string) {
	g.Put(x-Width(text), y, role, text)
}

func (g *Grid) set(x, y int, r rune, role Role) {
	if x >= 0 && x < g.W && y >= 0 && y < g.H {
		g.cells[y*g.W+x] = cell{r: r, role: role}
	}
}

// Row returns row y as spans, blanks at its end left out. Blanks take the role
// of the text before them, so that a row has as few spans as possible.
func (g *Grid) Row(y int) []Span {
	row := g.cells[y*g.W : (y+1)*g.W]
	for len(row) > 0 && (row[len(row)-1].r == 0 || row[len(row)-1].r == ' ') && !row[len(row)-1].wide {
		row = row[:len(row)-1]
	}
	var spans []Span
	var b strings.Builder
	role := Plain
	flush := func() {
		if b.Len() > 0 {
			spans = append(spans, Span{role, b.String()})
			b.Reset()
		}
	}
	for _, c := range row {
		switch {
		case c.wide:
			continue
		case c.r == 0 || c.r == ' ':
			b.WriteByte(' ')
			continue
		case c.role != role:
			flush()
			role = c.role
		}
		b.WriteRune(c.r)
	}
	flush()
	return spans
}

// String returns the grid as lines without roles.
func (g *Grid) String() string {
	var b strings.Builder
	for y := range g.H {
		for _, s := range g.Row(y) {
			b.WriteString(s.Text)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Width is the number of columns that text takes in a grid.
func Width(text string) int {
	n := 0
	for _, r := range text {
		n += runeWidth(r)
	}
	return n
}

// runeWidth is 2 for the wide blocks of East Asian scripts and pictographs, 0
// for marks that combine, else 1: as terminals have it for what names contain.
func runeWidth(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case r < 0x370, r >= 0x200b && r <= 0x200f, r >= 0x20d0 && r <= 0x20ff, r >= 0xfe00 && r <= 0xfe0f:
		return 0
	case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf, r >= 0xac00 && r <= 0xd7a3,
		r >= 0xf900 && r <= 0xfaff, r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60,
		r >= 0x1f300 && r <= 0x1faff, r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}
