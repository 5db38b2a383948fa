package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
)

// A catalogue lists the machines that can be had.
type catalogue struct {
	Types []struct {
		Name      string  `yaml:"name"`
		Price     float64 `yaml:"price_per_hour"`
		PerSecond float64 `yaml:"capacity_per_second"`
		Curve     string  `yaml:"curve"`
		Most      int     `yaml:"most"`
	} `yaml:"types"`
}

func parseCatalogue(b []byte) (catalogue, error) {
	var c catalogue
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil {
		return c, err
	}
	if len(c.Types) == 0 {
		return c, errors.New("no types")
	}
	seen := map[string]bool{}
	for _, t := range c.Types {
		if t.Name == "" || seen[t.Name] {
			return c, fmt.Errorf("name %q is empty or there twice", t.Name)
		}
		seen[t.Name] = true
		switch {
		case !(t.Price > 0) || math.IsInf(t.Price, 0):
			return c, fmt.Errorf("price_per_hour of %s is %g, not above 0", t.Name, t.Price)
		case !(t.PerSecond >= 0) || math.IsInf(t.PerSecond, 0):
			return c, fmt.Errorf("capacity_per_second of %s is %g, not above 0", t.Name, t.PerSecond)
		case t.Most < 0:
			return c, fmt.Errorf("most of %s is %d, below 0", t.Name, t.Most)
		}
	}
	return c, nil
}

func newCapacityMachines(s *cli.IO) *cobra.Command {
	var out capacityOutput
	var path string
	var curves []string
	var demand, target float64
	cmd := &cobra.Command{
		Use:   "machines",
		Short: "Find the cheapest mix of machines for a demand",
		Long: `machines reads a catalogue, a YAML file with types: a list of name,
price_per_hour (in any currency) and, if only so many can be had, most. What a
machine carries is its capacity_per_second, or the lower end of the capacity of
a stress test: the file that its key curve names, beside the catalogue, or,
without that key, the next one of --curve.

Exit codes: 1 all machines together do not carry the demand.`,
		Example: `  wxops capacity machines --catalogue types.yaml --demand 12000
  wxops capacity machines --catalogue t.yaml --curve a.json --demand 12000
  wxops capacity machines --catalogue types.yaml --demand 12000 -o json`,
		Args: cobra.NoArgs,
		RunE: func(_ *cobra.Command, _ []string) error {
			if err := first(out.Check(), checkShare("--target", target, 0.55), checkBetween("--demand", demand, 0, math.Inf(1), 12000)); err != nil {
				return err
			}
			b, in, err := readInput(s, path)
			if err != nil {
				return err
			}
			c, err := parseCatalogue(b)
			if err != nil {
				return cli.Usagef("cannot use the catalogue %q", path).WithCause(err).WithHint("types: [{name: m5, price_per_hour: 0.1, capacity_per_second: 480}]")
			}
			machines, inputs, err := machinesOf(s, c, path, curves)
			if err != nil {
				return err
			}
			inputs = append([]doc.Input{in}, inputs...)
			choice, err := capacity.Choose(machines, demand/target)
			switch {
			case errors.Is(err, capacity.ErrNotEnough):
				data, rows := tooFewAnswer(machines, demand, target)
				fmt.Fprintf(s.Err, "%v\n", err)
				if err := out.answer(s, data, inputs, nil, rows); err != nil {
					return err
				}
				return cli.Exit(cli.ExitNo)
			case err != nil:
				return cli.Usagef("no choice from these numbers").WithCause(err).WithHint("--demand in requests per second, capacity_per_second of one machine likewise")
			}
			data, rows := machinesAnswer(machines, choice, demand, target)
			var warnings []string
			if !choice.Proven {
				warnings = append(warnings, "the search was cut off: a cheaper mix may exist")
			}
			return out.answer(s, data, inputs, warnings, rows)
		},
	}
	f := cmd.Flags()
	f.StringVar(&path, "catalogue", "", "YAML `FILE` of machine types")
	f.StringArrayVar(&curves, "curve", nil, "`FILE` of a stress test (curve) on a type of the catalogue that has no capacity, in their order; repeatable")
	f.Float64Var(&demand, "demand", 0, "requests per second at the peak")
	f.Float64Var(&target, "target", 0.55, "everyday load of an instance over its capacity, 0..1")
	_ = cmd.MarkFlagRequired("catalogue") // the flags are there
	_ = cmd.MarkFlagRequired("demand")    // likewise
	out.addFlags(cmd, "mix", "second_mix", "single_type")
	return cmd
}

