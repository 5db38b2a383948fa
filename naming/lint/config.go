package lint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.yaml.in/yaml/v3"
)

// A Config is the file .wxops-lint.yaml of a tree.
type Config struct {
	Layouts   []string          `yaml:"layouts,omitempty"`
	Inventory string            `yaml:"inventory,omitempty"` // a path relative to the file
	Reference string            `yaml:"reference,omitempty"`
	FailOn    string            `yaml:"fail_on,omitempty"`
	Rules     map[string]string `yaml:"rules,omitempty"` // id or family: error, warning, info or off
	Suppress  []Suppression     `yaml:"suppress,omitempty"`
	Ignore    []string          `yaml:"ignore,omitempty"`
	Ordered   []string          `yaml:"ordered,omitempty"`
	LongCache string            `yaml:"long_cache,omitempty"`
	Shared    struct {
		Keys     int `yaml:"keys,omitempty"`
		Services int `yaml:"services,omitempty"`
	} `yaml:"shared,omitempty"`

	Path string `yaml:"-"` // where it was found; "" if there is none
}

// FindConfig reads the nearest .wxops-lint.yaml at or above dir; without one
// the zero Config is returned.
func FindConfig(dir string) (Config, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Config{}, err
	}
	for {
		file := filepath.Join(dir, ConfigName)
		b, err := os.ReadFile(file)
		if err == nil {
			return ReadConfig(file, b)
		}
		if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrInvalid) && filepath.Dir(dir) == dir {
			return Config{}, err
		}
		if filepath.Dir(dir) == dir {
			return Config{}, nil
		}
		dir = filepath.Dir(dir)
	}
}

// ReadConfig reads the bytes of a configuration file. Unknown keys are errors.
func ReadConfig(file string, b []byte) (Config, error) {
	c := Config{}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return c, fmt.Errorf("read %s: %w", file, err)
	}
	c.Path = file
	for i, s := range c.Suppress {
		switch {
		case s.Rule == "":
			return c, fmt.Errorf("read %s: suppress[%d] names no rule", file, i)
		case s.Reason == "":
			return c, fmt.Errorf("read %s: suppress[%d] of %s gives no reason", file, i, s.Rule)
		}
	}
	for _, rule := range sortedKeys(c.Rules) {
		known := false
		for _, r := range Rules() {
			known = known || matchesRule([]string{rule}, r.ID)
		}
		if !known {
			return c, fmt.Errorf("read %s: rules: %q is no rule and no family", file, rule)
		}
		switch c.Rules[rule] {
		case "error", "warning", "info", "off":
		default:
			return c, fmt.Errorf("read %s: rules: %s: %q is not one of error, warning, info, off", file, rule, c.Rules[rule])
		}
	}
	return c, nil
}

// Apply adds what the file says to options; what the options already say wins.
func (c Config) Apply(o *Options) error {
	if len(o.Layouts) == 0 {
		o.Layouts = c.Layouts
	}
	if o.Reference == "" {
		o.Reference = c.Reference
	}
	o.Ignore = append(o.Ignore, c.Ignore...)
	o.Ordered = append(o.Ordered, c.Ordered...)
	o.Suppress = append(o.Suppress, c.Suppress...)
	if o.SharedKeys == 0 {
		o.SharedKeys = c.Shared.Keys
	}
	if o.SharedServices == 0 {
		o.SharedServices = c.Shared.Services
	}
	if c.LongCache != "" && o.LongCache == 0 {
		d, err := parseSpan(c.LongCache)
		if err != nil || d <= 0 {
			return fmt.Errorf("read %s: long_cache: %q is no span like 30s, 10m, 1h or 30d", c.Path, c.LongCache)
		}
		o.LongCache = d
	}
	if o.Severity == nil {
		o.Severity = map[string]Severity{}
	}
	for _, pattern := range sortedKeys(c.Rules) { // a family comes before its members
		for _, r := range Rules() {
			if !matchesRule([]string{pattern}, r.ID) {
				continue
			}
			if c.Rules[pattern] == "off" {
				if _, single := c.Rules[r.ID]; single && pattern != r.ID {
					continue
				}
				o.Skip = append(o.Skip, r.ID)
			} else if _, ok := o.Severity[r.ID]; !ok || pattern == r.ID {
				o.Severity[r.ID] = Severity(c.Rules[pattern])
			}
		}
	}
	return nil
}

