package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/cgroupctl"
	"github.com/wxops/wxops/internal/cli"
)

func (f *sliceFlags) top() *cobra.Command {
	var interval time.Duration
	var count int
	var plain bool
	c := &cobra.Command{
		Use:   "top",
		Short: "Watch the slices: CPU, throttling, memory and pressure",
		Long: `top shows every slice once an interval: on a terminal as a table that stays in
place, else one line for each slice. Ctrl-C ends it.`,
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
			live := f.s.Terminal() && !plain
			if live {
				fmt.Fprint(f.s.Out, "\x1b[?25l")
				defer fmt.Fprint(f.s.Out, "\x1b[?25h")
			}
			var before map[string]cgroupctl.Usage
			var at time.Time
			return sliceTicker(cmd.Context(), interval, count, func() error {
				all, err := tree.Usage()
				if err != nil {
					return sliceError(f.file, err)
				}
				now := time.Now()
				text := topText(all, before, now.Sub(at))
				if live {
					// Home, each line cleared to its end, then all below.
					text = "\x1b[H" + strings.ReplaceAll(text, "\n", "\x1b[K\n") + "\x1b[J"
				}
				before = map[string]cgroupctl.Usage{}
				for _, u := range all {
					before[u.Name] = u
				}
				at = now
				_, err = fmt.Fprint(f.s.Out, text)
				return err
			})
		},
	}
	c.Flags().DurationVar(&interval, "interval", time.Second, "between two looks")
	c.Flags().IntVar(&count, "count", 0, "end after so many looks; 0 goes on")
	c.Flags().BoolVar(&plain, "plain", false, "lines even on a terminal")
	return c
}

// topText is one look: rates since the look before, which the first one lacks.
func topText(all []cgroupctl.Usage, before map[string]cgroupctl.Usage, elapsed time.Duration) string {
	t := cli.NewTable("SLICE", "KIND", ">CPU", ">CPU LIMIT", ">THROTTLED", ">MEMORY", ">MEMORY LIMIT", ">PRESSURE", ">PROCESSES", "STATE")
	for _, u := range all {
		b, ok := before[u.Name]
		cpu, throttled := "-", "-"
		if ok && u.Present && elapsed > 0 {
			cpu = fmt.Sprintf("%.2f cores", (u.CPUSeconds-b.CPUSeconds)/elapsed.Seconds())
			throttled = ratio(u.ThrottledPeriods-b.ThrottledPeriods, u.Periods-b.Periods)
		}
		state := "absent"
		if u.Present {
			state = sliceState(u)
		}
		t.Row(u.Name, u.Kind, cpu, coresOrNone(u.LimitCores), throttled, mebi(u.MemoryBytes), bytesOrNone(u.MemoryLimitBytes), pressureText(u), u.Processes, state)
	}
	var b strings.Builder
	if err := t.Write(&b); err != nil {
		return err.Error() + "\n"
	}
	return b.String()
}
