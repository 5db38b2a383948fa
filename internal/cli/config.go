package cli

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// configure fills every flag that was not given from WXOPS_<FLAG>, else from
// the nearest wxops.yaml: the keys of a command's path lead to its flags.
//
//	stress:
//	  shift:
//	    slo: p99<50ms
//
// Flags at an outer level hold for all commands below it.
func configure(s *IO, cmd *cobra.Command) error {
	tree, file, err := nearestConfig()
	if err != nil {
		return err
	}
	path := strings.Fields(cmd.CommandPath())[1:]
	failed := unknownKey(tree, file, path, cmd)
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || failed != nil || f.Name == "help" || f.Name == "version" && !cmd.HasParent() {
			return
		}
		env := "WXOPS_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v := s.Getenv(env); v != "" {
			if err := cmd.Flags().Set(f.Name, v); err != nil {
				failed = Usagef("%s=%q", env, v).WithCause(err).WithHint("unset %s, or see %s --help", env, cmd.CommandPath())
			}
			return
		}
		if v, ok := lookup(tree, path, f.Name); ok {
			if err := cmd.Flags().Set(f.Name, v); err != nil {
				failed = Usagef("%s: key %s: %q", file, f.Name, v).WithCause(err).WithHint("correct the value in %s", file)
			}
		}
	})
	return failed
}

// unknownKey returns an error for a key in the part of the file that belongs to
// cmd alone and is none of its flags: a mistyped limit must not be passed over.
func unknownKey(tree map[string]any, file string, path []string, cmd *cobra.Command) error {
	if len(path) == 0 || cmd.HasSubCommands() {
		return nil
	}
	for _, word := range path {
		below, ok := tree[word].(map[string]any)
		if !ok {
			return nil
		}
		tree = below
	}
	var flags []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { flags = append(flags, f.Name) })
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		if slices.Contains(flags, key) {
			continue
		}
		e := Usagef("%s: key %s.%s is no flag of %s", file, strings.Join(path, "."), key, cmd.CommandPath())
		if near := Closest(key, flags, 1); len(near) > 0 {
			return e.WithHint("write %s", near[0])
		}
		return e.WithHint("%s --help", cmd.CommandPath())
	}
	return nil
}

// lookup finds the value of a flag along the path of its command; the
// innermost one wins.
func lookup(tree map[string]any, path []string, flag string) (string, bool) {
	value, found := "", false
	for level := 0; ; level++ {
		if v, ok := tree[flag]; ok {
			switch v := v.(type) {
			case map[string]any:
			case []any:
				parts := make([]string, len(v))
				for i := range v {
					parts[i] = fmt.Sprint(v[i])
				}
				value, found = strings.Join(parts, ","), true
			default:
				value, found = fmt.Sprint(v), true
			}
		}
		if level == len(path) {
			return value, found
		}
		next, ok := tree[path[level]].(map[string]any)
		if !ok {
			return value, found
		}
		tree = next
	}
}

func nearestConfig() (tree map[string]any, file string, err error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, "", nil // no working directory, so no file above it
	}
	for {
		file = filepath.Join(dir, "wxops.yaml")
		b, err := os.ReadFile(file)
		switch {
		case err == nil:
			if err := yaml.Unmarshal(b, &tree); err != nil {
				return nil, file, Usagef("read %s", file).WithCause(err).WithHint("correct the file or move it away")
			}
			return tree, file, nil
		case !errors.Is(err, os.ErrNotExist):
			return nil, file, Failf("read %s", file).WithCause(err)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil, "", nil
		}
		dir = parent
	}
}
