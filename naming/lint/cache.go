package lint

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A Cache remembers the report of a tree and what the system said about every
// directory and file of it. A later run that is told the same lists no
// directory and opens no file.
type Cache struct {
	Dir string // where entries lie
	Key string // what beside the tree decides about the report: options, inventory, version
}

// grain is how much older than the run a change must be to be trusted: file
// systems with whole seconds exist, and a file may change again within one.
const grain = 2 * time.Second

func (c Cache) file(root string) string {
	h := sha256.Sum256([]byte(root + "\x00" + c.Key))
	return filepath.Join(c.Dir, "lint-"+hex.EncodeToString(h[:12]))
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
		probe := opt
		if err := probe.prepare(); err != nil {
			return nil, err
		}
		if report, list := decodeCache(b); report != nil && unchanged(ctx, root, list, probe.Workers) {
			return report, nil
		}
	}
	st := &stamps{}
	report, err := Run(ctx, dirSource{root: root, stamps: st}, opt)
	if err != nil || len(report.Unreadable) > 0 || time.Unix(0, st.newest()).Add(grain).After(start) {
		return report, err
	}
	// A cache that cannot be written costs time and nothing else.
	if b := encodeCache(report, st.list); b != nil && os.MkdirAll(c.Dir, 0o700) == nil {
		_ = replaceFile(file, b, 0o600)
	}
	return report, nil
}

// unchanged reports whether all records still hold.
func unchanged(ctx context.Context, root string, list []record, workers int) bool {
	var next atomic.Int64
	var changed atomic.Bool
	var wg sync.WaitGroup
	for range min(workers, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for ctx.Err() == nil && !changed.Load() {
				k := int(next.Add(1)) - 1
				if k >= len(list) {
					return
				}
				if !list[k].unchanged(root) {
					changed.Store(true)
				}
			}
		})
	}
	wg.Wait()
	return ctx.Err() == nil && !changed.Load()
}

// cacheMark begins an entry; the number is that of its form.
const cacheMark = "wxops-lint-cache/2\n"

// encodeCache writes the report as JSON, then every record: path, names and
// digest, each with its length before it.
func encodeCache(report *Report, list []*record) []byte {
	text, err := json.Marshal(report)
	if err != nil {
		return nil
	}
	b := []byte(cacheMark)
	put := func(field []byte) {
		b = binary.AppendUvarint(b, uint64(len(field)))
		b = append(b, field...)
	}
	put(text)
	for _, r := range list {
		put([]byte(r.path))
		put(r.names)
		b = append(b, r.total[:]...)
	}
	return b
}

// decodeCache returns nil for an entry that cannot be understood.
func decodeCache(b []byte) (*Report, []record) {
	if len(b) < len(cacheMark) || string(b[:len(cacheMark)]) != cacheMark {
		return nil, nil
	}
	b = b[len(cacheMark):]
	ok := true
	get := func() []byte {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			ok = false
			return nil
		}
		field := b[k : k+int(n)]
		b = b[k+int(n):]
		return field
	}
	var report Report
	if text := get(); json.Unmarshal(text, &report) != nil || report.Findings == nil {
		return nil, nil
	}
	var list []record
	for ok && len(b) > 0 {
		r := record{path: string(get()), names: get()}
		if ok = ok && len(b) >= len(r.total); ok {
			b = b[copy(r.total[:], b):]
			list = append(list, r)
		}
	}
	if !ok || len(list) == 0 {
		return nil, nil
	}
	return &report, list
}
