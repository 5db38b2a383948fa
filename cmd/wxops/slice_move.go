package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/cgroupctl"
	"github.com/wxops/wxops/internal/cli"
)

func (f *sliceFlags) attach() *cobra.Command {
	var unit, match string
	c := f.tells(&cobra.Command{
		Use:   "attach SLICE [PID...]",
		Short: "Move running processes with all their children into a slice",
		Long: `attach moves each process with its descendants and its session, in every
controller, and walks on until two walks find nothing outside. The processes
keep running. Memory they were charged before stays with their old group; the
amount is printed.

Exit codes: 0 all are inside; 3 some stayed outside, and are named.`,
		Example: `  wxops slice attach -f slices.yaml checkout 4711 4712
  wxops slice attach -f slices.yaml checkout --match '^/usr/bin/checkout '
  wxops slice attach -f slices.yaml checkout --unit checkout.service -o json`,
		Args: cobra.MinimumNArgs(1),
	}, false, func(cmd *cobra.Command, tree *cgroupctl.Tree, args []string) (*sheet, error) {
		pids, err := sliceSeeds(tree, args[1:], unit, match)
		if err != nil {
			return nil, err
		}
		moved, err := tree.Attach(cmd.Context(), args[0], pids)
		if moved == nil || moved.Passes == 0 {
			return nil, err
		}
		return &sheet{
			kind: kindSliceAttach, created: time.Now(),
			data: sliceAttached{Slice: args[0], Moved: *moved, Seconds: moved.Elapsed.Seconds()},
			table: func() *cli.Table {
				return cli.NewTable().
					Note("slice %s: %s inside after %s, %d ms", args[0], count(len(moved.PIDs), "process"), count(moved.Passes, "walk"), moved.Elapsed.Milliseconds()).
					Note("memory charged before the move and not covered: %s", mebi(moved.UncoveredBytes))
			},
		}, err
	})
	c.Flags().StringVar(&unit, "unit", "", "the processes of this systemd `UNIT`")
	c.Flags().StringVar(&match, "match", "", "processes whose command line matches this `REGEXP`")
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
between, and the exit status is the command's. So it has no result of its own,
and no -o; "wxops slice show SLICE -o json" tells what the command uses.`,
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
	c := f.prints(&cobra.Command{
		Use:   "rm [SLICE...]",
		Short: "Remove slices, all of them without a name, and the parent folder",
		Long: `rm refuses a busy slice at once. --evacuate moves its processes to the folder
that holds the parent, --kill kills them. Folders that wxops did not make stay.`,
		Example: `  wxops slice rm -f slices.yaml
  wxops slice rm -f slices.yaml checkout --evacuate
  wxops slice rm -f slices.yaml --kill -o json`,
	}, false, func(cmd *cobra.Command, args []string) (*sheet, error) {
		if i := slices.IndexFunc(args, func(name string) bool { return strings.Contains(name, "/") }); i >= 0 {
			return nil, cli.Usagef("slice %q has a slash; slices are not nested", args[i]).WithHint("wxops slice ls -f %s", f.file)
		}
		tree, err := f.tree()
		if err != nil {
			return nil, err
		}
		r, err := tree.Remove(cmd.Context(), args, o)
		did := "moved out"
		if o.Kill {
			did = "killed"
		}
		return removedSheet(r, did, err)
	})
	c.Flags().BoolVar(&o.Evacuate, "evacuate", false, "move the processes out first")
	c.Flags().BoolVar(&o.Kill, "kill", false, "kill the processes first")
	cli.Duration(c.Flags(), &o.Wait, "wait", "", 10*time.Second, "how long the kernel may take to let an emptied folder go")
	c.MarkFlagsMutuallyExclusive("evacuate", "kill")
	return c
}

// pidList names every process.
func pidList(pids []int) string {
	words := strings.Fields(strings.Trim(fmt.Sprint(pids), "[]"))
	return "PID " + strings.Join(words, ", ")
}

// removedSheet tells what a removal did, even where it ended half-way with err.
func removedSheet(r *cgroupctl.Removed, did string, err error) (*sheet, error) {
	if r == nil {
		return nil, err
	}
	return &sheet{kind: kindSliceRemoved, created: time.Now(), data: *r, table: func() *cli.Table {
		t := cli.NewTable()
		if len(r.PIDs) > 0 {
			t.Note("%s %s", did, pidList(r.PIDs))
		}
		for _, folder := range r.Folders {
			t.Note("removed %s", folder)
		}
		if len(r.Folders) == 0 && err == nil {
			t.Note("nothing to remove")
		}
		return t
	}}, err
}

func (f *sliceFlags) gc() *cobra.Command {
	return f.tells(&cobra.Command{
		Use:   "gc",
		Short: "Remove slices that wxops made, that are empty and not in the file",
		Example: `  wxops slice gc -f slices.yaml
  wxops slice apply -f slices.yaml && wxops slice gc -f slices.yaml
  wxops slice gc -f slices.yaml -o json`,
		Args: cobra.NoArgs,
	}, false, func(cmd *cobra.Command, tree *cgroupctl.Tree, _ []string) (*sheet, error) {
		r, err := tree.Collect(cmd.Context())
		return removedSheet(r, "", err)
	})
}
