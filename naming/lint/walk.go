package lint

import (
	"bytes"
	"context"
	"hash/maphash"
	"math/bits"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/wxops/wxops/naming/lint/format"
)

// A walker reads parts of a directory tree with buffers of its own; what it
// found stays with it until all parts are put together.
type walker struct {
	c         *collector
	opt       *Options
	ignore    *ignoreRules
	buffer    []byte // one file
	dents     []byte // one directory as the system gives it
	names     map[string]*named
	held      int       // bytes that names hold
	levels    []listing // by depth
	trail     []string  // directories from the root to the one being read
	templates int       // how many of them are called templates
	analyzer  analyzer
	record    *record // for the cache; nil: none is kept

	folders []folder // of the branch being read
	entries []entry
	failed  []failure
	bytes   int64
}

// A named is a part of a path, with the bytes of the last file that had it: in
// most trees the next file of that name has the same bytes, and comparing costs
// less than hashing and looking the hash up.
type named struct {
	text string // a NUL follows it in memory
	last []byte
	id   int32 // the content of last; -1 if there is none
}

// A listing is one directory. raw keeps the order in which the system gave the
// names: the next directory at this depth mostly has the same ones.
type listing struct {
	raw   []*named
	items []item
}

type item struct {
	name   *named
	kind   entryKind
	folder bool
}

const (
	readSize   = 256 << 10 // buffer of a reader, so that it stays in a core's cache; longer files are read in parts
	maxFolders = 200       // nesting of directories that is followed; each level holds one open file
	maxHeld    = 32 << 20  // bytes of files that a walker keeps to compare others with
	maxOneHeld = 64 << 10  // bytes of a single one of them
)

func newWalker(c *collector, opt *Options, ignore *ignoreRules) *walker {
	w := &walker{c: c, opt: opt, buffer: make([]byte, readSize), dents: make([]byte, 32<<10), names: map[string]*named{}, ignore: ignore}
	w.analyzer.opt = opt
	return w
}

// name returns the k-th name of a directory that l was about before.
func (w *walker) name(l *listing, k int, b []byte) *named {
	if k < len(l.raw) && l.raw[k].text == string(b) {
		return l.raw[k]
	}
	n := w.names[string(b)]
	if n == nil {
		text := string(append(b[:len(b):len(b)], 0))[:len(b)]
		n = &named{text: text, id: -1}
		w.names[text] = n
	}
	if k < len(l.raw) {
		l.raw[k] = n
	} else {
		l.raw = append(l.raw, n)
	}
	return n
}

// sort puts the items into the order of their names.
func (l *listing) sort() {
	if len(l.items) > 16 {
		slices.SortFunc(l.items, func(a, b item) int { return strings.Compare(a.name.text, b.name.text) })
		return
	}
	for i := 1; i < len(l.items); i++ {
		for k := i; k > 0 && l.items[k].name.text < l.items[k-1].name.text; k-- {
			l.items[k], l.items[k-1] = l.items[k-1], l.items[k]
		}
	}
}

// skipFolder names directories that hold no configuration of the tree itself.
func skipFolder(name string) bool {
	switch name {
	case ".git", ".hg", ".svn", "node_modules", ".terraform", ".idea":
		return true
	}
	return false
}

func (w *walker) fail(name string, err error) {
	w.failed = append(w.failed, failure{path.Join(path.Join(w.trail...), name), err})
}

// enter and leave keep the trail.
func (w *walker) enter(name string) {
	w.trail = append(w.trail, name)
	if name == "templates" {
		w.templates++
	}
}

func (w *walker) leave() {
	if w.trail[len(w.trail)-1] == "templates" {
		w.templates--
	}
	w.trail = w.trail[:len(w.trail)-1]
}

// syntax says how a file is written by its name and bytes; a directory called
// templates above it counts.
func (w *walker) syntax(name string, b []byte) format.Syntax {
	switch {
	case w.opt.MD5Only:
		return format.Text
	case w.templates > 0:
		return format.Template
	}
	return format.Detect(name, b)
}

// take finds out which content the bytes of a whole file are and, if it is new, analyzes it.
func (w *walker) take(n *named, b []byte) int32 {
	if n.id >= 0 && w.templates == 0 && bytes.Equal(n.last, b) {
		return n.id
	}
	syntax, short := format.Text, int64(len(b)) <= w.opt.MaxParse
	if short {
		syntax = w.syntax(n.text, b)
	}
	id, isNew := w.c.contentID(sumOf(b), syntax)
	if isNew && short && !w.opt.MD5Only {
		w.analyzer.name = n.text
		w.c.setFacts(id, w.analyzer.analyze(syntax, b))
	}
	if w.templates == 0 && len(b) <= maxOneHeld {
		before := cap(n.last)
		n.last, n.id = append(n.last[:0], b...), id
		if w.held += cap(n.last) - before; w.held > maxHeld {
			for _, o := range w.names {
				o.last, o.id = nil, -1
			}
			w.held = 0
		}
	}
	return id
}

