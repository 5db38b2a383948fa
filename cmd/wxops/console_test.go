package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A consoleStep is one command of a console block and the output given for it.
type consoleStep struct {
	line    int // in its document
	command string
	want    []string
	long    bool
}

// consoleSteps reads the fenced blocks marked console of a document. Lines that
// begin with "$ " are commands; the lines up to the next are their output,
// where "..." stands for any text in a line, and for any lines when alone. A
// block marked "console long" runs only where WXOPS_DOCS=1 is set, as .ci/run
// does once.
func consoleSteps(text string) []consoleStep {
	var steps []consoleStep
	in, long := false, false
	for i, line := range strings.Split(text, "\n") {
		switch fence, isFence := strings.CutPrefix(line, "```"); {
		case isFence && in:
			in = false
		case isFence:
			words := strings.Fields(fence)
			in = len(words) > 0 && words[0] == "console"
			long = len(words) > 1 && words[1] == "long"
		case !in:
		case strings.HasPrefix(line, "$ "):
			steps = append(steps, consoleStep{line: i + 1, command: line[2:], long: long})
		case len(steps) > 0 && strings.HasSuffix(steps[len(steps)-1].command, "\\") && len(steps[len(steps)-1].want) == 0:
			last := &steps[len(steps)-1]
			last.command = strings.TrimSuffix(last.command, "\\") + strings.TrimSpace(line)
		case len(steps) > 0:
			steps[len(steps)-1].want = append(steps[len(steps)-1].want, line)
		}
	}
	return steps
}

// wildcard returns the expression that the output of a step must match whole.
func wildcard(want []string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for _, line := range want {
		if strings.TrimSpace(line) == "..." {
			b.WriteString(`(?:[^\n]*\n)*?`)
			continue
		}
		for j, part := range strings.Split(line, "...") {
			if j > 0 {
				b.WriteString(`[^\n]*`)
			}
			b.WriteString(regexp.QuoteMeta(part))
		}
		b.WriteString(`[ ]*\n`)
	}
	b.WriteString(`\z`)
	return regexp.MustCompile(b.String())
}

func documents(t *testing.T) []string {
	t.Helper()
	docs, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	return append(docs, filepath.Join(root, "README.md"))
}

// runElsewhere holds the commands that a document shows and another step of
// .ci/run executes, with the words to be found there.
var runElsewhere = map[string]string{
	"go test ./...":                  "go test -race ",
	"go run ./cmd/wxops stress demo": "go run ./cmd/wxops stress demo ",
}

// TestConsoleBlocks runs every command shown in README.md and docs/*.md. The
// commands of a document share a folder; go commands run at the root of the
// repository.
func TestConsoleBlocks(t *testing.T) {
	ci, err := os.ReadFile(filepath.Join(root, ".ci", "run"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range documents(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			for _, step := range consoleSteps(string(text)) {
				if words, ok := runElsewhere[step.command]; ok {
					if !bytes.Contains(ci, []byte(words)) {
						t.Errorf("%s:%d: .ci/run does not contain %q", file, step.line, words)
					}
					continue
				}
				if step.long && os.Getenv("WXOPS_DOCS") != "1" {
					continue
				}
				runStep(t, file, dir, step)
			}
		})
	}
}

func runStep(t *testing.T, file, dir string, step consoleStep) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", step.command)
	cmd.Dir = dir
	if strings.HasPrefix(step.command, "go ") {
		cmd.Dir = root
	}
	abs, err := filepath.Abs(filepath.Join(root, "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+filepath.Join(dir, ".state"), "TESTDATA="+abs)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	if err != nil && !strings.Contains(step.command, "||") {
		t.Errorf("%s:%d: %s: %v\n%s%s", file, step.line, step.command, err, out.String(), errs.String())
		return
	}
	// A terminal shows both streams; what is given may be either or both.
	both := errs.String() + out.String()
	if re := wildcard(step.want); len(step.want) > 0 && !re.MatchString(out.String()) && !re.MatchString(both) && !re.MatchString(errs.String()) {
		t.Errorf("%s:%d: %s\ngot:\n%s\nwant:\n%s", file, step.line, step.command, both, strings.Join(step.want, "\n"))
	}
}

func TestConsoleStepsReadsBlocks(t *testing.T) {
	text := "words\n```console\n$ wxops a \\\n  b\nout 1 ... x\n...\nlast\n$ next\n```\n```sh\n$ not run\n```\n```console long\n$ slow\n```\n"
	steps := consoleSteps(text)
	if len(steps) != 3 || steps[0].command != "wxops a b" || steps[1].command != "next" || steps[2].command != "slow" || !steps[2].long || steps[0].long {
		t.Fatalf("steps %+v", steps)
	}
	re := wildcard(steps[0].want)
	for out, want := range map[string]bool{
		"out 1 anything x\nlast\n":           true,
		"out 1  x\nmore\nand more\nlast\n":   true,
		"out 2 x\nlast\n":                    false,
		"out 1 anything x\nlast\ntoo much\n": false,
	} {
		if re.MatchString(out) != want {
			t.Errorf("%q matches: %v, want %v", out, !want, want)
		}
	}
}
