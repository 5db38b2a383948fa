package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
	"github.com/wxops/wxops/stress"
	"github.com/wxops/wxops/stress/load"
)

// kindVerdict is written by stress gate.
var kindVerdict = doc.Kind{Name: "verdict", Version: 1, Title: "Comparison of two versions of a service", Data: stress.GateDocument{}}

// The metrics of a gate.
const (
	metricP99      = "p99_seconds"
	metricCPU      = "cpu_seconds_per_request"
	metricCapacity = "capacity_per_second"
)

// The margins within which a change is no matter.
const (
	marginP99      = 0.10
	marginCPU      = 0.05
	marginCapacity = 0.05
)

func newStressGate(s *cli.IO) *cobra.Command {
	var f loadFlags
	var out cli.Output
	var baseURL, newURL string
	var basePID, newPID int
	var allow bool
	cmd := &cobra.Command{
		Use:   "gate [BASE NEW]",
		Short: "Compare two versions of a service and refuse a regression",
		Long: `gate compares capacity, p99 at equal rate and CPU per request of two versions.
BASE and NEW are curve or load documents, several with commas. With --base-url
and --new-url both are driven side by side for the time of -d, so that what
disturbs the machine disturbs both.

Exit codes: 0 pass; 1 regression; 2 nothing was compared; 4 undecided.`,
		Example: `  wxops stress gate base.json new.json
  wxops stress gate base1.json,base2.json new1.json,new2.json
  wxops stress gate --base-url http://127.0.0.1:8080/ \
      --new-url http://127.0.0.1:8081/ -r 500 -d 60s`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.Check(); err != nil {
				return err
			}
			var g gating
			var err error
			switch {
			case baseURL != "" && newURL != "" && len(args) == 0:
				err = g.drive(cmd.Context(), s, &f, [2]string{baseURL, newURL}, [2]int{basePID, newPID})
			case baseURL == "" && newURL == "" && len(args) == 2:
				err = g.read(s, args)
			default:
				return cli.Usagef("give two sides: BASE NEW, or --base-url and --new-url").WithHint("wxops stress gate base.json new.json")
			}
			if err != nil {
				return err
			}
			return g.finish(s, &out, allow)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&baseURL, "base-url", "", "`URL` of the base version")
	fl.StringVar(&newURL, "new-url", "", "`URL` of the new version")
	fl.IntVar(&basePID, "base-pid", 0, "`PID` of the base version, for its CPU")
	fl.IntVar(&newPID, "new-pid", 0, "`PID` of the new version, for its CPU")
	fl.BoolVar(&allow, "allow-undecided", false, "exit 0 when undecided")
	f.add(cmd)
	fl.Lookup("duration").Usage = "`TIME` for which both are driven (default 60s)"
	f.addSchedule(cmd)
	out.AddFileFlag(cmd)
	out.AddFlag(cmd, "table", "json", "yaml", "csv")
	out.Records("metrics")
	return cmd
}

// gating gathers what is to be compared.
type gating struct {
	mode        string
	comparisons []stress.Comparison
	inputs      []doc.Input
	warnings    []string
	reason      string // of a regression beside the metrics
}

// A side is what the documents of one version say.
type side struct {
	curves []capacity.Curve
	loads  []load.Document
}

