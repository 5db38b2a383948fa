package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
	"github.com/wxops/wxops/naming/lint"
)

// kindLint is what lint-config -o json writes.
var kindLint = doc.Kind{Name: "lint", Version: 1, Title: "Findings about a configuration tree", Data: lint.Report{}}

// lintFormats are the outputs of lint-config; the first is the default.
var lintFormats = []string{"text", "json", "jsonl", "sarif", "junit", "github", "gitlab"}

// lintFlags are the flags of lint-config as given.
type lintFlags struct {
	outputs                                       []string
	layouts, rules, skip                          []string
	inventory, reference, failOn, config, explain string
	md5Only                                       bool
	maxParse                                      int64
}

func newLintConfig(s *cli.IO) *cobra.Command {
	var f lintFlags
	cmd := &cobra.Command{
		Use:   "lint-config [PATH]",
		Short: "Check that all instances of a version have identical configuration files",
		Long: `lint-config compares every configuration file over all instances and
environments of its service and version. They must have one MD5: then scaling
out is copying, in any environment. Each cause is one finding, with the key, the
instances and the smallest fact that explains it.

Exit code 0: clean; 1: findings at or above --fail-on; 2: wrong usage or nothing
was compared; 3: something could not be read (findings are still printed).`,
		Example: `  wxops lint-config configs
  wxops lint-config configs --layout '{service}/{env}/{instance}/conf/{file...}'
  wxops lint-config configs --inventory names.json --rules WX1xx,WX5xx
  wxops lint-config . -o text -o sarif=lint.sarif --fail-on warning
  wxops lint-config --explain WX303`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.explain != "" {
				return explainRule(s, f.explain)
			}
			return f.run(cmd, s, args)
		},
	}
	fl := cmd.Flags()
	fl.StringArrayVarP(&f.outputs, "output", "o", nil, "result as "+strings.Join(lintFormats, "|")+", FORMAT=FILE for a file; repeatable")
	fl.StringArrayVar(&f.layouts, "layout", nil, "how paths map, as {service}/{env}/{instance}/conf/{file...}; repeatable")
	fl.StringVar(&f.inventory, "inventory", "", "what is deployed: JSON or YAML with environments, instances, slices, names")
	fl.StringVar(&f.reference, "reference", "", "what is right: env=NAME or a directory (default: the largest group of equal files)")
	fl.StringSliceVar(&f.rules, "rules", nil, "only these rules or families (WX1xx)")
	fl.StringSliceVar(&f.skip, "skip", nil, "not these rules or families")
	fl.BoolVar(&f.md5Only, "md5-only", false, "only WX101 WX102 WX501 WX502 WX503; nothing is parsed")
	fl.Int64Var(&f.maxParse, "max-parse", 4<<20, "bytes; longer files are compared by bytes only")
	fl.StringVar(&f.failOn, "fail-on", "", "error, warning or info (default: the configuration's, else error)")
	fl.StringVar(&f.config, "config", "", "configuration file (default: the nearest "+lint.ConfigName+")")
	fl.StringVar(&f.explain, "explain", "", "say why a rule is, with an example and the fix")
	return cmd
}

func explainRule(s *cli.IO, id string) error {
	var ids []string
	for _, r := range lint.Rules() {
		if strings.EqualFold(r.ID, id) || r.Name == id {
			_, err := fmt.Fprintf(s.Out, "%s %s (%s)\n\nwhy:     %s\nexample: %s\nfix:     %s\n", r.ID, r.Name, r.Severity, r.Why, r.Example, r.Fix)
			return err
		}
		ids = append(ids, r.ID)
	}
	e := cli.Usagef("no rule %q", id)
	if near := cli.Closest(strings.ToUpper(id), ids, 1); len(near) > 0 {
		return e.WithHint("wxops lint-config --explain %s", near[0])
	}
	return e.WithHint("wxops lint-config --explain WX101")
}

// options turns flags and the configuration file into options.
func (f *lintFlags) options(path string) (lint.Options, error) {
	o := lint.Options{
		Layouts: f.layouts, Reference: f.reference, Only: f.rules, Skip: f.skip,
		MD5Only: f.md5Only, MaxParse: f.maxParse, Today: time.Now().UTC(),
	}
	var c lint.Config
	var err error
	if f.config != "" {
		b, readErr := os.ReadFile(f.config)
		if readErr != nil {
			return o, cli.Usagef("--config %s", f.config).WithCause(readErr).WithHint("wxops lint-config --init")
		}
		c, err = lint.ReadConfig(f.config, b)
	} else {
		c, err = lint.FindConfig(path)
	}
	if err == nil {
		err = c.Apply(&o)
	}
	if err != nil {
		return o, cli.Usagef("%s", err).WithHint("correct the file, or pass --config with another one")
	}
	inventory := f.inventory
	if inventory == "" && c.Inventory != "" {
		inventory = filepath.Join(filepath.Dir(c.Path), c.Inventory)
	}
	if inventory != "" {
		b, err := os.ReadFile(inventory)
		if err != nil {
			return o, cli.Usagef("--inventory %s", inventory).WithCause(err)
		}
		if o.Inventory, err = lint.ReadInventory(b); err != nil {
			return o, cli.Usagef("--inventory %s", inventory).WithCause(err)
		}
	}
	if f.failOn == "" {
		f.failOn = c.FailOn
	}
	if f.failOn == "" {
		f.failOn = string(lint.Error)
	}
	if !slices.Contains([]string{"error", "warning", "info"}, f.failOn) {
		return o, cli.Usagef("--fail-on %q is not one of error, warning, info", f.failOn).WithHint("--fail-on error")
	}
	return o, nil
}

