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
)

// golden compares got with a file under testdata; -update rewrites the file.
func golden(t *testing.T, got []byte, path ...string) {
	t.Helper()
	file := filepath.Join(append([]string{root, "testdata"}, path...)...)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; go test ./cmd/wxops -update writes it", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; go test ./cmd/wxops -update rewrites it. got:\n%s", file, got)
	}
}

func compatFile(k doc.Kind) string {
	return filepath.Join(root, "testdata", "compat", fmt.Sprintf("%s-v%d.json", k.Name, k.Version))
}

func TestSchemaOfEveryDocument(t *testing.T) {
	for _, k := range kinds() {
		got := doc.JSONSchema(k)
		if !json.Valid(got) {
			t.Errorf("schema of %s is not JSON", k.Name)
		}
		golden(t, got, "schema", fmt.Sprintf("%s-v%d.json", k.Name, k.Version))
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
		golden(t, again, "golden", fmt.Sprintf("%s-v%d.json", k.Name, k.Version))
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
