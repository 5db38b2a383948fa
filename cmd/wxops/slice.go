package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // windows name a zone, and a minimal machine has no zone files

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/cgroupctl"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
)

// Documents of slice. The lists have a struct around them because within a
// version only keys are added.
var (
	kindSlicePlan  = doc.Kind{Name: "slice-plan", Version: 1, Title: "Writes that make a machine's slices what the file says", Data: cgroupctl.Plan{}}
	kindSlices     = doc.Kind{Name: "slices", Version: 1, Title: "What the slices of a machine use and may use", Data: sliceList{}}
	kindSliceDrift = doc.Kind{Name: "slice-drift", Version: 1, Title: "Where a machine's slices have strayed from the file", Data: sliceDrift{}}
	kindSliceCuts  = doc.Kind{Name: "slice-partition", Version: 1, Title: "How many slices of which shapes fit a machine", Data: cgroupctl.Partition{}}
	kindOffline    = doc.Kind{Name: "offline-status", Version: 1, Title: "State of offline work on a machine", Data: cgroupctl.OfflineStatus{}}
)

type sliceList struct {
	Slices []cgroupctl.Usage `json:"slices"`
}

type sliceDrift struct {
	Strays []cgroupctl.Stray `json:"strays"`
}

// sliceFlags are what every verb of slice takes.
type sliceFlags struct {
	s    *cli.IO
	file string
}

func newSlice(s *cli.IO) *cobra.Command {
	f := &sliceFlags{s: s}
	c := &cobra.Command{
		Use:   "slice",
		Short: "Give running processes fixed shares of this machine, without containers",
		Long: `slice places running processes into kernel control groups of fixed shapes such
as 2C4G. Nothing is restarted, wrapped or renamed. What the machine shall carry
stands in slices.yaml; plan shows the writes, apply makes them, drift says what
has strayed since. Offline work gets what online slices leave, by time of day
and at the lowest priority.`,
		Example: `  wxops slice plan -f slices.yaml
  wxops slice apply -f slices.yaml
  wxops slice attach -f slices.yaml checkout 4711
  wxops slice partition --machine`,
		RunE: cli.RequireSubcommand,
		Args: cobra.ArbitraryArgs,
	}
	c.PersistentFlags().StringVarP(&f.file, "file", "f", "slices.yaml", "the slices of this machine; - for standard input")
	c.AddCommand(f.plan(), f.apply(), f.ls(), f.show(), f.top(), f.attach(), f.run(), f.rm(), f.gc(), f.drift(), f.partition(), f.offline())
	return c
}

// spec reads the file; inputs names it for documents.
func (f *sliceFlags) spec() (*cgroupctl.Spec, error) {
	in := f.s.In
	if f.file != "-" {
		file, err := os.Open(f.file)
		if err != nil {
			return nil, cli.Usagef("read slices %q", f.file).WithCause(err).WithHint("name the file with -f")
		}
		defer file.Close()
		if st, err := file.Stat(); err == nil && st.IsDir() {
			return nil, cli.Usagef("read slices %q: it is a folder", f.file).WithHint("name the file with -f")
		}
		in = file
	}
	spec, err := cgroupctl.ReadSpec(in)
	if err != nil {
		return nil, sliceError(f.file, err)
	}
	return spec, nil
}

func (f *sliceFlags) tree() (*cgroupctl.Tree, error) {
	spec, err := f.spec()
	if err != nil {
		return nil, err
	}
	host, err := cgroupctl.Detect()
	if err != nil {
		return nil, sliceError("", err)
	}
	tree, err := cgroupctl.Open(host, spec)
	if err != nil {
		return nil, sliceError(f.file, err)
	}
	return tree, nil
}

// treeFor is tree for a verb that prints a document.
func (f *sliceFlags) treeFor(out *cli.Output) (*cgroupctl.Tree, error) {
	if err := out.Check(); err != nil {
		return nil, err
	}
	return f.tree()
}

// usage reads what every slice uses, for a verb that prints it.
func (f *sliceFlags) usage(out *cli.Output) ([]cgroupctl.Usage, error) {
	tree, err := f.treeFor(out)
	if err != nil {
		return nil, err
	}
	all, err := tree.Usage()
	return all, sliceError(f.file, err)
}

