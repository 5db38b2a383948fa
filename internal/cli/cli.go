// Package cli is what every command shares: streams, exit codes, errors with a
// hint, the choice of output format, tables, progress and configuration.
//
// A command gets an [IO], adds its flags, calls a library and prints through
// [Output]. It returns an [Error] made by [Usagef] or [Failf]; [Main] prints it
// and exits. The package knows no domain type and never touches the network.
//
//	func newDoctor(s *cli.IO) *cobra.Command {
//		var out cli.Output
//		cmd := &cobra.Command{Use: "doctor", RunE: func(*cobra.Command, []string) error {
//			return out.Print(s.Out, document, table) // or cli.Usagef(...).WithHint(...)
//		}}
//		out.AddFlag(cmd, "table", "json")
//		return cmd
//	}
package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/charmbracelet/x/term"
	"github.com/spf13/cobra"
)

// IO is the outside world of a command.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string

	outTTY, errTTY bool
	quiet          bool
}

// Terminal reports whether a live screen may be drawn: standard output is a
// terminal, and neither CI nor TERM=dumb says otherwise.
func (s *IO) Terminal() bool {
	return s.outTTY && s.Getenv("CI") == "" && s.Getenv("TERM") != "dumb"
}

// Color reports whether standard output may carry colour.
func (s *IO) Color() bool { return s.Terminal() && s.Getenv("NO_COLOR") == "" }

// UTF8 reports whether the locale has more characters than ASCII. Where it says
// nothing they are assumed: containers have no locale, and terminals all do.
func (s *IO) UTF8() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(s.Getenv(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return true
}

// Quiet reports whether the user asked for no progress.
func (s *IO) Quiet() bool { return s.quiet }

// Size returns the terminal's width and height in cells; 80x24 where standard
// output is none.
func (s *IO) Size() (width, height int) {
	if f, ok := s.Out.(*os.File); ok && s.outTTY {
		if w, h, err := term.GetSize(f.Fd()); err == nil && w > 0 && h > 0 {
			return w, h
		}
	}
	return 80, 24
}

// Columns returns the width of the terminal; 0 where standard output is none,
// and lines are as long as they like.
func (s *IO) Columns() int {
	if !s.outTTY {
		return 0
	}
	w, _ := s.Size()
	return w
}

// Main builds the root command, runs it with the arguments of the process and
// returns the exit code. SIGINT, SIGTERM and SIGHUP cancel the command's
// context; a command that ends because of that exits with 130.
func Main(root func(*IO) *cobra.Command) int {
	s := &IO{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv,
		outTTY: term.IsTerminal(os.Stdout.Fd()), errTTY: term.IsTerminal(os.Stderr.Fd()),
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var interrupted atomic.Bool
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	go func() {
		select {
		case <-signals:
			interrupted.Store(true)
			cancel()
		case <-ctx.Done():
		}
	}()
	err := Run(ctx, s, root(s), os.Args[1:])
	if interrupted.Load() && errors.Is(err, context.Canceled) {
		return ExitInterrupted
	}
	return Code(err)
}

// Run executes root with args, prints the error if there is one and returns it.
func Run(ctx context.Context, s *IO, root *cobra.Command, args []string) error {
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SuggestionsMinimumDistance = 2
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { _ = printHelp(s.Out, cmd) }) // a reader that went away needs no help
	help := newHelp(s)
	for _, g := range root.Groups() {
		help.GroupID = g.ID // the last group
	}
	root.SetHelpCommand(help)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(flagError)
	if len(args) > 0 && args[0] == cobra.ShellCompRequestCmd {
		plainUsages(root)
	}
	root.PersistentFlags().BoolVar(&s.quiet, "quiet", false, "no progress on standard error")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := singleDash(cmd, args); err != nil {
			return err
		}
		return configure(s, cmd)
	}
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return nil
	}
	if slip := singleDash(cmd, args); slip != nil {
		err = slip // what cobra made of it helps nobody
	}
	var known *Error
	if !errors.As(err, &known) {
		err = usageError(cmd, err)
	}
	if errors.Is(err, context.Canceled) {
		return err // the user knows why it ended
	}
	printError(s.Err, err)
	return err
}

// RequireSubcommand is the RunE of a group: alone it shows its help, with an
// unknown word it is wrong usage and the closest names are given.
func RequireSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return printHelp(cmd.OutOrStdout(), cmd)
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	e := Usagef("unknown command %q for %q; it knows %s", args[0], cmd.CommandPath(), strings.Join(names, ", "))
	if near := Closest(args[0], names, 1); len(near) > 0 {
		return e.WithHint("%s %s", cmd.CommandPath(), near[0])
	}
	for _, group := range cmd.Commands() {
		for _, c := range group.Commands() {
			if c.IsAvailableCommand() && c.Name() == args[0] {
				return e.WithHint("%s", c.CommandPath())
			}
		}
	}
	return e.WithHint("%s --help", cmd.CommandPath())
}
