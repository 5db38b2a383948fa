package load

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTargetsOfBothFormats(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "b.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := "# two\nGET /a\nX-A: 1\n\nPOST http://h:1/b\nContent-Type: application/json\n@b.json\n{\"url\":\"/c\",\"weight\":3,\"body\":\"aGk=\",\"name\":\"sea\"}\n"
	got, err := ReadTargets(strings.NewReader(text), mustURL(t, "http://h:1/"), dir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, x := range got {
		b.WriteString(x.Title() + " " + x.URL.String() + " " + string(x.Body) + ";")
	}
	if want := "GET /a http://h:1/a ;POST /b http://h:1/b {};sea http://h:1/c hi;"; b.String() != want || got[2].Weight != 3 || got[0].Header["X-A"][0] != "1" {
		t.Errorf("got %s, want %s", b.String(), want)
	}
	for _, bad := range []string{"", "GET", "{", "GET /a\n@missing", `{"url":"/","weight":-1}`, "GET ://", "GET nonsense", "foo /bar", "GET shop.example/pay", `{"url":"pay"}`, `{"method":"GET"}`} {
		if _, err := ReadTargets(strings.NewReader(bad), mustURL(t, "http://h:1/"), dir); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func FuzzTargets(f *testing.F) {
	f.Add("GET /a\nX: y\n\n{\"url\":\"/b\"}\n")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ReadTargets(strings.NewReader(strings.ReplaceAll(s, "@", "")), mustURL(t, "http://h/"), t.TempDir())
		for _, x := range got {
			if err == nil && x.URL == nil {
				t.Error("a target without a URL")
			}
		}
	})
}
