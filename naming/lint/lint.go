// Package lint holds a tree of configuration to the rule that makes scaling a
// pure operations task: all instances of one version of a service have the same
// configuration files, byte for byte, in every environment.
//
// [Run] reads a [Source], puts its files into groups (one file of one service
// and version, over instances and environments), compares each group and
// returns a [Report] with one [Finding] per cause: the smallest key or fact that
// explains a difference, and every place where it shows. What a value means is
// judged by [Rules], which have stable ids.
//
// The package never writes below the tree it reads, never follows a link, never
// opens what is no regular file, and never puts a credential into a finding.
//
//	report, err := lint.Run(ctx, lint.Dir("configs"), lint.Options{})
//	for _, f := range report.Findings {
//		fmt.Println(f.Rule, f.Message)
//	}
package lint

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Severity says whether a finding fails the check.
type Severity string

// The severities, from the one that never fails to the one that does by default.
const (
	Info    Severity = "info"
	Warning Severity = "warning"
	Error   Severity = "error"
)

// AtLeast reports whether s is as severe as least.
func (s Severity) AtLeast(least Severity) bool {
	rank := map[Severity]int{Info: 1, Warning: 2, Error: 3}
	return rank[s] >= rank[least]
}

// A Finding is one cause and all places where it shows. Line and Column belong
// to the first path and are 0 where the finding is about a whole file.
type Finding struct {
	Rule        string   `json:"rule" doc:"stable id, as WX101"`
	Severity    Severity `json:"severity" doc:"error, warning or info"`
	Service     string   `json:"service"`
	Version     string   `json:"version"`
	Key         string   `json:"key" doc:"dotted key path; empty for a fact about a whole file"`
	Keys        []string `json:"keys,omitempty" doc:"all keys of a finding that is about many"`
	Paths       []string `json:"paths" doc:"places, at most 1000, relative to the path argument"`
	Places      int      `json:"places" doc:"how many places there are"`
	Message     string   `json:"message"`
	Fingerprint string   `json:"fingerprint" doc:"stays when lines move"`
	Line        int      `json:"line"`
	Column      int      `json:"column"`

	file string // path of the group's file, for the fingerprint
}

// Summary counts what a run has seen.
type Summary struct {
	Files      int            `json:"files"`
	Unique     int            `json:"unique_contents"`
	Groups     int            `json:"groups_compared" doc:"files with at least two copies"`
	Findings   map[string]int `json:"findings" doc:"by rule"`
	Suppressed int            `json:"suppressed" doc:"by configuration or baseline"`
	Unreadable int            `json:"unreadable"`
	Layouts    []string       `json:"layouts" doc:"how the paths were understood"`
	Verdict    string         `json:"verdict" doc:"clean, findings, nothing-compared or unreadable"`
}

// A Report is the outcome of a run, and the data of the document lint.
type Report struct {
	Findings []Finding `json:"findings"`
	Summary  Summary   `json:"summary"`

	// Unreadable names what could not be read, and why.
	Unreadable []error `json:"-"`
	// Bytes is how much was read.
	Bytes int64 `json:"-"`
	fixes []fix
}

// Options choose what is compared and how. The zero value means the defaults
// given with each field.
type Options struct {
	Layouts   []string   // patterns of paths; none: recognize the common ones
	Inventory *Inventory // what is deployed; nil: infer names from paths
	Reference string     // "env=NAME" or a directory; "": the largest group of equal files

	Only, Skip []string            // rule ids or families such as WX1xx
	Severity   map[string]Severity // overrides by rule id
	MD5Only    bool                // only WX101 WX102 WX501 WX502 WX503, nothing parsed

	MaxParse       int64         // bytes of a file that is still parsed; 4 MiB
	LongCache      time.Duration // longest cache of the logic layer; 1 h
	SharedKeys     int           // keys of a block that counts as a shared item; 3
	SharedServices int           // services that must have it; 5
	Ordered        []string      // globs of key paths whose list order counts
	Ignore         []string      // patterns with .gitignore meaning
	Suppress       []Suppression
	Today          time.Time             // for expiry; zero: nothing expires
	Workers        int                   // readers; 0: one for each core
	Progress       func(done, total int) `json:"-"`

	// Changed, if not nil, limits findings to groups with one of these paths.
	Changed map[string]bool
	// Root names the tree where paths do not name a service; "" is "root".
	Root string

	layouts  []layout
	ordered  *ignoreRules
	envWords map[string]string // names of environments beyond the known words
	rules    map[string]bool
}

// A Suppression silences findings that somebody decided to keep.
type Suppression struct {
	Rule   string    `yaml:"rule"`
	Path   string    `yaml:"path"` // glob over the paths; "" is all
	Key    string    `yaml:"key"`  // glob over the key; "" is all
	Reason string    `yaml:"reason"`
	Until  time.Time `yaml:"until"` // zero: for ever
	Line   int       `yaml:"-"`     // in the file it came from
}

