package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// helpWidth is the widest line of a help text: what an 80-column terminal shows.
const helpWidth = 80

// printHelp writes the help of a command: what it does, how it is called, the
// commands below it by group, its flags and its examples. It stands in for
// cobra's template, which lists groups without commands and does not wrap.
func printHelp(w io.Writer, cmd *cobra.Command) error {
	var b strings.Builder
	about := cmd.Long
	if about == "" {
		about = cmd.Short
	}
	b.WriteString(strings.TrimSpace(about) + "\n\nUsage:\n")
	takesArguments := strings.Contains(cmd.Use, " ")
	if takesArguments || !cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "  %s\n", cmd.UseLine())
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "  %s COMMAND [flags]\n", cmd.CommandPath())
	}
	groups := append(slices.Clone(cmd.Groups()), &cobra.Group{Title: "Commands:"})
	for _, g := range groups {
		var rows [][2]string
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() && c.GroupID == g.ID {
				rows = append(rows, [2]string{c.Name(), c.Short})
			}
		}
		section(&b, g.Title, rows)
	}
	cmd.InitDefaultHelpFlag() // "wxops help COMMAND" shows it, too
	section(&b, "Flags:", flagRows(cmd.NonInheritedFlags()))
	for above := cmd.Parent(); above != nil; above = above.Parent() {
		title := "Flags of every command:"
		if above.HasParent() {
			title = fmt.Sprintf("Flags of every %s command:", above.Name())
		}
		section(&b, title, flagRows(above.PersistentFlags()))
	}
	if cmd.HasExample() {
		b.WriteString("\nExamples:\n" + strings.TrimRight(cmd.Example, "\n ") + "\n")
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n%s COMMAND --help tells more about a command.\n", cmd.CommandPath())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// section writes a title and rows of a word and its text; the texts line up
// and wrap at helpWidth. A section without rows is left out.
func section(b *strings.Builder, title string, rows [][2]string) {
	if len(rows) == 0 {
		return
	}
	const widest = 26 // a longer word gets a line of its own
	column := 0
	for _, r := range rows {
		if n := utf8.RuneCountInString(r[0]); n <= widest {
			column = max(column, n)
		}
	}
	b.WriteString("\n" + title + "\n")
	for _, r := range rows {
		word, text := r[0], wrap(r[1], helpWidth-column-4)
		if utf8.RuneCountInString(word) > column {
			b.WriteString("  " + word + "\n")
			word = ""
		}
		for i, line := range text {
			if i > 0 {
				word = ""
			}
			b.WriteString(strings.TrimRight(fmt.Sprintf("  %-*s  %s", column, word, line), " ") + "\n")
		}
	}
}

// flagRows lists the visible flags as "-o, --output json" with their meaning
// and their default, unless that is the zero value.
func flagRows(flags *pflag.FlagSet) [][2]string {
	var rows [][2]string
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		word := "    --" + f.Name
		if f.Shorthand != "" {
			word = "-" + f.Shorthand + ", --" + f.Name
		}
		kind, text := pflag.UnquoteUsage(f)
		switch {
		case f.Value.Type() == "bool":
		case f.NoOptDefVal != "":
			word += "[=" + valueWord(kind) + "]"
		default:
			word += " " + valueWord(kind)
		}
		if f.Name == "help" {
			text = "print this help"
		}
		switch f.DefValue {
		case "", "0", "false", "[]", "0s":
		default:
			text += " (default " + f.DefValue + ")"
		}
		rows = append(rows, [2]string{word, text})
	})
	return rows
}

// valueWord returns the word for the value of a flag, for what pflag says of it:
// the word in back quotes in its usage, else a word for its type.
func valueWord(kind string) string {
	switch kind {
	case "string", "strings", "stringArray":
		return "TEXT"
	case "int", "uint", "float":
		return "N"
	default:
		return kind
	}
}

// plainUsages takes the back quotes of value words out of the usages of all
// flags: shells show these as they are.
func plainUsages(cmd *cobra.Command) {
	plain := func(f *pflag.Flag) { _, f.Usage = pflag.UnquoteUsage(f) }
	cmd.Flags().VisitAll(plain)
	cmd.PersistentFlags().VisitAll(plain)
	for _, c := range cmd.Commands() {
		plainUsages(c)
	}
}

// wrap breaks text at spaces into lines of at most width runes; a percent sign
// stays with its number.
func wrap(text string, width int) []string {
	const joint = "\x00"
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(strings.ReplaceAll(text, " %", joint+"%")) {
		word = strings.ReplaceAll(word, joint, " ")
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}

// newHelp is "wxops help COMMAND"; an unknown command is wrong usage.
func newHelp(s *IO) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Print the help of a command",
		Example: `  wxops help
  wxops help schema
  wxops schema --help`,
		RunE: func(cmd *cobra.Command, args []string) error {
			target, rest, err := cmd.Root().Find(args)
			switch {
			case (err != nil || len(rest) > 0) && target.HasAvailableSubCommands():
				return RequireSubcommand(target, rest)
			case len(rest) > 0:
				return Usagef("%s has no command %q", target.CommandPath(), rest[0]).WithHint("%s --help", target.CommandPath())
			}
			return printHelp(s.Out, target)
		},
	}
}