// sliceError gives an error of the package its exit code and its hint.
func sliceError(where string, err error) error {
	var e *cgroupctl.Error
	if !errors.As(err, &e) {
		return err
	}
	out := cli.Failf("%s", e.What)
	if e.Input {
		out = cli.Usagef("%s", e.What)
		if where != "" {
			out.What = where + ": " + e.What
		}
	}
	if e.Err != nil {
		out = out.WithCause(e.Err)
	}
	if e.Hint != "" {
		out = out.WithHint("%s", e.Hint)
	}
	return out
}

// document prints data as its kind, or the table that stands for it.
func (f *sliceFlags) document(o *cli.Output, k doc.Kind, created time.Time, warnings []string, data any, table func() *cli.Table) error {
	b, err := doc.Marshal(k, toolVersion(), created, nil, warnings, data)
	if err != nil {
		return err
	}
	return o.Print(f.s.Out, b, table)
}

func (f *sliceFlags) plan() *cobra.Command {
	var out cli.Output
	c := &cobra.Command{
		Use:   "plan",
		Short: "Print the exact writes that apply would make, in order",
		Long: `plan compares slices.yaml with the kernel's files and writes nothing. Exit code
1 says that there is a difference, 0 that there is none.`,
		Example: `  wxops slice plan -f slices.yaml
  wxops slice plan -f slices.yaml -o json
  wxops slice plan -f slices.yaml && echo in place`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			tree, err := f.treeFor(&out)
			if err != nil {
				return err
			}
			plan, err := tree.Plan()
			if err != nil {
				return sliceError(f.file, err)
			}
			if err := f.printPlan(&out, plan, "to make", "nothing to do: the machine is as the file says"); err != nil {
				return err
			}
			if len(plan.Changes) > 0 {
				return cli.Exit(cli.ExitNo)
			}
			return nil
		},
	}
	out.AddFlag(c, "table", "json", "yaml", "csv")
	return c
}

func (f *sliceFlags) printPlan(out *cli.Output, plan *cgroupctl.Plan, tense, none string) error {
	return f.document(out, kindSlicePlan, time.Time{}, plan.Warnings, plan, func() *cli.Table {
		if len(plan.Changes) == 0 && out.Format != "csv" {
			return cli.NewTable().Note("%s", none)
		}
		t := cli.NewTable("OP", "FILE", "OLD", "NEW")
		for _, c := range plan.Changes {
			file := c.Path
			if c.Attr != "" {
				file += " [" + c.Attr + "]"
			}
			t.Row(c.Op, file, dash(c.Old), dash(c.New))
		}
		for _, b := range plan.BelowUse {
			t.Note("refused: %s uses %s, more than its limit of %s", b.Path, mebi(b.UsageBytes), mebi(b.LimitBytes))
		}
		for _, w := range plan.Warnings {
			t.Note("warning: %s", w)
		}
		return t.Note("%d writes %s", len(plan.Changes), tense)
	})
}

