package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/stress/load"
)

// loadTable is what a person reads of a load document.
func loadTable(d *load.Document) *cli.Table {
	t := cli.NewTable("TIME", ">ANSWERS", ">P50", ">P90", ">P99", ">P99.9", ">MAX")
	row := func(name string, answers int64, x load.Times) {
		t.Row(name, answers, shown(x.P50), shown(x.P90), shown(x.P99), shown(x.P999), shown(x.Max))
	}
	var answers int64
	for _, n := range d.Status {
		answers += n
	}
	row("response", answers, d.Response)
	row("service", answers, d.Service)
	if d.Mode != "closed" {
		t.Row("send lag", "", seconds(d.SendLag.P50), seconds(d.SendLag.P90), seconds(d.SendLag.P99), seconds(d.SendLag.P999), seconds(d.SendLag.Max))
	}
	for _, x := range d.Targets {
		row(x.Target, x.Answers, x.Response)
	}
	t.Note("offered %s req/s, throughput %s req/s, %s in %.1f s", perSecond(d.Offered), perSecond(d.Throughput), count(int(d.Requests), "request"), d.Seconds)
	t.Note("status: %s", counts(d.Status))
	t.Note("errors: %s", counts(d.Errors))
	if d.Log != nil && d.Log.Bad > 0 {
		t.Note("log: %d of %d lines are no request; the first is %.80q", d.Log.Bad, d.Log.Lines, d.Log.FirstBad)
	}
	t.Note("client: %s, %.2f CPU-seconds", count(d.Connections.Open, "connection"), d.Client.CPUSeconds)
	for _, x := range d.Thresholds {
		word := "MET"
		if !x.Met {
			word = "MISSED"
		}
		value := shown(x.Value)
		if strings.HasPrefix(x.Text, "errors") && x.Value != nil {
			value = fmt.Sprintf("%.3g %%", 100**x.Value)
		}
		t.Note("threshold %s: %s (%s)", x.Text, word, value)
	}
	verdict := "verdict: " + d.Verdict
	if d.Reason != "" {
		verdict += ": " + d.Reason
	}
	t.Note("%s", verdict)
	return t
}

// loadCSV is the time line of a load document, times in seconds; an empty cell
// is a value that there is not.
func loadCSV(d *load.Document) *cli.Table {
	t := cli.NewTable("AT_SECONDS", "SECONDS", "TARGET_PER_SECOND", "OFFERED_PER_SECOND", "THROUGHPUT_PER_SECOND",
		"P50_SECONDS", "P90_SECONDS", "P99_SECONDS", "P999_SECONDS", "SEND_LAG_P99_SECONDS", "ERRORS", "IN_FLIGHT", "CONNECTIONS")
	cell := func(v *float64) string {
		if v == nil {
			return ""
		}
		return strconv.FormatFloat(*v, 'g', -1, 64)
	}
	for _, w := range d.Intervals {
		t.Row(w.At, w.Seconds, cell(w.Target), w.Offered, w.Throughput, cell(w.P50), cell(w.P90), cell(w.P99), cell(w.P999), cell(w.LagP99), w.Errors, w.InFlight, w.Connections)
	}
	return t
}

// counts writes "200: 1000, 503: 2", "none" if there is nothing.
func counts(m map[string]int64) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s: %d", k, m[k]))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func shown(v *float64) string {
	if v == nil {
		return "-"
	}
	return seconds(*v)
}

// seconds writes a time with three digits.
func seconds(v float64) string {
	switch {
	case v >= 1:
		return fmt.Sprintf("%.3g s", v)
	case v >= 1e-3:
		return fmt.Sprintf("%.3g ms", v*1e3)
	}
	return fmt.Sprintf("%.3g µs", v*1e6)
}

// perSecond writes a rate with no more digits than it deserves.
func perSecond(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}
