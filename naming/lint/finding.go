package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// add completes a finding and keeps it if its rule is on.
func (l *linter) add(f Finding) {
	if !l.opt.rules[f.Rule] {
		return
	}
	f.Severity = severityOf(f.Rule)
	if s, ok := l.opt.Severity[f.Rule]; ok {
		f.Severity = s
	}
	for i := -1; i < len(f.Keys); i++ {
		key := &f.Key
		if i >= 0 {
			key = &f.Keys[i]
		}
		if m := masked(*key); m != *key {
			f.Message = strings.ReplaceAll(f.Message, *key, m)
			*key = m
		}
	}
	if f.Places == 0 {
		f.Places = len(f.Paths)
	}
	if len(f.Paths) > maxPaths {
		f.Paths = f.Paths[:maxPaths]
	}
	if f.Service == "" {
		f.Service = l.serviceAt(first(f.Paths))
	}
	l.findings = append(l.findings, f)
}

// causes gathers findings by what caused them, in the order in which the causes
// came up: one finding with many paths where there would be many.
type causes[K comparable] struct {
	found map[K]*Finding
	order []K
}

// at returns the finding of a cause, the one that first makes if it is new.
func (c *causes[K]) at(k K, first func() Finding) *Finding {
	f := c.found[k]
	if f == nil {
		if c.found == nil {
			c.found = map[K]*Finding{}
		}
		made := first()
		f = &made
		c.found[k] = f
		c.order = append(c.order, k)
	}
	return f
}

func (c *causes[K]) all(yield func(*Finding) bool) {
	for _, k := range c.order {
		if !yield(c.found[k]) {
			return
		}
	}
}

func (l *linter) serviceAt(p string) string {
	service, _, _ := strings.Cut(p, "/")
	return service
}

// about begins a finding on some members of a group.
func (l *linter) about(rule string, g *group, members []member, key string) Finding {
	f := Finding{Rule: rule, Service: g.service, Version: g.version, Key: key, file: g.home + "/" + g.rel}
	if g.version == "" {
		f.Version = l.p.versionOf(g)
	}
	f.Paths = l.paths(members)
	return f
}

func (l *linter) paths(members []member) []string {
	var paths []string
	for _, m := range members {
		paths = append(paths, l.t.path(m.entry))
	}
	return paths
}

// who names the members in a message: "1 of 12 instances of checkout@1.4.2
// differs (prod/checkout-3)".
func (l *linter) who(g *group, members []member, verb, plural string) string {
	unit := "environments"
	for _, m := range g.members {
		if m.spot.instance != "" {
			unit = "instances"
		}
	}
	if g.family == "copies" {
		unit = "copies"
	} else if g.family == "hosts" {
		unit = "hosts"
	}
	var labels []string
	for _, m := range members {
		labels = append(labels, m.spot.label())
	}
	slices.Sort(labels)
	labels = slices.Compact(labels)
	n, total := len(members), len(g.members)
	if unit == "environments" {
		n, total = len(labels), len(envsOf(g.members))
	}
	if n > 1 {
		verb = plural
	}
	if len(labels) > 4 {
		labels = append(labels[:4:4], fmt.Sprintf("%d more", len(labels)-4))
	}
	service := g.service
	if v := cmp.Or(g.version, l.p.versionOf(g)); v != "" {
		service += "@" + v
	}
	return fmt.Sprintf("%d of %d %s of %s %s (%s)", n, total, unit, service, verb, strings.Join(labels, ", "))
}

func envsOf(members []member) []string {
	var out []string
	for _, m := range members {
		out = append(out, m.spot.env)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
