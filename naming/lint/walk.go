package lint

import (
	"context"
	"hash/maphash"
	"os"
	"path"
	"runtime"
	"strings"
	"sync"

	"github.com/wxops/wxops/naming/lint/format"
)

// A walker reads one part of a directory tree with buffers of its own.
type walker struct {
	c        *collector
	opt      *Options
	buffer   []byte // one file
	names    []byte // one directory as the system gives it
	interned map[string]string
	analyzer analyzer
	hash     maphash.Hash
	batch    []entry
	ignore   *ignoreRules
	stamps   *stamps
}

// readSize is the buffer of a reader: longer files are read in several parts.
const readSize = 1 << 20

// maxFolders is the deepest nesting of directories that is followed; each
// level holds one open file.
const maxFolders = 200

func newWalker(c *collector, opt *Options, ignore *ignoreRules) *walker {
	w := &walker{c: c, opt: opt, buffer: make([]byte, readSize), names: make([]byte, 32<<10), interned: map[string]string{}, ignore: ignore}
	w.hash.SetSeed(seedA)
	w.analyzer.opt = opt
	return w
}

func (w *walker) intern(b []byte) string {
	if s, ok := w.interned[string(b)]; ok {
		return s
	}
	s := string(b)
	w.interned[s] = s
	return s
}

// skipFolder names directories that hold no configuration of the tree itself.
func skipFolder(name string) bool {
	switch name {
	case ".git", ".hg", ".svn", "node_modules", ".terraform", ".idea":
		return true
	}
	return false
}

// take hashes and, if new, analyzes the n bytes in the buffer, which are a whole file.
func (w *walker) take(dir, name string, b []byte) int32 {
	syntax := format.Text
	if !w.opt.MD5Only {
		full := name
		if strings.Contains(dir, "templates") {
			full = dir + "/" + name
		}
		syntax = format.Detect(full, b)
	}
	id, isNew := w.c.contentID(sumOf(b), syntax)
	if isNew && !w.opt.MD5Only {
		w.analyzer.name = name
		w.c.setFacts(id, w.analyzer.analyze(syntax, b))
	}
	return id
}

// takeLarge finishes a file that did not fit into the buffer: next reads the
// next part of it. Files up to MaxParse are analyzed, others only hashed.
func (w *walker) takeLarge(dir, name string, head []byte, next func([]byte) (int, error)) (id int32, size int64, large bool, err error) {
	w.hash.Reset()
	var whole []byte
	keep := true
	part := head
	for {
		size += int64(len(part))
		w.hash.Write(part)
		if keep && size <= w.opt.MaxParse {
			whole = append(whole, part...)
		} else {
			keep, whole = false, nil
		}
		n, err := next(w.buffer)
		if err != nil {
			return -1, size, false, err
		}
		if n == 0 {
			break
		}
		part = w.buffer[:n]
	}
	s := sum{w.hash.Sum64(), size}
	syntax := format.Text
	if !w.opt.MD5Only && keep {
		syntax = format.Detect(path.Join(dir, name), whole)
	}
	id, isNew := w.c.contentID(s, syntax)
	if isNew && keep && !w.opt.MD5Only {
		w.c.setFacts(id, w.analyzer.analyze(syntax, whole))
	}
	return id, size, !keep, nil
}

// pending is a directory that a worker will read.
type pending struct {
	path string
	id   int32
	self bool // its own entries too, not only those below
}

// readTree reads a directory tree with all cores.
func readTree(ctx context.Context, root string, opt *Options, ignore *ignoreRules, st *stamps) (*tree, error) {
	t := &tree{read: func(t *tree, e int32) ([]byte, error) { return readFile(root, t.path(e), opt.MaxParse) }}
	c := &collector{t: t, index: map[contentKey]int32{}}
	info, err := os.Stat(root)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, &os.PathError{Op: "read", Path: root, Err: os.ErrInvalid}
	}
	top := c.addFolder(-1, "")
	first := newWalker(c, opt, ignore)
	first.stamps = st
	queue := first.spread(ctx, root, pending{"", top, true}, 8*runtime.GOMAXPROCS(0))
	if len(t.failed) > 0 && t.failed[0].path == "" {
		return nil, t.failed[0].err
	}
	var next int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range max(opt.Workers, 1) {
		wg.Go(func() {
			w := newWalker(c, opt, ignore)
			w.stamps = st
			for ctx.Err() == nil {
				mu.Lock()
				if next == len(queue) {
					mu.Unlock()
					return
				}
				p := queue[next]
				next++
				mu.Unlock()
				w.folder(ctx, root, p)
				if opt.Progress != nil {
					mu.Lock()
					opt.Progress(next, len(queue))
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return c.finish(), nil
}

// spread reads directories near the root itself until there are at least want
// parts for the workers to share, and returns those parts.
func (w *walker) spread(ctx context.Context, root string, p pending, want int) []pending {
	queue := []pending{p}
	for level := 0; level < 3 && len(queue) < want && ctx.Err() == nil; level++ {
		var deeper []pending
		for _, q := range queue {
			deeper = append(deeper, w.level(root, q)...)
		}
		queue = deeper
	}
	return queue
}
