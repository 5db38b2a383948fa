package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
)

// readMetrics reads the windows of one instance.
func readMetrics(s *cli.IO, path string) ([]capacity.Metric, doc.Input, []string, error) {
	b, err := readInput(s, path)
	if err != nil {
		return nil, doc.Input{}, nil, err
	}
	rows, warnings, err := parseMetrics(b)
	if err != nil {
		return nil, doc.Input{}, nil, cli.Usagef("cannot use %q", path).WithCause(err).WithHint("give the columns t,rate,cores")
	}
	return rows, doc.Input{Name: path, SHA256: sha256Hex(b)}, warnings, nil
}

func parseMetrics(b []byte) ([]capacity.Metric, []string, error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))))
	r.FieldsPerRecord = -1
	head, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, nil, errors.New("the file is empty")
	}
	if err != nil {
		return nil, nil, err
	}
	column := map[string]int{}
	for i, h := range head {
		column[strings.ToLower(strings.TrimSpace(h))] = i
	}
	for _, need := range []string{"rate", "cores"} {
		if _, ok := column[need]; !ok {
			return nil, nil, fmt.Errorf("no column %s in %.80q", need, strings.Join(head, ","))
		}
	}
	var rows []capacity.Metric
	blanks := 0
	for line := 2; ; line++ {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		var bad error
		cell := func(name string) float64 {
			i, ok := column[name]
			if !ok || i >= len(row) || strings.TrimSpace(row[i]) == "" {
				return math.NaN()
			}
			v, err := strconv.ParseFloat(strings.TrimSpace(row[i]), 64)
			if err != nil || math.IsInf(v, 0) {
				bad = fmt.Errorf("line %d: %s is %.40q, not a number", line, name, row[i])
			}
			return v
		}
		m := capacity.Metric{Rate: cell("rate"), Cores: cell("cores"), Memory: cell("memory_bytes"), Disk: cell("disk_bytes_per_second"), Network: cell("network_bytes_per_second")}
		if bad != nil {
			return nil, nil, bad
		}
		if math.IsNaN(m.Rate + m.Cores) {
			blanks++
		}
		rows = append(rows, m)
	}
	if blanks > 0 {
		return rows, []string{fmt.Sprintf("blank: %d of %d windows have no rate or no cores and are left out", blanks, len(rows))}, nil
	}
	return rows, nil, nil
}

// A catalogue lists the machines that can be had.
type catalogue struct {
	Types []struct {
		Name      string  `yaml:"name"`
		Price     float64 `yaml:"price_per_hour"`
		PerSecond float64 `yaml:"capacity_per_second"`
		Service   string  `yaml:"curve"`
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
price_per_hour and, if only so many can be had, most. What a machine carries is
its capacity_per_second, or the lower end of the capacity of a curve: the one
whose path its key curve names, else the one in its place of --curve.`,
		Example: `  wxops capacity machines --catalogue types.yaml --demand 12000
  wxops capacity machines --catalogue t.yaml --curve a.json --demand 12000
  wxops capacity machines --catalogue types.yaml --demand 12000 -o json`,
		Args: cobra.NoArgs,
		RunE: func(_ *cobra.Command, _ []string) error {
			if err := out.Check(); err != nil {
				return err
			}
			b, err := readInput(s, path)
			if err != nil {
				return err
			}
			c, err := parseCatalogue(b)
			if err != nil {
				return cli.Usagef("cannot use the catalogue %q", path).WithCause(err).WithHint("types: [{name: m5, price_per_hour: 0.1, capacity_per_second: 480}]")
			}
			if err := checkTarget(target); err != nil {
				return err
			}
			inputs := []doc.Input{{Name: path, SHA256: sha256Hex(b)}}
			measured := map[string]float64{}
			for _, p := range curves {
				curve, in, err := readCurve(s, p)
				if err != nil {
					return err
				}
				if measured[p], err = safeCapacity(p, curve); err != nil {
					return err
				}
				inputs = append(inputs, in)
			}
			machines, err := machinesOf(c, curves, measured)
			if err != nil {
				return err
			}
			choice, err := capacity.Choose(machines, demand/target)
			switch {
			case errors.Is(err, capacity.ErrNotEnough):
				fmt.Fprintln(s.Err, err)
				return cli.Exit(cli.ExitNo)
			case err != nil:
				return cli.Usagef("no choice from these numbers").WithCause(err).WithHint("wxops capacity machines --help")
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
	f.StringArrayVar(&curves, "curve", nil, "`FILE` of a stress test (curve) on a type, in the order of the catalogue; repeatable")
	f.Float64Var(&demand, "demand", 0, "requests per second at the peak")
	f.Float64Var(&target, "target", 0.55, "everyday load of an instance over its capacity, 0..1")
	_ = cmd.MarkFlagRequired("catalogue") // the flags are there
	_ = cmd.MarkFlagRequired("demand")    // likewise
	out.addFlags(cmd)
	return cmd
}

func machinesOf(c catalogue, curves []string, measured map[string]float64) ([]capacity.Machine, error) {
	var out []capacity.Machine
	next := 0
	for _, t := range c.Types {
		m := capacity.Machine{Name: t.Name, Price: t.Price, PerSecond: t.PerSecond, Most: t.Most}
		if m.PerSecond == 0 {
			key := t.Service
			if key == "" && next < len(curves) {
				key = curves[next]
				next++
			}
			v, ok := measured[key]
			if !ok {
				return nil, cli.Usagef("type %q has no capacity: neither capacity_per_second nor a curve", t.Name).WithHint("give one --curve for each type, in the order of the catalogue")
			}
			m.PerSecond = v
		}
		out = append(out, m)
	}
	return out, nil
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
		rows = append(rows, [4]string{"second", short(c.Second.Price), "per hour", fmt.Sprintf("%s, %.1f %% dearer", words(data.Next), 100*regret)})
	}
	if c.Single != nil {
		regret := c.Single.Price/c.Best.Price - 1
		data.Single, data.Extra = parts(*c.Single), &regret
		rows = append(rows, [4]string{"one type", short(c.Single.Price), "per hour", fmt.Sprintf("%s, %.1f %% dearer", words(data.Single), 100*regret)})
	}
	return data, rows
}
