package main

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/forecast"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
)

// planFlags shape a plan.
type planFlags struct {
	curve       string
	perInstance float64
	band        string
	freeze      []string
	options     forecast.PlanOptions
}

func (f *planFlags) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.curve, "capacity", "", "`FILE` of a stress test (curve) or a fit (capacity) of one instance")
	flags.Float64Var(&f.perInstance, "capacity-per-instance", 0, "capacity of one instance, per second")
	flags.Float64Var(&f.options.Target, "target", 0.55, "everyday load of an instance over its capacity, 0..1")
	flags.StringVar(&f.band, "band", "", "`LOW,HIGH` utilization between which no step is made (default target ± 0.05)")
	cli.Duration(flags, &f.options.Lead, "lead", "", 10*time.Minute, "a step up comes so early, and at least a step or an hour")
	cli.Duration(flags, &f.options.Hold, "hold", "", 2*time.Hour, "a step down waits for so long a valley")
	cli.Duration(flags, &f.options.Window, "every", "", 2*time.Hour, "least time between steps")
	flags.IntVar(&f.options.Batch, "batch", 1, "instances come in multiples of it")
	flags.IntVar(&f.options.MostChange, "max-change", 0, "most instances of one step (0: any)")
	flags.IntVar(&f.options.Least, "min", 1, "least instances")
	flags.IntVar(&f.options.Most, "max", 0, "most instances (0: any)")
	flags.StringArrayVar(&f.freeze, "freeze", nil, "no steps in `FROM/TO`, dates or RFC 3339; repeatable")
	flags.BoolVar(&f.options.ScaleOutOnly, "scale-out-only", false, "never fewer instances")
	flags.BoolVar(&f.options.Quantile, "upper", false, "plan for the upper end of the first interval")
}

// complete reads what the flags name and checks them. Times of freezes that name
// no zone are of the given one.
func (f *planFlags) complete(s *cli.IO, zone *time.Location) (forecast.PlanOptions, []doc.Input, error) {
	o := f.options
	inputs, err := f.readCapacity(s, &o)
	if err != nil {
		return o, nil, err
	}
	if err := checkShare("--target", o.Target, 0.55); err != nil {
		return o, nil, err
	}
	if err := checkLimits(o); err != nil {
		return o, nil, err
	}
	if err := f.readBand(&o); err != nil {
		return o, nil, err
	}
	for _, text := range f.freeze {
		freeze, err := parseFreeze(text, zone)
		if err != nil {
			return o, nil, err
		}
		o.Freezes = append(o.Freezes, freeze)
	}
	return o, inputs, nil
}

// readCapacity finds the capacity of an instance in a file or a flag.
func (f *planFlags) readCapacity(s *cli.IO, o *forecast.PlanOptions) ([]doc.Input, error) {
	var inputs []doc.Input
	switch {
	case f.curve != "" && f.perInstance != 0:
		return nil, cli.Usagef("either --capacity or --capacity-per-instance").WithHint("leave --capacity-per-instance out: the file has it")
	case f.curve != "":
		v, in, err := capacityOf(s, f.curve)
		if err != nil {
			return nil, err
		}
		o.PerInstance = v
		inputs = append(inputs, in)
	case f.perInstance == 0:
		return nil, cli.Usagef("no capacity of an instance, or 0").WithHint("--capacity-per-instance 480, or --capacity curve.json")
	default:
		o.PerInstance = f.perInstance
	}
	if !(o.PerInstance > 0) || math.IsInf(o.PerInstance, 0) {
		return nil, cli.Usagef("--capacity-per-instance %g is not a positive number", o.PerInstance).WithHint("--capacity-per-instance 480")
	}
	return inputs, nil
}

// checkLimits refuses times and numbers of instances that no plan can keep.
func checkLimits(o forecast.PlanOptions) error {
	for _, span := range []struct {
		flag string
		d    time.Duration
	}{{"lead", o.Lead}, {"hold", o.Hold}, {"every", o.Window}} {
		if span.d < 0 {
			return cli.Usagef("--%s %s is negative", span.flag, cli.FormatDuration(span.d)).WithHint("--%s 2h", span.flag)
		}
	}
	for _, number := range []struct {
		flag     string
		n, least int
	}{{"batch", o.Batch, 1}, {"min", o.Least, 0}, {"max", o.Most, 0}, {"max-change", o.MostChange, 0}} {
		if number.n < number.least {
			return cli.Usagef("--%s %d is less than %d", number.flag, number.n, number.least).WithHint("--%s 2", number.flag)
		}
	}
	switch batches := (max(o.Least, 1) + o.Batch - 1) / o.Batch; {
	case o.Most > 0 && o.Most < o.Least:
		return cli.Usagef("--min %d is more than --max %d", o.Least, o.Most).WithHint("--max %d, or no --max", 2*o.Least)
	case o.Most > 0 && o.Most/o.Batch < batches:
		return cli.Usagef("no multiple of --batch %d lies between --min %d and --max %d", o.Batch, o.Least, o.Most).WithHint("--max %d", batches*o.Batch)
	case o.MostChange > 0 && o.MostChange < o.Batch:
		return cli.Usagef("--max-change %d is less than one --batch %d", o.MostChange, o.Batch).WithHint("--max-change %d", o.Batch)
	}
	return nil
}

