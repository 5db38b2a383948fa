package lint

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"
	"time"
)

// stamps collects what the system says about every file of a tree, so that a
// later run can tell that nothing changed without reading. All methods accept
// a nil receiver and do nothing then.
type stamps struct {
	mu     sync.Mutex
	sums   map[string][16]byte // directory -> hash over its entries
	newest time.Time           // the latest change of any file
}

// A folderStamp gathers the entries of one directory.
type folderStamp struct {
	records []string
	newest  time.Time
}

func (s *stamps) folder(string) *folderStamp {
	if s == nil {
		return nil
	}
	return &folderStamp{}
}

func (f *folderStamp) sub(name string) {
	if f != nil {
		f.records = append(f.records, name+"/")
	}
}

func (f *folderStamp) link(name string) {
	if f != nil {
		f.records = append(f.records, name+"@")
	}
}

// add records a file by everything that changes when its content may have.
func (f *folderStamp) add(name string, changed time.Time, values ...int64) {
	b := append(make([]byte, 0, len(name)+1+8*len(values)), name...)
	b = append(b, 0)
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	f.records = append(f.records, string(b))
	if changed.After(f.newest) {
		f.newest = changed
	}
}

func (f *folderStamp) sum() [16]byte {
	slices.Sort(f.records)
	h := sha256.New()
	for _, r := range f.records {
		var n [4]byte
		binary.LittleEndian.PutUint32(n[:], uint32(len(r)))
		h.Write(n[:])
		h.Write([]byte(r))
	}
	return [16]byte(h.Sum(nil)[:16])
}

func (s *stamps) done(path string, f *folderStamp) {
	if s == nil {
		return
	}
	sum := f.sum()
	s.mu.Lock()
	s.sums[path] = sum
	if f.newest.After(s.newest) {
		s.newest = f.newest
	}
	s.mu.Unlock()
}
