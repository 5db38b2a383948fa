package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
	"github.com/wxops/wxops/naming/lint"
)

// kindLint is what lint-config -o json writes.
var kindLint = doc.Kind{Name: "lint", Version: 1, Title: "Findings about a configuration tree", Data: lint.Report{}}

// lintFormats are the outputs of lint-config; the first is the default.
var (
	lintFormats    = []string{"text", "json", "jsonl", "sarif", "junit", "github", "gitlab"}
	lintSeverities = []string{string(lint.Error), string(lint.Warning), string(lint.Info)}
)

// lintFlags are the flags of lint-config as given.
type lintFlags struct {
	outputs                                       []string
	layouts, rules, skip                          []string
	inventory, reference, failOn, config, explain string
	md5Only                                       bool
	maxParse                                      int64
	baseline, writeBaseline, reason, since, cache string
	manifests                                     string
	git                                           []string
	fix, diff, watching, initConfig, printConfig  bool
	inventorySum                                  string
	known                                         *lint.Baseline // of --baseline
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

Exit codes: 0 clean; 1 findings at or above --fail-on; 2 wrong usage, or nothing
was compared; 3 something could not be read (findings are still printed).`,
		Example: `  wxops lint-config configs
  wxops lint-config configs --layout '{service}/{env}/{instance}/conf/{file...}'
  wxops lint-config configs --inventory names.json --rules WX1xx,WX5xx
  wxops lint-config . -o text -o sarif=lint.sarif --fail-on warning
  wxops lint-config --explain WX303`,
		Args:        cobra.MaximumNArgs(1),
		Annotations: map[string]string{"args": "PATH"}, // beside its subcommands
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.explain != "":
				return explainRule(s, f.explain)
			case f.initConfig:
				return initConfig(s, pathArg(args))
			}
			collectRarely()
			return f.run(cmd, s, pathArg(args))
		},
	}
	fl := cmd.Flags()
	fl.StringArrayVarP(&f.outputs, "output", "o", nil, "result as `FORMAT` "+strings.Join(lintFormats, "|")+" (default text), FORMAT=FILE for a file; repeatable")
	f.addSourceFlags(cmd)
	fl.StringVar(&f.failOn, "fail-on", "", "least `SEVERITY` that fails: error, warning or info (default the configuration's, else error)")
	fl.StringVar(&f.explain, "explain", "", "say why this `RULE` is, with an example and the fix")
	fl.StringVar(&f.baseline, "baseline", "", "`FILE` of findings to leave out, as --write-baseline wrote it")
	fl.StringVar(&f.writeBaseline, "write-baseline", "", "write all findings to this `FILE` and end with 0")
	fl.StringVar(&f.reason, "reason", "", "why the findings of --write-baseline are accepted")
	fl.StringVar(&f.since, "since", "", "only files changed since this git `REVISION`, each with its whole group")
	fl.BoolVar(&f.fix, "fix", false, "repair line ends, byte order marks, final newlines and modes; refuses a dirty git tree")
	fl.BoolVar(&f.diff, "diff", false, "print what --fix would change, as a unified diff")
	fl.BoolVar(&f.watching, "watch", false, "lint again whenever the tree changes, until interrupted")
	fl.BoolVar(&f.initConfig, "init", false, "write "+lint.ConfigName+" with every setting and its default")
	fl.BoolVar(&f.printConfig, "print-config", false, "print the settings that hold and where they come from")
	cli.Complete(cmd, "output", lintFormats)
	cli.Complete(cmd, "fail-on", lintSeverities)
	cli.Complete(cmd, "explain", ruleNames())
	cmd.AddCommand(newLintManifest(s), newLintMigrate(s))
	return cmd
}

// ruleNames lists the rules as the shell offers them: the id and what it is about.
func ruleNames() []string {
	var out []string
	for _, r := range lint.Rules() {
		out = append(out, r.ID+"\t"+r.Name)
	}
	return out
}

// addSourceFlags adds what lint-config and migrate have in common.
func (f *lintFlags) addSourceFlags(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringArrayVar(&f.layouts, "layout", nil, "`PATTERN` of paths, as {service}/{env}/{instance}/conf/{file...}; repeatable")
	fl.StringVar(&f.inventory, "inventory", "", "`FILE` that says what is deployed: JSON or YAML with environments, instances, slices, names")
	fl.StringVar(&f.reference, "reference", "", "what is right: env=NAME or a `DIR` (default the largest group of equal files)")
	fl.StringSliceVar(&f.rules, "rules", nil, "only these `RULES` or families, as WX101,WX5xx")
	fl.StringSliceVar(&f.skip, "skip", nil, "not these `RULES` or families")
	fl.BoolVar(&f.md5Only, "md5-only", false, "only WX101 WX102 WX501 WX502 WX503; nothing is parsed")
	fl.Int64Var(&f.maxParse, "max-parse", 4<<20, "files of more `BYTES` are compared by bytes only")
	fl.StringVar(&f.config, "config", "", "configuration `FILE` (default the nearest "+lint.ConfigName+")")
	fl.StringVar(&f.cache, "cache", "", "`DIR` of the cache, or off (default the user's cache directory)")
	fl.StringArrayVar(&f.git, "git", nil, "read this git `REVISION` instead of files; several, or A..B, are compared as environments; repeatable")
	fl.StringVar(&f.manifests, "manifests", "", "`DIR` of manifests of hosts, or - for standard input")
	cli.Complete(cmd, "rules", ruleNames())
	cli.Complete(cmd, "skip", ruleNames())
}

func initConfig(s *cli.IO, path string) error {
	file := filepath.Join(path, lint.ConfigName)
	if _, err := os.Stat(file); err == nil {
		return cli.Usagef("%s exists", file).WithHint("wxops lint-config --print-config")
	}
	if err := cli.WriteFile(file, []byte(lint.ExampleConfig)); err != nil {
		return cli.Unwritable(file, err)
	}
	_, err := fmt.Fprintln(s.Out, file)
	return err
}

// printSettings prints the settings that hold, in the form of the configuration file.
func (f *lintFlags) printSettings(s *cli.IO, o lint.Options, c lint.Config) error {
	c.Layouts, c.Reference, c.FailOn = o.Layouts, o.Reference, f.failOn
	c.Inventory = f.inventory
	if c.Rules == nil {
		c.Rules = map[string]string{}
	}
	for _, r := range o.Skip {
		c.Rules[r] = "off"
	}
	from := c.Path
	if from == "" {
		from = "no " + lint.ConfigName + " found"
	}
	b, err := yaml.Marshal(c)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "# %s\n%s", from, b)
	return err
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
	o, _, err := f.settings(path)
	return o, err
}

func (f *lintFlags) settings(path string) (lint.Options, lint.Config, error) {
	o := lint.Options{
		Layouts: f.layouts, Reference: f.reference, Only: f.rules, Skip: f.skip,
		MD5Only: f.md5Only, MaxParse: f.maxParse, Today: time.Now().UTC(),
	}
	var c lint.Config
	var err error
	if f.config != "" {
		b, readErr := os.ReadFile(f.config)
		if readErr != nil {
			return o, c, cli.Usagef("--config %s", f.config).WithCause(readErr).WithHint("wxops lint-config --init")
		}
		c, err = lint.ReadConfig(f.config, b)
	} else {
		c, err = lint.FindConfig(configStart(path))
	}
	if err == nil {
		err = c.Apply(&o)
	}
	if err != nil {
		return o, c, cli.Usagef("%s", err).WithHint("correct the file, or pass --config with another one")
	}
	inventory := f.inventory
	if inventory == "" && c.Inventory != "" {
		inventory = filepath.Join(filepath.Dir(c.Path), c.Inventory)
	}
	if inventory != "" {
		b, err := os.ReadFile(inventory)
		if err != nil {
			return o, c, cli.Usagef("--inventory %s", inventory).WithCause(err)
		}
		f.inventorySum = fmt.Sprintf("%x", sha256.Sum256(b))
		if o.Inventory, err = lint.ReadInventory(b); err != nil {
			return o, c, cli.Usagef("--inventory %s", inventory).WithCause(err)
		}
	}
	if f.failOn == "" {
		f.failOn = c.FailOn
	}
	if f.failOn == "" {
		f.failOn = string(lint.Error)
	}
	if f.maxParse < 0 {
		return o, c, cli.Usagef("--max-parse %d is negative", f.maxParse).WithHint("--max-parse %d", 4<<20)
	}
	return o, c, cli.OneOf("--fail-on", f.failOn, lintSeverities)
}

// configStart is the directory where the search for the configuration begins.
func configStart(path string) string {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return "."
	}
	return path
}

func (f *lintFlags) run(cmd *cobra.Command, s *cli.IO, path string) error {
	ctx := cmd.Context()
	sinks, err := parseSinks(f.outputs)
	if err != nil {
		return err
	}
	o, c, err := f.settings(path)
	if err != nil {
		return err
	}
	if f.printConfig {
		return f.printSettings(s, o, c)
	}
	if info, err := os.Stat(path); (f.fix || f.diff || f.watching) && (len(f.git) > 0 || f.manifests != "" || path == "-" || err == nil && !info.IsDir()) {
		return cli.Usagef("--fix, --diff and --watch work on a directory, not on revisions, archives or manifests").WithHint("wxops lint-config %s", path)
	}
	if f.since != "" {
		if o.Changed, err = f.changed(ctx, path); err != nil {
			return err
		}
		if len(o.Changed) == 0 {
			fmt.Fprintf(s.Err, "nothing below %s changed since %s\n", path, f.since)
			return nil
		}
	}
	if err := f.readBaseline(path); err != nil {
		return err
	}
	if f.watching {
		return f.watch(ctx, s, path, o, sinks)
	}
	progress := cli.NewProgress(s, "reading")
	o.Progress = progress.Update
	start := time.Now()
	report, err := f.report(ctx, s, path, o)
	progress.Done()
	if err != nil {
		return err
	}
	if took := time.Since(start); took > 500*time.Millisecond && !s.Quiet() && s.Terminal() {
		fmt.Fprintf(s.Err, "%s in %s\n", count(report.Summary.Files, "file"), took.Round(10*time.Millisecond))
	}
	if f.writeBaseline != "" {
		if err := cli.WriteFile(f.writeBaseline, lint.NewBaseline(report, f.reason)); err != nil {
			return cli.Unwritable(f.writeBaseline, err)
		}
		fmt.Fprintf(s.Err, "%s written to %s\n", count(len(report.Findings), "finding"), f.writeBaseline)
		return nil
	}
	if f.fix || f.diff {
		if err := f.applyFixes(ctx, s, report, path); err != nil || f.diff {
			return err
		}
		if report, err = f.report(ctx, s, path, o); err != nil {
			return err
		}
	}
	for _, sink := range sinks {
		if err := sink.write(s, report, lint.Severity(f.failOn), path); err != nil {
			return err
		}
	}
	return f.exit(s, report, path)
}

// changed returns the files that changed since the revision of --since.
func (f *lintFlags) changed(ctx context.Context, path string) (map[string]bool, error) {
	changed, err := lint.Changed(ctx, configStart(path), f.since)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, cli.Failf("--since needs the program git").WithCause(err).WithHint("install git, or lint everything: wxops lint-config %s", path)
	case err != nil:
		return nil, cli.Usagef("--since %s", f.since).WithCause(err).WithHint("give a directory with a checkout and a revision that git knows, as --since origin/main")
	}
	return changed, nil
}

// readBaseline reads the findings that every report leaves out; a new baseline
// is written of all findings.
func (f *lintFlags) readBaseline(path string) error {
	if f.baseline == "" || f.writeBaseline != "" {
		return nil
	}
	b, err := os.ReadFile(f.baseline)
	if err != nil {
		return cli.Usagef("--baseline %s", f.baseline).WithCause(err).WithHint("wxops lint-config %s --write-baseline %s", path, f.baseline)
	}
	known, err := lint.ReadBaseline(b)
	if err != nil {
		return cli.Usagef("--baseline %s", f.baseline).WithCause(err)
	}
	f.known = &known
	return nil
}

// report lints path and leaves out what the baseline knows.
func (f *lintFlags) report(ctx context.Context, s *cli.IO, path string, o lint.Options) (*lint.Report, error) {
	r, err := f.lint(ctx, s, path, o)
	if err != nil {
		return nil, lintError(path, err)
	}
	if f.known != nil {
		r.ApplyBaseline(*f.known, baselinePath(f.baseline), o)
	}
	return r, nil
}

func lintError(path string, err error) error {
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return cli.Failf("--git needs the program git").WithCause(err).WithHint("install git, or send what it archives: git archive REVISION | wxops lint-config -")
	case errors.Is(err, lint.ErrGit):
		return cli.Usagef("cannot read %q from git", path).WithCause(err).WithHint("give a directory of a repository and revisions that git knows, as --git main or --git main..release")
	case errors.Is(err, os.ErrNotExist):
		return cli.Unreadable(path, err).WithHint("give the directory that holds the configuration")
	case errors.Is(err, os.ErrPermission):
		return cli.Unreadable(path, err)
	case errors.Is(err, os.ErrInvalid):
		return cli.Unreadable(path, syscall.ENOTDIR).WithHint("give the directory that holds the configuration")
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
		return cli.Usagef("%q: nothing was compared: none of %s has a second copy", path, count(r.Summary.Files, "file")).WithHint("name the layout: --layout '{service}/{env}/{instance}/conf/{file...}'")
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
		if err := cli.OneOf("-o", format, lintFormats); err != nil {
			return nil, err
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
		if err := k.print(s.Out, r, failOn, path); err != nil {
			return cli.Failf("write the report").WithCause(err)
		}
		return nil
	}
	var b bytes.Buffer
	if err := k.print(&b, r, failOn, path); err != nil {
		return err
	}
	if err := cli.WriteFile(k.file, b.Bytes()); err != nil {
		return cli.Unwritable(k.file, err)
	}
	return nil
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
