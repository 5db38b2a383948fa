package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
	"github.com/wxops/wxops/naming"
)

// kindNames is what names ls prints.
var kindNames = doc.Kind{Name: "names", Version: 1, Title: "Instances of a registry with their weights", Data: namesDocument{}}

// namesDocument is the data of wxops/names/v1.
type namesDocument struct {
	Registry  string       `json:"registry" doc:"canonical address of the registry"`
	Instances []nameRecord `json:"instances" doc:"ordered by service, then as the registry has them"`
}

type nameRecord struct {
	Service  string  `json:"service"`
	Instance string  `json:"instance" doc:"service/instance"`
	Layer    string  `json:"layer" doc:"access, logic, storage, or empty if unknown"`
	Address  string  `json:"address" doc:"host:port, or the path of a socket"`
	Weight   int     `json:"weight" doc:"relative share of requests"`
	Share    float64 `json:"share_ratio" doc:"weight over the sum of the weights of the service"`
	Health   string  `json:"health" doc:"no check, up, down, drain or maint"`
	Detail   string  `json:"detail" doc:"health in the registry's own words"`
}

// namesFlag adds --names to a command.
func namesFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "names", "", "registry: "+namesForms)
}

func newNames(s *cli.IO) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "names",
		Short: "Look at a name service or load balancer, and change weights in it",
		Long: `names lists services, instances and weights of a registry and changes them by
compare-and-swap, so that two people never overwrite each other unknowingly.

The registry is given by --names, by WXOPS_NAMES or in wxops.yaml:
  file:names.yaml
  haproxy:unix:/run/haproxy.sock?backend=checkout
  haproxy:tcp:127.0.0.1:9999?backend=checkout`,
		Example: `  wxops names ls --names file:names.yaml
  wxops names weight checkout/a 50 --names file:names.yaml
  wxops names restore`,
		Args: cobra.ArbitraryArgs,
		RunE: cli.RequireSubcommand,
	}
	cmd.AddCommand(newNamesList(s), newNamesWeight(s), newNamesDrain(s), newNamesWatch(s),
		newRestore(s, "wxops names restore"))
	return cmd
}

