package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
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
	kindSlicePlan    = doc.Kind{Name: "slice-plan", Version: 1, Title: "Writes that make a machine's slices what the file says", Data: cgroupctl.Plan{}}
	kindSlices       = doc.Kind{Name: "slices", Version: 1, Title: "What the slices of a machine use and may use", Data: sliceList{}}
	kindSliceAttach  = doc.Kind{Name: "slice-attach", Version: 1, Title: "Which processes were moved into a slice, and which stayed outside", Data: sliceAttached{}}
	kindSliceRemoved = doc.Kind{Name: "slice-removed", Version: 1, Title: "Which slices were removed, and what became of their processes", Data: cgroupctl.Removed{}}
	kindSliceDrift   = doc.Kind{Name: "slice-drift", Version: 1, Title: "Where a machine's slices have strayed from the file", Data: sliceDrift{}}
	kindSliceCuts    = doc.Kind{Name: "slice-partition", Version: 1, Title: "How many slices of which shapes fit a machine", Data: cgroupctl.Partition{}}
	kindOffline      = doc.Kind{Name: "offline-status", Version: 1, Title: "State of offline work on a machine", Data: cgroupctl.OfflineStatus{}}
)

type sliceList struct {
	Slices []cgroupctl.Usage `json:"slices"`
}

type sliceAttached struct {
	Slice string `json:"slice"`
	cgroupctl.Moved
	Seconds float64 `json:"seconds" doc:"how long the move took"`
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
	c.PersistentFlags().StringVarP(&f.file, "file", "f", "slices.yaml", "`FILE` with the slices of this machine; - for standard input")
	c.AddCommand(f.plan(), f.apply(), f.ls(), f.show(), f.top(), f.attach(), f.run(), f.rm(), f.gc(), f.drift(), f.partition(), f.offline())
	return c
}

// spec reads the file; inputs names it for documents.
func (f *sliceFlags) spec() (*cgroupctl.Spec, error) {
	in := f.s.In
	if f.file != "-" {
		file, err := os.Open(f.file)
		if err != nil {
			return nil, cli.Unreadable(f.file, err).WithHint("name the file with -f")
		}
		defer file.Close()
		if st, err := file.Stat(); err == nil && st.IsDir() {
			return nil, cli.Unreadable(f.file, syscall.EISDIR).WithHint("name the file with -f")
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
		hint := e.Hint
		if where != "" { // the package does not know the file
			hint = strings.ReplaceAll(hint, "-f FILE", "-f "+where)
		}
		out = out.WithHint("%s", hint)
	}
	return out
}

// A sheet is the result of a verb: a document, and the table that stands for it.
type sheet struct {
	kind     doc.Kind
	created  time.Time // zero where equal input gives equal bytes
	warnings []string
	data     any
	table    func() *cli.Table
	empty    bool   // the table has no rows: people get the note alone
	note     string // last line below the table
	no       bool   // the check says no: exit code 1
}

// prints makes c a verb that prints a sheet, as a table, JSON or YAML and where
// csv is set CSV. A sheet that comes with an error is what was done before it.
func (f *sliceFlags) prints(c *cobra.Command, csv bool, result func(cmd *cobra.Command, args []string) (*sheet, error)) *cobra.Command {
	var out cli.Output
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if err := out.Check(); err != nil {
			return err
		}
		r, failed := result(cmd, args)
		if r == nil {
			return sliceError(f.file, failed)
		}
		b, err := doc.Marshal(r.kind, toolVersion(), r.created, nil, r.warnings, r.data)
		if err != nil {
			return err
		}
		table := func() *cli.Table {
			t := r.table()
			if r.empty && out.Format != "csv" {
				t = cli.NewTable()
			}
			for _, w := range r.warnings {
				t.Note("warning: %s", w)
			}
			if r.note != "" {
				t.Note("%s", r.note)
			}
			return t
		}
		if err := out.Print(f.s.Out, b, table); err != nil {
			return err
		}
		if r.no {
			return cli.Exit(cli.ExitNo)
		}
		return sliceError(f.file, failed)
	}
	formats := []string{"table", "json", "yaml"}
	if csv {
		formats = append(formats, "csv")
	}
	out.AddFlag(c, formats...)
	return c
}

// tells is prints for a verb that needs the slices of this machine.
func (f *sliceFlags) tells(c *cobra.Command, csv bool, result func(cmd *cobra.Command, tree *cgroupctl.Tree, args []string) (*sheet, error)) *cobra.Command {
	return f.prints(c, csv, func(cmd *cobra.Command, args []string) (*sheet, error) {
		tree, err := f.tree()
		if err != nil {
			return nil, err
		}
		return result(cmd, tree, args)
	})
}

func (f *sliceFlags) plan() *cobra.Command {
	return f.tells(&cobra.Command{
		Use:   "plan",
		Short: "Print the exact writes that apply would make, in order",
		Long: `plan compares slices.yaml with the kernel's files and writes nothing.

Exit codes: 0 there is no difference; 1 there is one.`,
		Example: `  wxops slice plan -f slices.yaml
  wxops slice plan -f slices.yaml -o json
  wxops slice plan -f slices.yaml && echo in place`,
		Args: cobra.NoArgs,
	}, true, func(_ *cobra.Command, tree *cgroupctl.Tree, _ []string) (*sheet, error) {
		plan, err := tree.Plan()
		if err != nil {
			return nil, err
		}
		r := planSheet(plan, "to make", "nothing to do: the machine is as the file says")
		r.no = len(plan.Changes) > 0
		return r, nil
	})
}

