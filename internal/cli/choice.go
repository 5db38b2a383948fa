package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// OneOf refuses a value of a flag, or of an argument, that is none of those known;
// the hint has the nearest one. what is the flag as it is typed: "--to".
func OneOf(what, value string, known []string) error {
	if slices.Contains(known, value) {
		return nil
	}
	near := append(Closest(value, known, 1), known[0])
	return Usagef("%s %q is not one of %s", what, value, strings.Join(known, ", ")).WithHint("%s %s", what, near[0])
}

// Complete makes the shell offer values for a flag of cmd.
func Complete(cmd *cobra.Command, flag string, values []string) {
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)))
}
