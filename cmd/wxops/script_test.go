package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/goldentest"
	"github.com/wxops/wxops/stress/demo"
)

// root is the folder of the repository, seen from this package.
const root = "../.."

// TestMain puts wxops on the PATH of every test here: the test binary itself,
// so that coverage and the race detector see the commands.
func TestMain(m *testing.M) {
	demo.ServeProcess() // returns unless this is an instance of a live test
	testscript.Main(m, programs)
}

// programs are what the test binary is, by the name under which it is called.
var programs = map[string]func(){
	"wxops":     func() { os.Exit(cli.Main(newRoot)) },
	"rawserver": serveRaw,
}

// TestScripts runs testdata/script/*.txtar. Each script has its own folder and
// state; $TESTDATA is the folder testdata of the repository. Beside the usual
// script commands there are
//
//	code N wxops ...          the command must exit with exactly N
//	need PROGRAM 'apt-get ...' a real part, as internal/realpart asks for it
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                filepath.Join(root, "testdata", "script"),
		UpdateScripts:      *goldentest.Update,
		RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			abs, err := filepath.Abs(filepath.Join(root, "testdata"))
			if err != nil {
				return err
			}
			e.Setenv("TESTDATA", abs)
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, ".state"))
			e.Setenv("GORACE", os.Getenv("GORACE")) // .ci/run says how long a process waits at its end
			e.Values[testValue{}] = e.T()
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": scriptCode, "need": scriptNeed},
	})
}

// testValue is the key of the running test in the values of a script.
type testValue struct{}

func scriptCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command ...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("run %s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code is %d, want %d", got, want)
	}
}

func scriptNeed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: need PROGRAM INSTALL-COMMAND")
	}
	if _, err := exec.LookPath(args[0]); err == nil {
		return
	}
	if os.Getenv("WXOPS_CI") == "1" {
		ts.Fatalf("real part is missing: %s; install it with: %s", args[0], args[1])
	}
	ts.Value(testValue{}).(testscript.T).Skip("real part is missing: " + args[0] + "; install it with: " + args[1])
}
