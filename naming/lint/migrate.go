package lint

import (
	"bufio"
	"fmt"
	"io"
	"slices"
)

// A Migration is the shortest list of decisions that brings a service to one
// MD5 in all environments.
type Migration struct {
	Service string
	Names   []string // keys that the name service gives from now on
	Shared  []string // keys that belong into the shared file
	Revert  []string // edits by hand to take back, as "path: key"
	Other   []string // what is left to decide: "WX701 data"
}

var migrateTo = map[string]string{
	"WX201": "names", "WX202": "names", "WX203": "names", "WX301": "names", "WX302": "names", "WX601": "names", "WX602": "names",
	"WX401": "shared", "WX402": "shared", "WX403": "shared",
	"WX101": "revert", "WX103": "revert", "WX105": "revert", "WX303": "revert", "WX501": "revert", "WX502": "revert", "WX503": "revert",
	"WX504": "revert", "WX505": "revert", "WX506": "revert", "WX507": "revert", "WX508": "revert", "WX509": "revert", "WX512": "revert", "WX513": "revert",
	"WX102": "names",
}

// Migrate turns the findings of a report into decisions, one service after another.
func (r *Report) Migrate() []Migration {
	by := map[string]*Migration{}
	for _, f := range r.Findings {
		m := by[f.Service]
		if m == nil {
			m = &Migration{Service: f.Service}
			by[f.Service] = m
		}
		keys := f.Keys
		if len(keys) == 0 {
			keys = []string{f.Key}
		}
		for _, k := range keys {
			entry := first(f.Paths)
			if k != "" {
				entry += ": " + k
			}
			switch to := migrateTo[f.Rule]; {
			case to == "names" && k != "":
				m.Names = append(m.Names, k)
			case to == "shared":
				m.Shared = append(m.Shared, k)
			case to != "":
				m.Revert = append(m.Revert, entry)
			default:
				m.Other = append(m.Other, f.Rule+" "+entry)
			}
		}
	}
	out := []Migration{}
	for _, s := range sortedKeys(by) {
		m := by[s]
		for _, list := range []*[]string{&m.Names, &m.Shared, &m.Revert, &m.Other} {
			slices.Sort(*list)
			*list = slices.Compact(*list)
		}
		out = append(out, *m)
	}
	return out
}

// WriteMigrations prints the decisions for people.
func WriteMigrations(w io.Writer, list []Migration) error {
	b := bufio.NewWriter(w)
	for _, m := range list {
		fmt.Fprintf(b, "%s: %s to the name service, %d to the shared file, %s to revert, %s\n", m.Service, counted(len(m.Names), "key", "keys"), len(m.Shared),
			counted(len(m.Revert), "edit", "edits"), counted(len(m.Other), "other decision", "other decisions"))
		for _, part := range []struct {
			what string
			list []string
		}{{"name service", m.Names}, {"shared file", m.Shared}, {"revert", m.Revert}, {"decide", m.Other}} {
			for _, k := range part.list {
				fmt.Fprintf(b, "  %-12s  %s\n", part.what, printable(k))
			}
		}
	}
	if len(list) == 0 {
		fmt.Fprintln(b, "nothing to decide: every service has one MD5")
	}
	return b.Flush()
}
