package doc

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

type leaf struct {
	Rate  float64        `json:"rate_per_second" doc:"requests per second"`
	Maybe *float64       `json:"maybe_ratio" doc:"may be null"`
	Late  string         `json:"late,omitempty"`
	Count map[string]int `json:"count"`
}

type embedded struct {
	Name string `json:"name"`
}

type tree struct {
	embedded
	Leaves []leaf    `json:"leaves"`
	At     time.Time `json:"at"`
	On     bool      `json:"on"`
	N      int       `json:"n"`
}

var kind = Kind{Name: "tree", Version: 2, Title: "A tree", Data: tree{}}

func sample() tree {
	half := 0.5
	return tree{
		embedded: embedded{"<oak> & co"},
		Leaves:   []leaf{{Rate: 1.5, Maybe: &half, Count: map[string]int{"b": 2, "a": 1}}, {Late: "x"}},
		At:       time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		On:       true,
		N:        3,
	}
}

func TestMarshalIsCanonicalAndReadsBack(t *testing.T) {
	created := time.Date(2026, 1, 5, 10, 30, 0, 999, time.FixedZone("", 3600))
	var first []byte
	for range 5 {
		b, err := Marshal(kind, "wxops test", created, []Input{{"a.csv", "00"}}, []string{"careful"}, sample())
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = b
		}
		if !bytes.Equal(first, b) {
			t.Fatalf("the same data gave other bytes:\n%s\n%s", first, b)
		}
	}
	if !bytes.Contains(first, []byte(`"created": "2026-01-05T09:30:00Z"`)) || !bytes.Contains(first, []byte("<oak> & co")) {
		t.Errorf("created or escapes are wrong:\n%s", first)
	}
	var got tree
	e, err := Read(bytes.NewReader(first), kind, &got)
	if err != nil {
		t.Fatal(err)
	}
	if e.Tool != "wxops test" || len(e.Inputs) != 1 || len(e.Warnings) != 1 || got.Name != "<oak> & co" || *got.Leaves[0].Maybe != 0.5 {
		t.Errorf("read %+v and %+v", e, got)
	}
}

func TestMarshalLeavesOutZeroTimeAndWritesEmptyLists(t *testing.T) {
	b, err := Marshal(kind, "wxops test", time.Time{}, nil, nil, sample())
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte(`"created"`)) || !bytes.Contains(b, []byte(`"inputs": []`)) || !bytes.Contains(b, []byte(`"warnings": []`)) {
		t.Errorf("got\n%s", b)
	}
}

func TestMarshalNamesTheNumberJSONCannotCarry(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(-1)
	for want, data := range map[string]tree{
		"data.leaves[1].rate_per_second": {Leaves: []leaf{{}, {Rate: nan}}},
		"data.leaves[0].maybe_ratio":     {Leaves: []leaf{{Maybe: &inf}}},
	} {
		if _, err := Marshal(kind, "", time.Time{}, nil, nil, data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to name %s", err, want)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	good, err := Marshal(kind, "wxops test", time.Time{}, nil, nil, sample())
	if err != nil {
		t.Fatal(err)
	}
	swap := func(old, new string) string { return strings.Replace(string(good), old, new, 1) }
	for _, c := range []struct {
		name, in string
		is       error
		text     string
	}{
		{"nothing", "", ErrNoDocument, ""},
		{"no JSON", "series,t,value\n", ErrNoDocument, ""},
		{"other JSON", `{"a":1}`, ErrNoDocument, `schema is ""`},
		{"two documents", string(good) + string(good), ErrNoDocument, ""},
		{"another kind", swap("wxops/tree/v2", "wxops/curve/v2"), ErrKind, "wxops/curve/v2"},
		{"later version", swap("wxops/tree/v2", "wxops/tree/v3"), ErrVersion, "this wxops reads v2"},
		{"earlier version", swap("wxops/tree/v2", "wxops/tree/v1"), ErrVersion, ""},
		{"missing key", swap(`"rate_per_second"`, `"rate"`), nil, "data.leaves[0].rate_per_second is missing"},
		{"no data", `{"schema":"wxops/tree/v2"}`, nil, "data is not an object"},
		{"wrong type", swap("1.5", `"1.5"`), nil, "rate_per_second"},
	} {
		var got tree
		_, err := Read(strings.NewReader(c.in), kind, &got)
		if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v, want %v with %q", c.name, err, c.is, c.text)
		}
	}
}

func TestReadPassesOverLaterKeysAndAllowsOptionalOnes(t *testing.T) {
	in := `{"schema":"wxops/tree/v2","tool":"later","data":{"name":"x","new_key":[1],"at":"2026-01-01T00:00:00Z","on":false,"n":1,
		"leaves":[{"rate_per_second":1,"maybe_ratio":null,"count":null,"also_new":{}}]}}`
	var got tree
	if _, err := Read(strings.NewReader(in), kind, &got); err != nil {
		t.Fatal(err)
	}
	if got.Name != "x" || len(got.Leaves) != 1 || got.Leaves[0].Maybe != nil {
		t.Errorf("read %+v", got)
	}
}

func TestSchemaSaysWhatTheReaderChecks(t *testing.T) {
	var s struct {
		ID         string `json:"$id"`
		Properties struct {
			Schema struct{ Const string }
			Data   struct {
				Required   []string
				Properties struct {
					Leaves struct {
						Items struct {
							Required   []string
							Properties map[string]struct {
								Type        any
								Description string
							}
						}
					}
					At struct{ Format string }
				}
			}
		}
	}
	if err := json.Unmarshal(JSONSchema(kind), &s); err != nil {
		t.Fatal(err)
	}
	data := s.Properties.Data
	leafSchema := data.Properties.Leaves.Items
	if s.ID != "wxops/tree/v2" || s.Properties.Schema.Const != s.ID || data.Properties.At.Format != "date-time" {
		t.Errorf("got %+v", s)
	}
	if strings.Join(data.Required, " ") != "name leaves at on n" || strings.Join(leafSchema.Required, " ") != "rate_per_second maybe_ratio count" {
		t.Errorf("required: %q and %q", data.Required, leafSchema.Required)
	}
	if maybe := leafSchema.Properties["maybe_ratio"]; maybe.Description != "may be null" || len(maybe.Type.([]any)) != 2 {
		t.Errorf("maybe_ratio: %+v", maybe)
	}
}
