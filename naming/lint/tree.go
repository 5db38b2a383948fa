package lint

import (
	"cmp"
	"hash/maphash"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/wxops/wxops/naming/lint/format"
)

// entryKind is what a directory entry is.
type entryKind uint8

const (
	regular entryKind = iota
	symlink
	special    // FIFO, socket, device: never opened
	unreadable // could not be read; the reason is in tree.failed
)

// An entry is a file of the tree. All entries of one content share its id.
type entry struct {
	name    string
	dir     int32
	content int32 // index into tree.contents; -1 for what was not read
	mode    uint16
	kind    entryKind
	large   bool // over Options.MaxParse: compared by bytes only
}

// A folder is a directory; parent is -1 for the root.
type folder struct {
	name   string
	parent int32
}

// A content is one distinct sequence of bytes in one syntax.
type content struct {
	sum    sum
	first  int32 // an entry that has it
	syntax format.Syntax
	facts  *facts // nil if nothing about it is worth a word
}

// A sum tells contents apart: the size, and a keyed 64-bit hash whose seed is
// drawn at the start of the process. Nobody can prepare two files with equal
// sums, and of two given files of one size it happens by chance once in 2^64;
// it costs a twentieth of MD5.
type sum struct {
	hash uint64
	size int64
}

var seedA, seedB = maphash.MakeSeed(), maphash.MakeSeed()

func sumOf(b []byte) sum { return sum{maphash.Bytes(seedA, b), int64(len(b))} }

// A failure is a path that could not be read.
type failure struct {
	path string
	err  error
}

// A tree is everything a source gave: directories, files and distinct contents.
type tree struct {
	folders  []folder
	entries  []entry
	contents []content
	failed   []failure
	bytes    int64

	// read returns the bytes of an entry again, at most MaxParse of them.
	read func(t *tree, e int32) ([]byte, error)
	kept map[int32][]byte   // contents of sources that cannot be read again
	sums [][16]byte         // MD5 of each content where nothing else is known
	md5s map[int32][16]byte // MD5 of contents that were read once and not kept
}

// folderPath returns the path of a directory relative to the root, "" for the root.
func (t *tree) folderPath(d int32) string {
	if d < 0 || t.folders[d].parent < 0 {
		return ""
	}
	return path.Join(t.folderPath(t.folders[d].parent), t.folders[d].name)
}

func (t *tree) path(e int32) string {
	return path.Join(t.folderPath(t.entries[e].dir), t.entries[e].name)
}

// A collector gathers the contents that several readers find: contentID and
// setFacts are safe for concurrent use. The other methods are for sources that
// one reader reads in any order.
type collector struct {
	mu    sync.Mutex
	t     *tree
	index map[contentKey]int32
}

type contentKey struct {
	sum
	syntax format.Syntax
}

// addFolder returns the index of a new directory.
func (c *collector) addFolder(parent int32, name string) int32 {
	c.t.folders = append(c.t.folders, folder{name: name, parent: parent})
	return int32(len(c.t.folders) - 1)
}

func (c *collector) fail(p string, err error) {
	c.t.failed = append(c.t.failed, failure{p, err})
}

// contentID returns the id of a content and whether it is new. The caller that
// made it new analyzes it and calls setFacts.
func (c *collector) contentID(s sum, syntax format.Syntax) (id int32, isNew bool) {
	key := contentKey{s, syntax}
	c.mu.Lock()
	defer c.mu.Unlock()
	id, ok := c.index[key]
	if !ok {
		id = int32(len(c.t.contents))
		c.t.contents = append(c.t.contents, content{sum: s, first: -1, syntax: syntax})
		c.index[key] = id
	}
	return id, !ok
}

func (c *collector) setFacts(id int32, f *facts) {
	if f == nil {
		return
	}
	c.mu.Lock()
	c.t.contents[id].facts = f
	c.mu.Unlock()
}

// addEntry adds a file and the bytes it had.
func (c *collector) addEntry(e entry, bytes int64) {
	c.t.entries = append(c.t.entries, e)
	c.t.bytes += bytes
}

// finish puts entries and folders into the order of a walk: the names of each
// directory sorted, depth first, a directory's files before what is below.
func (c *collector) finish() *tree {
	t := c.t
	order := make([]int32, len(t.folders))
	paths := make([]string, len(t.folders))
	for i := range order {
		order[i] = int32(i)
		paths[i] = strings.ReplaceAll(t.folderPath(int32(i)), "/", "\x00") // lower than any byte of a name
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(paths[a], paths[b]) })
	rank := make([]int32, len(order))
	folders := make([]folder, len(order))
	for r, i := range order {
		rank[i] = int32(r)
	}
	for r, i := range order {
		folders[r] = t.folders[i]
		if folders[r].parent >= 0 {
			folders[r].parent = rank[folders[r].parent]
		}
	}
	t.folders = folders
	for i := range t.entries {
		t.entries[i].dir = rank[t.entries[i].dir]
	}
	byEntry := func(a, b entry) int {
		if a.dir != b.dir {
			return cmp.Compare(a.dir, b.dir)
		}
		return cmp.Compare(a.name, b.name)
	}
	slices.SortFunc(t.entries, byEntry)
	for i := range t.entries {
		if id := t.entries[i].content; id >= 0 && t.contents[id].first < 0 {
			t.contents[id].first = int32(i)
		}
	}
	slices.SortFunc(t.failed, func(a, b failure) int { return cmp.Compare(a.path, b.path) })
	return t
}

// bytesOf returns the bytes of a content again.
func (t *tree) bytesOf(id int32) ([]byte, error) {
	if b, ok := t.kept[id]; ok {
		return b, nil
	}
	return t.read(t, t.contents[id].first)
}
