package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
)

// Exit codes of every command.
const (
	ExitOK          = 0   // yes, done
	ExitNo          = 1   // the check says no: findings, regression, objective missed
	ExitUsage       = 2   // wrong usage or unusable input; also: nothing was compared
	ExitFailed      = 3   // it could not be done: I/O, remote, permission
	ExitGuarded     = 4   // a guard stopped the run
	ExitInterrupted = 130 // the user or a signal stopped it
)

// An Error is what a person sees when a command ends otherwise than well: what
// failed, why, and what to type next. Cause and Hint may be empty. An Error
// without What exits with Code and prints nothing: the result has said it.
type Error struct {
	Code  int
	What  string
	Cause error
	Hint  string
}

func (e *Error) Error() string {
	if e.Cause == nil {
		return e.What
	}
	return e.What + ": " + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// WithHint returns e with the next thing to type.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// WithCause returns e with the error that led to it.
func (e *Error) WithCause(err error) *Error {
	e.Cause = err
	return e
}

// Usagef is wrong usage or unusable input, exit code 2.
func Usagef(format string, args ...any) *Error {
	return &Error{Code: ExitUsage, What: fmt.Sprintf(format, args...)}
}

// Failf is something that could not be done, exit code 3.
func Failf(format string, args ...any) *Error {
	return &Error{Code: ExitFailed, What: fmt.Sprintf(format, args...)}
}

// Unreadable is a file of the user's that cannot be read. One that is not there,
// or is a folder, is a wrong name and so wrong usage (exit code 2); one that may
// not be read or fails half-way could not be done (3).
func Unreadable(path string, err error) *Error {
	e := Failf("cannot read %q", path).WithCause(err)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ENOTDIR) {
		e.Code = ExitUsage
		e.Hint = "name a file that exists"
	}
	return e
}

// Unwritable is a file of the user's that cannot be written, exit code 3.
func Unwritable(path string, err error) *Error {
	return Failf("cannot write %q", path).WithCause(err).WithHint("name a file in a folder that you may write to")
}

// Exit ends the command with a code and no message, because the result on
// standard output has already said why. Exit(ExitOK) is nil.
func Exit(code int) error {
	if code == ExitOK {
		return nil
	}
	return &Error{Code: code}
}

// Code returns the exit code that belongs to err: ExitOK for nil, the code of
// the outermost [Error], else ExitFailed.
func Code(err error) int {
	if err == nil {
		return ExitOK
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ExitFailed
}

// printError writes the up to three lines that a person sees.
func printError(w io.Writer, err error) {
	var e *Error
	if !errors.As(err, &e) {
		fmt.Fprintf(w, "error: %s\n", oneLine(err.Error()))
		return
	}
	if e.What == "" {
		return
	}
	fmt.Fprintf(w, "error: %s\n", oneLine(e.What))
	if e.Cause != nil {
		fmt.Fprintf(w, "cause: %s\n", oneLine(e.Cause.Error()))
	}
	if e.Hint != "" {
		fmt.Fprintf(w, "hint:  %s\n", oneLine(e.Hint))
	}
}

func oneLine(s string) string {
	return strings.ReplaceAll(strings.TrimSpace(s), "\n", "; ")
}

// Closest returns the candidates nearest to name, best first, at most max of them
// and none that differs in more than half of its letters. A candidate that begins
// with name is as near as one with a single slip.
func Closest(name string, candidates []string, max int) []string {
	limit := len([]rune(name))/2 + 1
	byDistance := make([][]string, limit+1)
	for _, c := range candidates {
		d := distance(name, c)
		if begins(c, name) {
			d = min(d, 1)
		}
		if d <= limit {
			byDistance[d] = append(byDistance[d], c)
		}
	}
	var out []string
	for _, names := range byDistance {
		out = append(out, names...)
	}
	return out[:min(max, len(out))]
}

// begins reports whether word begins with part, and part says enough of it.
func begins(word, part string) bool { return len(part) >= 3 && strings.HasPrefix(word, part) }

// distance is the number of slips between two words in runes: a letter too much,
// missing or another, or two neighbours exchanged (optimal string alignment; Boytsov,
// ACM Journal of Experimental Algorithmics 16, 2011, section 2.2).
func distance(a, b string) int {
	ar, br := []rune(a), []rune(b)
	d := make([][]int, len(ar)+1)
	for i := range d {
		d[i] = make([]int, len(br)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(ar); i++ {
		for j := 1; j <= len(br); j++ {
			other := 1
			if ar[i-1] == br[j-1] {
				other = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+other)
			if i > 1 && j > 1 && ar[i-1] == br[j-2] && ar[i-2] == br[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(ar)][len(br)]
}