func newNamesList(s *cli.IO) *cobra.Command {
	var names string
	var output cli.Output
	cmd := &cobra.Command{
		Use:   "ls [SERVICE...]",
		Short: "List instances with layer, weight, share and health",
		Example: `  wxops names ls --names file:names.yaml
  wxops names ls checkout --names 'haproxy:unix:/run/haproxy.sock'
  wxops names ls --names file:names.yaml -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := output.Check(); err != nil {
				return err
			}
			reg, err := openNames(cmd.Context(), names)
			if err != nil {
				return err
			}
			defer reg.Close()
			all, err := reg.List(cmd.Context())
			if err != nil {
				return namesError("list "+names, names, err)
			}
			chosen := all
			if len(args) > 0 {
				chosen = nil
				for _, service := range args {
					of, _, err := naming.Find(all, service, "")
					if err != nil {
						return namesError("list "+service, names, err)
					}
					chosen = append(chosen, of...)
				}
			}
			return printNames(s, output, reg.Address(), chosen)
		},
	}
	namesFlag(cmd, &names)
	output.AddFlag(cmd, "table", "json", "yaml", "csv")
	return cmd
}

func printNames(s *cli.IO, output cli.Output, address string, all []naming.Instance) error {
	sums := map[string]naming.Weight{}
	for _, in := range all {
		sums[in.Service] += in.Weight
	}
	d := namesDocument{Registry: address, Instances: []nameRecord{}}
	for _, in := range all {
		d.Instances = append(d.Instances, nameRecord{
			Service: in.Service, Instance: in.ID(), Layer: string(in.Layer), Address: in.Address,
			Weight: int(in.Weight), Share: float64(in.Weight) / float64(max(sums[in.Service], 1)),
			Health: string(in.Health), Detail: in.Detail,
		})
	}
	document, err := doc.Marshal(kindNames, toolVersion(), time.Now(), nil, nil, d)
	if err != nil {
		return err
	}
	return output.Print(s.Out, document, func() *cli.Table {
		t := cli.NewTable("INSTANCE", "LAYER", ">WEIGHT", ">SHARE", "HEALTH", "ADDRESS")
		for _, r := range d.Instances {
			t.Row(r.Instance, cmp.Or(r.Layer, "-"), r.Weight, fmt.Sprintf("%.1f %%", 100*r.Share), r.Health, r.Address)
		}
		return t
	})
}

// change carries out one permanent change of a weight.
func change(ctx context.Context, s *cli.IO, names, id string, do func(dir string, reg naming.Registry, service, instance string) (naming.Change, error)) error {
	service, instance, err := naming.ParseID(id)
	if err != nil {
		return cli.Usagef("%s", err).WithHint("wxops names ls --names '%s' lists the instances", names)
	}
	dir, err := stateDir(s)
	if err != nil {
		return cli.Failf("find the state folder").WithCause(err).WithHint("set XDG_STATE_HOME to a folder you may write to")
	}
	reg, err := openNames(ctx, names)
	if err != nil {
		return err
	}
	defer reg.Close()
	c, err := do(dir, reg, service, instance)
	if err != nil {
		return namesError("change the weight of "+id, names, err)
	}
	if c.From == c.To {
		_, err = fmt.Fprintf(s.Out, "%s: weight is %d already\n", id, c.To)
	} else {
		_, err = fmt.Fprintf(s.Out, "%s: weight %d -> %d\n", id, c.From, c.To)
	}
	return err
}

func newNamesWeight(s *cli.IO) *cobra.Command {
	var names string
	cmd := &cobra.Command{
		Use:   "weight SERVICE/INSTANCE WEIGHT",
		Short: "Set the weight of one instance for good",
		Long: `weight sets the weight of one instance, and reads it back. The change stays: to
raise a weight for the time of a test use "wxops stress shift". It is refused
while a test of the service is running, and recorded in the run log.`,
		Example: `  wxops names weight checkout/a 50 --names file:names.yaml
  wxops names weight checkout/a 128 --names haproxy:unix:/run/haproxy.sock
  WXOPS_NAMES=file:names.yaml wxops names weight checkout/b 100`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := strconv.Atoi(args[1])
			if err != nil || w < 0 {
				return cli.Usagef("weight %q is not a whole number from 0", args[1]).WithHint("wxops names weight %s 100 --names '%s'", args[0], names)
			}
			return change(cmd.Context(), s, names, args[0], func(dir string, reg naming.Registry, service, instance string) (naming.Change, error) {
				if most := reg.MaxWeight(); naming.Weight(w) > most {
					return naming.Change{}, cli.Usagef("weight %d is outside [0, %d], the range of %s", w, most, names).
						WithHint("wxops names weight %s %d --names '%s'", args[0], most, names)
				}
				return naming.SetWeight(cmd.Context(), dir, reg, service, instance, naming.Weight(w))
			})
		},
	}
	namesFlag(cmd, &names)
	return cmd
}

func newNamesDrain(s *cli.IO) *cobra.Command {
	var names string
	var undo, force bool
	cmd := &cobra.Command{
		Use:   "drain SERVICE/INSTANCE",
		Short: "Take an instance out of traffic by weight 0, and put it back",
		Long: `drain sets the weight of an instance to 0, so that it finishes what it has and
gets no new requests, and remembers the weight it had. --undo puts that weight
back. The last healthy instance with a weight is only drained with --force.`,
		Example: `  wxops names drain checkout/a --names file:names.yaml
  wxops names drain checkout/a --undo --names file:names.yaml
  wxops names drain checkout/a --force --names file:names.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return change(cmd.Context(), s, names, args[0], func(dir string, reg naming.Registry, service, instance string) (naming.Change, error) {
				if undo {
					return naming.Undrain(cmd.Context(), dir, reg, service, instance)
				}
				return naming.Drain(cmd.Context(), dir, reg, service, instance, force)
			})
		},
	}
	namesFlag(cmd, &names)
	cmd.Flags().BoolVar(&undo, "undo", false, "put back the weight that drain took away")
	cmd.Flags().BoolVar(&force, "force", false, "drain even the last instance that takes requests")
	return cmd
}

func newNamesWatch(s *cli.IO) *cobra.Command {
	var names string
	cmd := &cobra.Command{
		Use:   "watch [SERVICE]",
		Short: "Print one line per change of a weight, health or address",
		Example: `  wxops names watch --names file:names.yaml
  wxops names watch checkout --names 'haproxy:unix:/run/haproxy.sock'
  wxops names watch --names file:names.yaml | tee changes.log`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			reg, err := openNames(cmd.Context(), names)
			if err != nil {
				return err
			}
			defer reg.Close()
			if len(args) > 0 {
				all, err := reg.List(cmd.Context())
				if err == nil {
					_, _, err = naming.Find(all, args[0], "")
				}
				if err != nil {
					return namesError("watch "+args[0], names, err)
				}
			}
			known := map[string]naming.Instance{}
			err = reg.Watch(cmd.Context(), func(all []naming.Instance) {
				for _, line := range changes(known, all, args) {
					fmt.Fprintln(s.Out, line)
				}
			})
			if err != nil {
				return namesError("watch "+names, names, err)
			}
			return cmd.Context().Err() // Watch ends by itself only when it was interrupted
		},
	}
	namesFlag(cmd, &names)
	return cmd
}

// changes says in lines what differs between known and all, and brings known
// up to date. services limits it to those, if any are given.
func changes(known map[string]naming.Instance, all []naming.Instance, services []string) []string {
	var out []string
	listed := map[string]bool{}
	for _, in := range all {
		if len(services) > 0 && in.Service != services[0] {
			continue
		}
		id := in.ID()
		listed[id] = true
		before, ok := known[id]
		known[id] = in
		switch {
		case !ok:
			out = append(out, fmt.Sprintf("%s: weight %d, %s, at %s", id, in.Weight, in.Health, in.Address))
			continue
		case before.Weight != in.Weight:
			out = append(out, fmt.Sprintf("%s: weight %d -> %d", id, before.Weight, in.Weight))
		}
		if before.Health != in.Health {
			out = append(out, fmt.Sprintf("%s: %s -> %s", id, before.Health, in.Health))
		}
		if before.Address != in.Address {
			out = append(out, fmt.Sprintf("%s: at %s -> %s", id, before.Address, in.Address))
		}
	}
	for id := range known {
		if !listed[id] {
			out = append(out, id+": no longer listed")
			delete(known, id)
		}
	}
	return out
}

