package cli

import (
	"errors"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagError says which flag was refused and why, and what to type instead: the
// nearest flag where the name was mistyped, else the help.
func flagError(cmd *cobra.Command, err error) error {
	e := Usagef("%s", err)
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		var flags []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				flags = append(flags, f.Name)
			}
		})
		name := unknown.GetSpecifiedName()
		if hint, ok := cmd.Annotations[foreign+name]; ok {
			return e.WithHint("%s", hint)
		}
		near := Closest(name, flags, 1)
		// A flag does what it says, so a guess must be a slip of the finger, or
		// the beginning of this flag alone.
		one := 0
		for _, flag := range flags {
			if begins(flag, name) {
				one++
			}
		}
		if len(near) > 0 && (distance(name, near[0]) <= len(name)/3 || one == 1) {
			return e.WithHint("%s --%s", cmd.CommandPath(), near[0])
		}
	case errors.As(err, &invalid):
		f, value := invalid.GetFlag(), invalid.GetValue()
		e = Usagef("--%s %q: %s", f.Name, value, errors.Unwrap(invalid))
		if f.Value.Type() == (*duration)(nil).Type() && strings.Trim(value, "0123456789") == "" && value != "" {
			return e.WithHint("--%s %ss: %s", f.Name, value, f.Usage)
		}
	}
	return e.WithHint("%s --help", cmd.CommandPath())
}

// foreign begins the annotations of a command that hold hints by flag.
const foreign = "foreign flag "

// Foreign tells users of other tools how a command says what a flag of theirs
// says: hints by the name of the flag, for a shorthand its letter.
func Foreign(cmd *cobra.Command, hints map[string]string) {
	if cmd.Annotations == nil {
		cmd.Annotations = map[string]string{}
	}
	for flag, hint := range hints {
		cmd.Annotations[foreign+flag] = hint
	}
}

// singleDash refuses a long flag behind one dash, as Go programs take it: -method=PUT
// would be -m with the value "ethod=PUT", and nobody would notice.
func singleDash(cmd *cobra.Command, args []string) error {
	isValue := false // of the flag before it
	for _, arg := range args {
		switch {
		case isValue:
			isValue = false
			continue
		case arg == "--":
			return nil
		}
		dashes := len(arg) - len(strings.TrimLeft(arg, "-"))
		name, value, assigned := strings.Cut(arg[dashes:], "=")
		var f *pflag.Flag
		switch {
		case dashes == 1 && len(name) > 1:
			if f = cmd.Flag(name); f != nil {
				if assigned {
					value = "=" + value
				}
				return Usagef("%s: a long flag has two dashes", arg).WithHint("--%s%s", name, value)
			}
		case dashes == 1 && len(name) == 1:
			f = cmd.Flags().ShorthandLookup(name)
		case dashes == 2:
			f = cmd.Flag(name)
		}
		isValue = f != nil && f.NoOptDefVal == "" && !assigned
	}
	return nil
}

// argumentCount finds what cobra's validators say of a wrong number of
// arguments; they have no error types.
var argumentCount = regexp.MustCompile(`^(accepts|requires) .*received (\d+)$`)

// requiredFlags finds the names of flags that must be given and were not.
var requiredFlags = regexp.MustCompile(`^required flag\(s\) (.*) not set$`)

// strayArgument finds what cobra says of an argument of a command that takes none.
var strayArgument = regexp.MustCompile(`^unknown command "(.*)" for ".*"$`)

// cobraUsage are the beginnings of cobra's other messages of wrong usage.
var cobraUsage = []string{"unknown command", "if any flags in the group", "at least one of the flags"}

// usageError makes an error of cobra's argument validators one of wrong usage;
// any other error is returned as it is.
func usageError(cmd *cobra.Command, err error) error {
	what, _, _ := strings.Cut(err.Error(), "\n")
	if m := argumentCount.FindStringSubmatch(what); m != nil {
		given := m[2] + " arguments were given"
		switch m[2] {
		case "0":
			given = "nothing was given"
		case "1":
			given = "one argument was given"
		}
		return Usagef("%s takes %s; %s", cmd.CommandPath(), arguments(cmd), given).WithHint("%s", cmd.UseLine())
	}
	if m := requiredFlags.FindStringSubmatch(what); m != nil {
		names := "--" + strings.ReplaceAll(strings.ReplaceAll(m[1], `"`, ""), ", ", " and --")
		verb := "is"
		if strings.Contains(names, " and ") {
			verb = "are"
		}
		return Usagef("%s %s missing", names, verb).WithHint("%s --help", cmd.CommandPath())
	}
	if m := strayArgument.FindStringSubmatch(what); m != nil && !cmd.HasAvailableSubCommands() {
		e := Usagef(`%s takes no arguments; "%s" was given`, cmd.CommandPath(), m[1]).WithHint("%s --help", cmd.CommandPath())
		cmd.Flags().Visit(func(f *pflag.Flag) {
			if f.NoOptDefVal != "" && f.Value.Type() != "bool" && f.Value.String() == f.NoOptDefVal {
				e = e.WithHint("%s --%s=%s", cmd.CommandPath(), f.Name, m[1]) // it takes its value behind a = only
			}
		})
		return e
	}
	for _, beginning := range cobraUsage {
		if strings.HasPrefix(what, beginning) {
			return Usagef("%s", what).WithHint("%s --help", cmd.CommandPath())
		}
	}
	return err
}

// firstFlag is where the flags of a usage begin; a lone -- is an argument.
var firstFlag = regexp.MustCompile(` --\w`)

// arguments returns what stands behind the name of a command in its usage.
func arguments(cmd *cobra.Command) string {
	_, after, ok := strings.Cut(cmd.Use, " ")
	if !ok {
		return "no arguments"
	}
	if at := firstFlag.FindStringIndex(after); at != nil {
		return after[:at[0]]
	}
	return after
}