// readBand reads --band, two ratios around the target.
func (f *planFlags) readBand(o *forecast.PlanOptions) error {
	if f.band == "" {
		return nil
	}
	low, high, _ := strings.Cut(f.band, ",")
	var err, err2 error
	o.Low, err = strconv.ParseFloat(strings.TrimSpace(low), 64)
	o.High, err2 = strconv.ParseFloat(strings.TrimSpace(high), 64)
	if err != nil || err2 != nil {
		return cli.Usagef("--band %q is not two ratios", f.band).WithHint("--band 0.50,0.60")
	}
	if !(o.Low > 0 && o.Low <= o.Target && o.Target <= o.High && o.High <= 1) {
		return cli.Usagef("--band %s does not hold the target %g inside (0, 1]", f.band, o.Target).WithHint("--band %.2f,%.2f", max(o.Target-0.05, 0.01), min(o.Target+0.05, 1))
	}
	return nil
}

// parseFreeze reads FROM/TO: times of RFC 3339, or dates and times of a zone. A
// date as the end means that its day is frozen too.
func parseFreeze(text string, zone *time.Location) (forecast.Freeze, error) {
	at := func(text string) (t time.Time, days int, err error) {
		if t, err = time.Parse(time.RFC3339, text); err == nil {
			return t, 0, nil
		}
		if t, err = time.ParseInLocation("2006-01-02T15:04", text, zone); err == nil {
			return t, 0, nil
		}
		t, err = time.ParseInLocation(time.DateOnly, text, zone)
		return t, 1, err
	}
	first, last, _ := strings.Cut(text, "/")
	from, _, err := at(first)
	to, days, err2 := at(last)
	to = to.AddDate(0, 0, days)
	if err != nil || err2 != nil || !to.After(from) {
		return forecast.Freeze{}, cli.Usagef("--freeze %q is not FROM/TO, dates or RFC 3339 with TO behind FROM", text).WithHint("--freeze 2026-11-11/2026-11-12, or --freeze 2026-11-11T00:00:00Z/2026-11-12T06:00:00Z")
	}
	return forecast.Freeze{From: from, To: to}, nil
}

// idleFreezes warns of freezes in which no plan has any time.
func idleFreezes(freezes []forecast.Freeze, plans []forecast.ServicePlan) []forecast.Warning {
	var out []forecast.Warning
	for _, f := range freezes {
		touches := func(p forecast.ServicePlan) bool { return f.From.Before(p.End) && f.To.After(p.Start) }
		if !slices.ContainsFunc(plans, touches) {
			out = append(out, forecast.Warning{Kind: "freeze", Text: fmt.Sprintf("%s to %s lies outside of the plan, which goes from %s to %s", f.From.Format(time.RFC3339), f.To.Format(time.RFC3339), plans[0].Start.Format(time.RFC3339), plans[0].End.Format(time.RFC3339))})
		}
	}
	return out
}

// capacityOf is the lower end of a capacity: of a curve, or of a fit.
func capacityOf(s *cli.IO, path string) (float64, doc.Input, error) {
	b, in, err := readInput(s, path)
	if err != nil {
		return 0, in, err
	}
	var head struct {
		Schema string `json:"schema"`
	}
	if _ = json.Unmarshal(b, &head); !strings.HasPrefix(head.Schema, "wxops/capacity/") { // a broken document is refused as a curve
		var curve capacity.Curve
		if err := decodeDocument(path, b, kindCurve, &curve); err != nil {
			return 0, in, err
		}
		low, err := safeCapacity(path, curve)
		return low, in, err
	}
	var answer capacityData
	if err := decodeDocument(path, b, kindCapacity, &answer); err != nil {
		return 0, in, err
	}
	fit := answer.Capacity
	switch {
	case fit == nil:
		return 0, in, cli.Usagef("%q answers another question: %s", path, answer.Question).WithHint("wxops capacity fit METRICS.csv --shape 4C8G -o json > fit.json")
	case !(fit.Low > 0 && fit.Low <= fit.PerSecond):
		return 0, in, cli.Usagef("%q has no capacity to plan with", path).WithCause(fmt.Errorf("%w: %g per second with a lower end of %g", capacity.ErrCapacity, fit.PerSecond, fit.Low)).WithHint("give wxops capacity fit more windows, with low and high load")
	}
	return fit.Low, in, nil
}
