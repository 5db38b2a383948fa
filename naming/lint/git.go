package lint

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"path"
	"strconv"
	"strings"
)

// gitSource reads commits through the git binary, which every machine with a
// repository has; a library for it would add half of this program's size.
type gitSource struct {
	dir  string
	revs []string
}

// Git is the directory dir of a repository as it is in a commit or branch,
// without a checkout. Several revisions are compared as environments.
func Git(dir string, revs ...string) Source { return gitSource{dir, revs} }

// runGit returns the output of a git command in dir.
func runGit(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		text, _, _ := strings.Cut(strings.TrimSpace(errs.String()), "\n")
		if text == "" {
			text = err.Error()
		}
		return nil, fmt.Errorf("git %s: %s", args[0], text)
	}
	return out, nil
}

// Changed returns the paths below dir that differ from a revision, relative to
// dir, untracked files included.
func Changed(ctx context.Context, dir, rev string) (map[string]bool, error) {
	if strings.HasPrefix(rev, "-") {
		return nil, fmt.Errorf("%q is no revision", rev)
	}
	out := map[string]bool{}
	diff, err := runGit(ctx, dir, "diff", "--name-only", "--relative", "-z", rev, "--", ".")
	if err != nil {
		return nil, err
	}
	untracked, err := runGit(ctx, dir, "ls-files", "--others", "--exclude-standard", "-z", "--", ".")
	if err != nil {
		return nil, err
	}
	for p := range strings.SplitSeq(string(diff)+string(untracked), "\x00") {
		if p != "" {
			out[p] = true
		}
	}
	return out, nil
}

// Dirty reports whether the git tree around dir has changes that are not committed.
func Dirty(ctx context.Context, dir string) bool {
	out, err := runGit(ctx, dir, "status", "--porcelain", "--untracked-files=no", "--", ".")
	return err == nil && len(bytes.TrimSpace(out)) > 0
}

func (g gitSource) load(ctx context.Context, opt *Options) (*tree, error) {
	b := newBuilder(opt)
	if len(g.revs) > 1 && len(opt.layouts) == 0 {
		l, err := ParseLayout("{env}/{file...}")
		if err != nil {
			return nil, err
		}
		opt.layouts, opt.Layouts = []Layout{l}, []string{l.text}
	}
	type blob struct {
		id, name string
		mode     uint16
	}
	var blobs []blob
	for _, rev := range g.revs {
		if strings.HasPrefix(rev, "-") {
			return nil, fmt.Errorf("%q is no revision", rev)
		}
		out, err := runGit(ctx, g.dir, "ls-tree", "-r", "-z", rev+"^{tree}", "--", ".")
		if err != nil {
			return nil, err
		}
		for line := range strings.SplitSeq(string(out), "\x00") {
			meta, name, ok := strings.Cut(line, "\t")
			f := strings.Fields(meta)
			if !ok || len(f) != 3 {
				continue
			}
			if len(g.revs) > 1 {
				name = path.Join(strings.ReplaceAll(rev, "/", "-"), name)
			}
			if f[1] != "blob" {
				continue // a submodule
			}
			if f[0] == "120000" {
				if err := b.add(name, symlink, 0, nil); err != nil {
					return nil, err
				}
				continue
			}
			mode, err := strconv.ParseUint(f[0], 8, 32)
			if err != nil {
				return nil, fmt.Errorf("git ls-tree: %q", line)
			}
			blobs = append(blobs, blob{f[2], name, uint16(mode & 0o777)})
		}
	}
	cmd := exec.CommandContext(ctx, "git", "-C", g.dir, "cat-file", "--batch")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("git cat-file: %w", err)
	}
	go func() {
		w := bufio.NewWriter(in)
		for _, x := range blobs {
			fmt.Fprintln(w, x.id)
		}
		w.Flush()
		in.Close()
	}()
	r := bufio.NewReader(stdout)
	var failed error
	for _, x := range blobs {
		head, err := r.ReadString('\n')
		f := strings.Fields(head)
		if err != nil || len(f) != 3 {
			failed = fmt.Errorf("git cat-file: %q", strings.TrimSpace(head))
			break
		}
		size, err := strconv.ParseInt(f[2], 10, 64)
		if err != nil || size > maxBytes {
			failed = fmt.Errorf("%q has %s bytes", x.name, f[2])
			break
		}
		data := make([]byte, size+1)
		if _, err := io.ReadFull(r, data); err != nil {
			failed = err
			break
		}
		if failed = b.add(x.name, regular, x.mode, data[:size]); failed != nil {
			break
		}
	}
	if failed != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, failed
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("git cat-file: %w", err)
	}
	return b.c.finish(), nil
}
