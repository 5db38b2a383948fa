package naming

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// journalSchema names the format of a journal; see docs/formats.md.
const journalSchema = "wxops/shift-journal/v1"

// A journal is all that is needed to undo a Shift: the base weights and the
// values that are ours. It is on disk before the first write.
type journal struct {
	Schema     string          `json:"schema"`
	Registry   string          `json:"registry"` // canonical address
	Service    string          `json:"service"`
	Instance   string          `json:"instance"`
	Token      uint64          `json:"token"`
	PID        int             `json:"pid"`
	Started    time.Time       `json:"started"`
	TTLSeconds float64         `json:"ttl_seconds"`
	RunLog     string          `json:"run_log"`
	Process    string          `json:"process,omitempty"` // of the registry, if it is a Restarter
	Weights    []journalWeight `json:"weights"`

	path string
}

// A journalWeight is one instance in a journal. Ours holds every value that we
// may have written and that may be in force; what is neither among them nor
// Base was set by somebody else. So was a value that we wrote over long ago
// (Earlier), unless the registry has restarted since and may have loaded it.
type journalWeight struct {
	Instance string   `json:"instance"`
	Base     Weight   `json:"base"`
	Ours     []Weight `json:"ours"`
	Earlier  []Weight `json:"earlier,omitempty"`
}

// replaced returns w with other values that may be in force.
func (w journalWeight) replaced(ours []Weight) journalWeight {
	var earlier []Weight
	for _, v := range slices.Concat(w.Earlier, w.Ours) {
		if v != w.Base && !slices.Contains(ours, v) && !slices.Contains(earlier, v) {
			earlier = append(earlier, v)
		}
	}
	w.Ours, w.Earlier = ours, earlier
	return w
}

// restarted reports whether the process of the registry is another one than at
// the beginning. A process in a container may have the same number again; then
// it has run for less time than the change has lasted.
func (j *journal) restarted(ctx context.Context, reg Registry) (bool, error) {
	r, ok := reg.(Restarter)
	if !ok || j.Process == "" {
		return false, nil
	}
	id, uptime, err := r.Process(ctx)
	const whole = 2 * time.Second // both times are whole seconds
	return err == nil && (id != j.Process || uptime+whole < time.Since(j.Started)), err
}

// stateKey names the files of a service of a registry.
func stateKey(address, service string) string {
	sum := sha256.Sum256([]byte(address + "\x00" + service))
	return fileName(service) + "-" + hex.EncodeToString(sum[:6])
}

// fileName keeps of s what is safe in a file name on every system.
func fileName(s string) string {
	keep := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}
	s = strings.Map(keep, s)
	return s[:min(len(s), 40)]
}

func lockPath(stateDir, key string) string { return filepath.Join(stateDir, "locks", key+".lock") }

func journalPath(stateDir, key string) string {
	return filepath.Join(stateDir, "shifts", key+".json")
}

// lockPathOf returns the lock that belongs to a journal.
func lockPathOf(journal string) string {
	return lockPath(filepath.Dir(filepath.Dir(journal)), strings.TrimSuffix(filepath.Base(journal), ".json"))
}

// readJournal reads and checks a journal. A missing one is fs.ErrNotExist.
func readJournal(path string) (*journal, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	j, err := parseJournal(b)
	if err != nil {
		return nil, fmt.Errorf("read journal %q: %w: %w", path, ErrJournal, err)
	}
	j.path = path
	return j, nil
}

func parseJournal(b []byte) (*journal, error) {
	var head struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("not JSON of the expected shape: %w", err)
	}
	if head.Schema != journalSchema {
		return nil, fmt.Errorf("schema %q is not %q, the one this wxops reads", head.Schema, journalSchema)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	j := &journal{}
	if err := d.Decode(j); err != nil {
		return nil, fmt.Errorf("not JSON of the expected shape: %w", err)
	}
	if j.Registry == "" || j.Service == "" {
		return nil, errors.New("registry or service is missing")
	}
	if !(j.TTLSeconds > 0 && j.TTLSeconds < 3600) {
		return nil, fmt.Errorf("ttl_seconds %v is outside (0, 3600)", j.TTLSeconds)
	}
	seen := map[string]bool{}
	for _, w := range j.Weights {
		if w.Instance == "" || seen[w.Instance] {
			return nil, fmt.Errorf("instance %q is empty or there twice", w.Instance)
		}
		seen[w.Instance] = true
		if w.Base < 0 || slices.ContainsFunc(slices.Concat(w.Ours, w.Earlier), func(v Weight) bool { return v < 0 }) {
			return nil, fmt.Errorf("instance %q has a weight below 0", w.Instance)
		}
	}
	return j, nil
}

// write replaces the journal on disk: all of it is durable when write returns
// nil, and nothing has changed otherwise.
func (j *journal) write() error {
	b, err := json.MarshalIndent(j, "", "  ")
	if err == nil {
		err = WriteDurable(j.path, append(b, '\n'), 0o600, nil)
	}
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// remove deletes the journal; one that is gone already is no error.
func (j *journal) remove() error {
	removeHalves(j.path)
	if err := os.Remove(j.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove journal: %w", err)
	}
	return syncDir(filepath.Dir(j.path))
}

// WriteDurable replaces path at once and for good: it writes a temporary file
// beside it, syncs it, renames it over path and syncs the folder. A reader never
// sees half of b, and nothing has changed when an error is returned. Callers
// exclude each other; the temporary file of one that was killed is removed, and
// one that was stopped and goes on later fails.
//
// ready, if not nil, is asked just before the rename and may refuse it.
func WriteDurable(path string, b []byte, perm os.FileMode, ready func() error) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	removeHalves(path)
	f, err := os.CreateTemp(dir, half(path))
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil && ready != nil {
		err = ready()
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	return syncDir(dir)
}

// half is the pattern of the temporary files of path.
func half(path string) string { return "." + filepath.Base(path) + ".new-*" }

// removeHalves removes what writers of path that were killed have left.
func removeHalves(path string) {
	left, _ := filepath.Glob(filepath.Join(escapeGlob(filepath.Dir(path)), escapeGlob("."+filepath.Base(path))+".new-*"))
	for _, name := range left {
		os.Remove(name)
	}
}

// escapeGlob makes every character of a path stand for itself.
func escapeGlob(s string) string {
	return strings.NewReplacer("*", "[*]", "?", "[?]", "[", "[[]").Replace(s)
}
