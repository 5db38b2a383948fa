package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/cgroupctl"
	"github.com/wxops/wxops/internal/cli"
)

func (f *sliceFlags) ls() *cobra.Command {
	return f.tells(&cobra.Command{
		Use:   "ls",
		Short: "List the slices with what they use and may use",
		Example: `  wxops slice ls -f slices.yaml
  wxops slice ls -f slices.yaml -o csv
  wxops slice ls -f slices.yaml -o json`,
		Args: cobra.NoArgs,
	}, true, func(_ *cobra.Command, tree *cgroupctl.Tree, _ []string) (*sheet, error) {
		all, err := tree.Usage()
		if err != nil {
			return nil, err
		}
		return &sheet{kind: kindSlices, created: time.Now(), data: sliceList{all}, table: func() *cli.Table { return usageTable(all) }}, nil
	})
}

func usageTable(all []cgroupctl.Usage) *cli.Table {
	t := cli.NewTable("SLICE", "KIND", "SHAPE", "STATE", ">PROCESSES", ">CPU", ">CPU LIMIT", ">THROTTLED", ">MEMORY", ">MEMORY LIMIT", ">OOM KILLS", ">PRESSURE")
	for _, u := range all {
		if !u.Present {
			t.Row(u.Name, u.Kind, dash(u.Shape), "absent", "-", "-", "-", "-", "-", "-", "-", "-")
			continue
		}
		t.Row(u.Name, u.Kind, dash(u.Shape), sliceState(u), u.Processes, fmt.Sprintf("%.2f s", u.CPUSeconds), coresOrNone(u.LimitCores),
			ratio(u.ThrottledPeriods, u.Periods), mebi(u.MemoryBytes), bytesOrNone(u.MemoryLimitBytes), u.OOMKills, pressureText(u))
	}
	return t
}

func sliceState(u cgroupctl.Usage) string {
	if u.Frozen {
		return "frozen"
	}
	return "present"
}

func (f *sliceFlags) show() *cobra.Command {
	return f.tells(&cobra.Command{
		Use:   "show SLICE",
		Short: "Show one slice: usage, throttling, memory and pressure",
		Example: `  wxops slice show -f slices.yaml checkout
  wxops slice show -f slices.yaml offline
  wxops slice show -f slices.yaml checkout -o json`,
		Args: cobra.ExactArgs(1),
	}, false, func(_ *cobra.Command, tree *cgroupctl.Tree, args []string) (*sheet, error) {
		all, err := tree.Usage()
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(all, func(u cgroupctl.Usage) bool { return u.Name == args[0] })
		if i < 0 {
			return nil, f.noSlice(args[0], all)
		}
		return &sheet{kind: kindSlices, created: time.Now(), data: sliceList{all[i : i+1]}, table: func() *cli.Table { return f.sliceTable(all[i]) }}, nil
	})
}

// sliceTable is everything about one slice, a line for each figure.
func (f *sliceFlags) sliceTable(u cgroupctl.Usage) *cli.Table {
	t := cli.NewTable("WHAT", "VALUE").Row("slice", u.Name).Row("kind", u.Kind).Row("shape", dash(u.Shape))
	if !u.Present {
		return t.Row("state", "absent").Note("not on this machine: wxops slice apply -f %s", f.file)
	}
	return t.Row("state", sliceState(u)).Row("processes", u.Processes).
		Row("cpu used", fmt.Sprintf("%.3f s", u.CPUSeconds)).Row("cpu limit", coresOrNone(u.LimitCores)).
		Row("throttled", fmt.Sprintf("%d of %s, %.3f s", u.ThrottledPeriods, count(int(u.Periods), "period"), u.ThrottledSeconds)).
		Row("memory used", mebi(u.MemoryBytes)).Row("memory peak", mebi(u.MemoryPeakBytes)).Row("memory limit", bytesOrNone(u.MemoryLimitBytes)).
		Row("oom kills", u.OOMKills).Row("cpu pressure", pressureText(u))
}

func (f *sliceFlags) noSlice(name string, all []cgroupctl.Usage) error {
	var names []string
	for _, u := range all {
		names = append(names, u.Name)
	}
	e := cli.Usagef("slice %q is not in %s; it has %s", name, f.file, strings.Join(names, ", "))
	if near := cli.Closest(name, names, 1); len(near) > 0 {
		return e.WithHint("wxops slice show -f %s %s", f.file, near[0])
	}
	return e.WithHint("wxops slice ls -f %s", f.file)
}