// newRestore is "names restore" and "stress restore": one command under both
// names, because one looks for it in both places.
func newRestore(s *cli.IO, path string) *cobra.Command {
	var movedTo string
	cmd := &cobra.Command{
		Use:   "restore [JOURNAL]",
		Short: "Put back what tests that died have left",
		Long: `restore looks for journals of tests whose process is dead and puts the weights
back to what they were. It is idempotent, and leaves alone what somebody else
has changed meanwhile. The watchdog of a test does the same by itself within
milliseconds, so there is rarely anything to do. With JOURNAL only that one is
restored, and --moved-to says where its registry is now.

Exit codes: 0 nothing is left to do; 1 a weight was left alone, because somebody
else changed it; 2 wrong usage, or the file is no journal; 3 a registry could
not be reached.`,
		Example: "  " + path + "\n  " + path + " && echo all weights are back\n  " + path + " checkout-f888f51a309c.json \\\n      --moved-to haproxy:unix:/run/new.sock",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return restoreOne(cmd.Context(), s, args[0], movedTo)
			}
			if movedTo != "" {
				return cli.Usagef("--moved-to %s without a journal", movedTo).WithHint("%s JOURNAL --moved-to %s", path, movedTo)
			}
			dir, err := stateDir(s)
			if err != nil {
				return cli.Failf("find the state folder").WithCause(err).WithHint("set XDG_STATE_HOME to a folder you may write to")
			}
			found, err := naming.RestoreAll(cmd.Context(), dir, openRegistry)
			if err != nil {
				return cli.Failf("restore").WithCause(err)
			}
			if len(found) == 0 {
				_, err := fmt.Fprintln(s.Out, "nothing to restore: no test has left anything")
				return err
			}
			return printLeftovers(s, path, found)
		},
	}
	cmd.Flags().StringVar(&movedTo, "moved-to", "", "where the registry of JOURNAL is now, as in --names")
	return cmd
}

// restoreOne replays one journal, given by its path or by its name in the state
// folder. movedTo is where its registry is now, "" if it is where it was.
func restoreOne(ctx context.Context, s *cli.IO, journal, movedTo string) error {
	if !strings.ContainsRune(journal, filepath.Separator) {
		dir, err := stateDir(s)
		if err != nil {
			return cli.Failf("find the state folder").WithCause(err).WithHint("set XDG_STATE_HOME to a folder you may write to")
		}
		journal = filepath.Join(dir, "shifts", journal)
	}
	open := openRegistry
	if movedTo != "" {
		open = func(ctx context.Context, _ string) (naming.Registry, error) { return openNames(ctx, movedTo) }
	}
	report, err := naming.RestoreFile(ctx, journal, open)
	var shown *cli.Error
	switch {
	case errors.As(err, &shown):
		return err
	case errors.Is(err, naming.ErrJournal), errors.Is(err, fs.ErrNotExist):
		return cli.Usagef("restore from %s", journal).WithCause(err).WithHint("wxops stress restore looks for journals by itself")
	}
	return printLeftovers(s, "wxops stress restore", []naming.Leftover{{Journal: journal, Report: report, Err: err}})
}

func printLeftovers(s *cli.IO, path string, found []naming.Leftover) error {
	code := cli.ExitOK
	for _, l := range found {
		var busy *naming.BusyError
		switch {
		case errors.As(l.Err, &busy):
			fmt.Fprintf(s.Out, "%s: its test is running (process %d), left alone\n", busy.Service, busy.PID)
			continue
		case l.Err != nil:
			code = cli.ExitFailed
			fmt.Fprintf(s.Err, "error: restore from %s\ncause: %v\nhint:  has it moved? %s %s --moved-to URL\n", l.Journal, l.Err, path, filepath.Base(l.Journal))
			continue
		}
		for _, c := range l.Report.Restored {
			fmt.Fprintf(s.Out, "%s/%s: weight %d -> %d, restored\n", l.Report.Service, c.Instance, c.From, c.To)
		}
		for _, name := range l.Report.Already {
			fmt.Fprintf(s.Out, "%s/%s: at its base weight\n", l.Report.Service, name)
		}
		for _, left := range l.Report.Left {
			if code == cli.ExitOK {
				code = cli.ExitNo
			}
			fmt.Fprintf(s.Out, "%s/%s: weight %d left alone, its base was %d: %s\n", l.Report.Service, left.Instance, left.Found, left.Base, left.Reason)
		}
	}
	return cli.Exit(code)
}
