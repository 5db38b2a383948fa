package lint

import (
	"bufio"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
)

// WriteText prints one line per finding, with the place first, and a summary.
func (r *Report) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	for _, f := range r.Findings {
		fmt.Fprintf(b, "%s%s: %s %s %s", printable(first(f.Paths)), position(f), strings.ToUpper(string(f.Severity)), f.Rule, printable(f.Message))
		if f.Places > 1 {
			fmt.Fprintf(b, " [%d places]", f.Places)
		}
		b.WriteByte('\n')
	}
	s := r.Summary
	counts := map[Severity]int{}
	for _, f := range r.Findings {
		counts[f.Severity]++
	}
	verdict := map[string]string{"clean": "OK", "findings": "FINDINGS", "nothing-compared": "NOTHING COMPARED", "unreadable": "INCOMPLETE"}[s.Verdict]
	if s.Verdict == "findings" && counts[Error] > 0 {
		verdict = "FAIL"
	}
	fmt.Fprintf(b, "%s: %s, %s, %d info in %s (%s, %s compared, %d suppressed, %d unreadable)\n",
		verdict, counted(counts[Error], "error", "errors"), counted(counts[Warning], "warning", "warnings"), counts[Info],
		counted(s.Files, "file", "files"), counted(s.Unique, "unique content", "unique contents"), counted(s.Groups, "group", "groups"), s.Suppressed, s.Unreadable)
	if len(s.Layouts) > 0 {
		shown := s.Layouts[:min(len(s.Layouts), 5)]
		more := ""
		if len(shown) < len(s.Layouts) {
			more = fmt.Sprintf(" and %d more", len(s.Layouts)-len(shown))
		}
		fmt.Fprintf(b, "layouts: %s%s\n", strings.Join(shown, ", "), more)
	}
	return b.Flush()
}