// takeLarge finishes a file that filled the buffer. Files up to MaxParse are
// analyzed, others only hashed; expected is the size as the system gave it, 0
// if nobody asked.
func (w *walker) takeLarge(n *named, f handle, expected int64) (id int32, size int64, large bool, err error) {
	var sum sum
	var whole []byte
	keep := expected <= w.opt.MaxParse
	for part := w.buffer; len(part) > 0; {
		sum.add(part)
		if keep = keep && sum.size <= w.opt.MaxParse; !keep {
			whole = nil
		} else if !w.opt.MD5Only {
			whole = append(whole, part...)
		}
		filled := 0
		for filled < len(w.buffer) {
			k, err := f.read(w.buffer[filled:])
			if err != nil {
				return -1, sum.size, false, err
			}
			if k == 0 {
				break
			}
			filled += k
		}
		part = w.buffer[:filled]
	}
	syntax := format.Text
	if keep {
		syntax = w.syntax(n.text, whole)
	}
	id, isNew := w.c.contentID(sum, syntax)
	if isNew && keep && !w.opt.MD5Only {
		w.analyzer.name = n.text
		w.c.setFacts(id, w.analyzer.analyze(syntax, whole))
	}
	return id, sum.size, !keep, nil
}

// add appends one part of a file that is longer than [readSize]. Every part but
// the last has that length, so equal files have equal sums.
func (s *sum) add(part []byte) {
	s.hash = bits.RotateLeft64(s.hash*0x9e3779b97f4a7c15, 29) ^ maphash.Bytes(seedA, part)
	s.size += int64(len(part))
}

// file reads one regular file. A read that returns less than was asked for is
// the end of a regular file, which saves one system call for each.
func (w *walker) file(d directory, n *named, dir int32) {
	e := entry{name: n.text, dir: dir, content: -1}
	size, err := w.readFile(d, n, &e)
	if err != nil {
		w.fail(n.text, err)
		e.kind = unreadable
	}
	w.entries = append(w.entries, e)
	w.bytes += size
}

func (w *walker) readFile(d directory, n *named, e *entry) (int64, error) {
	f, err := d.open(n)
	if err != nil {
		return 0, err
	}
	defer f.close()
	var expected int64
	if !w.opt.MD5Only || w.record != nil {
		st, err := f.stat()
		if err != nil {
			return 0, err
		}
		if !st.regular() {
			e.kind = special
			return 0, nil
		}
		e.mode = uint16(st.mode & 0o7777)
		w.record.file(n, &st)
		expected = st.size
	}
	k, err := f.read(w.buffer)
	if err != nil {
		return 0, err
	}
	if k < len(w.buffer) {
		e.content, e.large = w.take(n, w.buffer[:k]), int64(k) > w.opt.MaxParse
		return int64(k), nil
	}
	var size int64
	e.content, size, e.large, err = w.takeLarge(n, f, expected)
	return size, err
}

// read lists one directory, reads its files and returns its entries in the
// order of their names; they are valid until the next directory of this depth is read.
func (w *walker) read(d directory, id int32, depth int) []item {
	for depth >= len(w.levels) {
		w.levels = append(w.levels, listing{})
	}
	if w.record != nil {
		st, err := d.stat()
		if err != nil {
			w.fail("", err)
		}
		w.record.folder(&st)
	}
	l := &w.levels[depth]
	l.items = l.items[:0]
	if err := w.list(d, l); err != nil {
		w.fail("", err)
	}
	if w.ignore != nil {
		dir := path.Join(w.trail...)
		l.items = slices.DeleteFunc(l.items, func(i item) bool { return w.ignore.ignored(dir, i.name.text, i.folder) })
	}
	l.items = slices.DeleteFunc(l.items, func(i item) bool {
		return i.folder && skipFolder(i.name.text) || i.name.text == ".git" // a file in a worktree and in a submodule
	})
	l.sort()
	for _, i := range l.items {
		switch {
		case i.folder:
		case i.kind == regular:
			w.file(d, i.name, id)
		default:
			w.entries = append(w.entries, entry{name: i.name.text, dir: id, content: -1, kind: i.kind})
		}
	}
	return l.items
}

// below reads a directory and everything below it, depth first.
func (w *walker) below(ctx context.Context, d directory, id int32, depth int) {
	for _, i := range w.read(d, id, depth) {
		if !i.folder {
			continue
		}
		if ctx.Err() != nil {
			return
		}
		sub := int32(len(w.folders))
		w.folders = append(w.folders, folder{i.name.text, id})
		w.enter(i.name.text)
		if c, err := d.folder(i.name); err != nil {
			w.fail("", err)
		} else if depth == maxFolders {
			w.fail("", errNesting)
			c.close()
		} else {
			w.record.enter(i.name)
			w.below(ctx, c, sub, depth+1)
			w.record.leave()
			c.close()
		}
		w.leave()
	}
}