// machinesOf gives each type of the catalogue at path its capacity: its own, that
// of the curve it names, or that of the next of curves.
func machinesOf(s *cli.IO, c catalogue, path string, curves []string) ([]capacity.Machine, []doc.Input, error) {
	var machines []capacity.Machine
	var inputs []doc.Input
	unused := slices.Clone(curves)
	for _, t := range c.Types {
		m := capacity.Machine{Name: t.Name, Price: t.Price, PerSecond: t.PerSecond, Most: t.Most}
		file := t.Curve
		switch at := slices.Index(unused, t.Curve); {
		case t.PerSecond != 0 && t.Curve != "":
			return nil, nil, cli.Usagef("type %q has two capacities", t.Name).WithHint("leave one of capacity_per_second and curve out of %s", path)
		case t.PerSecond != 0:
		case at >= 0: // the same path as a --curve
			unused = slices.Delete(unused, at, at+1)
		case t.Curve != "" && !filepath.IsAbs(t.Curve) && path != "-":
			file = filepath.Join(filepath.Dir(path), t.Curve)
		case t.Curve == "" && len(unused) == 0:
			return nil, nil, cli.Usagef("type %q has no capacity: neither capacity_per_second nor a curve", t.Name).WithHint("--curve %s.json, a stress test on that type", t.Name)
		case t.Curve == "":
			file, unused = unused[0], unused[1:]
		}
		if file != "" {
			curve, in, err := readCurve(s, file)
			if err != nil {
				return nil, nil, err
			}
			if m.PerSecond, err = safeCapacity(file, curve); err != nil {
				return nil, nil, err
			}
			inputs = append(inputs, in)
		}
		machines = append(machines, m)
	}
	if len(unused) > 0 {
		return nil, nil, cli.Usagef("--curve %q belongs to no type of %q", unused[0], path).WithHint("give one --curve for each type without capacity_per_second, in their order")
	}
	return machines, inputs, nil
}

// tooFewAnswer says how much all machines of a catalogue carry, where that is
// less than the demand needs.
func tooFewAnswer(machines []capacity.Machine, demand, target float64) (capacityData, [][4]string) {
	all, reachable := 0.0, false
	for _, m := range machines {
		all += float64(m.Most) * m.PerSecond
	}
	return capacityData{Question: "machines", Reachable: &reachable, PerSecond: &all, Demand: &demand}, [][4]string{
		{"all machines", short(all), "req/s", "most x capacity of every type"},
		{"needed", short(demand / target), "req/s", fmt.Sprintf("%s / %g", capacity.Digits(demand, 10), target)},
	}
}

func machinesAnswer(machines []capacity.Machine, c capacity.Choice, demand, target float64) (capacityData, [][4]string) {
	parts := func(m capacity.Mix) []mixPart {
		var out []mixPart
		for i, n := range m.Counts {
			if n > 0 {
				out = append(out, mixPart{machines[i].Name, n})
			}
		}
		return out
	}
	words := func(list []mixPart) string {
		var w []string
		for _, p := range list {
			w = append(w, fmt.Sprintf("%d x %s", p.Count, p.Name))
		}
		return strings.Join(w, " + ")
	}
	used := demand / c.Best.PerSecond
	data := capacityData{Question: "machines", Mix: parts(c.Best), Price: &c.Best.Price, PerSecond: &c.Best.PerSecond, Demand: &demand, Utilization: &used, Proven: &c.Proven}
	rows := [][4]string{
		{"cheapest", short(c.Best.Price), "per hour", words(data.Mix)},
		{"capacity", short(c.Best.PerSecond), "req/s", fmt.Sprintf("at least %s / %g", capacity.Digits(demand, 10), target)},
		{"utilization", fmt.Sprintf("%.3f", used), "ratio", capacity.Digits(demand, 10) + " / " + short(c.Best.PerSecond)},
	}
	for _, p := range data.Mix {
		rows = append(rows, [4]string{p.Name, fmt.Sprint(p.Count), "machines", ""})
	}
	if c.Second != nil {
		regret := c.Second.Price/c.Best.Price - 1
		data.Next, data.Regret = parts(*c.Second), &regret
		rows = append(rows, [4]string{"second", short(c.Second.Price), "per hour", words(data.Next)},
			[4]string{"regret", fmt.Sprintf("%.1f", 100*regret), "%", "how much dearer the second mix is"})
	}
	if c.Single != nil {
		regret := c.Single.Price/c.Best.Price - 1
		data.Single, data.Extra = parts(*c.Single), &regret
		rows = append(rows, [4]string{"one type", short(c.Single.Price), "per hour", fmt.Sprintf("%s, %.1f %% dearer", words(data.Single), 100*regret)})
	}
	return data, rows
}