// ExampleConfig is what --init writes: every setting with its default.
const ExampleConfig = `# Settings of wxops lint-config for this tree.
# layouts:
#   - "{service}/{env}/{instance}/conf/{file...}"
# inventory: names.json
fail_on: error
rules: {}
#  WX403: off
#  WX502: error
suppress: []
#  - rule: WX102
#    path: "checkout/**"
#    key: pool.size
#    reason: the test machines are half as large
#    until: 2026-12-31
ignore: []
#  - "*.md"
ordered: []
#  - "plugins"
long_cache: 1h
shared:
  keys: 3
  services: 5
`

// A Baseline lists findings that were there when it was written.
type Baseline struct {
	Schema  string          `yaml:"schema"`
	Entries []BaselineEntry `yaml:"entries"`
}

// A BaselineEntry silences one finding as long as it has no more places.
type BaselineEntry struct {
	Fingerprint string    `yaml:"fingerprint"`
	Rule        string    `yaml:"rule"`
	Path        string    `yaml:"path"`
	Count       int       `yaml:"count"`
	Reason      string    `yaml:"reason,omitempty"`
	Until       time.Time `yaml:"until,omitempty"`
}

const baselineSchema = "wxops-lint-baseline/v1"

// NewBaseline lists all findings of a report.
func NewBaseline(r *Report, reason string) []byte {
	b := Baseline{Schema: baselineSchema}
	for _, f := range r.Findings {
		b.Entries = append(b.Entries, BaselineEntry{Fingerprint: f.Fingerprint, Rule: f.Rule, Path: first(f.Paths), Count: f.Places, Reason: reason})
	}
	out, err := yaml.Marshal(b)
	if err != nil {
		panic(err) // plain structs of strings and numbers
	}
	return out
}

// ReadBaseline reads what NewBaseline wrote, perhaps edited by hand.
func ReadBaseline(b []byte) (Baseline, error) {
	var base Baseline
	if err := yaml.Unmarshal(b, &base); err != nil {
		return base, err
	}
	if base.Schema != baselineSchema {
		return base, fmt.Errorf("schema is %q, want %q", base.Schema, baselineSchema)
	}
	return base, nil
}

// ApplyBaseline takes out the findings the baseline lists, counts them as
// suppressed, and adds a finding for each entry that matches nothing or expired.
func (r *Report) ApplyBaseline(base Baseline, file string, o Options) {
	byPrint := map[string]int{}
	for i, e := range base.Entries {
		byPrint[e.Fingerprint] = i
	}
	used := make([]bool, len(base.Entries))
	kept := []Finding{}
	for _, f := range r.Findings {
		i, ok := byPrint[f.Fingerprint]
		if ok {
			used[i] = true
			e := base.Entries[i]
			expired := !e.Until.IsZero() && !o.Today.IsZero() && !o.Today.Before(e.Until.AddDate(0, 0, 1))
			if !expired && f.Places <= max(e.Count, 1) {
				r.Summary.Suppressed++
				if r.Summary.Findings[f.Rule]--; r.Summary.Findings[f.Rule] == 0 {
					delete(r.Summary.Findings, f.Rule)
				}
				continue
			}
		}
		kept = append(kept, f)
	}
	for i, e := range base.Entries {
		if used[i] || matchesRule(o.Skip, "WX901") || len(o.Only) > 0 || o.MD5Only || o.Changed != nil {
			continue
		}
		severity := severityOf("WX901")
		if s, ok := o.Severity["WX901"]; ok {
			severity = s
		}
		kept = append(kept, Finding{
			Rule: "WX901", Severity: severity, Paths: []string{file}, Places: 1, Fingerprint: "baseline-" + e.Fingerprint,
			Message: fmt.Sprintf("the baseline entry of %s at %s matches nothing any more", e.Rule, e.Path),
		})
		r.Summary.Findings["WX901"]++
	}
	r.Findings = kept
	if r.Summary.Verdict == "findings" && len(kept) == 0 {
		r.Summary.Verdict = "clean"
	}
}
