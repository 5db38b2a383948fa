package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/internal/cli"
)

// allCommands calls f with every visible command, groups included.
func allCommands(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, below := range c.Commands() {
		if !below.Hidden {
			allCommands(below, f)
		}
	}
}

// testIO is the outside world of a command in a test: no terminal, no
// environment, nothing to read.
func testIO() (s *cli.IO, out, errs *bytes.Buffer) {
	out, errs = &bytes.Buffer{}, &bytes.Buffer{}
	return &cli.IO{In: strings.NewReader(""), Out: out, Err: errs, Getenv: func(string) string { return "" }}, out, errs
}

// examples returns the command lines of an example text; lines that end in a
// backslash are joined with the next, remarks after several spaces are cut.
func examples(text string) []string {
	text = strings.ReplaceAll(text, "\\\n", " ")
	var out []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}

func TestEveryCommandHasThreeExamplesThatParse(t *testing.T) {
	s, _, _ := testIO()
	allCommands(newRoot(s), func(c *cobra.Command) {
		lines := examples(c.Example)
		if len(lines) < 3 {
			t.Errorf("%s has %d examples, want at least 3", c.CommandPath(), len(lines))
		}
		mentions := 0
		for _, line := range lines {
			for _, words := range wxopsCalls(line) {
				mentions++
				fresh, _, _ := testIO()
				root := newRoot(fresh)
				root.PersistentFlags().Bool("quiet", false, "")
				target, rest, err := root.Find(words)
				if err != nil {
					t.Errorf("%s: example %q: %v", c.CommandPath(), line, err)
					continue
				}
				if err := target.ParseFlags(rest); err != nil && !strings.Contains(err.Error(), "help requested") {
					t.Errorf("%s: example %q: %v", c.CommandPath(), line, err)
				}
				if args := target.Flags().Args(); target.HasSubCommands() && target.Annotations["args"] == "" && len(args) > 0 && args[0] != "help" {
					t.Errorf("%s: example %q: no command %q", c.CommandPath(), line, args[0])
				} else if target.Args != nil && !target.HasSubCommands() {
					if err := target.ValidateArgs(args); err != nil {
						t.Errorf("%s: example %q: %v", c.CommandPath(), line, err)
					}
				}
			}
		}
		if mentions < 3 {
			t.Errorf("%s: only %d examples call wxops", c.CommandPath(), mentions)
		}
	})
}

// wxopsCalls returns the arguments of each call of wxops in a shell line, as
// far as a splitter that knows quotes and | > < & ; ( ) sees them. Two spaces
// end a call: what follows is a remark.
func wxopsCalls(line string) [][]string {
	var calls [][]string
	var words []string
	var word strings.Builder
	inWord := false
	endWord := func() {
		if inWord {
			words = append(words, word.String())
		}
		word.Reset()
		inWord = false
	}
	endCall := func() {
		endWord()
		for len(words) > 0 && (strings.Contains(words[0], "=") || words[0] == "sudo" || words[0] == "nice" || words[0] == "!") {
			words = words[1:]
		}
		if len(words) > 0 && words[0] == "wxops" {
			calls = append(calls, words[1:])
		}
		words = nil
	}
	quote := rune(0)
	remark, redirect := false, false
	for i, r := range line {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				word.WriteRune(r)
			}
		case r == '\'' || r == '"':
			quote, inWord = r, !redirect && !remark
		case strings.ContainsRune("|&;()", r):
			endCall()
			remark, redirect = false, false
		case r == '>' || r == '<':
			endWord()
			redirect = true
		case r == ' ':
			if strings.HasPrefix(line[i:], "   ") && len(words) > 0 {
				remark = true
			}
			endWord()
		case remark || redirect:
		default:
			inWord = true
			word.WriteRune(r)
		}
	}
	endCall()
	return calls
}

func TestHelpFitsEightyColumns(t *testing.T) {
	s, _, _ := testIO()
	allCommands(newRoot(s), func(c *cobra.Command) {
		s, out, _ := testIO()
		args := strings.Fields(c.CommandPath())[1:]
		if err := cli.Run(context.Background(), s, newRoot(s), append(args, "--help")); err != nil {
			t.Errorf("%s --help: %v", c.CommandPath(), err)
		}
		for line := range strings.Lines(out.String()) {
			line = strings.TrimRight(line, "\n")
			if n := utf8.RuneCountInString(line); n > 80 {
				t.Errorf("%s --help: %d columns: %s", c.CommandPath(), n, line)
			}
			if strings.TrimRight(line, " ") != line {
				t.Errorf("%s --help: space at the end of %q", c.CommandPath(), line)
			}
		}
	})
}

func TestHelpHidesEmptyGroups(t *testing.T) {
	s, out, _ := testIO()
	root := newRoot(s)
	root.AddGroup(&cobra.Group{ID: "empty", Title: "Nothing here:"})
	if err := cli.Run(context.Background(), s, root, []string{}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "Nothing here") {
		t.Errorf("help shows a group without commands:\n%s", out)
	}
}

func TestHelpOfUnknownCommandIsWrongUsage(t *testing.T) {
	for _, args := range [][]string{{"help", "schemx"}, {"schemx"}, {"help", "schema", "x"}} {
		s, _, errs := testIO()
		err := cli.Run(context.Background(), s, newRoot(s), args)
		if code := cli.Code(err); code != cli.ExitUsage {
			t.Errorf("wxops %s: exit code %d, want %d", strings.Join(args, " "), code, cli.ExitUsage)
		}
		if !strings.Contains(errs.String(), "hint:  wxops schema") {
			t.Errorf("wxops %s: no useful hint in\n%s", strings.Join(args, " "), errs)
		}
	}
}

// The words after the last page are read by nobody; a help text that cannot be
// written is no reason to fail.
func TestHelpSurvivesAClosedPipe(t *testing.T) {
	r, w := io.Pipe()
	r.Close()
	s, _, _ := testIO()
	s.Out = w
	if err := cli.Run(context.Background(), s, newRoot(s), []string{"--help"}); err != nil {
		t.Errorf("help into a closed pipe: %v", err)
	}
}
