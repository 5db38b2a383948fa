package lint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
)

// errNesting says that a directory lies deeper than maxFolders.
var errNesting = errors.New("more than 200 directories deep")

// A stamp is what the system says about a file or directory: whatever changes
// when the bytes or the entries of it do. Times are nanoseconds since 1970.
type stamp struct {
	size, modified, changed int64
	inode, device           uint64
	mode                    uint32 // type and permissions
}

const (
	modeType    = 0o170000
	modeRegular = 0o100000
)

func (s *stamp) regular() bool { return s.mode&modeType == modeRegular }

func (s *stamp) appendTo(b []byte) []byte {
	for _, v := range [...]uint64{uint64(s.size), uint64(s.modified), uint64(s.changed), s.inode, s.device, uint64(s.mode)} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

// stamps are the records of all branches of a tree. A nil receiver keeps none.
type stamps struct{ list []*record }

func (s *stamps) branch(path string) *record {
	if s == nil {
		return nil
	}
	r := &record{path: path, digest: digest{sum: sha256.New()}}
	s.list = append(s.list, r)
	return r
}

// newest is the latest change of anything.
func (s *stamps) newest() int64 {
	var newest int64
	for _, r := range s.list {
		newest = max(newest, r.newest)
	}
	return newest
}

// A record names the directories and files of a branch in the order of
// reading, and has one digest over their stamps. What is in a directory cannot
// change without its stamp, so that a later run needs no listing, and links and
// the like need no stamp of their own.
type record struct {
	path   string
	names  []byte // steps, each but stepUp with a name and a NUL
	newest int64
	digest
	total [16]byte
}

const (
	stepFile = 'f'
	stepDown = 'd' // into a directory
	stepUp   = 'u'
)

// A digest hashes stamps.
type digest struct {
	sum     hash.Hash
	waiting []byte
}

func (d *digest) add(s *stamp) {
	d.waiting = s.appendTo(d.waiting)
	if len(d.waiting) > 16<<10 {
		d.sum.Write(d.waiting)
		d.waiting = d.waiting[:0]
	}
}

func (d *digest) finish() (total [16]byte) {
	d.sum.Write(d.waiting)
	copy(total[:], d.sum.Sum(nil))
	return total
}

func (r *record) step(kind byte, n *named) {
	if r != nil {
		r.names = append(append(append(r.names, kind), n.text...), 0)
	}
}

func (r *record) enter(n *named) { r.step(stepDown, n) }

func (r *record) leave() {
	if r != nil {
		r.names = append(r.names, stepUp)
	}
}

func (r *record) file(n *named, s *stamp) {
	r.step(stepFile, n)
	r.folder(s)
}

// folder adds the stamp of the directory that was entered last.
func (r *record) folder(s *stamp) {
	if r != nil {
		r.add(s)
		r.newest = max(r.newest, s.changed)
	}
}

func (r *record) finish() {
	r.total = r.digest.finish()
	r.digest = digest{}
}

// unchanged reports whether everything in a record still has its stamp.
func (r *record) unchanged(root string) bool {
	d, err := openRoot(root, r.path)
	if err != nil {
		return false
	}
	defer d.close()
	now := digest{sum: sha256.New()}
	s, err := d.stat()
	if err != nil {
		return false
	}
	now.add(&s)
	at := make([]byte, 0, 256) // the path of a directory, with a slash
	for steps := r.names; len(steps) > 0; {
		kind := steps[0]
		steps = steps[1:]
		if kind == stepUp {
			if len(at) == 0 {
				return false
			}
			at = at[:bytes.LastIndexByte(at[:len(at)-1], '/')+1]
			continue
		}
		end := bytes.IndexByte(steps, 0)
		if end <= 0 {
			return false
		}
		full := append(append(at, steps[:end]...), 0)
		if err := d.statBelow(full, &s); err != nil {
			return false
		}
		now.add(&s)
		if kind == stepDown {
			at = full
			at[len(at)-1] = '/'
		}
		steps = steps[end+1:]
	}
	return now.finish() == r.total
}
