package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wxops/wxops/internal/doc"
	"github.com/wxops/wxops/internal/goldentest"
)

func compatFile(k doc.Kind) string {
	return filepath.Join(root, "testdata", "compat", fmt.Sprintf("%s-v%d.json", k.Name, k.Version))
}

func TestSchemaOfEveryDocument(t *testing.T) {
	for _, k := range kinds() {
		got := doc.JSONSchema(k)
		if !json.Valid(got) {
			t.Errorf("schema of %s is not JSON", k.Name)
		}
		goldentest.Compare(t, filepath.Join(root, "testdata", "schema", fmt.Sprintf("%s-v%d.json", k.Name, k.Version)), got)
		if k.Title == "" {
			t.Errorf("document %s has no title", k.Name)
		}
	}
}

// Every kind keeps a document written by the first version of wxops that knew
// it; today's wxops reads it and writes it as the golden file says.
func TestOldDocumentsAreReadAndWritten(t *testing.T) {
	for _, k := range kinds() {
		b, err := os.ReadFile(compatFile(k))
		if err != nil {
			t.Errorf("document %s: %v", k.Name, err)
			continue
		}
		data := reflect.New(reflect.TypeOf(k.Data))
		e, err := doc.Read(bytes.NewReader(b), k, data.Interface())
		if err != nil {
			t.Errorf("document %s: %v", k.Name, err)
			continue
		}
		created := time.Time{}
		if e.Created != nil {
			created = *e.Created
		}
		again, err := doc.Marshal(k, e.Tool, created, e.Inputs, e.Warnings, data.Elem().Interface())
		if err != nil {
			t.Errorf("document %s: %v", k.Name, err)
			continue
		}
		goldentest.Compare(t, filepath.Join(root, "testdata", "golden", fmt.Sprintf("%s-v%d.json", k.Name, k.Version)), again)
	}
}

func TestDocumentsOfAnotherVersionAreRefused(t *testing.T) {
	for _, k := range kinds() {
		b, err := os.ReadFile(compatFile(k))
		if err != nil {
			t.Errorf("document %s: %v", k.Name, err)
			continue
		}
		later := strings.Replace(string(b), k.Schema(), fmt.Sprintf("wxops/%s/v%d", k.Name, k.Version+1), 1)
		data := reflect.New(reflect.TypeOf(k.Data))
		if _, err := doc.Read(strings.NewReader(later), k, data.Interface()); !errors.Is(err, doc.ErrVersion) {
			t.Errorf("document %s of a later version: %v, want %v", k.Name, err, doc.ErrVersion)
		}
	}
}

// TestFormatsListEveryKey keeps the tables of docs/formats.md current: they are
// written from the Go types, so that no key goes without a line.
func TestFormatsListEveryKey(t *testing.T) {
	const begin, end = "<!-- kinds: written by go test ./cmd/wxops -update -->\n", "<!-- end of kinds -->"
	file := filepath.Join(root, "docs", "formats.md")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has lost its marks for the list of kinds", file)
	}
	var b strings.Builder
	for _, k := range kinds() {
		fmt.Fprintf(&b, "\n## %s\n\n%s: `%s`.\n\n| Key | Type | Meaning |\n|---|---|---|\n", k.Name, k.Title, k.Schema())
		keyRows(&b, reflect.TypeOf(k.Data), "")
	}
	want := head + begin + b.String() + "\n" + end + tail
	goldentest.Compare(t, file, []byte(want))
}

// keyRows writes a row for each key of a struct and of what it contains.
func keyRows(b *strings.Builder, t reflect.Type, path string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() && !f.Anonymous || name == "-" {
			continue
		}
		if f.Anonymous && name == "" {
			keyRows(b, f.Type, path)
			continue
		}
		word, below := keyType(f.Type)
		if strings.Contains(f.Tag.Get("json"), ",omit") {
			word += ", may be absent"
		}
		fmt.Fprintf(b, "| `%s%s` | %s | %s |\n", path, name, word, strings.ReplaceAll(f.Tag.Get("doc"), "|", "\\|"))
		switch {
		case below == nil:
		case f.Type.Kind() == reflect.Slice:
			keyRows(b, below, path+name+"[].")
		case f.Type.Kind() == reflect.Map:
			keyRows(b, below, path+name+".*.")
		default:
			keyRows(b, below, path+name+".")
		}
	}
}

// keyType names a type as JSON has it, and the struct inside it if there is one.
func keyType(t reflect.Type) (word string, below reflect.Type) {
	if t == reflect.TypeFor[time.Time]() {
		return "time", nil
	}
	if t.Implements(reflect.TypeFor[json.Marshaler]()) || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Marshaler]()) {
		return "string", nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		word, below = keyType(t.Elem())
		return word + " or null", below
	case reflect.Struct:
		return "object", t
	case reflect.Slice, reflect.Array:
		word, below = keyType(t.Elem())
		return "list of " + word, below
	case reflect.Map:
		word, below = keyType(t.Elem())
		return "map to " + word, below
	case reflect.Bool:
		return "boolean", nil
	case reflect.String:
		return "string", nil
	case reflect.Float32, reflect.Float64:
		return "number", nil
	}
	return "integer", nil
}

// FuzzRead holds that no bytes make a reader panic, and that what it accepts
// can be written and is then read as the same data.
func FuzzRead(f *testing.F) {
	for i, k := range kinds() {
		if b, err := os.ReadFile(compatFile(k)); err == nil {
			f.Add(i, b)
		}
		f.Add(i, []byte(`{"schema":"`+k.Schema()+`"}`))
		f.Add(i, []byte(`{"schema":"`+k.Schema()+`","data":{}}`))
		f.Add(i, []byte(`{"schema":"`+k.Schema()+`","data":null}`))
	}
	f.Fuzz(func(t *testing.T, i int, b []byte) {
		all := kinds()
		k := all[uint(i)%uint(len(all))]
		data := reflect.New(reflect.TypeOf(k.Data))
		e, err := doc.Read(bytes.NewReader(b), k, data.Interface())
		if err != nil {
			return
		}
		first, err := doc.Marshal(k, e.Tool, time.Time{}, e.Inputs, e.Warnings, data.Elem().Interface())
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again := reflect.New(reflect.TypeOf(k.Data))
		e, err = doc.Read(bytes.NewReader(first), k, again.Interface())
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, first)
		}
		second, err := doc.Marshal(k, e.Tool, time.Time{}, e.Inputs, e.Warnings, again.Elem().Interface())
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("written again it differs (%v):\n%s\n%s", err, first, second)
		}
	})
}
