package tui

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/wxops/wxops/internal/chart"
)

// A Column is a column of a [TableScreen].
type Column struct {
	Name  string
	Right bool // for numbers
	Drop  int  // left out in a narrow terminal, the highest first; 0 stays
}

// A Cell is a text in a [TableScreen] and what it stands for.
type Cell struct {
	Role chart.Role
	Text string
}

// A TableScreen shows a table that is read anew once an interval.
type TableScreen struct {
	Title   string
	Columns []Column
	Rows    func() ([][]Cell, error) // a cell for each column; an error ends the screen
	Every   time.Duration            // between two readings
	Count   int                      // end with this reading; 0 goes on

	Color, ASCII  bool
	Width, Height int // until the terminal tells its size; 0 means 80x24
}

// Run shows the table until q, the last reading or the end of ctx, and leaves
// the terminal as it was. Keys come from in. Rows is called between two frames,
// so it should take a small part of a tenth of a second.
func (s TableScreen) Run(ctx context.Context, in io.Reader, out io.Writer) error {
	v := &tableView{TableScreen: s, now: time.Now}
	if err := run(ctx, newProgram(v, out, s.Color, s.Width, s.Height), in, out); err != nil {
		return err
	}
	return v.err
}

// tableView is the screen of a table.
type tableView struct {
	TableScreen
	now           func() time.Time
	read          time.Time // of the last reading
	n             int       // readings
	rows          [][]Cell
	err           error
	top           int // first row shown
	page          int // rows that fit, as last drawn
	frozen, ended bool
}

func (v *tableView) look() (done bool) {
	now := v.now()
	if v.ended || v.Count > 0 && v.n == v.Count {
		return true
	}
	if v.frozen || v.n > 0 && now.Sub(v.read) < v.Every {
		return false
	}
	rows, err := v.Rows()
	if err != nil {
		v.err = err
		return true
	}
	v.rows, v.read = rows, now
	v.n++
	return false
}

func (v *tableView) key(key string) {
	switch key {
	case "q", "esc", "ctrl+c":
		v.ended = true
	case " ":
		v.frozen = !v.frozen
	case "up", "k":
		v.top--
	case "down", "j":
		v.top++
	case "pgup":
		v.top -= v.page
	case "pgdown":
		v.top += v.page
	}
	v.top = max(0, min(v.top, len(v.rows)-v.page))
}

func (v *tableView) draw(w, h int) *chart.Grid {
	g := chart.NewGrid(w, h)
	state := "LIVE"
	if v.frozen {
		state = "FROZEN"
	}
	state += fmt.Sprintf("   every %s", v.Every)
	g.Right(w, 0, chart.Plain, state)
	g.PutMax(0, 0, w-chart.Width(state)-2, chart.Strong, v.Title)
	v.page = max(1, h-5) // beside title, blank, names, note and keys
	v.top = max(0, min(v.top, len(v.rows)-v.page))
	shown := v.rows[v.top:min(len(v.rows), v.top+v.page)]
	widths := v.widths(w)
	x := 0
	for c, column := range v.Columns {
		if widths[c] == 0 {
			continue
		}
		put := func(y int, cell Cell) {
			at := x
			if column.Right {
				at += max(0, widths[c]-chart.Width(cell.Text))
			}
			g.PutMax(at, y, x+widths[c]-at, cell.Role, cell.Text)
		}
		if h > 3 {
			put(2, Cell{chart.Dim, column.Name})
		}
		for i, row := range shown {
			if 3+i < h-1 {
				put(3+i, row[c])
			}
		}
		x += widths[c] + columnGap
	}
	if hidden := len(v.rows) - len(shown); hidden > 0 && h > 5 {
		g.PutMax(0, h-2, w, chart.Dim, fmt.Sprintf("rows %d to %d of %d", v.top+1, v.top+len(shown), len(v.rows)))
	}
	if h > 1 {
		arrows := "↑ ↓"
		if v.ASCII {
			arrows = "up down"
		}
		g.PutMax(0, h-1, w, chart.Dim, strings.Join([]string{"q quit", "space freeze", arrows + " scroll"}, "   "))
	}
	return g
}

const columnGap = 2

// widths returns the width of each column, 0 for those that are left out so
// that the rest fits into w. All rows count, so that scrolling moves no column.
func (v *tableView) widths(w int) []int {
	widths := make([]int, len(v.Columns))
	total := -columnGap
	for c, column := range v.Columns {
		widths[c] = chart.Width(column.Name)
		for _, row := range v.rows {
			widths[c] = max(widths[c], chart.Width(row[c].Text))
		}
		total += widths[c] + columnGap
	}
	for total > w {
		worst := 0
		for c, column := range v.Columns {
			if widths[c] > 0 && column.Drop > 0 && (widths[worst] == 0 || column.Drop > v.Columns[worst].Drop) {
				worst = c
			}
		}
		if v.Columns[worst].Drop == 0 || widths[worst] == 0 {
			break // what must stay is cut at the edge
		}
		total -= widths[worst] + columnGap
		widths[worst] = 0
	}
	return widths
}
