package main

import (
	"fmt"
	"strings"

	"github.com/wxops/wxops/forecast"
	"github.com/wxops/wxops/internal/cli"
)

// Warnings of one kind are printed for so many series each; of more series the
// first few are, and the rest is summed up. A document has all of them.
const (
	mostAlike  = 10
	firstAlike = 3
	mostNames  = 20 // in the line that sums up the series that are left out
)

// printWarnings writes warnings to standard error.
func printWarnings(s *cli.IO, warnings []forecast.Warning) {
	number := map[string]int{}
	for _, w := range warnings {
		if w.Series != "" {
			number[w.Kind]++
		}
	}
	type sum struct {
		series, count int
		names         []string
	}
	told, rest := map[string]int{}, map[string]*sum{}
	var kinds []string
	for _, w := range warnings {
		if w.Series != "" && number[w.Kind] > mostAlike {
			if told[w.Kind]++; told[w.Kind] > firstAlike {
				if rest[w.Kind] == nil {
					rest[w.Kind] = &sum{}
					kinds = append(kinds, w.Kind)
				}
				r := rest[w.Kind]
				r.series++
				r.count += w.Count
				r.names = append(r.names, w.Series)
				continue
			}
		}
		fmt.Fprintf(s.Err, "warning: %s\n", w)
	}
	for _, k := range kinds {
		r := rest[k]
		line := fmt.Sprintf("%d more series", r.series)
		if k == "series" { // which ones are missing is what matters
			names := r.names[:min(len(r.names), mostNames)]
			line += " left out: " + strings.Join(names, ", ")
			if more := len(r.names) - len(names); more > 0 {
				line += fmt.Sprintf(" and %d others", more)
			}
		} else if r.count > r.series {
			line += fmt.Sprintf(", %d in all", r.count)
		}
		fmt.Fprintf(s.Err, "warning: %s: %s; -o json has each\n", k, line)
	}
}

func warningTexts(warnings []forecast.Warning) []string {
	var out []string
	for _, w := range warnings {
		out = append(out, w.String())
	}
	return out
}