func (f *sliceFlags) apply() *cobra.Command {
	var out cli.Output
	var o cgroupctl.ApplyOptions
	c := &cobra.Command{
		Use:   "apply",
		Short: "Make this machine's slices what the file says",
		Long: `apply makes the writes that plan prints and no others, and reads each one back;
a second apply makes none. It refuses a memory limit below what the slice uses:
cgroup v2 would kill for it. Exit code 2 is a bad file, 3 a refusal.`,
		Example: `  wxops slice apply -f slices.yaml
  wxops slice apply -f slices.yaml --reclaim 10s
  wxops slice apply -f slices.yaml && wxops slice plan -f slices.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Reclaim < 0 {
				return cli.Usagef("--reclaim %s is negative", o.Reclaim).WithHint("--reclaim 10s")
			}
			tree, err := f.treeFor(&out)
			if err != nil {
				return err
			}
			done, err := tree.Apply(cmd.Context(), o)
			if err != nil {
				return sliceError(f.file, err)
			}
			return f.printPlan(&out, done, "made", "0 writes: the machine was as the file says")
		},
	}
	out.AddFlag(c, "table", "json", "yaml", "csv")
	c.Flags().BoolVar(&o.Force, "force", false, "write memory limits below use, too; v2 may kill")
	c.Flags().DurationVar(&o.Reclaim, "reclaim", 0, "press memory out for so long before a lower limit")
	return c
}

func (f *sliceFlags) ls() *cobra.Command {
	var out cli.Output
	c := &cobra.Command{
		Use:   "ls",
		Short: "List the slices with what they use and may use",
		Example: `  wxops slice ls -f slices.yaml
  wxops slice ls -f slices.yaml -o csv
  wxops slice ls -f slices.yaml -o json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			all, err := f.usage(&out)
			if err != nil {
				return err
			}
			return f.document(&out, kindSlices, time.Now(), nil, sliceList{all}, func() *cli.Table { return usageTable(all) })
		},
	}
	out.AddFlag(c, "table", "json", "yaml", "csv")
	return c
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
	var out cli.Output
	c := &cobra.Command{
		Use:   "show SLICE",
		Short: "Show one slice: usage, throttling, memory and pressure",
		Example: `  wxops slice show -f slices.yaml checkout
  wxops slice show -f slices.yaml offline
  wxops slice show -f slices.yaml checkout -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := f.usage(&out)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(all, func(u cgroupctl.Usage) bool { return u.Name == args[0] })
			if i < 0 {
				return f.noSlice(args[0], all)
			}
			u := all[i]
			return f.document(&out, kindSlices, time.Now(), nil, sliceList{all[i : i+1]}, func() *cli.Table {
				state := "absent"
				if u.Present {
					state = sliceState(u)
				}
				return cli.NewTable("WHAT", "VALUE").
					Row("slice", u.Name).Row("kind", u.Kind).Row("shape", dash(u.Shape)).Row("state", state).Row("processes", u.Processes).
					Row("cpu used", fmt.Sprintf("%.3f s", u.CPUSeconds)).Row("cpu limit", coresOrNone(u.LimitCores)).
					Row("throttled", fmt.Sprintf("%d of %d periods, %.3f s", u.ThrottledPeriods, u.Periods, u.ThrottledSeconds)).
					Row("memory used", mebi(u.MemoryBytes)).Row("memory peak", mebi(u.MemoryPeakBytes)).Row("memory limit", bytesOrNone(u.MemoryLimitBytes)).
					Row("oom kills", u.OOMKills).Row("cpu pressure", pressureText(u))
			})
		},
	}
	out.AddFlag(c, "table", "json", "yaml")
	return c
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

func (f *sliceFlags) attach() *cobra.Command {
	var unit, match string
	c := &cobra.Command{
		Use:   "attach SLICE [PID...]",
		Short: "Move running processes with all their children into a slice",
		Long: `attach moves each process with its descendants and its session, in every
controller, and walks on until two walks find nothing outside. The processes
keep running. Memory they were charged before stays with their old group; the
amount is printed. Exit code 3 names processes that stayed outside.`,
		Example: `  wxops slice attach -f slices.yaml checkout 4711 4712
  wxops slice attach -f slices.yaml checkout --match '^/usr/bin/checkout '
  wxops slice attach -f slices.yaml checkout --unit checkout.service`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			tree, err := f.tree()
			if err != nil {
				return err
			}
			pids, err := sliceSeeds(tree, args[1:], unit, match)
			if err != nil {
				return err
			}
			moved, err := tree.Attach(cmd.Context(), args[0], pids)
			if moved != nil && moved.Passes > 0 {
				fmt.Fprintf(f.s.Out, "slice %s: %d processes inside after %d walks, %d ms\n", args[0], len(moved.PIDs), moved.Passes, moved.Elapsed.Milliseconds())
				fmt.Fprintf(f.s.Out, "memory charged before the move and not covered: %s\n", mebi(moved.UncoveredBytes))
			}
			return sliceError(f.file, err)
		},
	}
	c.Flags().StringVar(&unit, "unit", "", "the processes of a systemd unit")
	c.Flags().StringVar(&match, "match", "", "processes whose command line matches a regular expression")
	return c
}

// sliceSeeds collects the processes named by PID, unit or expression.
func sliceSeeds(tree *cgroupctl.Tree, words []string, unit, match string) ([]int, error) {
	var pids []int
	for _, w := range words {
		pid, err := strconv.Atoi(w)
		if err != nil || pid <= 0 {
			return nil, cli.Usagef("PID %q is not a positive whole number", w).WithHint("wxops slice attach --help")
		}
		pids = append(pids, pid)
	}
	if unit != "" {
		found, err := tree.UnitPIDs(unit)
		if err != nil {
			return nil, sliceError("", err)
		}
		pids = append(pids, found...)
	}
	if match != "" {
		re, err := regexp.Compile(match)
		if err != nil {
			return nil, cli.Usagef("--match %q", match).WithCause(err)
		}
		found, err := tree.Matching(re)
		if err != nil {
			return nil, sliceError("", err)
		}
		if len(found) == 0 && len(pids) == 0 {
			return nil, cli.Failf("no process matches %q", match)
		}
		pids = append(pids, found...)
	}
	if len(pids) == 0 {
		return nil, cli.Usagef("no process is named").WithHint("give PIDs, --unit or --match")
	}
	return pids, nil
}

func (f *sliceFlags) run() *cobra.Command {
	return &cobra.Command{
		Use:   "run SLICE -- CMD [ARG...]",
		Short: "Run a command inside a slice from its first instruction",
		Long: `run moves itself into the slice and becomes the command: no process stays
between, and the exit status is the command's.`,
		Example: `  wxops slice run -f slices.yaml checkout -- ./checkout --port 8080
  wxops slice run -f slices.yaml offline -- nice tar czf /backup/all.tgz /srv
  wxops slice run -f slices.yaml checkout -- sh -c 'cat /proc/self/cgroup'`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.ArgsLenAtDash() != 1 {
				return cli.Usagef("run needs one slice, then -- and the command").WithHint("wxops slice run -f %s %s -- %s", f.file, args[0], strings.Join(args[1:], " "))
			}
			tree, err := f.tree()
			if err != nil {
				return err
			}
			return sliceError(f.file, tree.Exec(args[0], args[1:]))
		},
	}
}