// printable keeps control characters of names and values out of a terminal.
func printable(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			fmt.Fprintf(&b, `\x%02x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func position(f Finding) string {
	if f.Line == 0 {
		return ""
	}
	return fmt.Sprintf(":%d:%d", f.Line, max(f.Column, 1))
}

// WriteJSONLines prints one finding per line and the summary last.
func (r *Report) WriteJSONLines(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for _, f := range r.Findings {
		if err := e.Encode(f); err != nil {
			return err
		}
	}
	return e.Encode(map[string]Summary{"summary": r.Summary})
}

// WriteGitHub prints workflow commands that annotate a pull request. prefix
// leads from the repository to the tree.
func (r *Report) WriteGitHub(w io.Writer, prefix string) error {
	b := bufio.NewWriter(w)
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	for _, f := range r.Findings {
		level := map[Severity]string{Error: "error", Warning: "warning", Info: "notice"}[f.Severity]
		fmt.Fprintf(b, "::%s file=%s", level, property.Replace(prefix+first(f.Paths)))
		if f.Line > 0 {
			fmt.Fprintf(b, ",line=%d,col=%d", f.Line, max(f.Column, 1))
		}
		fmt.Fprintf(b, ",title=%s::%s\n", property.Replace(f.Rule+" "+ruleName(f.Rule)), data.Replace(f.Message))
	}
	return b.Flush()
}

func ruleName(id string) string {
	for _, r := range ruleTable {
		if r.ID == id {
			return r.Name
		}
	}
	return ""
}

// WriteGitLab prints a GitLab code quality report.
func (r *Report) WriteGitLab(w io.Writer, prefix string) error {
	type lines struct {
		Begin int `json:"begin"`
	}
	type location struct {
		Path  string `json:"path"`
		Lines lines  `json:"lines"`
	}
	type issue struct {
		Description string   `json:"description"`
		CheckName   string   `json:"check_name"`
		Fingerprint string   `json:"fingerprint"`
		Severity    string   `json:"severity"`
		Location    location `json:"location"`
	}
	out := []issue{}
	for _, f := range r.Findings {
		severity := map[Severity]string{Error: "major", Warning: "minor", Info: "info"}[f.Severity]
		out = append(out, issue{f.Message, f.Rule, f.Fingerprint, severity, location{prefix + first(f.Paths), lines{max(f.Line, 1)}}})
	}
	return writeJSON(w, out)
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	File    string        `xml:"file,attr,omitempty"`
	Line    int           `xml:"line,attr,omitempty"`
	Failure *junitFailure `xml:"failure,omitempty"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Cases    []junitCase `xml:"testcase"`
}

// WriteJUnit prints one test case per finding; those at or above failOn fail.
// A run without findings has one case that passes.
func (r *Report) WriteJUnit(w io.Writer, failOn Severity) error {
	s := junitSuite{Name: "wxops lint-config"}
	for _, f := range r.Findings {
		c := junitCase{Name: xmlText(f.Rule + " " + first(f.Paths) + " " + f.Key), Class: f.Rule + "." + ruleName(f.Rule), File: xmlText(first(f.Paths)), Line: f.Line}
		if f.Severity.AtLeast(failOn) {
			c.Failure = &junitFailure{xmlText(f.Message), f.Rule, xmlText(strings.Join(f.Paths, "\n"))}
			s.Failures++
		} else {
			c.Out = xmlText(f.Message)
		}
		s.Cases = append(s.Cases, c)
	}
	if len(s.Cases) == 0 {
		s.Cases = append(s.Cases, junitCase{Name: counted(r.Summary.Groups, "group", "groups") + " compared", Class: "lint-config"})
	}
	s.Tests = len(s.Cases)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(struct {
		XMLName  xml.Name   `xml:"testsuites"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Suite    junitSuite `xml:"testsuite"`
	}{Tests: s.Tests, Failures: s.Failures, Suite: s}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// xmlText replaces what XML 1.0 cannot carry.
func xmlText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0xfffe || r == 0xffff {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// GitHub takes at most this many results of one run, and related locations of
// one result.
const (
	maxResults = 5000
	maxRelated = 100
)

type sarifText struct {
	Text string `json:"text"`
}

type sarifRegion struct {
	StartLine   int `json:"startLine"`
	StartColumn int `json:"startColumn,omitempty"`
}

type sarifArtifact struct {
	URI string `json:"uri"`
}

type sarifPhysical struct {
	Artifact sarifArtifact `json:"artifactLocation"`
	Region   *sarifRegion  `json:"region,omitempty"`
}

type sarifLocation struct {
	ID       *int          `json:"id,omitempty"`
	Physical sarifPhysical `json:"physicalLocation"`
}

type sarifResult struct {
	RuleID       string            `json:"ruleId"`
	RuleIndex    int               `json:"ruleIndex"`
	Level        string            `json:"level"`
	Message      sarifText         `json:"message"`
	Locations    []sarifLocation   `json:"locations"`
	Related      []sarifLocation   `json:"relatedLocations,omitempty"`
	Fingerprints map[string]string `json:"partialFingerprints"`
	Properties   map[string]any    `json:"properties,omitempty"`
}

type sarifRule struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Short   sarifText `json:"shortDescription"`
	Full    sarifText `json:"fullDescription"`
	Help    sarifText `json:"help"`
	Default struct {
		Level string `json:"level"`
	} `json:"defaultConfiguration"`
}

// WriteSARIF prints SARIF 2.1.0: one result per finding, its first place as
// location and the others as related locations.
func (r *Report) WriteSARIF(w io.Writer, tool, prefix string) error {
	level := map[Severity]string{Error: "error", Warning: "warning", Info: "note"}
	rules := []sarifRule{}
	for _, rule := range ruleTable {
		s := sarifRule{ID: rule.ID, Name: rule.Name, Short: sarifText{rule.Name}, Full: sarifText{rule.Why}, Help: sarifText{"Example: " + rule.Example + "\nFix: " + rule.Fix}}
		s.Default.Level = level[rule.Severity]
		rules = append(rules, s)
	}
	results := []sarifResult{}
	findings := r.Findings
	if len(findings) > maxResults { // what is left out is the least severe
		findings = slices.Clone(findings)
		rank := map[Severity]int{Error: 0, Warning: 1, Info: 2}
		slices.SortStableFunc(findings, func(a, b Finding) int { return rank[a.Severity] - rank[b.Severity] })
		findings = findings[:maxResults]
	}
	for _, f := range findings {
		res := sarifResult{
			RuleID: f.Rule, RuleIndex: slices.IndexFunc(ruleTable, func(x Rule) bool { return x.ID == f.Rule }), Level: level[f.Severity],
			Message: sarifText{f.Message}, Fingerprints: map[string]string{"wxopsLint/v1": f.Fingerprint},
		}
		for i, p := range f.Paths[:min(len(f.Paths), maxRelated+1)] {
			loc := sarifLocation{Physical: sarifPhysical{Artifact: sarifArtifact{uri(prefix + p)}}}
			if i == 0 {
				if f.Line > 0 {
					loc.Physical.Region = &sarifRegion{f.Line, max(f.Column, 1)}
				}
				res.Locations = append(res.Locations, loc)
				continue
			}
			id := i
			loc.ID = &id
			res.Related = append(res.Related, loc)
		}
		if res.Locations == nil {
			res.Locations = []sarifLocation{}
		}
		if f.Places > 1 {
			res.Properties = map[string]any{"places": f.Places}
		}
		results = append(results, res)
	}
	name, version, _ := strings.Cut(tool, " ")
	return writeJSON(w, map[string]any{
		"$schema": "https://json.schemastore.org/sarif-2.1.0.json",
		"version": "2.1.0",
		"runs": []any{map[string]any{
			"tool":       map[string]any{"driver": map[string]any{"name": name, "version": version, "rules": rules}},
			"columnKind": "utf16CodeUnits",
			"results":    results,
		}},
	})
}

// uri escapes a path for a relative URI reference.
func uri(p string) string {
	var b strings.Builder
	for i := range len(p) {
		c := p[i]
		if wordByte(c) && c < 0x80 || strings.IndexByte("-._~/!$&'()*+,;=@", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
