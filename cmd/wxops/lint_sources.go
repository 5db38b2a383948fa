package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/naming/lint"
)

// lint runs the right source for the arguments: a commit, manifests, standard
// input, an archive, or a directory with its cache.
func (f *lintFlags) lint(ctx context.Context, s *cli.IO, path string, o lint.Options) (*lint.Report, error) {
	switch {
	case len(f.git) > 0:
		return lint.Run(ctx, lint.Git(path, f.git...), o)
	case f.manifests != "":
		o.MD5Only = true
		return lint.Run(ctx, lint.Manifests(func(each func(string, io.Reader) error) error { return eachManifest(s, f.manifests, each) }), o)
	case path == "-":
		return lint.Run(ctx, lint.Stream("standard input", s.In), o)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		return lint.Run(ctx, lint.Stream(path, file), o)
	}
	dir, err := f.cacheDir()
	if err != nil {
		return nil, err
	}
	if dir == "" || f.fix || f.diff {
		return lint.Run(ctx, lint.Dir(path), o)
	}
	return lint.Cache{Dir: dir, Key: f.cacheKey(o)}.RunDir(ctx, path, o)
}

// cacheDir returns where the cache lies, "" for none.
func (f *lintFlags) cacheDir() (string, error) {
	switch f.cache {
	case "off":
		return "", nil
	case "":
		dir, err := os.UserCacheDir()
		if err != nil {
			return "", nil // no home, no cache
		}
		return filepath.Join(dir, "wxops"), nil
	}
	return f.cache, nil
}

// cacheKey is all that decides about a report beside the tree.
func (f *lintFlags) cacheKey(o lint.Options) string {
	o.Progress, o.Inventory = nil, nil
	o.Today = o.Today.Truncate(24 * time.Hour)
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00", toolVersion(), f.inventorySum)
	if exe, err := os.Executable(); err == nil {
		if info, err := os.Stat(exe); err == nil { // a build without a version number is another tool
			fmt.Fprintf(h, "%d %d\x00", info.Size(), info.ModTime().UnixNano())
		}
	}
	_ = json.NewEncoder(h).Encode(o)
	return fmt.Sprintf("%x", h.Sum(nil))
}

func eachManifest(s *cli.IO, from string, each func(string, io.Reader) error) error {
	if from == "-" {
		return each("standard input", s.In)
	}
	list, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, d := range list {
		if !d.Type().IsRegular() {
			continue
		}
		file, err := os.Open(filepath.Join(from, d.Name()))
		if err != nil {
			return err
		}
		err = each(d.Name(), file)
		file.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// applyFixes repairs what is safe to repair, or shows it.
func (f *lintFlags) applyFixes(ctx context.Context, s *cli.IO, r *lint.Report, path string) error {
	if f.fix && lint.Dirty(ctx, path) {
		return cli.Usagef("--fix %q: the git tree has changes that are not committed", path).WithHint("git stash, or look first: wxops lint-config %s --diff", path)
	}
	fixed, err := r.Fix(path, !f.fix)
	if err != nil {
		return cli.Failf("fix").WithCause(err)
	}
	for _, x := range fixed {
		if f.diff {
			if err := x.WriteDiff(s.Out); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(s.Err, "fixed %s: %s\n", x.Path, x.What)
	}
	if f.fix {
		fmt.Fprintf(s.Err, "%s fixed\n", count(len(fixed), "file"))
	}
	return nil
}

// watch lints again and again and prints each report that is another one.
func (f *lintFlags) watch(ctx context.Context, s *cli.IO, path string, o lint.Options, sinks []sink) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var last string
	for {
		r, err := f.report(ctx, s, path, o)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if err := sinks[0].print(&b, r, lint.Severity(f.failOn), path); err != nil {
			return err
		}
		if b.String() != last {
			last = b.String()
			if _, err := io.WriteString(s.Out, last); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func newLintManifest(s *cli.IO) *cobra.Command {
	var service, version, env, host string
	cmd := &cobra.Command{
		Use:   "manifest DIR",
		Short: "Write the MD5 of every file of this host, for lint-config --manifests",
		Long: `manifest writes one line for each regular file below DIR, which
md5sum -c --strict verifies, sorted, and a line of metadata at the end.`,
		Example: `  wxops lint-config manifest --service checkout --version 1.4.2 --env prod conf
  wxops lint-config manifest --service checkout --host web-3 conf > web-3.md5
  cat *.md5 | wxops lint-config --manifests -`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if host == "" {
				host, _ = os.Hostname()
			}
			if err := lint.WriteManifest(cmd.Context(), s.Out, args[0], service, version, env, host); err != nil {
				return cli.Failf("write the manifest of %q", args[0]).WithCause(err)
			}
			return nil
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&service, "service", "", "`NAME` of the service (needed)")
	fl.StringVar(&version, "version", "", "`VERSION` of the service")
	fl.StringVar(&env, "env", "", "`NAME` of the environment of this host")
	fl.StringVar(&host, "host", "", "`NAME` of this host (default what the system says)")
	_ = cmd.MarkFlagRequired("service")
	return cmd
}

func newLintMigrate(s *cli.IO) *cobra.Command {
	var f lintFlags
	var service string
	cmd := &cobra.Command{
		Use:   "migrate [PATH]",
		Short: "List the decisions that bring each service to one MD5",
		Example: `  wxops lint-config migrate configs
  wxops lint-config migrate configs --service checkout
  wxops lint-config migrate configs --inventory names.json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := pathArg(args)
			o, err := f.options(path)
			if err != nil {
				return err
			}
			r, err := f.lint(cmd.Context(), s, path, o)
			if err != nil {
				return lintError(path, err)
			}
			list := slices.DeleteFunc(r.Migrate(), func(m lint.Migration) bool { return service != "" && m.Service != service })
			if err := lint.WriteMigrations(s.Out, list); err != nil {
				return err
			}
			return f.exit(s, r, path)
		},
	}
	f.addSourceFlags(cmd)
	cmd.Flags().StringVar(&service, "service", "", "only this `NAME`")
	return cmd
}

func pathArg(args []string) string {
	if len(args) == 1 {
		return args[0]
	}
	return "."
}

func baselinePath(file string) string { return strings.TrimPrefix(filepath.ToSlash(file), "./") }