// maxPaths is how many places of a finding are listed; Places counts all.
const maxPaths = 1000

func (o *Options) prepare() error {
	o.layouts = nil
	if o.MaxParse == 0 {
		o.MaxParse = 4 << 20
	}
	if o.LongCache == 0 {
		o.LongCache = time.Hour
	}
	if o.SharedKeys == 0 {
		o.SharedKeys = 3
	}
	if o.SharedServices == 0 {
		o.SharedServices = 5
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	for _, text := range o.Layouts {
		l, err := parseLayout(text)
		if err != nil {
			return err
		}
		o.layouts = append(o.layouts, l)
	}
	if len(o.Ordered) > 0 {
		o.ordered = newIgnore(o.Ordered)
	}
	if o.Inventory != nil {
		o.envWords = map[string]string{}
		for _, e := range o.Inventory.Environments {
			o.envWords[strings.ToLower(e)] = envClass(e)
		}
	}
	only, skip := o.Only, o.Skip
	if o.MD5Only {
		only = []string{"WX101", "WX102", "WX501", "WX502", "WX503"}
	}
	o.rules = map[string]bool{}
	for _, r := range Rules() {
		o.rules[r.ID] = (len(only) == 0 || matchesRule(only, r.ID)) && !matchesRule(skip, r.ID)
	}
	for _, pattern := range append(slices.Clone(only), skip...) {
		if !slices.ContainsFunc(Rules(), func(r Rule) bool { return matchesRule([]string{pattern}, r.ID) }) {
			return fmt.Errorf("rule %q is not known: ids are WX101 to WX903, families WX1xx to WX9xx", pattern)
		}
	}
	return nil
}

func matchesRule(patterns []string, id string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		p = strings.ToUpper(p)
		return p == id || strings.HasSuffix(p, "XX") && len(p) == 5 && p[:3] == id[:3]
	})
}

func (o *Options) rootName() string {
	if o.Root == "" {
		return "root"
	}
	return o.Root
}

// Run lints a source. The report is complete even where something could not be
// read: that is in Report.Unreadable. The error is about what made a report
// impossible: an unusable option, a source that cannot be opened, a cancelled context.
func Run(ctx context.Context, source Source, opt Options) (*Report, error) {
	if err := opt.prepare(); err != nil {
		return nil, err
	}
	t, err := source.load(ctx, &opt)
	if err != nil {
		return nil, err
	}
	l := newLinter(t, &opt)
	if d, ok := source.(dirSource); ok {
		l.root = d.root
	}
	l.run(ctx)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return l.report(), nil
}

// report sorts the findings, applies suppressions and counts.
func (l *linter) report() *Report {
	r := &Report{Findings: []Finding{}, Bytes: l.t.bytes, fixes: l.fixes}
	kept, suppressed := l.suppress(l.findings)
	seen := map[string]int{}
	slices.SortStableFunc(kept, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(first(a.Paths), first(b.Paths)), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Message, b.Message))
	})
	r.Summary = Summary{
		Files: len(l.t.entries), Unique: l.unique(), Groups: l.compared, Findings: map[string]int{},
		Suppressed: suppressed, Unreadable: len(l.t.failed), Layouts: l.layouts(),
	}
	for i := range kept {
		f := &kept[i]
		r.Summary.Findings[f.Rule]++
		h := sha256.Sum256([]byte(strings.Join([]string{f.Rule, f.Service, f.file, f.Key, strings.Join(f.Keys, ",")}, "\x00")))
		f.Fingerprint = hex.EncodeToString(h[:8])
		if seen[f.Fingerprint]++; seen[f.Fingerprint] > 1 {
			f.Fingerprint += fmt.Sprintf("-%d", seen[f.Fingerprint])
		}
	}
	r.Findings = append(r.Findings, kept...)
	for _, f := range l.t.failed {
		r.Unreadable = append(r.Unreadable, fmt.Errorf("read %q: %w", f.path, f.err))
	}
	switch {
	case l.compared == 0:
		r.Summary.Verdict = "nothing-compared"
	case len(l.t.failed) > 0:
		r.Summary.Verdict = "unreadable"
	case len(kept) > 0:
		r.Summary.Verdict = "findings"
	default:
		r.Summary.Verdict = "clean"
	}
	return r
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// Worst returns the highest severity among the findings, "" if there are none.
func (r *Report) Worst() Severity {
	var worst Severity
	for _, f := range r.Findings {
		if f.Severity.AtLeast(worst) {
			worst = f.Severity
		}
	}
	return worst
}