func (f *sliceFlags) rm() *cobra.Command {
	var o cgroupctl.RemoveOptions
	c := &cobra.Command{
		Use:   "rm [SLICE...]",
		Short: "Remove slices, all of them without a name, and the parent folder",
		Long: `rm refuses a busy slice at once. --evacuate moves its processes to the folder
that holds the parent, --kill kills them. Folders that wxops did not make stay.`,
		Example: `  wxops slice rm -f slices.yaml
  wxops slice rm -f slices.yaml checkout --evacuate
  wxops slice rm -f slices.yaml --kill`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if i := slices.IndexFunc(args, func(name string) bool { return strings.Contains(name, "/") }); i >= 0 {
				return cli.Usagef("slice %q has a slash; slices are not nested", args[i]).WithHint("wxops slice ls -f %s", f.file)
			}
			tree, err := f.tree()
			if err != nil {
				return err
			}
			r, err := tree.Remove(cmd.Context(), args, o)
			return f.removed(r, err)
		},
	}
	c.Flags().BoolVar(&o.Evacuate, "evacuate", false, "move the processes out first")
	c.Flags().BoolVar(&o.Kill, "kill", false, "kill the processes first")
	c.Flags().DurationVar(&o.Wait, "wait", 10*time.Second, "for the kernel to let an emptied folder go")
	c.MarkFlagsMutuallyExclusive("evacuate", "kill")
	return c
}

func (f *sliceFlags) removed(r *cgroupctl.Removed, err error) error {
	if r != nil {
		for _, folder := range r.Folders {
			fmt.Fprintf(f.s.Out, "removed %s\n", folder)
		}
		if len(r.Folders) == 0 && err == nil {
			fmt.Fprintln(f.s.Out, "nothing to remove")
		}
	}
	return sliceError(f.file, err)
}

func (f *sliceFlags) gc() *cobra.Command {
	return &cobra.Command{
		Use:   "gc",
		Short: "Remove slices that wxops made, that are empty and not in the file",
		Example: `  wxops slice gc -f slices.yaml
  wxops slice apply -f slices.yaml && wxops slice gc -f slices.yaml
  wxops slice gc -f slices.yaml --quiet`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tree, err := f.tree()
			if err != nil {
				return err
			}
			r, err := tree.Collect(cmd.Context())
			return f.removed(r, err)
		},
	}
}

