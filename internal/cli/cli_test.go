package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// world returns an IO with the environment env and buffers for its streams.
func world(env map[string]string) (s *IO, out, errs *bytes.Buffer) {
	out, errs = &bytes.Buffer{}, &bytes.Buffer{}
	return &IO{In: strings.NewReader(""), Out: out, Err: errs, Getenv: func(k string) string { return env[k] }}, out, errs
}

// runFlag runs "wxops stress shift args..." with one flag --max-share and
// returns the value the command saw.
func runFlag(t *testing.T, s *IO, args ...string) (string, error) {
	t.Helper()
	var got string
	shift := &cobra.Command{Use: "shift", RunE: func(*cobra.Command, []string) error { return nil }}
	share := shift.Flags().Float64("max-share", 0.25, "ratio")
	names := shift.Flags().StringSlice("names", nil, "registries")
	shift.RunE = func(*cobra.Command, []string) error {
		got = fmt.Sprint(*share, " ", strings.Join(*names, "+"))
		return nil
	}
	stress := &cobra.Command{Use: "stress", RunE: RequireSubcommand, Args: cobra.ArbitraryArgs}
	stress.AddCommand(shift)
	root := &cobra.Command{Use: "wxops", RunE: RequireSubcommand, Args: cobra.ArbitraryArgs}
	root.AddCommand(stress)
	err := Run(context.Background(), s, root, append([]string{"stress", "shift"}, args...))
	return strings.TrimSpace(got), err
}

func TestFlagBeatsEnvironmentBeatsFileBeatsDefault(t *testing.T) {
	const file = "max-share: 0.9\nstress:\n  shift:\n    max-share: 0.6\n    names: [a, b]\n"
	env := map[string]string{"WXOPS_MAX_SHARE": "0.7"}
	for _, c := range []struct {
		name string
		file string
		env  map[string]string
		args []string
		want string
	}{
		{"default", "", nil, nil, "0.25"},
		{"file", file, nil, nil, "0.6 a+b"},
		{"outer key of the file", "max-share: 0.9\n", nil, nil, "0.9"},
		{"environment", file, env, nil, "0.7 a+b"},
		{"flag", file, env, []string{"--max-share=0.8"}, "0.8 a+b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			below := filepath.Join(dir, "deep", "er")
			if err := os.MkdirAll(below, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "wxops.yaml"), []byte(c.file), 0o644); err != nil {
				t.Fatal(err)
			}
			t.Chdir(below)
			s, _, errs := world(c.env)
			got, err := runFlag(t, s, c.args...)
			if err != nil || got != c.want {
				t.Errorf("got %q, %v, want %q; stderr: %s", got, err, c.want, errs)
			}
		})
	}
}

func TestBadConfigurationNamesItsPlace(t *testing.T) {
	t.Chdir(t.TempDir())
	s, _, errs := world(map[string]string{"WXOPS_MAX_SHARE": "lots"})
	if _, err := runFlag(t, s); Code(err) != ExitUsage {
		t.Errorf("exit code %d, want %d", Code(err), ExitUsage)
	}
	want := "error: WXOPS_MAX_SHARE=\"lots\"\ncause: "
	if !strings.HasPrefix(errs.String(), want) {
		t.Errorf("stderr is %q, want it to begin with %q", errs, want)
	}
	if err := os.WriteFile("wxops.yaml", []byte("max-share: many\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, _, errs = world(nil)
	if _, err := runFlag(t, s); Code(err) != ExitUsage || !strings.Contains(errs.String(), "wxops.yaml: key max-share") {
		t.Errorf("exit code %d, stderr %q", Code(err), errs)
	}
}

func TestMistypedKeyOfTheFileIsRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	for content, want := range map[string]string{
		"stress:\n  shift:\n    max-shar: 0.5\n": "key stress.shift.max-shar is no flag of wxops stress shift\nhint:  write max-share\n",
		"stress:\n  load:\n    rate: 5\n":        "", // of another command
		"rate: 5\nstress:\n  shift: {}\n":        "", // may be a flag of another command
		"stress: 3\n":                            "",
	} {
		if err := os.WriteFile("wxops.yaml", []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		s, _, errs := world(nil)
		if _, err := runFlag(t, s); !strings.HasSuffix(errs.String(), want) || (err != nil) != (want != "") {
			t.Errorf("%q: %v, stderr %q, want %q", content, err, errs, want)
		}
	}
}

func TestUTF8FollowsTheLocale(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want bool
	}{
		{nil, true},
		{map[string]string{"LANG": "en_US.UTF-8"}, true},
		{map[string]string{"LANG": "de_DE.utf8", "LC_ALL": "C"}, false},
		{map[string]string{"LANG": "POSIX"}, false},
		{map[string]string{"LANG": "C", "LC_CTYPE": "C.UTF-8"}, true},
	} {
		s, _, _ := world(c.env)
		if s.UTF8() != c.want {
			t.Errorf("%v: %v, want %v", c.env, s.UTF8(), c.want)
		}
	}
}

func TestErrorHasUpToThreeLines(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want string
		code int
	}{
		{"all", Usagef("size %d", 3).WithCause(errors.New("too\nsmall")).WithHint("--size %d", 4), "error: size 3\ncause: too; small\nhint:  --size 4\n", ExitUsage},
		{"what", Failf("no"), "error: no\n", ExitFailed},
		{"plain", errors.New("io"), "error: io\n", ExitFailed},
		{"wrapped", fmt.Errorf("outer: %w", Failf("inner").WithHint("try")), "error: inner\nhint:  try\n", ExitFailed},
		{"silent", Exit(ExitGuarded), "", ExitGuarded},
		{"nothing", Exit(ExitOK), "", ExitOK},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _, errs := world(nil)
			root := &cobra.Command{Use: "wxops", RunE: func(*cobra.Command, []string) error { return c.err }}
			err := Run(context.Background(), s, root, nil)
			if errs.String() != c.want || Code(err) != c.code {
				t.Errorf("got %q and code %d, want %q and %d", errs, Code(err), c.want, c.code)
			}
		})
	}
}

