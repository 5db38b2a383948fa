package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/cgroupctl"
	"github.com/wxops/wxops/internal/chart"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/tui"
)

func (f *sliceFlags) top() *cobra.Command {
	var interval time.Duration
	var count int
	var plain bool
	c := &cobra.Command{
		Use:   "top",
		Short: "Watch the slices: CPU, throttling, memory and pressure",
		Long: `top shows every slice once an interval: on a terminal as a live table, which q
ends, else as a block with one line for each slice, which Ctrl-C ends.`,
		Example: `  wxops slice top -f slices.yaml
  wxops slice top -f slices.yaml --interval 5s --plain
  wxops slice top -f slices.yaml --count 2 | tail -n +2`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if interval < 100*time.Millisecond || count < 0 {
				return cli.Usagef("--interval %s must be at least 100ms and --count %d not negative", interval, count)
			}
			tree, err := f.tree()
			if err != nil {
				return err
			}
			watch := sliceWatch{read: tree.Usage, now: time.Now}
			if f.s.Terminal() && !plain {
				return f.topScreen(cmd.Context(), &watch, interval, count)
			}
			return sliceTicker(cmd.Context(), interval, count, func() error {
				rows, err := watch.rows()
				if err != nil {
					return sliceError(f.file, err)
				}
				return topTable(rows).Write(f.s.Out)
			})
		},
	}
	cli.Duration(c.Flags(), &interval, "interval", "", time.Second, "time between two looks")
	c.Flags().IntVar(&count, "count", 0, "end after so many looks; 0 goes on")
	c.Flags().BoolVar(&plain, "plain", false, "a line per slice and look, no live screen")
	return c
}

// topScreen shows the slices live; the last look stays on the terminal.
func (f *sliceFlags) topScreen(ctx context.Context, watch *sliceWatch, interval time.Duration, count int) error {
	w, h := f.s.Size()
	var last [][]tui.Cell
	screen := tui.TableScreen{
		Title: "wxops slice top", Columns: topColumns, Every: interval, Count: count,
		Color: f.s.Color(), ASCII: !f.s.UTF8(), Width: w, Height: h,
		Rows: func() ([][]tui.Cell, error) {
			rows, err := watch.rows()
			if err == nil {
				last = rows
			}
			return rows, err
		},
	}
	if err := screen.Run(ctx, f.s.In, f.s.Out); err != nil {
		return sliceError(f.file, err)
	}
	return errors.Join(topTable(last).Write(f.s.Out), ctx.Err())
}

// topColumns in the order in which an operator reads them. In a narrow terminal
// the kind and the limits go first: they stand in the file.
var topColumns = []tui.Column{
	{Name: "SLICE"},
	{Name: "KIND", Drop: 5},
	{Name: "CPU", Right: true},
	{Name: "CPU LIMIT", Right: true, Drop: 4},
	{Name: "THROTTLED", Right: true},
	{Name: "PRESSURE", Right: true},
	{Name: "MEMORY", Right: true},
	{Name: "MEMORY LIMIT", Right: true, Drop: 3},
	{Name: "PROCESSES", Right: true, Drop: 2},
	{Name: "STATE", Drop: 1},
}

// topTable is the table for a pipe.
func topTable(rows [][]tui.Cell) *cli.Table {
	var names []string
	for _, c := range topColumns {
		if c.Right {
			names = append(names, ">"+c.Name)
		} else {
			names = append(names, c.Name)
		}
	}
	t := cli.NewTable(names...)
	for _, row := range rows {
		var cells []any
		for _, c := range row {
			cells = append(cells, c.Text)
		}
		t.Row(cells...)
	}
	return t
}

// A sliceWatch turns what slices have used into what they use: rates since the
// look before, which the first look lacks.
type sliceWatch struct {
	read   func() ([]cgroupctl.Usage, error)
	now    func() time.Time
	before map[string]cgroupctl.Usage
	at     time.Time
}

// rows takes a look: a row for each slice, a cell for each of topColumns.
func (w *sliceWatch) rows() ([][]tui.Cell, error) {
	all, err := w.read()
	if err != nil {
		return nil, err
	}
	now := w.now()
	elapsed := now.Sub(w.at).Seconds()
	var rows [][]tui.Cell
	next := map[string]cgroupctl.Usage{}
	for _, u := range all {
		next[u.Name] = u
		b := w.before[u.Name]
		cpu, throttled, state := tui.Cell{Text: "-"}, tui.Cell{Text: "-"}, tui.Cell{Role: chart.Warn, Text: "absent"}
		if b.Present && u.Present && elapsed > 0 {
			cpu = tui.Cell{Role: chart.Data, Text: fmt.Sprintf("%.2f cores", (u.CPUSeconds-b.CPUSeconds)/elapsed)}
			throttled.Text = ratio(u.ThrottledPeriods-b.ThrottledPeriods, u.Periods-b.Periods)
			if u.ThrottledPeriods > b.ThrottledPeriods {
				throttled.Role = chart.Warn
			}
		}
		if u.Present {
			state = tui.Cell{Text: sliceState(u)}
		}
		rows = append(rows, []tui.Cell{
			{Role: chart.Strong, Text: u.Name},
			{Text: u.Kind},
			cpu,
			{Text: coresOrNone(u.LimitCores)},
			throttled,
			{Text: pressureText(u)},
			{Text: mebi(u.MemoryBytes)},
			{Text: bytesOrNone(u.MemoryLimitBytes)},
			{Text: fmt.Sprint(u.Processes)},
			state,
		})
	}
	w.before, w.at = next, now
	return rows, nil
}

// sliceTicker calls step at once and then every interval, count times or, when
// count is 0, until the context ends.
func sliceTicker(ctx context.Context, interval time.Duration, count int, step func() error) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for n := 1; ; n++ {
		if err := step(); err != nil || n == count {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