func (g *gating) read(s *cli.IO, args []string) error {
	g.mode = "documents"
	var sides [2]side
	for i, list := range args {
		for name := range strings.SplitSeq(list, ",") {
			if err := g.readDocument(s, name, &sides[i]); err != nil {
				return unusable(name, err, "give curve or load documents: wxops stress load URL -r 1000 -o json > base.json")
			}
		}
	}
	b, n := sides[0], sides[1]
	capacityOf := func(curves []capacity.Curve) (values []float64, deviation float64) {
		for _, c := range curves {
			if c.Verdict == capacity.VerdictOK && c.Capacity.Found && c.Capacity.PerSecond != nil && *c.Capacity.PerSecond > 0 {
				values = append(values, *c.Capacity.PerSecond)
				if c.Capacity.Low != nil && c.Capacity.High != nil {
					deviation = max(deviation, (*c.Capacity.High-*c.Capacity.Low)/(2*1.96**c.Capacity.PerSecond))
				}
			}
		}
		return values, deviation
	}
	c := stress.Comparison{Name: metricCapacity, MoreIsBetter: true, Margin: marginCapacity}
	c.Base, c.BaseDeviation = capacityOf(b.curves)
	c.New, c.NewDeviation = capacityOf(n.curves)
	g.comparisons = append(g.comparisons, c)
	g.compareLoads(b.loads, n.loads)
	g.compareCurves(b.curves, n.curves)
	return nil
}

func (g *gating) readDocument(s *cli.IO, name string, into *side) error {
	b, in, err := readInput(s, name)
	if err != nil {
		return err
	}
	g.inputs = append(g.inputs, in)
	var head struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return err
	}
	if strings.HasPrefix(head.Schema, "wxops/curve/") {
		var c capacity.Curve
		_, err := doc.Read(bytes.NewReader(b), kindCurve, &c)
		into.curves = append(into.curves, c)
		return err
	}
	var d load.Document
	_, err = doc.Read(bytes.NewReader(b), kindLoad, &d)
	into.loads = append(into.loads, d)
	return err
}

// compareLoads compares p99 and CPU of load documents. Three runs and more on
// each side speak for themselves; of fewer, the windows do.
func (g *gating) compareLoads(b, n []load.Document) {
	if len(b) == 0 || len(n) == 0 {
		return
	}
	rate := func(docs []load.Document) float64 {
		sum := 0.0
		for _, d := range docs {
			sum += d.Offered
		}
		return sum / float64(len(docs))
	}
	if rb, rn := rate(b), rate(n); math.Abs(rn/rb-1) > 0.05 {
		g.warnings = append(g.warnings, fmt.Sprintf("rates differ: %.0f and %.0f requests per second; p99 is only compared at equal rate", rb, rn))
	} else {
		g.comparisons = append(g.comparisons, stress.Comparison{Name: metricP99, Base: loadSeries(b, p99Of), New: loadSeries(n, p99Of), Margin: marginP99})
	}
	g.comparisons = append(g.comparisons, stress.Comparison{Name: metricCPU, Base: loadSeries(b, cpuOf), New: loadSeries(n, cpuOf), Margin: marginCPU})
	for i, docs := range [][]load.Document{b, n} {
		for _, d := range docs {
			if d.Verdict == load.VerdictClientLimited {
				g.warnings = append(g.warnings, fmt.Sprintf("a run of the %s side was limited by its generator: %s", [2]string{"base", "new"}[i], d.Reason))
			}
		}
	}
}

func p99Of(w load.Window) *float64 { return w.P99 }

func cpuOf(w load.Window) *float64 { return w.CPU }

// loadSeries is the series of a value over the windows of documents, without
// the first window, in which everything warms up, and without short ones.
func loadSeries(docs []load.Document, value func(load.Window) *float64) []float64 {
	var all, means []float64
	for _, d := range docs {
		var one []float64
		for i, w := range d.Intervals {
			if v := value(w); v != nil && *v > 0 && (i > 0 || len(d.Intervals) == 1) && 2*w.Seconds > d.Intervals[0].Seconds {
				one = append(one, *v)
			}
		}
		all = append(all, one...)
		if sum := 0.0; len(one) > 0 {
			for _, v := range one {
				sum += math.Log(v)
			}
			means = append(means, math.Exp(sum/float64(len(one))))
		}
	}
	if len(docs) >= 3 {
		return means
	}
	return all
}

