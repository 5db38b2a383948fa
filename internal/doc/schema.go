package doc

import (
	"bytes"
	"encoding/json"
	"reflect"
	"time"
)

var (
	marshalerType = reflect.TypeFor[json.Marshaler]()
	timeType      = reflect.TypeFor[time.Time]()
)

// JSONSchema returns the JSON Schema (draft 2020-12) of documents of kind k,
// derived from the Go type of its data. Descriptions come from `doc` tags. A
// key is required unless its tag says omitempty or omitzero; a pointer may be
// null. Additional keys are allowed, because a later wxops may add some.
func JSONSchema(k Kind) []byte {
	s := object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"$id", k.Schema()},
		{"title", k.Title},
		{"type", "object"},
		{"required", []string{"schema", "tool", "inputs", "warnings", "data"}},
		{"properties", object{
			{"schema", object{{"const", k.Schema()}}},
			{"created", object{{"type", "string"}, {"format", "date-time"}, {"description", "absent where data is a pure function of the inputs"}}},
			{"tool", object{{"type", "string"}}},
			{"inputs", object{{"type", "array"}, {"items", typeSchema(reflect.TypeFor[Input]())}}},
			{"warnings", object{{"type", "array"}, {"items", object{{"type", "string"}}}}},
			{"data", typeSchema(reflect.TypeOf(k.Data))},
		}},
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(s); err != nil {
		panic(err) // only strings and slices of strings are in it
	}
	return b.Bytes()
}

func typeSchema(t reflect.Type) object {
	if t == timeType {
		return object{{"type", "string"}, {"format", "date-time"}}
	}
	if t.Kind() == reflect.Pointer {
		inner := typeSchema(t.Elem())
		for i := range inner {
			if name, ok := inner[i].value.(string); ok && inner[i].key == "type" {
				inner[i].value = []string{name, "null"}
			}
		}
		return inner
	}
	if t.Implements(marshalerType) || reflect.PointerTo(t).Implements(marshalerType) {
		return object{} // its own encoding, any value
	}
	switch t.Kind() {
	case reflect.Bool:
		return object{{"type", "boolean"}}
	case reflect.String:
		return object{{"type", "string"}}
	case reflect.Float32, reflect.Float64:
		return object{{"type", "number"}}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return object{{"type", "integer"}}
	case reflect.Slice, reflect.Array:
		return object{{"type", []string{"array", "null"}}, {"items", typeSchema(t.Elem())}}
	case reflect.Map:
		return object{{"type", []string{"object", "null"}}, {"additionalProperties", typeSchema(t.Elem())}}
	case reflect.Struct:
		required := []string{}
		var properties object
		for _, f := range fields(t) {
			if !f.optional {
				required = append(required, f.name)
			}
			p := typeSchema(f.typ)
			if f.text != "" {
				p = append(p, member{"description", f.text})
			}
			properties = append(properties, member{f.name, p})
		}
		return object{{"type", "object"}, {"required", required}, {"properties", properties}}
	}
	return object{}
}

// object is a JSON object whose keys keep their order.
type object []member

type member struct {
	key   string
	value any
}

func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(m.key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