func TestFileThatCannotBeReadHasTheCodeOfItsCause(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "absent"), dir, filepath.Join(plain, "below")} {
		_, err := os.ReadFile(path)
		if e := Unreadable(path, err); e.Code != ExitUsage || !errors.Is(e, err) {
			t.Errorf("%v: exit code %d, want %d", err, e.Code, ExitUsage)
		}
	}
	for _, err := range []error{fs.ErrPermission, io.ErrUnexpectedEOF} {
		if e := Unreadable(plain, err); e.Code != ExitFailed {
			t.Errorf("%v: exit code %d, want %d", err, e.Code, ExitFailed)
		}
	}
}

func TestInterruptedCommandPrintsNoError(t *testing.T) {
	s, _, errs := world(nil)
	root := &cobra.Command{Use: "wxops", RunE: func(*cobra.Command, []string) error { return fmt.Errorf("run: %w", context.Canceled) }}
	if err := Run(context.Background(), s, root, nil); !errors.Is(err, context.Canceled) || errs.Len() > 0 {
		t.Errorf("got %v and %q", err, errs)
	}
}

func TestClosestFindsTypos(t *testing.T) {
	names := []string{"stress", "schema", "slice", "lint-config", "version"}
	for in, want := range map[string]string{"stres": "stress", "shcema": "schema", "verison": "version", "lint": "lint-config", "zzzzzzzzzz": ""} {
		got := strings.Join(Closest(in, names, 1), "")
		if got != want {
			t.Errorf("Closest(%q) = %q, want %q", in, got, want)
		}
	}
	// Known distances, from the definition.
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "abc", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"größe", "grosse", 3}, {"same", "same", 0}, {"quite", "quiet", 1}, {"ca", "abc", 3}} {
		if got := distance(c.a, c.b); got != c.want || distance(c.b, c.a) != got {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestOutputFormats(t *testing.T) {
	document := []byte(`{"schema":"x","data":{"zeta":1,"alpha":"yes","list":[1.5,null]}}` + "\n")
	table := func() *Table {
		return NewTable("NAME", ">RATE", "WHY NOT").Row("ä", 12.5, "").Row("long name", 3, "a,b").Note("note %d", 1)
	}
	for format, want := range map[string]string{
		"json":  string(document),
		"yaml":  "schema: x\ndata:\n  zeta: 1\n  alpha: \"yes\"\n  list:\n    - 1.5\n    - null\n",
		"csv":   "name,rate,why_not\nä,12.5,\nlong name,3,\"a,b\"\n",
		"table": "NAME       RATE  WHY NOT\nä          12.5\nlong name     3  a,b\nnote 1\n",
	} {
		var b bytes.Buffer
		o := Output{Format: format}
		if err := o.Print(&b, document, table); err != nil || b.String() != want {
			t.Errorf("%s: %v, got\n%s\nwant\n%s", format, err, b.String(), want)
		}
	}
	var o Output
	o.AddFlag(&cobra.Command{}, "table", "json", "yaml")
	if err := o.Check(); err != nil || o.Format != "table" {
		t.Errorf("default %q, %v", o.Format, err)
	}
	o.Format = "jsn"
	var e *Error
	if err := o.Check(); !errors.As(err, &e) || e.Hint != "-o json" || e.Code != ExitUsage {
		t.Errorf("got %+v", e)
	}
}

// The CSV of records has the keys and the numbers of the JSON; what an entry says
// goes before what the whole says under the same name.
func TestRecordsAreTheDataOfTheDocument(t *testing.T) {
	document := `{"schema":"x","inputs":[{"name":"in"}],"data":{"question":"size","instances":3,"per_second":1234567.5,"low_per_second":null,
		"rules":[{"rule":"load","instances":3,"why":"ceil(1, 2)"},{"rule":"floor","instances":1e-7,"met":true}],
		"limit":{"by":"cpu","at":{"ratio":0.5}},"none":[],"words":["a"]}}`
	for name, c := range map[string]struct {
		lists []string
		want  string
	}{
		"one list": {[]string{"rules"}, "rule,instances,why,question,per_second,low_per_second,limit.by,limit.at.ratio,met\n" +
			"load,3,\"ceil(1, 2)\",size,1234567.5,,cpu,0.5,\nfloor,1e-7,,size,1234567.5,,cpu,0.5,true\n"},
		"two lists": {[]string{"none", "rules"}, "list,rule,instances,why,question,per_second,low_per_second,limit.by,limit.at.ratio,met\n" +
			"rules,load,3,\"ceil(1, 2)\",size,1234567.5,,cpu,0.5,\nrules,floor,1e-7,,size,1234567.5,,cpu,0.5,true\n"},
		"no list":  {nil, "question,instances,per_second,low_per_second,limit.by,limit.at.ratio\nsize,3,1234567.5,,cpu,0.5\n"},
		"no entry": {[]string{"none", "absent"}, "question,instances,per_second,low_per_second,limit.by,limit.at.ratio\nsize,3,1234567.5,,cpu,0.5\n"},
	} {
		o := Output{Format: "csv"}
		o.Records(c.lists...)
		var b bytes.Buffer
		if err := o.Print(&b, []byte(document), nil); err != nil || b.String() != c.want {
			t.Errorf("%s: %v, got\n%swant\n%s", name, err, b.String(), c.want)
		}
	}
	o := Output{Format: "csv"}
	o.Records()
	for _, bad := range []string{`{"schema":"x"}`, `{`} {
		if err := o.Print(io.Discard, []byte(bad), nil); err == nil {
			t.Errorf("%s is written as CSV", bad)
		}
	}
}

func TestWriteFileIsAtomic(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.json")
	for _, content := range []string{"first", "second, longer"} {
		if err := WriteFile(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != content {
			t.Errorf("got %q, %v", b, err)
		}
	}
	if err := WriteFile(filepath.Join(dir, "absent", "x"), nil); err == nil {
		t.Error("a folder that does not exist was accepted")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestWriteFileReplacesNoDeviceAndNoLink(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for to, path := range map[string]string{file: link, os.DevNull: filepath.Join(dir, "null")} {
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
		if err := WriteFile(path, []byte("text")); err != nil {
			t.Error(err)
		}
		if got, err := os.Readlink(path); got != to {
			t.Errorf("the link to %s is %q now, %v", to, got, err)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "text" {
		t.Errorf("behind the link is %q, %v", b, err)
	}
}

// A test may change live weights for a minute; that its result cannot be kept is
// said before.
func TestFileOfTheResultIsTriedBeforeTheWork(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, "new.json"):         "",
		os.DevNull:                             "",
		dir:                                    "it is a folder",
		filepath.Join(dir, "absent", "x.json"): "cannot write",
	} {
		cmd := &cobra.Command{}
		var o Output
		o.AddFlag(cmd, "json")
		o.AddFileFlag(cmd)
		if err := cmd.ParseFlags([]string{"--out", path}); err != nil {
			t.Fatal(err)
		}
		err := o.Check()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestCompactIsOneLine(t *testing.T) {
	b, err := compact([]byte("{\n \"a\": 1\n}\n"))
	if err != nil || string(b) != "{\"a\":1}\n" {
		t.Errorf("got %q, %v", b, err)
	}
	if _, err := compact([]byte("{")); err == nil {
		t.Error("half a document was accepted")
	}
}

func TestProgressIsSilentAtFirstAndOffTerminals(t *testing.T) {
	now := time.Unix(0, 0)
	progress := func(s *IO) *Progress {
		p := NewProgress(s, "simulate")
		p.start, p.now = now, func() time.Time { return now }
		return p
	}
	s, _, errs := world(nil)
	s.errTTY = true
	p := progress(s)
	now = now.Add(400 * time.Millisecond)
	p.Update(1, 10)
	if errs.Len() > 0 {
		t.Errorf("printed after 400 ms: %q", errs)
	}
	now = now.Add(600 * time.Millisecond)
	p.Update(5, 10)
	p.Update(6, 10) // too soon after the one before
	p.Done()
	want := "\r\x1b[Ksimulate: 5/10, 5/s, 1s left\r\x1b[K"
	if errs.String() != want {
		t.Errorf("got %q, want %q", errs, want)
	}
	for name, change := range map[string]func(*IO){"quiet": func(s *IO) { s.quiet = true }, "pipe": func(s *IO) { s.errTTY = false }} {
		s, _, errs := world(nil)
		s.errTTY = true
		change(s)
		p := progress(s)
		now = now.Add(time.Minute)
		p.Update(1, 2)
		p.Done()
		if errs.Len() > 0 {
			t.Errorf("%s: printed %q", name, errs)
		}
	}
}

func TestTerminalIsOffWhereTheEnvironmentSaysSo(t *testing.T) {
	for _, c := range []struct {
		env             map[string]string
		tty             bool
		terminal, color bool
	}{
		{nil, true, true, true},
		{nil, false, false, false},
		{map[string]string{"CI": "true"}, true, false, false},
		{map[string]string{"TERM": "dumb"}, true, false, false},
		{map[string]string{"NO_COLOR": "1"}, true, true, false},
	} {
		s, _, _ := world(c.env)
		s.outTTY = c.tty
		if s.Terminal() != c.terminal || s.Color() != c.color {
			t.Errorf("%v on terminal %v: screen %v colour %v, want %v %v", c.env, c.tty, s.Terminal(), s.Color(), c.terminal, c.color)
		}
	}
	s, _, _ := world(nil)
	if w, h := s.Size(); w != 80 || h != 24 {
		t.Errorf("size without a terminal is %dx%d, want 80x24", w, h)
	}
}

func TestHelpWrapsLongTexts(t *testing.T) {
	s, out, _ := world(nil)
	root := &cobra.Command{Use: "wxops", Short: "about", RunE: RequireSubcommand, Args: cobra.ArbitraryArgs}
	root.Flags().String("a-flag-of-a-name-so-long-it-needs-a-line", "x", strings.Repeat("many words ", 12))
	root.Flags().StringP("output", "o", "table", "result as `FORMAT`")
	root.Flags().Int("zero", 0, "a number")
	root.AddGroup(&cobra.Group{ID: "g", Title: "Group:"}, &cobra.Group{ID: "none", Title: "None:"})
	root.AddCommand(&cobra.Command{Use: "one", Short: "first", GroupID: "g", Run: func(*cobra.Command, []string) {}})
	if err := Run(context.Background(), s, root, nil); err != nil {
		t.Fatal(err)
	}
	want := `about

Usage:
  wxops COMMAND [flags]

Group:
  one  first

Flags:
      --a-flag-of-a-name-so-long-it-needs-a-line TEXT
                       many words many words many words many words many words
                       many words many words many words many words many words
                       many words many words (default x)
  -h, --help           print this help
  -o, --output FORMAT  result as FORMAT (default table)
      --quiet          no progress on standard error
      --zero N         a number

wxops COMMAND --help tells more about a command.
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

func TestHelpOfACommandWithArgumentsAndCommandsShowsBothUses(t *testing.T) {
	s, out, _ := world(nil)
	root := &cobra.Command{Use: "wxops", RunE: RequireSubcommand, Args: cobra.ArbitraryArgs}
	run := func(*cobra.Command, []string) {}
	lint := &cobra.Command{Use: "lint [PATH]", Run: run}
	lint.AddCommand(&cobra.Command{Use: "manifest DIR", Run: run})
	root.AddCommand(lint)
	if err := Run(context.Background(), s, root, []string{"lint", "--help"}); err != nil {
		t.Fatal(err)
	}
	if want := "Usage:\n  wxops lint [PATH] [flags]\n  wxops lint COMMAND [flags]\n"; !strings.Contains(out.String(), want) {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

func TestWrongFlagsAndArgumentsAreNamedWithWhatToTypeNext(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"copy", "--sed", "3"}, "error: unknown flag: --sed\nhint:  wxops copy --seed\n"},
		{[]string{"copy", "--qiuet"}, "error: unknown flag: --qiuet\nhint:  wxops copy --quiet\n"},
		{[]string{"copy", "--destin", "x"}, "error: unknown flag: --destin\nhint:  wxops copy --destination\n"},
		{[]string{"need"}, "error: --that and --this are missing\nhint:  wxops need --help\n"},
		{[]string{"copy", "--nonsense"}, "error: unknown flag: --nonsense\nhint:  wxops copy --help\n"},
		{[]string{"copy", "-x"}, "error: unknown shorthand flag: 'x' in -x\nhint:  wxops copy --help\n"},
		{[]string{"copy", "--seed", "x"}, "error: --seed \"x\": must be an integer\nhint:  wxops copy --help\n"},
		{[]string{"copy", "--wait", "4"}, "error: --wait \"4\": \"4\" is no time, as 10s, 1h30m or 7d\nhint:  --wait 4s: time between two copies\n"},
		{[]string{"copy", "--count", "3"}, "error: unknown flag: --count\nhint:  --seed N\n"},
		{[]string{"copy", "-C", "3"}, "error: unknown shorthand flag: 'C' in -C\nhint:  --seed N\n"},
		{[]string{"copy", "-seed=3", "a", "b"}, "error: -seed=3: a long flag has two dashes\nhint:  --seed=3\n"},
		{[]string{"copy", "a", "b", "-destination", "x"}, "error: -destination: a long flag has two dashes\nhint:  --destination\n"},
		{[]string{"copy", "-d", "-seed", "a"}, "error: wxops copy takes FROM TO; one argument was given\nhint:  wxops copy FROM TO --seed N [flags]\n"},
		{[]string{"copy", "--destination", "-seed", "--", "-seed"}, "error: wxops copy takes FROM TO; one argument was given\nhint:  wxops copy FROM TO --seed N [flags]\n"},
		{[]string{"copy"}, "error: wxops copy takes FROM TO; nothing was given\nhint:  wxops copy FROM TO --seed N [flags]\n"},
		{[]string{"copy", "a"}, "error: wxops copy takes FROM TO; one argument was given\nhint:  wxops copy FROM TO --seed N [flags]\n"},
		{[]string{"copy", "a", "b", "c"}, "error: wxops copy takes FROM TO; 3 arguments were given\nhint:  wxops copy FROM TO --seed N [flags]\n"},
		{[]string{"list", "a"}, "error: wxops list takes no arguments; \"a\" was given\nhint:  wxops list --help\n"},
		{[]string{"list", "--of", "8C16G"}, "error: wxops list takes no arguments; \"8C16G\" was given\nhint:  wxops list --of=8C16G\n"},
		{[]string{"fail"}, "error: accepts nobody\n"},
	} {
		root := &cobra.Command{Use: "wxops", RunE: RequireSubcommand, Args: cobra.ArbitraryArgs}
		fine := func(*cobra.Command, []string) error { return nil }
		copies := &cobra.Command{Use: "copy FROM TO --seed N", Args: cobra.ExactArgs(2), RunE: fine}
		copies.Flags().Int("seed", 1, "")
		copies.Flags().StringP("destination", "d", "", "")
		var wait time.Duration
		Duration(copies.Flags(), &wait, "wait", "", 0, "time between two copies")
		Foreign(copies, map[string]string{"count": "--seed N", "C": "--seed N"})
		needs := &cobra.Command{Use: "need", RunE: fine}
		for _, name := range []string{"this", "that"} {
			needs.Flags().String(name, "", "")
			cobra.CheckErr(needs.MarkFlagRequired(name))
		}
		fails := func(*cobra.Command, []string) error { return errors.New("accepts nobody") }
		lists := &cobra.Command{Use: "list", Args: cobra.NoArgs, RunE: fine}
		lists.Flags().String("of", "", "")
		lists.Flags().Lookup("of").NoOptDefVal = "this"
		root.AddCommand(copies, needs, lists, &cobra.Command{Use: "fail", RunE: fails})
		s, _, errs := world(nil)
		err := Run(context.Background(), s, root, c.args)
		if got := errs.String(); got != c.want {
			t.Errorf("%q:\n%swant\n%s", c.args, got, c.want)
		}
		want := ExitUsage
		if c.args[0] == "fail" {
			want = ExitFailed // an error of the command's own is no wrong usage
		}
		if code := Code(err); code != want {
			t.Errorf("%q: exit code %d, want %d", c.args, code, want)
		}
	}
}

func TestTableKeepsItsColumnsWhateverIsInThem(t *testing.T) {
	table := NewTable("NAME", ">N").ShortNames(12)
	table.Row("購物車", 1).Row("two\nlines \"q\"", 22).Row("a-very-long-name-of-a-service", 3)
	var text, list strings.Builder
	if err := table.Write(&text); err != nil {
		t.Fatal(err)
	}
	want := "NAME           N\n" + "購物車         1\n" + "two\\n…es \"q\"  22\n" + "a-ver…ervice   3\n"
	if text.String() != want {
		t.Errorf("got\n%swant\n%s", text.String(), want)
	}
	if err := table.writeCSV(&list); err != nil {
		t.Fatal(err)
	}
	for _, whole := range []string{"購物車", "\"two\nlines \"\"q\"\"\"", "a-very-long-name-of-a-service"} {
		if !strings.Contains(list.String(), whole+",") {
			t.Errorf("%q is not in %q", whole, list.String())
		}
	}
}

// A table is as wide as what is in it where the terminal allows it, else as wide
// as the terminal, and nothing that matters is lost.
func TestTableFitsTheTerminal(t *testing.T) {
	const reason = "demand may reach 486000 per second by Sat 05:00, 93 % of what 26 carry"
	table := func() *Table {
		t := NewTable("SERVICE", ">FROM", ">TO", ">EXTRA", "REASON").ShortNames(40)
		t.Row("checkout-in-a-region-far-away", 26, 28, 1, reason).Row("cart", 3, 4, 2, "short")
		return t.Note("a note that is longer than forty columns are wide")
	}
	for _, columns := range []int{40, 60, 80, 100, 200, 0} {
		var b strings.Builder
		if err := table().Fit(columns, "EXTRA").Write(&b); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
		for _, line := range lines {
			if columns > 0 && utf8.RuneCountInString(line) > columns {
				t.Errorf("%d columns: %q is wider", columns, line)
			}
		}
		words := strings.Join(strings.Fields(b.String()), " ")
		for _, part := range []string{reason, "cart 3 4", "short", "a note that is longer than forty columns are wide"} {
			if !strings.Contains(words, part) {
				t.Errorf("%d columns: %q is not in\n%s", columns, part, b.String())
			}
		}
		if extra := columns == 0 || columns >= 100; strings.Contains(words, "EXTRA") != extra || (columns == 0 || columns == 200) != (len(lines) == 4) {
			t.Errorf("%d columns:\n%s", columns, b.String())
		}
		if full := columns != 40; strings.Contains(words, "checkout-in-a-region-far-away") != full {
			t.Errorf("%d columns: the name\n%s", columns, b.String())
		}
	}
}

func TestDurationsAreReadAndShownAsAPersonWritesThem(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "1h30m": 90 * time.Minute, "7d": 168 * time.Hour, "2w": 336 * time.Hour, "0.5d": 12 * time.Hour,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "5", "d", "NaNd", "1e9w", "7 days"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
	for value, want := range map[time.Duration]string{
		0: "0s", 10 * time.Minute: "10m", 2 * time.Hour: "2h", 90 * time.Minute: "1h30m", 24 * time.Hour: "24h", 28 * 24 * time.Hour: "28d", 1500 * time.Millisecond: "1.5s",
		time.Hour + time.Second: "1h0m1s",
	} {
		var d time.Duration
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		Duration(flags, &d, "time", "", value, "")
		if got := flags.Lookup("time").DefValue; got != want {
			t.Errorf("%v is shown as %q, want %q", value, got, want)
		}
		if back, err := ParseDuration(want); err != nil || back != value {
			t.Errorf("%q is read as %v, %v, want %v", want, back, err, value)
		}
	}
}

func TestCompletionShowsNoMarksOfHelp(t *testing.T) {
	s, out, _ := world(nil)
	root := &cobra.Command{Use: "wxops", RunE: RequireSubcommand, Args: cobra.ArbitraryArgs}
	root.Flags().String("out", "", "write to this `FILE`")
	if err := Run(context.Background(), s, root, []string{cobra.ShellCompRequestCmd, "--o"}); err != nil {
		t.Fatal(err)
	}
	if want := "--out\twrite to this FILE\n:4\n"; out.String() != want {
		t.Errorf("got %q, want %q", out, want)
	}
}