// compareCurves compares p99 and CPU per request at the rates where both curves
// have been measured; the base is interpolated.
func (g *gating) compareCurves(b, n []capacity.Curve) {
	values := map[string]func(capacity.Point) float64{
		metricP99: func(p capacity.Point) float64 {
			if p.P99 == nil {
				return 0
			}
			return *p.P99
		},
		metricCPU: func(p capacity.Point) float64 {
			if p.CPU == nil || p.Throughput <= 0 {
				return 0
			}
			return *p.CPU / p.Throughput
		},
	}
	for i, name := range []string{metricP99, metricCPU} {
		c := stress.Comparison{Name: name, Paired: true, Margin: []float64{marginP99, marginCPU}[i]}
		for k := range min(len(b), len(n)) {
			for _, p := range n[k].Points {
				v := values[name](p)
				if base := interpolate(b[k].Points, p.Offered, values[name]); base > 0 && v > 0 {
					c.Base = append(c.Base, base)
					c.New = append(c.New, v)
				}
			}
		}
		g.comparisons = append(g.comparisons, c)
	}
}

// interpolate is the value of a curve at an offered load, 0 outside of it.
func interpolate(points []capacity.Point, offered float64, value func(capacity.Point) float64) float64 {
	points = slices.Clone(points)
	points = slices.DeleteFunc(points, func(p capacity.Point) bool { return value(p) <= 0 })
	slices.SortStableFunc(points, func(a, b capacity.Point) int {
		switch {
		case a.Offered < b.Offered:
			return -1
		case a.Offered > b.Offered:
			return 1
		}
		return 0
	})
	for i, p := range points {
		if p.Offered == offered {
			return value(p)
		}
		if i > 0 && points[i-1].Offered < offered && offered < p.Offered {
			q := points[i-1]
			share := (offered - q.Offered) / (p.Offered - q.Offered)
			return math.Exp((1-share)*math.Log(value(q)) + share*math.Log(value(p)))
		}
	}
	return 0
}

// drive loads both versions at the same time.
func (g *gating) drive(ctx context.Context, s *cli.IO, f *loadFlags, urls [2]string, pids [2]int) error {
	g.mode = "side-by-side"
	if f.duration == "" {
		f.duration = "60s"
	}
	if f.rate == "max" && f.stages == "" && f.ramp == "" {
		return cli.Usagef("both sides need the same rate").WithHint("-r 500")
	}
	var runs [2]*driven
	for i, u := range urls {
		o, _, err := f.options(ctx, s, u)
		if err != nil {
			return err
		}
		n, d := load.Total(o.Stages)
		// Sixty windows, each with a hundred requests at least: a p99 of fewer
		// is a maximum.
		o.Every = max(d/60, time.Duration(100/n*float64(d)), 100*time.Millisecond)
		if runs[i], err = drive(ctx, o, pids[i]); err != nil {
			return cli.Failf("%s could not be loaded", u).WithCause(err)
		}
	}
	var wait sync.WaitGroup
	for _, r := range runs {
		wait.Go(r.finish)
	}
	wait.Wait()
	if ctx.Err() != nil {
		return context.Canceled
	}
	for i, r := range runs {
		if r.report.Verdict == load.VerdictNothingSent {
			return cli.Failf("nothing could be sent to %s", urls[i]).WithCause(r.result.LastError)
		}
		if r.report.Verdict == load.VerdictClientLimited {
			g.warnings = append(g.warnings, fmt.Sprintf("the generator was the limit at %s: %s", urls[i], r.report.Reason))
		}
	}
	b, n := runs[0].report, runs[1].report
	g.paired(metricP99, b, n, p99Of, marginP99)
	g.paired(metricCPU, b, n, cpuOf, marginCPU)
	// Failing fast looks good in every other metric.
	eb, en := b.ErrorRatio, n.ErrorRatio
	pooled := (eb + en) / 2
	sigma := math.Sqrt(2 * pooled * (1 - pooled) / float64(max(1, min(b.Requests, n.Requests))))
	if en-eb > max(0.001, 5*sigma) {
		g.reason = fmt.Sprintf("errors rose from %.3g %% to %.3g %%", 100*eb, 100*en)
	}
	return nil
}

