package main

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
)

func newCapacityFit(s *cli.IO) *cobra.Command {
	var out capacityOutput
	var shapeText, curvePath string
	var ceiling, disk, network float64
	cmd := &cobra.Command{
		Use:   "fit METRICS.csv",
		Short: "Find cost per request, capacity and bottleneck in ordinary metrics",
		Long: `fit reads windows of one instance, columns t,rate,cores and, where they are
known, memory_bytes, disk_bytes_per_second and network_bytes_per_second, and
fits use = idle + cost x rate for each. The capacity is the rate at which the
first resource reaches its ceiling: --ceiling of the CPU, 0.85 of the memory,
the limits of disk and network. The file may be packed; - is standard input.

Exit codes: 2 the metrics cannot show it, for the reason given.`,
		Example: `  wxops capacity fit metrics.csv --shape 4C8G --ceiling 0.6
  wxops capacity fit metrics.csv --shape 4C8G --network-limit 125e6 --explain
  wxops capacity fit metrics.csv --shape 4C8G --curve curve.json -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := first(out.Check(), checkShare("--ceiling", ceiling, 0.6), checkBetween("--disk-limit", disk, 0, math.Inf(1), 200e6), checkBetween("--network-limit", network, 0, math.Inf(1), 125e6)); err != nil {
				return err
			}
			shape, err := parseShape(shapeText)
			if err != nil {
				return err
			}
			rows, input, warnings, err := readMetrics(s, args[0])
			if err != nil {
				return err
			}
			f, err := capacity.Fit(rows, capacity.Limits{Cores: shape.Cores(), Memory: float64(shape.MemoryBytes), Disk: disk, Network: network, CPUCeiling: ceiling})
			if err != nil {
				return cli.Usagef("no capacity from %q", args[0]).WithCause(err).WithHint("give windows of one instance, 30 or more, with low and high load: wxops capacity fit days.csv --shape %s", shapeText)
			}
			warnings = append(warnings, f.Notes...)
			inputs := []doc.Input{input}
			data, table := fitAnswer(f, ceiling, shape)
			if curvePath != "" {
				in, row, err := compareWithStress(s, curvePath, f.Resources[0].PerSecond, &data)
				if err != nil {
					return err
				}
				inputs, table = append(inputs, in), append(table, row)
			}
			return out.answer(s, data, inputs, warnings, table)
		},
	}
	f := cmd.Flags()
	f.StringVar(&shapeText, "shape", "", "CPU and memory of the instance, a `SHAPE` as 4C8G")
	f.Float64Var(&ceiling, "ceiling", 0.6, "highest CPU utilization, 0..1")
	f.Float64Var(&disk, "disk-limit", 0, "`BYTES` per second that the disk moves at most")
	f.Float64Var(&network, "network-limit", 0, "`BYTES` per second that the network moves at most")
	f.StringVar(&curvePath, "curve", "", "`FILE` of a stress test (curve) of the same service to compare with")
	_ = cmd.MarkFlagRequired("shape") // the flag is there
	out.addFlags(cmd, "resources")
	return cmd
}

func fitAnswer(f capacity.Fitted, ceiling float64, shape capacity.Shape) (capacityData, [][4]string) {
	cpu, b := f.Resources[0], f.Resources[f.Bottleneck]
	data := capacityData{
		Question: "fit", Idle: &cpu.Line.Idle, Cost: &cpu.Line.Slope, CostLow: &cpu.Line.SlopeLow, CostHigh: &cpu.Line.SlopeHigh, Robust: &cpu.Line.TheilSen,
		Capacity: &fittedCapacity{b.PerSecond, b.Low, b.High, b.Name},
	}
	rows := [][4]string{
		{"idle", short(cpu.Line.Idle), "cores", "least squares: cores = idle + cost x rate"},
		{"cost", short(cpu.Line.Slope), "core-s/req", fmt.Sprintf("95 %% interval %s to %s; Theil-Sen %s", short(cpu.Line.SlopeLow), short(cpu.Line.SlopeHigh), short(cpu.Line.TheilSen))},
		{"capacity", fmt.Sprintf("%s (%s to %s)", short(b.PerSecond), short(b.Low), short(b.High)), "req/s", "limited by " + b.Name + "; 95 % interval by block bootstrap"},
	}
	for i, r := range f.Resources {
		res := capacityResource{r.Name, r.PerSecond, r.Low, r.High, r.PerSecond/b.PerSecond - 1}
		if math.IsNaN(res.Distance) || math.IsInf(res.Distance, 0) {
			res.Distance = 0
		}
		data.Resources = append(data.Resources, res)
		if i == f.Second {
			data.Second = &data.Resources[len(data.Resources)-1]
		}
		why := fmt.Sprintf("(%s - %s) / %s", short(r.Limit), short(r.Line.Idle), short(r.Line.Slope))
		switch r.Name {
		case "cpu":
			why += fmt.Sprintf("; ceiling %g x %g cores", ceiling, shape.Cores())
		case "memory":
			why += fmt.Sprintf(" bytes; ceiling %g x %d", capacity.MemoryCeiling, shape.MemoryBytes)
		default:
			why += " bytes per second"
		}
		rows = append(rows, [4]string{"by " + r.Name, short(r.PerSecond), "req/s", why})
	}
	if f.Second >= 0 {
		rows = append(rows, [4]string{"second", f.Resources[f.Second].Name, "resource", f.Distance()})
	}
	return data, rows
}

// compareWithStress sets the capacity that a stress test found against that of
// the CPU.
func compareWithStress(s *cli.IO, path string, perSecond float64, data *capacityData) (doc.Input, [4]string, error) {
	curve, in, err := readCurve(s, path)
	if err != nil {
		return in, [4]string{}, err
	}
	if _, err := safeCapacity(path, curve); err != nil {
		return in, [4]string{}, err
	}
	found := *curve.Capacity.PerSecond
	q, verdict := capacity.Agreement(found, perSecond)
	data.Agreement = &agreement{q, verdict}
	return in, [4]string{"stress / CPU", fmt.Sprintf("%.2f", q), verdict, fmt.Sprintf("%s / %s req/s; 0.8 to 1.2 agree", short(found), short(perSecond))}, nil
}

// readMetrics reads the windows of one instance.
func readMetrics(s *cli.IO, path string) ([]capacity.Metric, doc.Input, []string, error) {
	b, in, err := readInput(s, path)
	if err != nil {
		return nil, doc.Input{}, nil, err
	}
	rows, warnings, err := parseMetrics(b)
	if err != nil {
		return nil, doc.Input{}, nil, cli.Usagef("cannot use %q", path).WithCause(err).WithHint("give a CSV whose first line names its columns: t,rate,cores[,memory_bytes,disk_bytes_per_second,network_bytes_per_second]")
	}
	return rows, in, warnings, nil
}

// parseMetrics reads the windows in order of time, which decides what neighbours
// they have; the warnings say what was repaired.
func parseMetrics(b []byte) (rows []capacity.Metric, warnings []string, err error) {
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
	var stamps []float64
	blanks := 0
	for line := 2; ; line++ {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		text := func(name string) string {
			if i, ok := column[name]; ok && i < len(row) {
				return strings.TrimSpace(row[i])
			}
			return ""
		}
		var bad error
		cell := func(name string) float64 {
			t := text(name)
			if t == "" {
				return math.NaN()
			}
			v, err := strconv.ParseFloat(t, 64)
			if err != nil || math.IsInf(v, 0) {
				bad = fmt.Errorf("line %d: %s is %.40q, not a number", line, name, t)
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
		if at, ok := windowTime(text("t")); ok {
			stamps = append(stamps, at)
		}
		rows = append(rows, m)
	}
	if len(stamps) == len(rows) && !slices.IsSorted(stamps) {
		order := make([]int, len(rows))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(stamps[a], stamps[b]) })
		sorted := make([]capacity.Metric, len(rows))
		for i, at := range order {
			sorted[i] = rows[at]
		}
		rows, warnings = sorted, append(warnings, "unsorted: the windows were put in order of t")
	}
	if blanks > 0 {
		warnings = append(warnings, fmt.Sprintf("blank: %d of %d windows have no rate or no cores and are left out", blanks, len(rows)))
	}
	return rows, warnings, nil
}

// windowTime reads a stamp as a number or a date with time, for its order alone.
func windowTime(s string) (float64, bool) {
	if v, err := strconv.ParseFloat(s, 64); err == nil {
		return v, !math.IsNaN(v)
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return float64(t.Unix()), true
		}
	}
	return 0, false
}
