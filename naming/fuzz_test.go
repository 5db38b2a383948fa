package naming

import (
	"encoding/json"
	"testing"
)

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
