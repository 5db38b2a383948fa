package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"html/template"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/chart"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
	"github.com/wxops/wxops/stress"
	"github.com/wxops/wxops/stress/load"
)

// A reported is one document of a report; one of the three is set.
type reported struct {
	Name    string
	Created string
	Load    *load.Document
	Curve   *capacity.Curve
	Gate    *stress.GateDocument
}

var reportForms = []string{"html", "markdown", "junit", "hdrplot", "prometheus"}

// reportWriters write a report in each of its forms.
var reportWriters = map[string]func(io.Writer, []reported) error{
	"html": writeHTML, "markdown": writeMarkdown, "junit": writeJUnit, "hdrplot": writeHDRPlot, "prometheus": writePrometheus,
}

func newStressReport(s *cli.IO) *cobra.Command {
	var form, file string
	cmd := &cobra.Command{
		Use:   "report FILE...",
		Short: "Make a page, or a form for other tools, of stress documents",
		Long: `report reads load, curve and verdict documents and writes one HTML page with
inline pictures that asks nothing of any network; or JUnit, Markdown, the
percentile table of HdrHistogram, or Prometheus metrics. The percentile table is
that of one run: tools that plot several read a file for each.`,
		Example: `  wxops stress report run.json --out run.html
  wxops stress report base.json new.json verdict.json --to markdown
  wxops stress report run.json --to junit > TEST-load.xml`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := cli.OneOf("--to", form, reportForms); err != nil {
				return err
			}
			write := reportWriters[form]
			var all []reported
			for _, name := range args {
				r, err := readReported(s, name)
				if err != nil {
					return unusable(name, err, "give load, curve or verdict documents")
				}
				all = append(all, r)
			}
			var b bytes.Buffer
			if err := write(&b, all); err != nil {
				var usage *cli.Error
				if errors.As(err, &usage) {
					return usage
				}
				return cli.Usagef("%s", err)
			}
			if file == "" {
				_, err := s.Out.Write(b.Bytes())
				return err
			}
			if err := cli.WriteFile(file, b.Bytes()); err != nil {
				return cli.Unwritable(file, err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&form, "to", "html", "write it as `FORMAT` "+strings.Join(reportForms, "|"))
	cli.Complete(cmd, "to", reportForms)
	cmd.Flags().StringVar(&file, "out", "", "write to this `FILE` instead of standard output")
	return cmd
}

func readReported(s *cli.IO, name string) (reported, error) {
	r := reported{Name: filepath.Base(name)}
	b, _, err := readInput(s, name)
	if err != nil {
		return r, err
	}
	var head struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return r, err
	}
	var e doc.Envelope
	switch {
	case strings.HasPrefix(head.Schema, "wxops/curve/"):
		r.Curve = &capacity.Curve{}
		e, err = doc.Read(bytes.NewReader(b), kindCurve, r.Curve)
	case strings.HasPrefix(head.Schema, "wxops/verdict/"):
		r.Gate = &stress.GateDocument{}
		e, err = doc.Read(bytes.NewReader(b), kindVerdict, r.Gate)
	default:
		r.Load = &load.Document{}
		e, err = doc.Read(bytes.NewReader(b), kindLoad, r.Load)
	}
	if e.Created != nil {
		r.Created = e.Created.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	return r, err
}

// tableOf is the table that the command itself prints.
func (r reported) tableOf() *cli.Table {
	switch {
	case r.Load != nil:
		return loadTable(r.Load)
	case r.Curve != nil:
		return findMaxTable(r.Curve)
	}
	return gateTable(r.Gate, nil)
}

func (r reported) title() string {
	switch {
	case r.Load != nil:
		return r.Name + ": load on " + r.Load.URL
	case r.Curve != nil:
		return r.Name + ": curve of " + strings.TrimSpace(r.Curve.Service+" "+r.Curve.Instance)
	}
	return r.Name + ": comparison"
}

func (r reported) verdict() string {
	switch {
	case r.Load != nil:
		return r.Load.Verdict
	case r.Curve != nil:
		return string(r.Curve.Verdict)
	}
	return string(r.Gate.Verdict)
}

// runRoles tell the runs of one picture apart.
var runRoles = []chart.Role{chart.Data, chart.Warn, chart.Knee, chart.Good, chart.Dim}

// figures are the pictures of a report: the response time over time and over
// quantiles of all load documents, and every curve.
func figures(all []reported) []chart.Figure {
	timeline := chart.Figure{Title: "Response time over time", About: "The 99 % quantile of the response time in each interval.", X: chart.Axis{Label: "time", Unit: "s"}, Y: chart.Axis{Label: "p99", Unit: "s", Log: true}}
	spectrum := chart.Figure{Title: "Response time by quantile", About: "The response time that one request in so many exceeds.", X: chart.Axis{Label: "one request in", Log: true}, Y: chart.Axis{Label: "response time", Unit: "s", Log: true}}
	rates := chart.Figure{Title: "Throughput over time", About: "Answers per second in each interval.", X: chart.Axis{Label: "time", Unit: "s"}, Y: chart.Axis{Label: "throughput", Unit: "req/s"}}
	var out []chart.Figure
	for _, r := range all {
		if r.Load != nil {
			role := runRoles[len(spectrum.Series)%len(runRoles)]
			t, x, y := chart.Series{Name: r.Name, Role: role}, chart.Series{Name: r.Name, Role: role}, chart.Series{Name: r.Name, Role: role, Style: chart.Step}
			for _, i := range thin(r.Load.Intervals) {
				if 2*i.Seconds < r.Load.Intervals[0].Seconds {
					continue // the run ended in it: a few requests are no quantile
				}
				t.X, t.Y = append(t.X, i.At+i.Seconds/2), append(t.Y, value(i.P99))
				y.X, y.Y = append(y.X, i.At), append(y.Y, i.Throughput)
			}
			if h, err := r.Load.Response.Histogram(); err == nil && h.TotalCount() > 0 {
				for one := 2.0; one <= float64(h.TotalCount()); one *= 1.3 {
					x.X, x.Y = append(x.X, one), append(x.Y, float64(h.ValueAtPercentile(100*(1-1/one)))/1e9)
				}
			}
			for _, rule := range p99Rules(r.Load) {
				if !slices.Contains(timeline.Rules, rule) {
					timeline.Rules = append(timeline.Rules, rule)
				}
			}
			timeline.Series, spectrum.Series, rates.Series = append(timeline.Series, t), append(spectrum.Series, x), append(rates.Series, y)
		}
		if c := r.Curve; c != nil {
			f := chart.Figure{Title: "Curve of " + r.Name, About: "The 99 % quantile of the response time against the throughput.", X: chart.Axis{Label: "throughput", Unit: "req/s"}, Y: chart.Axis{Label: "p99", Unit: "s"}}
			points := chart.Series{Name: "windows", Style: chart.Scatter}
			top := 0.0
			for _, p := range c.Points {
				points.X, points.Y = append(points.X, p.Throughput), append(points.Y, value(p.P99))
				if p.P99 != nil {
					top = max(top, *p.P99)
				}
			}
			f.Series = append(f.Series, points)
			if o, err := capacity.ParseObjective(c.SLO); err == nil {
				if term, ok := o.Latency(); ok {
					f.Rules = append(f.Rules, chart.Rule{Name: term.String(), Value: term.Bound})
					f.Y.Max = 1.15 * max(top, term.Bound) // room for the name of the rule
				}
			}
			if k := c.Capacity; k.Found && k.PerSecond != nil && k.Low != nil && k.High != nil {
				f.Marks = append(f.Marks, chart.Mark{Name: "capacity", X: *k.PerSecond, Low: *k.Low, High: *k.High, Y: math.NaN()})
			}
			out = append(out, f)
		}
	}
	if len(spectrum.Series) > 0 {
		out = append(out, timeline, spectrum, rates)
	}
	return out
}

// p99Rules are the thresholds that the time line of the p99 can show.
func p99Rules(d *load.Document) (rules []chart.Rule) {
	for _, t := range d.Thresholds {
		o, err := capacity.ParseObjective(t.Text)
		if err != nil {
			continue
		}
		for _, term := range o.Terms {
			if term.Metric == "p99" {
				rules = append(rules, chart.Rule{Name: term.String(), Value: term.Bound})
			}
		}
	}
	return rules
}

// thin keeps a page small: at most 300 intervals, of each group the slowest.
func thin(in []load.Window) []load.Window {
	const most = 300
	if len(in) <= most {
		return in
	}
	var out []load.Window
	for group := range slices.Chunk(in, (len(in)+most-1)/most) {
		out = append(out, slices.MaxFunc(group, func(a, b load.Window) int {
			switch x, y := value(a.P99), value(b.P99); {
			case x < y || math.IsNaN(x):
				return -1
			case x > y:
				return 1
			}
			return 0
		}))
	}
	return out
}

func value(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}

var page = template.Must(template.New("report").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>wxops stress report</title><style>
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
pre{background:#f4f4f4;padding:.8rem;white-space:pre-wrap;overflow-wrap:anywhere}h2{margin-top:2rem}svg{max-width:100%;height:auto}
.no{color:#a00000;font-weight:bold}.yes{color:#006000;font-weight:bold}
</style></head><body><h1>wxops stress report</h1>
{{range .Runs}}<h2>{{.Title}}</h2><p>{{.Created}} <span class="{{if .Good}}yes{{else}}no{{end}}">verdict: {{.Verdict}}</span></p><pre>{{.Text}}</pre>
{{end}}{{range .Pictures}}<figure>{{.}}</figure>
{{end}}</body></html>
`))

// maxPage keeps a page easy to mail: 120 kB.
const maxPage = 120_000

func writeHTML(w io.Writer, all []reported) error {
	type run struct {
		Title, Created, Verdict, Text string
		Good                          bool
	}
	var data struct {
		Runs     []run
		Pictures []template.HTML
	}
	for _, r := range all {
		var text bytes.Buffer
		if err := r.tableOf().Write(&text); err != nil {
			return err
		}
		v := r.verdict()
		data.Runs = append(data.Runs, run{r.title(), r.Created, v, text.String(), v == "valid" || v == "ok" || v == "pass"})
	}
	for _, f := range figures(all) {
		data.Pictures = append(data.Pictures, template.HTML(f.SVG(860, 360))) //nolint:gosec // chart escapes the texts that it draws
	}
	var b bytes.Buffer
	if err := page.Execute(&b, data); err != nil {
		return err
	}
	if b.Len() > maxPage {
		return fmt.Errorf("the page would have %d bytes, at most %d are wanted; report fewer files at once", b.Len(), maxPage)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func writeMarkdown(w io.Writer, all []reported) error {
	for i, r := range all {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "## %s\n\n**verdict: %s**\n\n```\n", r.title(), r.verdict())
		if err := r.tableOf().Write(w); err != nil {
			return err
		}
		fmt.Fprintln(w, "```")
	}
	return nil
}

// The elements of a JUnit report that every CI system reads.
type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitMessage `xml:"failure,omitempty"`
	Skipped *junitMessage `xml:"skipped,omitempty"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
}

func writeJUnit(w io.Writer, all []reported) error {
	var out junitSuites
	for _, r := range all {
		suite := junitSuite{Name: r.title()}
		add := func(name, failure string) {
			c := junitCase{Class: "wxops.stress", Name: name}
			if failure != "" {
				c.Failure = &junitMessage{failure}
				suite.Failures++
			}
			suite.Cases = append(suite.Cases, c)
			suite.Tests++
		}
		unless := func(good bool, failure string) string {
			if good {
				return ""
			}
			return failure
		}
		switch {
		case r.Load != nil:
			add("the generator was not the limit", unless(r.Load.Verdict != load.VerdictClientLimited, r.Load.Reason))
			for _, t := range r.Load.Thresholds {
				add(t.Text, unless(t.Met, fmt.Sprintf("measured %v", shown(t.Value))))
			}
		case r.Curve != nil:
			add("capacity with "+r.Curve.SLO, unless(r.Curve.Verdict == capacity.VerdictOK, fmt.Sprintf("%s: %s", r.Curve.Verdict, r.Curve.Reason)))
		default:
			for _, m := range r.Gate.Metrics {
				change := fmt.Sprintf("%+.1f %%", 100*m.Effect)
				add(m.Name, unless(m.Verdict != stress.GateRegression, change))
				if m.Verdict == stress.GateUndecided {
					suite.Cases[len(suite.Cases)-1].Skipped = &junitMessage{"undecided: " + change}
					suite.Skipped++
				}
			}
		}
		out.Suites = append(out.Suites, suite)
	}
	b, err := xml.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, b)
	return err
}

// writeHDRPlot writes the percentile table that HdrHistogram tools plot, in
// milliseconds. The form has no place for names of runs, and plotters take a
// file for each, so that of several runs is refused: merged they would be the
// percentiles of none.
func writeHDRPlot(w io.Writer, all []reported) error {
	var runs []reported
	var names []string
	for _, r := range all {
		if r.Load != nil {
			runs, names = append(runs, r), append(names, r.Name)
		}
	}
	switch len(runs) {
	case 0:
		return cli.Usagef("--to hdrplot needs a load document").WithHint("wxops stress load URL -o json makes one")
	case 1:
	default:
		return cli.Usagef("--to hdrplot takes one load document, not %d: %s", len(runs), strings.Join(names, ", ")).
			WithHint("wxops stress report run.json --to hdrplot --out run.hgrm, for each run")
	}
	h, err := runs[0].Load.Response.Histogram()
	if err != nil {
		return fmt.Errorf("%s: %w", runs[0].Name, err)
	}
	_, err = h.PercentilesPrint(w, 5, 1e6)
	return err
}

func writePrometheus(w io.Writer, all []reported) error {
	label := func(s string) string { return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) }
	metric := func(name, kind, help string, lines func(emit func(labels string, v float64))) {
		head := fmt.Sprintf("# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
		lines(func(labels string, v float64) {
			fmt.Fprintf(w, "%s%s{%s} %g\n", head, name, labels, v)
			head = "" // once, and not at all without a value
		})
	}
	metric("wxops_load_response_seconds", "gauge", "Response time by quantile.", func(emit func(string, float64)) {
		for _, r := range all {
			if r.Load == nil {
				continue
			}
			for _, q := range []struct {
				name string
				v    *float64
			}{{"0.5", r.Load.Response.P50}, {"0.9", r.Load.Response.P90}, {"0.99", r.Load.Response.P99}, {"0.999", r.Load.Response.P999}} {
				if q.v != nil {
					emit(fmt.Sprintf(`run="%s",quantile="%s"`, label(r.Name), q.name), *q.v)
				}
			}
		}
	})
	metric("wxops_load_throughput_per_second", "gauge", "Answers per second.", func(emit func(string, float64)) {
		for _, r := range all {
			if r.Load != nil {
				emit(fmt.Sprintf(`run="%s"`, label(r.Name)), r.Load.Throughput)
			}
		}
	})
	metric("wxops_load_error_ratio", "gauge", "Share of requests that failed.", func(emit func(string, float64)) {
		for _, r := range all {
			if r.Load != nil {
				emit(fmt.Sprintf(`run="%s"`, label(r.Name)), r.Load.ErrorRatio)
			}
		}
	})
	metric("wxops_capacity_per_second", "gauge", "Highest throughput that meets the objective.", func(emit func(string, float64)) {
		for _, r := range all {
			if r.Curve != nil && r.Curve.Capacity.PerSecond != nil {
				emit(fmt.Sprintf(`run="%s"`, label(r.Name)), *r.Curve.Capacity.PerSecond)
			}
		}
	})
	return nil
}