func planSheet(plan *cgroupctl.Plan, tense, none string) *sheet {
	r := &sheet{kind: kindSlicePlan, warnings: plan.Warnings, data: plan, empty: len(plan.Changes) == 0, note: none}
	if !r.empty {
		r.note = count(len(plan.Changes), "write") + " " + tense
	}
	r.table = func() *cli.Table {
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
		return t
	}
	return r
}

func (f *sliceFlags) apply() *cobra.Command {
	var o cgroupctl.ApplyOptions
	c := f.tells(&cobra.Command{
		Use:   "apply",
		Short: "Make this machine's slices what the file says",
		Long: `apply makes the writes that plan prints and no others, and reads each one back;
a second apply makes none. It refuses a memory limit below what the slice uses:
cgroup v2 would kill for it.

Exit codes: 0 in place; 2 the file is wrong; 3 a limit was refused, by wxops or
by the kernel.`,
		Example: `  wxops slice apply -f slices.yaml
  wxops slice apply -f slices.yaml --reclaim 10s
  wxops slice apply -f slices.yaml && wxops slice plan -f slices.yaml`,
		Args: cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error {
			if o.Reclaim < 0 {
				return cli.Usagef("--reclaim %s is negative", o.Reclaim).WithHint("--reclaim 10s")
			}
			return nil
		},
	}, true, func(cmd *cobra.Command, tree *cgroupctl.Tree, _ []string) (*sheet, error) {
		done, err := tree.Apply(cmd.Context(), o)
		if err != nil {
			return nil, err
		}
		return planSheet(done, "made", "0 writes: the machine was as the file says"), nil
	})
	c.Flags().BoolVar(&o.Force, "force", false, "write memory limits below use, too; v2 may kill")
	cli.Duration(c.Flags(), &o.Reclaim, "reclaim", "", 0, "press memory out for so long before a lower limit")
	return c
}

func (f *sliceFlags) drift() *cobra.Command {
	return f.tells(&cobra.Command{
		Use:   "drift",
		Short: "Say which limits, members or marks have strayed from the file",
		Long: `drift reads limits back, looks for processes that are in a slice by some
controllers only, and for processes that match a slice and run outside.

Exit codes: 0 nothing has strayed; 1 something has.`,
		Example: `  wxops slice drift -f slices.yaml
  wxops slice drift -f slices.yaml -o json
  wxops slice drift -f slices.yaml || wxops slice apply -f slices.yaml`,
		Args: cobra.NoArgs,
	}, true, func(_ *cobra.Command, tree *cgroupctl.Tree, _ []string) (*sheet, error) {
		strays, err := tree.Drift()
		if err != nil {
			return nil, err
		}
		r := &sheet{kind: kindSliceDrift, data: sliceDrift{strays}, empty: len(strays) == 0, no: len(strays) > 0, note: "no drift"}
		if r.no {
			r.note = ""
		}
		r.table = func() *cli.Table {
			t := cli.NewTable("KIND", "SLICE", "WHERE", "WHAT")
			for _, s := range strays {
				where := s.Path
				if s.PID != 0 {
					where = fmt.Sprintf("PID %d", s.PID)
				}
				t.Row(s.Kind, dash(s.Slice), where, s.What)
			}
			return t
		}
		return r, nil
	})
}

func (f *sliceFlags) partition() *cobra.Command {
	var machine string
	c := f.prints(&cobra.Command{
		Use:   "partition",
		Short: "Say how many slices of which shapes fit a machine, and what is left",
		Example: `  wxops slice partition --machine
  wxops slice partition --machine=8C16G
  wxops slice partition --machine=64C256G -o json`,
		Args: cobra.NoArgs,
	}, true, func(cmd *cobra.Command, _ []string) (*sheet, error) {
		spec := &cgroupctl.Spec{Reserve: cgroupctl.DefaultReserve}
		if cmd.Flags().Changed("file") {
			var err error
			if spec, err = f.spec(); err != nil {
				return nil, err
			}
		}
		m, err := machineOf(machine)
		if err != nil {
			return nil, err
		}
		p := cgroupctl.Cuts(m, spec.Reserve)
		return &sheet{kind: kindSliceCuts, data: p, table: func() *cli.Table {
			t := cli.NewTable("SLICES", ">CPU LEFT", ">MEMORY LEFT")
			for _, c := range append([]cgroupctl.Cut{p.Seeds}, p.Single...) {
				var parts []string
				for _, n := range c.Counts {
					parts = append(parts, fmt.Sprintf("%d x %s", n.N, n.Shape))
				}
				t.Row(strings.Join(parts, " + "), fmt.Sprintf("%dm", c.LeftMilliCPU), mebi(c.LeftMemoryBytes))
			}
			return t.Note("machine %dm and %s; %dm and %s beside the reserve", p.MachineMilliCPU, mebi(p.MachineMemoryBytes), p.AllocatableMilliCPU, mebi(p.AllocatableBytes))
		}}, nil
	})
	c.Flags().StringVar(&machine, "machine", "this", "this machine, or the `SHAPE` of another, as 8C16G")
	c.Flags().Lookup("machine").NoOptDefVal = "this"
	return c
}

// machineOf is the machine that --machine names.
func machineOf(text string) (cgroupctl.Machine, error) {
	if text == "this" {
		host, err := cgroupctl.Detect()
		if err != nil {
			return cgroupctl.Machine{}, err
		}
		return host.Machine, nil
	}
	shape, err := capacity.ParseShape(text)
	if err != nil {
		return cgroupctl.Machine{}, cli.Usagef("--machine").WithCause(err).WithHint("--machine alone is this machine")
	}
	return cgroupctl.Machine{MilliCPU: shape.MilliCPU, MemoryBytes: shape.MemoryBytes}, nil
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// count gives a number its noun.
func count(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "ss"):
		return fmt.Sprintf("%d %ses", n, noun)
	}
	return fmt.Sprintf("%d %ss", n, noun)
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
