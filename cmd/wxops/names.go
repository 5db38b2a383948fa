package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
	"github.com/wxops/wxops/naming"
	"github.com/wxops/wxops/naming/file"
	"github.com/wxops/wxops/naming/haproxy"
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
	cmd.Flags().StringVar(to, "names", "", "`URL` of the registry: "+namesForms)
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
		if output.Format == "csv" {
			t := cli.NewTable("instance", "layer", "weight", "share_ratio", "health", "address")
			for _, r := range d.Instances {
				t.Row(r.Instance, r.Layer, r.Weight, r.Share, r.Health, r.Address)
			}
			return t
		}
		t := cli.NewTable("INSTANCE", "LAYER", ">WEIGHT", ">SHARE", "HEALTH", "ADDRESS")
		for _, r := range d.Instances {
			t.Row(r.Instance, cmp.Or(r.Layer, "-"), r.Weight, fmt.Sprintf("%.1f %%", 100*r.Share), r.Health, r.Address)
		}
		return t
	})
}

// change carries out one permanent change of a weight and prints it.
func change(ctx context.Context, s *cli.IO, output cli.Output, names, id string, do func(dir string, reg naming.Registry, service, instance string) (naming.Change, error)) error {
	if err := output.Check(); err != nil {
		return err
	}
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
	outcome := weightSet
	if c.From == c.To {
		outcome = weightSame
	}
	return printWeights(s, output, []weightRecord{{
		Registry: reg.Address(), Service: service, Instance: id, Outcome: outcome, Before: toInt(c.From), After: toInt(c.To),
	}})
}

func newNamesWeight(s *cli.IO) *cobra.Command {
	var names string
	var output cli.Output
	cmd := &cobra.Command{
		Use:   "weight SERVICE/INSTANCE WEIGHT",
		Short: "Set the weight of one instance for good",
		Long: `weight sets the weight of one instance, and reads it back. The change stays: to
raise a weight for the time of a test use "wxops stress shift". It is refused
while a test of the service is running, and recorded in the run log.`,
		Example: `  wxops names weight checkout/a 50 --names file:names.yaml
  wxops names weight checkout/a 128 --names haproxy:unix:/run/haproxy.sock
  WXOPS_NAMES=file:names.yaml wxops names weight checkout/b 100 -o json`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := strconv.Atoi(args[1])
			if err != nil || w < 0 {
				return notAWeight(args[1])
			}
			return change(cmd.Context(), s, output, names, args[0], func(dir string, reg naming.Registry, service, instance string) (naming.Change, error) {
				if most := reg.MaxWeight(); naming.Weight(w) > most {
					return naming.Change{}, cli.Usagef("weight %d is outside [0, %d], the range of %s", w, most, names).
						WithHint("wxops names weight %s %d --names '%s'", args[0], most, names)
				}
				return naming.SetWeight(cmd.Context(), dir, reg, service, instance, naming.Weight(w))
			})
		},
	}
	namesFlag(cmd, &names)
	output.AddFlag(cmd, "table", "json", "yaml")
	// A weight below 0 looks like a flag.
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		var unknown *pflag.NotExistError
		if errors.As(err, &unknown) && strings.ContainsAny(unknown.GetSpecifiedShortnames(), "0123456789") {
			return notAWeight("-" + unknown.GetSpecifiedShortnames())
		}
		return cmd.Parent().FlagErrorFunc()(cmd, err)
	})
	return cmd
}

// notAWeight refuses what no registry takes for a weight.
func notAWeight(given string) error {
	return cli.Usagef("weight %q is not a whole number from 0 on", given).
		WithHint("HAProxy takes 0 to %d, a names file 0 to %d, as in wxops names weight checkout/a 100", haproxy.MaxWeight, file.MaxWeight)
}

func newNamesDrain(s *cli.IO) *cobra.Command {
	var names string
	var output cli.Output
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
			drain := func(ctx context.Context, dir string, reg naming.Registry, service, instance string) (naming.Change, error) {
				return naming.Drain(ctx, dir, reg, service, instance, force)
			}
			return change(cmd.Context(), s, output, names, args[0], func(dir string, reg naming.Registry, service, instance string) (naming.Change, error) {
				do, verb, hint := drain, "drain ", "wxops names drain %s --force --names '%s' does it all the same"
				if undo {
					do, verb, hint = naming.Undrain, "undo the drain of ", "wxops names weight %s WEIGHT --names '%s'"
				}
				c, err := do(cmd.Context(), dir, reg, service, instance)
				if errors.Is(err, naming.ErrUnsuitable) {
					err = cli.Usagef("%s%s", verb, args[0]).WithCause(err).WithHint(hint, args[0], names)
				}
				return c, err
			})
		},
	}
	namesFlag(cmd, &names)
	output.AddFlag(cmd, "table", "json", "yaml")
	cmd.Flags().BoolVar(&undo, "undo", false, "put back the weight that drain took away")
	cmd.Flags().BoolVar(&force, "force", false, "drain even the last instance that takes requests")
	return cmd
}

func newNamesWatch(s *cli.IO) *cobra.Command {
	var names string
	var output cli.Output
	cmd := &cobra.Command{
		Use:   "watch [SERVICE]",
		Short: "Print one line per change of a weight, health or address",
		Long: `watch prints every instance once, and then a line for each change of a weight,
health or address, until it is interrupted. With -o json each line is a whole
document (wxops/names-event/v1).`,
		Example: `  wxops names watch --names file:names.yaml
  wxops names watch checkout --names 'haproxy:unix:/run/haproxy.sock'
  wxops names watch --names file:names.yaml -o json | tee changes.ndjson`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := output.Check(); err != nil {
				return err
			}
			reg, err := openNames(cmd.Context(), names)
			if err != nil {
				return err
			}
			defer reg.Close()
			service := ""
			if len(args) > 0 {
				service = args[0]
				all, err := reg.List(cmd.Context())
				if err == nil {
					_, _, err = naming.Find(all, service, "")
				}
				if err != nil {
					return namesError("watch "+service, names, err)
				}
			}
			ctx, stop := context.WithCancelCause(cmd.Context())
			defer stop(nil)
			known := map[string]naming.Instance{}
			err = reg.Watch(ctx, func(all []naming.Instance) {
				for _, e := range nameEvents(known, all, service) {
					if err := e.print(s, output, reg.Address()); err != nil {
						stop(err) // whoever read has gone
						return
					}
				}
			})
			if err != nil {
				return namesError("watch "+names, names, err)
			}
			return context.Cause(ctx) // Watch ends by itself only when it was interrupted
		},
	}
	namesFlag(cmd, &names)
	output.AddFlag(cmd, "table", "json")
	return cmd
}