func (f *sliceFlags) drift() *cobra.Command {
	var out cli.Output
	c := &cobra.Command{
		Use:   "drift",
		Short: "Say which limits, members or marks have strayed from the file",
		Long: `drift reads limits back, looks for processes that are in a slice by some
controllers only, and for processes that match a slice and run outside. Exit
code 1 says that something has strayed.`,
		Example: `  wxops slice drift -f slices.yaml
  wxops slice drift -f slices.yaml -o json
  wxops slice drift -f slices.yaml || wxops slice apply -f slices.yaml`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			tree, err := f.treeFor(&out)
			if err != nil {
				return err
			}
			strays, err := tree.Drift()
			if err != nil {
				return sliceError(f.file, err)
			}
			err = f.document(&out, kindSliceDrift, time.Time{}, nil, sliceDrift{strays}, func() *cli.Table {
				t := cli.NewTable("KIND", "SLICE", "WHERE", "WHAT")
				for _, s := range strays {
					where := s.Path
					if s.PID != 0 {
						where = fmt.Sprintf("PID %d", s.PID)
					}
					t.Row(s.Kind, dash(s.Slice), where, s.What)
				}
				if len(strays) == 0 && out.Format != "csv" {
					return cli.NewTable().Note("no drift")
				}
				return t
			})
			if err == nil && len(strays) > 0 {
				return cli.Exit(cli.ExitNo)
			}
			return err
		},
	}
	out.AddFlag(c, "table", "json", "yaml", "csv")
	return c
}

func (f *sliceFlags) partition() *cobra.Command {
	var out cli.Output
	var machine string
	c := &cobra.Command{
		Use:   "partition",
		Short: "Say how many slices of which shapes fit a machine, and what is left",
		Example: `  wxops slice partition --machine
  wxops slice partition --machine=8C16G
  wxops slice partition --machine=64C256G -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.Check(); err != nil {
				return err
			}
			spec := &cgroupctl.Spec{Reserve: cgroupctl.DefaultReserve}
			if cmd.Flags().Changed("file") {
				var err error
				if spec, err = f.spec(); err != nil {
					return err
				}
			}
			var m cgroupctl.Machine
			if machine == "this" {
				host, err := cgroupctl.Detect()
				if err != nil {
					return sliceError("", err)
				}
				m = host.Machine
			} else {
				shape, err := capacity.ParseShape(machine)
				if err != nil {
					return cli.Usagef("--machine").WithCause(err).WithHint("--machine alone is this machine")
				}
				m = cgroupctl.Machine{MilliCPU: shape.MilliCPU, MemoryBytes: shape.MemoryBytes}
			}
			p := cgroupctl.Cuts(m, spec.Reserve)
			return f.document(&out, kindSliceCuts, time.Time{}, nil, p, func() *cli.Table {
				t := cli.NewTable("SLICES", ">CPU LEFT", ">MEMORY LEFT")
				row := func(c cgroupctl.Cut) {
					var parts []string
					for _, n := range c.Counts {
						parts = append(parts, fmt.Sprintf("%d x %s", n.N, n.Shape))
					}
					t.Row(strings.Join(parts, " + "), fmt.Sprintf("%dm", c.LeftMilliCPU), mebi(c.LeftMemoryBytes))
				}
				row(p.Seeds)
				for _, c := range p.Single {
					row(c)
				}
				return t.Note("machine %dm and %s; %dm and %s beside the reserve", p.MachineMilliCPU, mebi(p.MachineMemoryBytes), p.AllocatableMilliCPU, mebi(p.AllocatableBytes))
			})
		},
	}
	c.Flags().StringVar(&machine, "machine", "this", "this machine, or another as CPU and memory")
	c.Flags().Lookup("machine").NoOptDefVal = "this"
	out.AddFlag(c, "table", "json", "yaml", "csv")
	return c
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func mebi(b int64) string { return fmt.Sprintf("%.1f MiB", float64(b)/(1<<20)) }

func bytesOrNone(b int64) string {
	if b == 0 {
		return "none"
	}
	return mebi(b)
}

func coresOrNone(c float64) string {
	if c == 0 {
		return "none"
	}
	return fmt.Sprintf("%.2f cores", c)
}

func ratio(part, all int64) string {
	if all == 0 {
		return "0.0 %"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(all))
}

func pressureText(u cgroupctl.Usage) string {
	if u.CPUPressureRatio == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100**u.CPUPressureRatio)
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
