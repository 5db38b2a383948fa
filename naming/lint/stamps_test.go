package lint

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An untouched tree is known again without listing it; no kind of change is missed.
func TestRecordsSeeEveryKindOfChange(t *testing.T) {
	for name, change := range map[string]func(at func(string) string) error{
		"nothing": nil,
		"longer": func(at func(string) string) error {
			return os.WriteFile(at("svc/prod/web-1/a.env"), []byte("A=1000\n"), 0o644)
		},
		"equally long": func(at func(string) string) error {
			return os.Chtimes(at("svc/prod/web-1/a.env"), time.Unix(1, 0), time.Unix(1, 0))
		},
		"mode":         func(at func(string) string) error { return os.Chmod(at("svc/prod/web-1/a.env"), 0o600) },
		"gone":         func(at func(string) string) error { return os.Remove(at("svc/prod/web-1/a.env")) },
		"file more":    func(at func(string) string) error { return os.WriteFile(at("svc/prod/web-1/b.env"), nil, 0o644) },
		"folder more":  func(at func(string) string) error { return os.Mkdir(at("svc/prod/web-3"), 0o755) },
		"top more":     func(at func(string) string) error { return os.WriteFile(at("new"), nil, 0o644) },
		"folder moved": func(at func(string) string) error { return os.Rename(at("svc/prod/web-1"), at("svc/prod/web-4")) },
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			old := time.Unix(1e9, 0)
			for _, p := range []string{"svc/service.yaml", "svc/test/web-1/a.env", "svc/test/web-2/a.env", "svc/prod/web-1/a.env", "svc/prod/web-2/a.env"} {
				full := filepath.Join(root, p)
				if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(full, []byte("A=1\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			// The clock may stand still during the test: old times change whatever happens.
			if err := filepath.Walk(root, func(p string, _ os.FileInfo, err error) error { return os.Chtimes(p, old, old) }); err != nil {
				t.Fatal(err)
			}
			st := &stamps{}
			report, err := Run(context.Background(), dirSource{root: root, stamps: st}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if st.newest() <= old.UnixNano() && filepath.Separator == '/' {
				t.Error("the change of attributes does not count as a change")
			}
			if change != nil {
				if err := change(func(p string) string { return filepath.Join(root, p) }); err != nil {
					t.Fatal(err)
				}
			}
			kept, list := decodeCache(encodeCache(report, st.list))
			if kept == nil {
				t.Fatal("the entry cannot be read again")
			}
			if got := unchanged(context.Background(), root, list, 2); got != (change == nil) {
				t.Errorf("unchanged is %v", got)
			}
		})
	}
}

func FuzzCacheEntryIsReadOrRefused(f *testing.F) {
	r := &record{path: "a/b", names: []byte("dx\x00ff\x00u")}
	whole := encodeCache(&Report{Findings: []Finding{{Rule: "WX101", Paths: []string{"x"}}}}, []*record{r, r})
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add([]byte(cacheMark + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	root := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		report, list := decodeCache(b)
		if report == nil {
			return
		}
		var again []*record
		for i := range list {
			list[i].unchanged(root) // ends, whatever the steps are
			again = append(again, &list[i])
		}
		got, second := decodeCache(encodeCache(report, again))
		if got == nil || len(second) != len(list) {
			t.Fatalf("%d records became %d", len(list), len(second))
		}
		for i := range list {
			if list[i].path != second[i].path || !bytes.Equal(list[i].names, second[i].names) || list[i].total != second[i].total {
				t.Fatalf("record %d changed", i)
			}
		}
	})
}
