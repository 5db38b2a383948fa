// Yardstick judges changes of the forecasts: it runs several builds of wxops on
// sets of series and on their own past, and says how each differs from the first
// one and how far chance goes.
//
//	go run ./bench/forecast/yardstick [-sets a,b] [-past 3] [-plans FLAGS] DATA WXOPS [WXOPS...]
//
// DATA is that of bench/forecast/run. Each series is forecast at the end of its
// history and, -past times, from one horizon further back, where what followed
// is known as well; a window that two histories of one source share counts once.
// Errors of the figures are those of random halves of the sources: half of the
// sources without replacement scatter about the whole as the whole does about
// what it was drawn from. The figures are those of the M4 competition, OWA as a
// ratio of means over cases, and are computed here again from their definitions.
// With -plans it scores `forecast plan` with those flags instead, on hourly sets.
package main

import (
	"bytes"
	"encoding/csv"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// halves is the number of random halves.
const halves = 200

// A set is a kind of series: its files, how far ahead, and its periods in steps.
type set struct {
	name    string
	horizon int
	freq    int // of Naive2 and of the scale of errors
	season  int // of the naive peer
	day     int // 0: no day peaks
}

var sets = []set{
	{"m4_hourly", 48, 24, 168, 24},
	{"m4_weekly", 13, 1, 1, 0},
	{"cap_hourly", 168, 24, 168, 24},
	{"cap_daily", 56, 7, 7, 0},
	{"cap_5min", 288, 288, 288, 288},
}

// A history is one series of a set, with what followed.
type history struct {
	name   string
	stamps []string  // of values, and of future behind them
	values []float64 // NaN: missing
	future []float64
}

// source is the name without the origin that some sets add.
func (h history) source() string {
	name, _, _ := strings.Cut(h.name, "@")
	return name
}

// cut moves the end of the history back by so many steps.
func (h history) cut(back, horizon int) (history, bool) {
	n := len(h.values) - back
	if n < len(h.values)/2 {
		return history{}, false
	}
	if back > 0 {
		h.future = h.values[n:min(n+horizon, len(h.values))]
	}
	h.values = h.values[:n]
	return h, true
}

// windows cuts histories at their ends and up to past horizons before, by
// origin; a window that two histories of one source share is there once.
func (s set) windows(histories []history, past int) [][]history {
	out := make([][]history, past+1)
	seen := map[string]bool{}
	for k := range out {
		for _, h := range histories {
			c, ok := h.cut(k*s.horizon, s.horizon)
			if key := c.source() + fmt.Sprint(c.future); ok && !seen[key] {
				seen[key] = true
				out[k] = append(out[k], c)
			}
		}
	}
	return out
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("yardstick: ")
	only := flag.String("sets", "", "sets to measure, with commas; all without")
	past := flag.Int("past", 3, "how often the origin moves back by a horizon")
	plans := flag.String("plans", "", "score forecast plan with these flags, as \"--target 0.55\"")
	flag.Parse()
	if flag.NArg() < 2 {
		log.Fatal("usage: yardstick [-sets a,b] [-past 3] [-plans FLAGS] DATA WXOPS [WXOPS...]")
	}
	for _, s := range sets {
		if *only != "" && !strings.Contains(","+*only+",", ","+s.name+",") {
			continue
		}
		measure := s.measure
		if *plans != "" {
			if s.season != weekOfHours {
				continue
			}
			measure = func(data string, past int, builds []string) error {
				return s.measurePlans(data, past, builds, strings.Fields(*plans))
			}
		}
		if err := measure(flag.Arg(0), *past, flag.Args()[1:]); err != nil {
			log.Fatalf("%s: %v", s.name, err)
		}
	}
}

// measure prints the figures of every build on one set.
func (s set) measure(data string, past int, builds []string) error {
	histories, err := s.load(data)
	if err != nil {
		return err
	}
	results := make([][]score, len(builds))
	for k, batch := range s.windows(histories, past) {
		if len(batch) == 0 {
			continue
		}
		for i, build := range builds {
			paths, err := s.forecast(build, batch)
			if err != nil {
				return fmt.Errorf("%s: %w", build, err)
			}
			for _, h := range batch {
				results[i] = append(results[i], s.score(h, paths[h.name]))
			}
		}
		if k == 0 {
			s.print("end", builds, results)
		}
	}
	s.print("all", builds, results)
	return nil
}

// load reads the histories of a set and what followed them.
func (s set) load(data string) ([]history, error) {
	var out []history
	at := map[string]int{}
	for _, part := range []string{"train", "test"} {
		rows, err := unzipped(filepath.Join(data, s.name+"_"+part+".csv.gz"))
		if err != nil {
			return nil, err
		}
		for _, row := range rows[1:] {
			i, known := at[row[0]]
			if !known {
				i = len(out)
				at[row[0]] = i
				out = append(out, history{name: row[0]})
			}
			out[i].stamps = append(out[i].stamps, row[1])
			if part == "test" {
				out[i].future = append(out[i].future, number(row[2]))
				continue
			}
			out[i].values = append(out[i].values, number(row[2]))
		}
	}
	return out, nil
}

func unzipped(path string) ([][]string, error) {
	text, err := exec.Command("gzip", "-dc", path).Output()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return csv.NewReader(bytes.NewReader(text)).ReadAll()
}

// number reads a value; what is missing is NaN.
func number(text string) float64 {
	v := math.NaN()
	_, _ = fmt.Sscan(text, &v)
	return v
}

// A path is a forecast: by step mean, lower and upper end of 95 %, day peak.
type path struct{ mean, low, high, peak []float64 }

// forecast runs one build on histories.
func (s set) forecast(build string, batch []history) (map[string]path, error) {
	text, err := run(build, longCSV(batch, false), "forecast", "-", "--horizon", fmt.Sprint(s.horizon), "-o", "csv", "--quiet")
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		return nil, err
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	out := map[string]path{}
	for _, row := range rows[1:] {
		p := out[row[column["series"]]]
		p.mean = append(p.mean, number(row[column["mean"]]))
		p.low = append(p.low, number(row[column["lo95"]]))
		p.high = append(p.high, number(row[column["hi95"]]))
		p.peak = append(p.peak, number(row[column["peak_q95"]]))
		out[row[column["series"]]] = p
	}
	return out, nil
}

// longCSV writes histories, and what followed them too.
func longCSV(batch []history, followed bool) []byte {
	var out bytes.Buffer
	out.WriteString("series,t,value\n")
	for _, h := range batch {
		values := h.values
		if followed {
			values = slices.Concat(h.values, h.future)
		}
		for i, v := range values {
			text := ""
			if !math.IsNaN(v) {
				text = fmt.Sprint(v)
			}
			fmt.Fprintf(&out, "%s,%s,%s\n", h.name, h.stamps[i], text)
		}
	}
	return out.Bytes()
}

// run calls a build with something on standard input and returns what it prints.
func run(build string, in []byte, args ...string) ([]byte, error) {
	cmd := exec.Command(build, args...)
	cmd.Stdin = bytes.NewReader(in)
	cmd.Stderr = io.Discard
	return cmd.Output()
}

// print writes the figures of the first build with their errors, and those of
// the others as differences from it.
func (s set) print(title string, builds []string, results [][]score) {
	sources := map[string][]int{}
	var names []string
	for i, c := range results[0] {
		if sources[c.source] == nil {
			names = append(names, c.source)
		}
		sources[c.source] = append(sources[c.source], i)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	picks := make([][]int, halves)
	for i := range picks {
		for _, k := range rng.Perm(len(names))[:(len(names)+1)/2] {
			picks[i] = append(picks[i], sources[names[k]]...)
		}
	}
	fmt.Printf("%s, %s: %d windows of %d sources\n", s.name, title, len(results[0]), len(names))
	var first []float64
	for b, scores := range results {
		whole := summarize(scores, nil)
		fmt.Printf("  %-14s", filepath.Base(builds[b]))
		for j, v := range whole {
			if math.IsNaN(v) {
				continue
			}
			spread := 0.0
			for _, pick := range picks {
				d := summarize(scores, pick)[j] - v
				if b > 0 {
					d -= summarize(results[0], pick)[j] - first[j]
				}
				spread += d * d
			}
			if b > 0 {
				v -= first[j]
			}
			sign := ""
			if b > 0 {
				sign = "+"
			}
			fmt.Printf("  %s %"+sign+".4f±%.4f", figures[j], v, math.Sqrt(spread/halves))
		}
		fmt.Println()
		if b == 0 {
			first = whole
		}
	}
}

// summarize returns the figures over the scores that pick names, all if nil.
func summarize(scores []score, pick []int) []float64 {
	if pick == nil {
		for i := range scores {
			pick = append(pick, i)
		}
	}
	var sum score
	n := 0.0
	for _, i := range pick {
		c := scores[i]
		if math.IsNaN(c.mase) {
			continue
		}
		n++
		sum.smape += c.smape
		sum.mase += c.mase
		sum.smape2 += c.smape2
		sum.mase2 += c.mase2
		sum.msis += c.msis
		sum.covered += c.covered
		sum.relative += c.relative
		sum.peak += c.peak
		sum.peaks += c.peaks
		sum.below += c.below
	}
	return []float64{
		(sum.smape/sum.smape2 + sum.mase/sum.mase2) / 2, math.Exp(sum.relative / n),
		sum.msis / n, sum.covered / n, sum.peak / sum.peaks, sum.below / sum.peaks,
	}
}

var figures = []string{"OWA", "MAE", "MSIS", "cov", "peak", "pcov"}
