// Package doc writes and reads the versioned JSON documents that wxops commands
// hand to each other.
//
// A document is an [Envelope] around data of one [Kind]. A kind is a name, a
// version and a Go type; its JSON Schema is derived from that type, so schema,
// writer and reader cannot disagree. Writing is canonical: equal input gives
// equal bytes. Reading refuses another kind or version, a missing required key
// and a value of the wrong type; unknown keys are passed over, because within a
// version keys are only added.
//
// The package knows no domain type: commands register theirs.
//
//	curve := doc.Kind{Name: "curve", Version: 1, Title: "Performance model of one instance", Data: capacity.Curve{}}
//	b, err := doc.Marshal(curve, "wxops 1.0", time.Now(), nil, nil, c)
//	envelope, err := doc.Read(bytes.NewReader(b), curve, &c)
package doc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// MaxBytes is the largest document that Read accepts: 256 MiB.
const MaxBytes = 256 << 20

// Errors that Read wraps.
var (
	ErrNoDocument = errors.New("not a wxops document")
	ErrKind       = errors.New("a document of another kind")
	ErrVersion    = errors.New("a document of an unknown version")
)

// A Kind names one sort of document.
type Kind struct {
	Name    string // "curve"
	Version int    // 1
	Title   string // one line for people
	Data    any    // a zero value of the Go type of data; a struct
}

// Schema returns the identifier of the kind: "wxops/curve/v1".
func (k Kind) Schema() string { return fmt.Sprintf("wxops/%s/v%d", k.Name, k.Version) }

// An Input names a file that went into a document.
type Input struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

// An Envelope is what every document has around its data. Created is zero, and
// left out, where the data is a pure function of the inputs: then equal inputs
// give equal bytes.
type Envelope struct {
	Schema   string     `json:"schema"`
	Created  *time.Time `json:"created,omitempty"`
	Tool     string     `json:"tool"`
	Inputs   []Input    `json:"inputs"`
	Warnings []string   `json:"warnings"`
	Data     any        `json:"data"`
}

// Marshal returns the canonical bytes of a document: keys in the order of the
// struct, two spaces of indentation, no HTML escapes, one line feed at the end.
// A zero created is left out; others are written in UTC to the second. A NaN or
// an infinity in data is an error that names its place.
func Marshal(k Kind, tool string, created time.Time, inputs []Input, warnings []string, data any) ([]byte, error) {
	if err := finite(reflect.ValueOf(data), "data"); err != nil {
		return nil, fmt.Errorf("write %s: %w", k.Schema(), err)
	}
	e := Envelope{Schema: k.Schema(), Tool: tool, Inputs: inputs, Warnings: warnings, Data: data}
	if !created.IsZero() {
		t := created.UTC().Truncate(time.Second)
		e.Created = &t
	}
	if e.Inputs == nil {
		e.Inputs = []Input{}
	}
	if e.Warnings == nil {
		e.Warnings = []string{}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(e); err != nil {
		return nil, fmt.Errorf("write %s: %w", k.Schema(), err)
	}
	return b.Bytes(), nil
}

// finite returns an error that names the first float JSON cannot carry.
func finite(v reflect.Value, path string) error {
	if v.IsValid() && v.CanInterface() {
		if _, ok := v.Interface().(json.Marshaler); ok {
			return nil
		}
	}
	switch v.Kind() {
	case reflect.Float32, reflect.Float64:
		if f := v.Float(); f != f || f-f != 0 {
			return fmt.Errorf("%s is %v, which JSON cannot carry", path, f)
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return finite(v.Elem(), path)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if err := finite(v.Index(i), path+"["+strconv.Itoa(i)+"]"); err != nil {
				return err
			}
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			if err := finite(v.MapIndex(key), path+"."+fmt.Sprint(key)); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				if err := finite(v.Field(i), path+"."+jsonName(f)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

var schemaForm = regexp.MustCompile(`^wxops/([a-z-]+)/v([0-9]+)$`)

// Read decodes a document of kind k from r into data, a pointer to the type of
// k.Data, and returns its envelope (with Data nil). Errors wrap ErrNoDocument,
// ErrKind or ErrVersion, or name the key that is missing or of the wrong type.
func Read(r io.Reader, k Kind, data any) (Envelope, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return Envelope{}, fmt.Errorf("read %s: %w", k.Schema(), err)
	}
	if len(b) > MaxBytes {
		return Envelope{}, fmt.Errorf("read %s: longer than %d MiB", k.Schema(), MaxBytes>>20)
	}
	var e struct {
		Envelope
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(b, &e); err != nil {
		return Envelope{}, fmt.Errorf("read %s: %w: %w", k.Schema(), ErrNoDocument, err)
	}
	m := schemaForm.FindStringSubmatch(e.Schema)
	switch {
	case m == nil:
		return Envelope{}, fmt.Errorf("read %s: %w: schema is %q", k.Schema(), ErrNoDocument, e.Schema)
	case m[1] != k.Name:
		return Envelope{}, fmt.Errorf("read %s: %w: schema is %q", k.Schema(), ErrKind, e.Schema)
	case m[2] != strconv.Itoa(k.Version):
		return Envelope{}, fmt.Errorf("read %s: %w: schema is %q, this wxops reads v%d", k.Schema(), ErrVersion, e.Schema, k.Version)
	}
	var tree any
	if len(e.Data) > 0 {
		if err := json.Unmarshal(e.Data, &tree); err != nil {
			return Envelope{}, fmt.Errorf("read %s: data: %w", k.Schema(), err)
		}
	}
	if err := required(reflect.TypeOf(k.Data), tree, "data"); err != nil {
		return Envelope{}, fmt.Errorf("read %s: %w", k.Schema(), err)
	}
	if err := json.Unmarshal(e.Data, data); err != nil {
		return Envelope{}, fmt.Errorf("read %s: data: %w", k.Schema(), err)
	}
	return e.Envelope, nil
}

// required returns an error that names the first key a struct needs and tree lacks.
func required(t reflect.Type, tree any, path string) error {
	for t.Kind() == reflect.Pointer {
		if tree == nil {
			return nil
		}
		t = t.Elem()
	}
	if t.Implements(marshalerType) || reflect.PointerTo(t).Implements(marshalerType) {
		return nil
	}
	switch t.Kind() {
	case reflect.Struct:
		m, ok := tree.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is not an object", path)
		}
		for _, f := range fields(t) {
			v, ok := m[f.name]
			if !ok && !f.optional {
				return fmt.Errorf("key %s.%s is missing", path, f.name)
			}
			if ok {
				if err := required(f.typ, v, path+"."+f.name); err != nil {
					return err
				}
			}
		}
	case reflect.Slice, reflect.Array:
		list, _ := tree.([]any) // a value of another type fails in the decoder, with its offset
		for i, v := range list {
			if err := required(t.Elem(), v, path+"["+strconv.Itoa(i)+"]"); err != nil {
				return err
			}
		}
	}
	return nil
}

type field struct {
	name     string
	typ      reflect.Type
	optional bool // may be absent
	text     string
}

// fields lists the JSON keys of a struct in order, embedded structs included.
func fields(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous && f.Tag.Get("json") == "" && f.Type.Kind() == reflect.Struct {
			out = append(out, fields(f.Type)...)
			continue
		}
		name := jsonName(f)
		if !f.IsExported() || name == "-" {
			continue
		}
		_, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		out = append(out, field{name, f.Type, strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero"), f.Tag.Get("doc")})
	}
	return out
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "" {
		return f.Name
	}
	return name
}