func (f *lintFlags) run(cmd *cobra.Command, s *cli.IO, args []string) error {
	path := "."
	if len(args) == 1 {
		path = args[0]
	}
	sinks, err := parseSinks(f.outputs)
	if err != nil {
		return err
	}
	o, err := f.options(path)
	if err != nil {
		return err
	}
	progress := cli.NewProgress(s, "reading")
	o.Progress = progress.Update
	source := lint.Dir(path)
	report, err := lint.Run(cmd.Context(), source, o)
	progress.Done()
	if err != nil {
		return lintError(path, err)
	}
	for _, sink := range sinks {
		if err := sink.write(s, report, lint.Severity(f.failOn), path); err != nil {
			return cli.Failf("write the report").WithCause(err)
		}
	}
	return f.exit(s, report, path)
}

func lintError(path string, err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return cli.Usagef("read %q", path).WithCause(err).WithHint("give the directory that holds the configuration")
	case errors.Is(err, os.ErrPermission):
		return cli.Failf("read %q", path).WithCause(err)
	case errors.Is(err, os.ErrInvalid):
		return cli.Usagef("read %q: not a directory", path).WithHint("give the directory that holds the configuration")
	}
	return cli.Usagef("%s", err)
}

// exit says what could not be read and chooses the exit code: 2 before 3 before 1.
func (f *lintFlags) exit(s *cli.IO, r *lint.Report, path string) error {
	const shown = 20
	for i, err := range r.Unreadable {
		if i == shown {
			fmt.Fprintf(s.Err, "warning: and %d more\n", len(r.Unreadable)-shown)
			break
		}
		fmt.Fprintf(s.Err, "warning: %s\n", err)
	}
	if r.Summary.Groups == 0 && len(r.Findings) == 0 || r.Summary.Verdict == "nothing-compared" {
		return cli.Usagef("%q: nothing was compared: none of %d files has a second copy", path, r.Summary.Files).WithHint("name the layout: --layout '{service}/{env}/{instance}/conf/{file...}'")
	}
	switch {
	case len(r.Unreadable) > 0:
		return cli.Exit(cli.ExitFailed)
	case r.Worst().AtLeast(lint.Severity(f.failOn)):
		return cli.Exit(cli.ExitNo)
	}
	return nil
}

// A sink is one -o: a format, and a file or standard output.
type sink struct{ format, file string }

func parseSinks(list []string) ([]sink, error) {
	if len(list) == 0 {
		return []sink{{format: "text"}}, nil
	}
	var out []sink
	stdout := 0
	for _, v := range list {
		format, file, hasFile := strings.Cut(v, "=")
		if !slices.Contains(lintFormats, format) {
			e := cli.Usagef("-o %q is not one of %s", format, strings.Join(lintFormats, ", "))
			if near := cli.Closest(format, lintFormats, 1); len(near) > 0 {
				return nil, e.WithHint("-o %s", near[0])
			}
			return nil, e.WithHint("-o text")
		}
		if hasFile && file == "" {
			return nil, cli.Usagef("-o %s names no file", v).WithHint("-o %s=report", format)
		}
		if !hasFile {
			stdout++
		}
		out = append(out, sink{format, file})
	}
	if stdout > 1 {
		return nil, cli.Usagef("two -o without a file").WithHint("-o %s -o %s=FILE", out[0].format, out[1].format)
	}
	return out, nil
}

func (k sink) write(s *cli.IO, r *lint.Report, failOn lint.Severity, path string) error {
	if k.file == "" {
		return k.print(s.Out, r, failOn, path)
	}
	var b bytes.Buffer
	if err := k.print(&b, r, failOn, path); err != nil {
		return err
	}
	return cli.WriteFile(k.file, b.Bytes())
}

func (k sink) print(w io.Writer, r *lint.Report, failOn lint.Severity, path string) error {
	switch k.format {
	case "json":
		b, err := doc.Marshal(kindLint, toolVersion(), time.Time{}, nil, nil, r)
		if err == nil {
			_, err = w.Write(b)
		}
		return err
	case "jsonl":
		return r.WriteJSONLines(w)
	case "sarif":
		return r.WriteSARIF(w, toolVersion(), repositoryPrefix(path))
	case "junit":
		return r.WriteJUnit(w, failOn)
	case "github":
		return r.WriteGitHub(w, repositoryPrefix(path))
	case "gitlab":
		return r.WriteGitLab(w, repositoryPrefix(path))
	}
	return r.WriteText(w)
}

// repositoryPrefix leads from the root of the git repository, else from the
// working directory, to path; it is "" or ends in a slash.
func repositoryPrefix(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	base, err := os.Getwd()
	if err != nil {
		return ""
	}
	for dir := abs; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
			base = dir
			break
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	rel, err := filepath.Rel(base, abs)
	if err != nil || rel == "." {
		return ""
	}
	return filepath.ToSlash(rel) + "/"
}
