package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wxops/wxops/internal/chart"
	"github.com/wxops/wxops/internal/goldentest"
)

// sliceTable is a table as that of slices with n rows.
func sliceTable(n int) TableScreen {
	return TableScreen{
		Title: "wxops slice top", Every: time.Second,
		Columns: []Column{
			{Name: "SLICE"},
			{Name: "KIND", Drop: 5},
			{Name: "CPU", Right: true},
			{Name: "CPU LIMIT", Right: true, Drop: 3},
			{Name: "THROTTLED", Right: true},
			{Name: "PRESSURE", Right: true, Drop: 1},
			{Name: "MEMORY", Right: true},
			{Name: "MEMORY LIMIT", Right: true, Drop: 2},
			{Name: "PROCESSES", Right: true, Drop: 4},
		},
		Rows: func() ([][]Cell, error) {
			var rows [][]Cell
			for i := range n {
				row := make([]Cell, 9)
				for c, text := range []string{
					fmt.Sprintf("checkout-%d", i), "online", fmt.Sprintf("%.2f cores", float64(i)/10), "2.00 cores",
					fmt.Sprintf("%d.0 %%", i), "0.5 %", fmt.Sprintf("%d.0 MiB", 100+i), "4096.0 MiB", fmt.Sprint(3 * i),
				} {
					row[c] = Cell{chart.Plain, text}
				}
				rows = append(rows, row)
			}
			return rows, nil
		},
	}
}

func tableViewOf(s TableScreen) *tableView {
	v := &tableView{TableScreen: s, now: func() time.Time { return time.Unix(0, 0) }}
	v.look()
	return v
}

func TestTableFramesAtThreeSizes(t *testing.T) {
	for _, size := range [][2]int{{100, 30}, {80, 24}, {60, 15}} {
		v := tableViewOf(sliceTable(14))
		goldentest.Compare(t, filepath.Join("testdata", fmt.Sprintf("table-%dx%d.txt", size[0], size[1])), []byte(v.draw(size[0], size[1]).String()))
	}
}

// Nothing is wider or higher than the terminal, columns that matter most stay
// longest, and the way out is shown.
func TestTableFramesOfAnySize(t *testing.T) {
	for _, n := range []int{0, 1, 100} {
		v := tableViewOf(sliceTable(n))
		for w := 1; w < 130; w += 3 {
			for h := 1; h < 40; h += 2 {
				text := v.draw(w, h).String()
				if lines := strings.Count(text, "\n"); lines != h {
					t.Fatalf("%dx%d: %d lines", w, h, lines)
				}
				for line := range strings.Lines(text) {
					if got := chart.Width(strings.TrimRight(line, "\n")); got > w {
						t.Fatalf("%dx%d: %d columns: %s", w, h, got, line)
					}
				}
				if w >= 60 && h > 3 && (!strings.Contains(text, "THROTTLED") || !strings.Contains(text, "q quit")) {
					t.Fatalf("%dx%d lacks a column or the way out:\n%s", w, h, text)
				}
			}
		}
	}
}

// Rows are read once an interval and not while the screen is frozen.
func TestTableIsReadOnceAnInterval(t *testing.T) {
	s := sliceTable(3)
	rows, reads := s.Rows, 0
	s.Rows = func() ([][]Cell, error) { reads++; return rows() }
	s.Count = 3
	at := time.Unix(0, 0)
	v := &tableView{TableScreen: s, now: func() time.Time { return at }}
	step := func(d time.Duration, want int, done bool) {
		t.Helper()
		at = at.Add(d)
		if got := v.look(); got != done || reads != want {
			t.Fatalf("after %s: done %t and %d readings, want %t and %d", d, got, reads, done, want)
		}
	}
	step(0, 1, false)
	step(900*time.Millisecond, 1, false)
	step(100*time.Millisecond, 2, false)
	v.key(" ")
	if !strings.Contains(v.draw(80, 24).String(), "FROZEN") {
		t.Error("a frozen screen does not say so")
	}
	step(5*time.Second, 2, false)
	v.key(" ")
	step(0, 3, false)
	step(0, 3, true)
}

func TestTableScrollsWithinItsRows(t *testing.T) {
	v := tableViewOf(sliceTable(40))
	first := func() string {
		return strings.Fields(strings.Split(v.draw(80, 15).String(), "\n")[3])[0]
	}
	for _, step := range []struct{ key, want string }{
		{"", "checkout-0"},
		{"up", "checkout-0"},
		{"down", "checkout-1"},
		{"pgdown", "checkout-11"},
		{"pgdown", "checkout-21"},
		{"pgdown", "checkout-30"},
		{"down", "checkout-30"},
		{"pgup", "checkout-20"},
		{"k", "checkout-19"},
	} {
		v.key(step.key)
		if got := first(); got != step.want {
			t.Fatalf("key %q: the first row is %s, want %s", step.key, got, step.want)
		}
	}
}

func TestTableScreenEndsWithQAndWithAnError(t *testing.T) {
	keys := keyboard{make(chan byte, 1)}
	defer close(keys.keys)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	keys.keys <- 'q'
	var out counter
	if err := sliceTable(3).Run(ctx, keys, &out); err != nil || ctx.Err() != nil {
		t.Errorf("q: %v, %v", err, ctx.Err())
	}
	if !strings.Contains(out.String(), "\x1b[?1049l") {
		t.Error("the terminal was not left as it was")
	}
	broken := sliceTable(3)
	gone := errors.New("the folder is gone")
	broken.Rows = func() ([][]Cell, error) { return nil, gone }
	if err := broken.Run(ctx, keys, io.Discard); !errors.Is(err, gone) {
		t.Errorf("got %v, want the error of the reading", err)
	}
}
