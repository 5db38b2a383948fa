package lint

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// gitSource reads commits through the git binary, which every machine with a
// repository has and which reads whatever git wrote: worktrees, alternates,
// partial clones, SHA-256. A library would add several MiB to every user's
// program and read less. Equal blob ids are read once.
type gitSource struct {
	dir  string
	revs []string
}

// ErrGit says that git could not do what was asked; it also is exec.ErrNotFound
// where there is no git.
var ErrGit = errors.New("git")

// Git is the directory dir of a repository as it is in a commit or branch,
// without a checkout. Several revisions are compared as environments, and
// "A..B" is both, where nothing stands for HEAD.
func Git(dir string, revs ...string) Source { return gitSource{dir, revs} }

// runGit returns the output of a git command in dir.
func runGit(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		if text, _, _ := strings.Cut(strings.TrimSpace(errs.String()), "\n"); text != "" {
			err = errors.New(text)
		}
		return nil, fmt.Errorf("%w %s: %w", ErrGit, args[0], err)
	}
	return out, nil
}

// revisions takes ranges apart.
func revisions(list []string) ([]string, error) {
	var out []string
	for _, r := range list {
		from, to, both := strings.Cut(r, "..")
		switch {
		case strings.HasPrefix(r, "-"), strings.HasPrefix(to, "."):
			return nil, fmt.Errorf("%w: %q is no revision and no range A..B", ErrGit, r)
		case both:
			out = append(out, cmp.Or(from, "HEAD"), cmp.Or(to, "HEAD"))
		default:
			out = append(out, r)
		}
	}
	return out, nil
}

// Changed returns the paths below dir that differ from a revision, relative to
// dir, untracked files included.
func Changed(ctx context.Context, dir, rev string) (map[string]bool, error) {
	if strings.HasPrefix(rev, "-") {
		return nil, fmt.Errorf("%w: %q is no revision", ErrGit, rev)
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
	if abs, err := filepath.Abs(g.dir); err == nil && opt.Root == "" {
		opt.Root = filepath.Base(abs)
	}
	revs, err := revisions(g.revs)
	if err != nil {
		return nil, err
	}
	b := newBuilder(opt)
	if len(revs) > 1 && len(opt.layouts) == 0 {
		l, err := parseLayout("{env}/{file...}")
		if err != nil {
			return nil, err
		}
		opt.layouts, opt.Layouts = []layout{l}, []string{l.text}
	}
	var blobs []blob
	for _, rev := range revs {
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
			if len(revs) > 1 {
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
	if err := b.blobs(ctx, g.dir, blobs); err != nil {
		return nil, err
	}
	return b.c.finish(), nil
}

// A blob is one file of a commit.
type blob struct {
	id, name string
	mode     uint16
}

// blobs reads every blob once: equal ids are equal files.
func (b *builder) blobs(ctx context.Context, dir string, list []blob) error {
	kind := func(x blob) string {
		return x.id + path.Base(x.name) + strings.Repeat("/", strings.Count(x.name, "templates/"))
	}
	first := map[string]string{} // blob and what its syntax depends on -> the name it was read under
	var wanted []string
	list = slices.DeleteFunc(list, func(x blob) bool { _, ok := b.clean(x.name); return !ok })
	for _, x := range list {
		if k := kind(x); first[k] == "" {
			first[k] = x.name
			wanted = append(wanted, x.id)
		}
	}
	cmd := exec.CommandContext(ctx, "git", "-C", dir, "cat-file", "--batch")
	cmd.Stdin = strings.NewReader(strings.Join(append(wanted, ""), "\n"))
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("git cat-file: %w", err)
	}
	r := bufio.NewReader(stdout)
	for _, x := range list {
		if name := first[kind(x)]; name != x.name {
			err = b.again(x, name)
		} else {
			err = b.blob(r, x)
		}
		if err != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			return err
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("git cat-file: %w", err)
	}
	return nil
}

// blob reads what git cat-file --batch gives for one blob.
func (b *builder) blob(r *bufio.Reader, x blob) error {
	head, err := r.ReadString('\n')
	f := strings.Fields(head)
	if err != nil || len(f) != 3 {
		return fmt.Errorf("git cat-file: %q", strings.TrimSpace(head))
	}
	size, err := strconv.ParseInt(f[2], 10, 64)
	if err != nil {
		return fmt.Errorf("git cat-file: %q", strings.TrimSpace(head))
	}
	if err := b.read(x.name, regular, x.mode, io.LimitReader(r, size)); err != nil {
		return fmt.Errorf("%q: %w", x.name, err)
	}
	_, err = r.Discard(1) // the end of the line
	return err
}

// again puts a blob that was read under another name into the tree.
func (b *builder) again(x blob, name string) error {
	if err := b.link(x.name, name); err != nil {
		return err
	}
	b.c.t.entries[len(b.c.t.entries)-1].mode = x.mode
	return nil
}
