package lint

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"time"
)

// A Cache remembers the report of a tree and what the system said about every
// file of it. A later run that is told the same need not read a byte.
type Cache struct {
	Dir string // where entries lie
	Key string // what beside the tree decides about the report: options, inventory, version
}

// grain is how much older than the run a change must be to be trusted: file
// systems with whole seconds exist, and a file may change again within one.
const grain = 2 * time.Second

type cached struct {
	Tree   string  `json:"tree"`
	Report *Report `json:"report"`
}

func (c Cache) file(root string) string {
	h := sha256.Sum256([]byte(root + "\x00" + c.Key))
	return filepath.Join(c.Dir, "lint-"+hex.EncodeToString(h[:12])+".json")
}

// RunDir is [Run] on a directory with a cache. An entry is only written when
// everything could be read and the newest change is older than the clock's grain.
func (c Cache) RunDir(ctx context.Context, root string, opt Options) (*Report, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	file := c.file(abs)
	if b, err := os.ReadFile(file); err == nil {
		var old cached
		if json.Unmarshal(b, &old) == nil && old.Report != nil {
			probe := opt
			if err := probe.prepare(); err != nil {
				return nil, err
			}
			st := &stamps{sums: map[string][16]byte{}}
			probe.statOnly = true
			t, err := dirSource{root: root, stamps: st}.load(ctx, &probe)
			if err == nil && len(t.failed) == 0 && st.total() == old.Tree {
				return old.Report, nil
			}
		}
	}
	st := &stamps{sums: map[string][16]byte{}}
	report, err := Run(ctx, dirSource{root: root, stamps: st}, opt)
	if err != nil || len(report.Unreadable) > 0 || st.newest.Add(grain).After(start) {
		return report, err
	}
	// A cache that cannot be written costs time and nothing else.
	if b, err := json.Marshal(cached{st.total(), report}); err == nil && os.MkdirAll(c.Dir, 0o700) == nil {
		_ = replaceFile(file, b, 0o600)
	}
	return report, nil
}

// total is one hash over all directories.
func (s *stamps) total() string {
	h := sha256.New()
	for _, dir := range sortedKeys(s.sums) {
		h.Write([]byte(dir))
		h.Write([]byte{0})
		sum := s.sums[dir]
		h.Write(sum[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}
