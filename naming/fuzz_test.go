package naming

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func FuzzParseDrains(f *testing.F) {
	f.Add([]byte(`{"schema":"wxops/drain/v1","registry":"file:/n.yaml","service":"checkout","base":{"a":100}}`))
	f.Add([]byte(`{"schema":"wxops/drain/v1","base":{"a":-1}}`))
	f.Add([]byte(`{"schema":"wxops/drain/v2"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseDrains(b)
		if err != nil {
			return
		}
		for name, w := range r.Base {
			if name == "" || w <= 0 {
				t.Fatalf("accepted %q: %d", name, w)
			}
		}
	})
}

// Whatever a lock file holds, its holder can be written back.
func FuzzHolder(f *testing.F) {
	f.Add([]byte(`{"token":3,"pid":7,"state":"held","since":"2026-11-23T22:00:00Z","service":"checkout"}`))
	f.Add([]byte("{\"token\":-1}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "lock")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := lockService(t.Context(), path, "checkout", time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		defer l.release()
		if h := readHolder(l.f); h != l.holder || !l.mine() || h.State != stateHeld {
			t.Fatalf("wrote %+v, read %+v", l.holder, h)
		}
	})
}

func FuzzParseJournal(f *testing.F) {
	f.Add([]byte(`{"schema":"wxops/shift-journal/v1","registry":"file:/n.yaml","service":"checkout","instance":"a","token":1,"pid":2,"started":"2026-11-23T22:00:00Z","ttl_seconds":2,"run_log":"/r","weights":[{"instance":"a","base":1,"ours":[2,3]}]}`))
	f.Add([]byte(`{"schema":"wxops/shift-journal/v2"}`))
	f.Add([]byte(`{"schema":"wxops/shift-journal/v1","registry":"r","service":"s","ttl_seconds":1,"weights":[{"instance":"a","base":-1}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		j, err := parseJournal(b)
		if err != nil {
			return
		}
		again, err := json.Marshal(j)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if _, err := parseJournal(again); err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, again)
		}
	})
}
