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
	Types []catalogueType `yaml:"types"`
}

type catalogueType struct {
	Name      string   `yaml:"name"`
	Hour      *float64 `yaml:"price_per_hour"`
	Month     *float64 `yaml:"price_per_month"`
	Year      *float64 `yaml:"price_per_year"`
	PerSecond float64  `yaml:"capacity_per_second"`
	Curve     string   `yaml:"curve"`
	Most      int      `yaml:"most"`
}

// hoursPerYear of a year without a 29th of February; a month is a twelfth of it,
// 730 hours, as clouds count it.
const hoursPerYear = 8760

// price is that of the type for an hour.
func (t catalogueType) price() (float64, error) {
	var names []string
	perHour := 0.0
	for _, p := range []struct {
		name  string
		price *float64
		hours float64
	}{{"price_per_hour", t.Hour, 1}, {"price_per_month", t.Month, hoursPerYear / 12}, {"price_per_year", t.Year, hoursPerYear}} {
		if p.price == nil {
			continue
		}
		if !(*p.price > 0) || math.IsInf(*p.price, 0) {
			return 0, fmt.Errorf("%s of %s is %g, not above 0", p.name, t.Name, *p.price)
		}
		names = append(names, p.name)
		perHour = *p.price / p.hours
	}
	switch len(names) {
	case 0:
		return 0, fmt.Errorf("%s has no price: none of price_per_hour, price_per_month, price_per_year", t.Name)
	case 1:
		return perHour, nil
	}
	return 0, fmt.Errorf("%s has %d prices, %s: give one, or a type for each", t.Name, len(names), strings.Join(names, " and "))
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
		if _, err := t.price(); err != nil {
			return c, err
		}
		switch {
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
	var zones int
	cmd := &cobra.Command{
		Use:   "machines",
		Short: "Find the cheapest mix of machines for a demand",
		Long: `machines reads a catalogue, a YAML file with types: a list of name, a price (one
of price_per_hour, price_per_month and price_per_year, in any currency) and, if
only so many can be had, most. A machine that is sold in several ways is a type
for each: m5-spot, m5-reserved. What a machine carries is its
capacity_per_second, or the lower end of the capacity of a stress test: the file
that its key curve names, beside the catalogue, or, without that key, the next
one of --curve. With --zones each zone has the same machines, and those left
after the loss of one keep below 0.85.

Exit codes: 1 all machines together do not carry the demand.`,
		Example: `  wxops capacity machines --catalogue types.yaml --demand 12000
  wxops capacity machines --catalogue t.yaml --curve a.json --demand 12000
  wxops capacity machines --catalogue types.yaml --demand 12000 -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := first(out.Check(), checkShare("--target", target, 0.55), checkBetween("--demand", demand, 0, math.Inf(1), 12000), checkZones(cmd, zones)); err != nil {
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
			need := machineNeed{demand, target, zones}
			choice, err := capacity.Choose(machines, need.required(), zones)
			switch {
			case errors.Is(err, capacity.ErrNotEnough):
				data, rows := tooFewAnswer(machines, need)
				fmt.Fprintf(s.Err, "%v\n", err)
				if err := out.answer(s, data, inputs, nil, rows); err != nil {
					return err
				}
				return cli.Exit(cli.ExitNo)
			case err != nil:
				return cli.Usagef("no choice from these numbers").WithCause(err).WithHint("--demand in requests per second, capacity_per_second of one machine likewise")
			}
			data, rows := machinesAnswer(machines, choice, need)
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
	f.IntVar(&zones, "zones", 0, "zones with the same machines, of which one may be lost")
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
		price, _ := t.price() // that the parser has seen
		m := capacity.Machine{Name: t.Name, Price: price, PerSecond: t.PerSecond, Most: t.Most}
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

// A machineNeed is what the machines must carry.
type machineNeed struct {
	demand, target float64
	zones          int // 0: they stand anywhere
}

func (n machineNeed) required() float64 { return capacity.Required(n.demand, n.target, n.zones) }

// arithmetic is that of required.
func (n machineNeed) arithmetic() string {
	demand := capacity.Digits(n.demand, 10)
	if n.zones > 1 && n.required() > n.demand/n.target {
		return fmt.Sprintf("%s / 0.85 x %d / %d, after the loss of a zone", demand, n.zones, n.zones-1)
	}
	return fmt.Sprintf("%s / %g", demand, n.target)
}

// tooFewAnswer says how much all machines of a catalogue carry, where that is
// less than the demand needs.
func tooFewAnswer(machines []capacity.Machine, need machineNeed) (capacityData, [][4]string) {
	all, reachable := 0.0, false
	why := "most x capacity of every type"
	for _, m := range machines {
		all += float64(m.Most) * m.PerSecond
	}
	if zones := need.zones; zones > 1 {
		all, why = 0, fmt.Sprintf("most x capacity of every type, in %d zones alike", zones)
		for _, m := range machines {
			all += float64(m.Most/zones*zones) * m.PerSecond
		}
	}
	return capacityData{Question: "machines", Reachable: &reachable, PerSecond: &all, Demand: &need.demand, Zones: need.zones}, [][4]string{
		{"all machines", short(all), "req/s", why},
		{"needed", short(need.required()), "req/s", need.arithmetic()},
	}
}

func machinesAnswer(machines []capacity.Machine, c capacity.Choice, need machineNeed) (capacityData, [][4]string) {
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
	used := need.demand / c.Best.PerSecond
	data := capacityData{Question: "machines", Mix: parts(c.Best), Price: &c.Best.Price, PerSecond: &c.Best.PerSecond, Demand: &need.demand, Zones: need.zones, Utilization: &used, Proven: &c.Proven}
	rows := [][4]string{
		{"cheapest", short(c.Best.Price), "per hour", words(data.Mix)},
		{"capacity", short(c.Best.PerSecond), "req/s", "at least " + need.arithmetic()},
		{"utilization", fmt.Sprintf("%.3f", used), "ratio", capacity.Digits(need.demand, 10) + " / " + short(c.Best.PerSecond)},
	}
	for i, n := range c.Best.Counts {
		if m := machines[i]; n > 0 {
			rows = append(rows, [4]string{m.Name, fmt.Sprint(n), "machines", fmt.Sprintf("%s per hour and %s req/s each", short(m.Price), short(m.PerSecond))})
		}
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