// A branch is a directory near the root: either one of those that are shared
// out among the walkers, with all below it, or one above those.
type branch struct {
	name, path string
	subs       []*branch
	parted     bool // subs holds its directories; else everything below belongs to the branch itself
	record     *record

	folders []folder // parents are indexes into this slice, -1 for the branch itself
	entries []entry  // with dir as index into folders
}

// read reads a branch: alone, or with everything below it.
func (b *branch) read(ctx context.Context, w *walker, root string, alone bool) {
	w.folders, w.entries = append(w.folders[:0], folder{b.name, -1}), w.entries[:0]
	w.trail, w.templates = w.trail[:0], 0
	if b.path != "" {
		for part := range strings.SplitSeq(b.path, "/") {
			w.enter(part)
		}
	}
	if w.record = b.record; w.record != nil {
		defer w.record.finish()
	}
	if d, err := openRoot(root, b.path); err != nil {
		w.fail("", err)
	} else {
		if b.parted = alone; alone {
			for _, i := range w.read(d, 0, 0) {
				if i.folder {
					b.subs = append(b.subs, &branch{name: i.name.text, path: path.Join(b.path, i.name.text)})
				}
			}
		} else {
			w.below(ctx, d, 0, len(w.trail))
		}
		d.close()
	}
	b.folders, b.entries = slices.Clone(w.folders), slices.Clone(w.entries)
}

// readTree reads a directory tree with all cores. Whoever reads a part of it,
// everything ends up in the order of names, directories depth first.
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
	first := newWalker(c, opt, ignore)
	top := &branch{}
	queue := []*branch{top}
	// Directories near the root are read at once, until there are enough to share.
	for level := 0; level < 3 && len(queue) > 0 && len(queue) < 8*runtime.GOMAXPROCS(0) && ctx.Err() == nil; level++ {
		var deeper []*branch
		for _, b := range queue {
			b.record = st.branch(b.path)
			b.read(ctx, first, root, true)
			deeper = append(deeper, b.subs...)
		}
		queue = deeper
	}
	if len(first.failed) > 0 && first.failed[0].path == "" {
		return nil, first.failed[0].err
	}
	for _, b := range queue {
		b.record = st.branch(b.path)
	}
	var next atomic.Int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	walkers := []*walker{first}
	for k := range max(opt.Workers, 1) {
		w := first
		if k > 0 {
			w = newWalker(c, opt, ignore)
			walkers = append(walkers, w)
		}
		wg.Go(func() {
			ownDescriptors()
			for ctx.Err() == nil {
				k := int(next.Add(1)) - 1
				if k >= len(queue) {
					return
				}
				queue[k].read(ctx, w, root, false)
				if opt.Progress != nil {
					mu.Lock()
					opt.Progress(k+1, len(queue))
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for _, w := range walkers {
		t.failed = append(t.failed, w.failed...)
		t.bytes += w.bytes
	}
	t.join(top)
	return t, nil
}

// join puts the parts together that walkers have read and numbers the contents
// by the first entry that has each, so that equal trees give equal reports
// whatever the order of reading was.
func (t *tree) join(top *branch) {
	folders, entries := 0, 0
	var count func(b *branch)
	count = func(b *branch) {
		folders += len(b.folders)
		entries += len(b.entries)
		for _, s := range b.subs {
			count(s)
		}
	}
	count(top)
	slices.SortFunc(t.failed, func(a, b failure) int { return strings.Compare(a.path, b.path) })
	t.folders, t.entries = make([]folder, 0, folders), make([]entry, 0, entries)
	order := make([]int32, len(t.contents)) // new number of each content, from 1
	contents := make([]content, 0, len(t.contents))
	var add func(b *branch, parent int32)
	add = func(b *branch, parent int32) {
		base := int32(len(t.folders))
		for _, f := range b.folders {
			if f.parent += base; f.parent < base {
				f.parent = parent
			}
			t.folders = append(t.folders, f)
		}
		for _, e := range b.entries {
			e.dir += base
			if e.content >= 0 {
				if order[e.content] == 0 {
					c := t.contents[e.content]
					c.first = int32(len(t.entries))
					contents = append(contents, c)
					order[e.content] = int32(len(contents))
				}
				e.content = order[e.content] - 1
			}
			t.entries = append(t.entries, e)
		}
		for _, s := range b.subs {
			add(s, base)
		}
	}
	add(top, -1)
	t.contents = contents
}