func (g *gating) paired(name string, b, n load.Document, value func(load.Window) *float64, margin float64) {
	c := stress.Comparison{Name: name, Paired: true, Margin: margin}
	for i := 1; i < min(len(b.Intervals), len(n.Intervals)); i++ {
		x, y := value(b.Intervals[i]), value(n.Intervals[i])
		whole := 2*min(b.Intervals[i].Seconds, n.Intervals[i].Seconds) > b.Intervals[0].Seconds
		if x != nil && y != nil && *x > 0 && *y > 0 && whole {
			c.Base = append(c.Base, *x)
			c.New = append(c.New, *y)
		}
	}
	g.comparisons = append(g.comparisons, c)
}

func (g *gating) finish(s *cli.IO, out *cli.Output, allow bool) error {
	verdict, effects, err := stress.Gate(g.comparisons)
	if errors.Is(err, stress.ErrNothingCompared) {
		e := cli.Usagef("%s", err).WithHint("both sides need documents of the same kind, measured at equal rate")
		if len(g.warnings) > 0 {
			e = e.WithCause(errors.New(strings.Join(g.warnings, "; ")))
		}
		return e
	} else if err != nil {
		return cli.Usagef("%s", err)
	}
	d := stress.NewGateDocument(verdict, effects)
	d.Mode = g.mode
	var parts []string
	for _, e := range effects {
		if e.Verdict == verdict || verdict == stress.GatePass {
			parts = append(parts, fmt.Sprintf("%s %+.1f %%", e.Name, 100*e.Effect))
		}
	}
	d.Reason = strings.Join(parts, ", ")
	if verdict == stress.GateUndecided {
		d.Reason += map[bool]string{true: "; more documents on each side may decide", false: "; a longer test (-d) may decide"}[g.mode == "documents"]
	}
	if g.reason != "" {
		d.Verdict, d.Reason = stress.GateRegression, g.reason
	}
	created := time.Time{}
	if g.mode != "documents" {
		created = time.Now()
	}
	b, err := doc.Marshal(kindVerdict, toolVersion(), created, g.inputs, g.warnings, d)
	if err != nil {
		return err
	}
	if err := out.Print(s.Out, b, func() *cli.Table { return gateTable(&d, g.warnings) }); err != nil {
		return err
	}
	switch {
	case d.Verdict == stress.GateRegression:
		return cli.Exit(cli.ExitNo)
	case d.Verdict == stress.GateUndecided && !allow:
		return cli.Exit(cli.ExitGuarded)
	}
	return nil
}

func gateTable(d *stress.GateDocument, warnings []string) *cli.Table {
	t := cli.NewTable("METRIC", ">BASE", ">NEW", ">CHANGE", ">INTERVAL", "VERDICT")
	for _, m := range d.Metrics {
		value := seconds
		if m.Name == metricCapacity {
			value = func(v float64) string { return perSecond(v) + " req/s" }
		}
		interval := "unknown"
		if m.Low != nil {
			interval = fmt.Sprintf("%+.1f to %s", 100**m.Low, upper(*m.High))
		}
		t.Row(m.Name, value(m.Base), value(m.New), fmt.Sprintf("%+.1f %%", 100*m.Effect), interval, m.Verdict)
	}
	for _, w := range warnings {
		t.Note("warning: %s", w)
	}
	t.Note("verdict: %s: %s", d.Verdict, d.Reason)
	return t
}

// upper writes the upper end of an interval; ten times more says no more than
// that nothing is known.
func upper(ratio float64) string {
	if ratio > 10 {
		return "above +1000 %"
	}
	return fmt.Sprintf("%+.1f %%", 100*ratio)
}
