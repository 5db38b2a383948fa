//go:build unix

package lint_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/wxops/wxops/naming/lint"
)

// A configuration file either is refused or can be applied and run with.
func FuzzReadConfig(f *testing.F) {
	f.Add([]byte(lint.ExampleConfig))
	f.Add([]byte("layouts: ['{service}/{env}/{file...}']\nrules: {WX1xx: off, WX101: error}\nsuppress: [{rule: WX102, reason: r, path: 'a/**', key: '[', until: 2026-12-31}]\nignore: ['!a', '/b/', '[c-']\nordered: ['*']\nlong_cache: 3d\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := lint.ReadConfig("x", b)
		if err != nil {
			return
		}
		var o lint.Options
		if c.Apply(&o) != nil {
			return
		}
		_, _ = lint.Run(context.Background(), lint.Stream("x", strings.NewReader(`{"kind": "ConfigMap", "metadata": {"name": "a", "namespace": "prod"}, "data": {"a": "b"}}`)), o)
	})
}

// A baseline either is refused or can be applied.
func FuzzReadBaseline(f *testing.F) {
	f.Add(lint.NewBaseline(&lint.Report{Findings: []lint.Finding{{Rule: "WX101", Fingerprint: "a1", Paths: []string{"x"}, Places: 2}}}, "known"))
	f.Add([]byte("schema: wxops-lint-baseline/v1\nentries: [{fingerprint: a, count: -1, until: 2026-01-01}]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		base, err := lint.ReadBaseline(b)
		if err != nil {
			return
		}
		r := lint.Report{Findings: []lint.Finding{{Rule: "WX101", Fingerprint: "a1", Paths: []string{"x"}, Places: 1}}, Summary: lint.Summary{Findings: map[string]int{"WX101": 1}}}
		before := len(r.Findings)
		r.ApplyBaseline(base, "x", lint.Options{})
		if kept := len(r.Findings); kept > before+len(base.Entries) || r.Summary.Suppressed > before {
			t.Fatalf("%d findings, %d suppressed", kept, r.Summary.Suppressed)
		}
	})
}

// An inventory either is refused or can be run with.
func FuzzReadInventory(f *testing.F) {
	f.Add([]byte(`{"Envs": ["prod"], "Instances": [{"Service": "a", "Env": "prod", "Instance": "a-1", "Host": "h", "IP": "10.0.0.1"}], "Slices": ["1C1G"], "Names": ["x"]}`))
	f.Add([]byte("environments: [dev, {name: prod}]\ninstances:\n- {service: a, host: h}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := lint.ReadInventory(b)
		if err != nil {
			return
		}
		_, _ = lint.Run(context.Background(), lint.Stream("x", strings.NewReader(`{"kind": "ConfigMap", "metadata": {"name": "a", "namespace": "prod"}, "data": {"a": "ns/b"}}`)), lint.Options{Inventory: v})
	})
}

// Manifests of hosts: no panic, no path out of the tree, and what is read is
// what the lines say.
func FuzzManifests(f *testing.F) {
	f.Add([]byte("d41d8cd98f00b204e9800998ecf8427e  a.yaml\n\\d41d8cd98f00b204e9800998ecf8427e  b\\nc\n# wxops-manifest/v1 service=s version=1 env=prod host=h files=2\n"))
	f.Add([]byte("d41d8cd98f00b204e9800998ecf8427e *../../x\n# wxops-manifest/v1 service=../.. host=/\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := lint.Run(context.Background(), lint.Manifests(func(each func(string, io.Reader) error) error {
			return each("x", bytes.NewReader(b))
		}), lint.Options{MD5Only: true})
		if err != nil {
			return
		}
		if lines := bytes.Count(b, []byte("\n")) + 1; r.Summary.Files > lines {
			t.Fatalf("%d files from %d lines", r.Summary.Files, lines)
		}
		inside(t, r)
	})
}

// Archives and lists of ConfigMaps: no panic, and no path out of the archive.
func FuzzStream(f *testing.F) {
	f.Add([]byte(`{"items": [{"kind": "ConfigMap", "metadata": {"name": "../a", "namespace": "prod"}, "data": {"../../b": "c"}}]}`))
	f.Add([]byte("PK\x05\x06" + strings.Repeat("\x00", 18)))
	f.Add([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x01\x00\x00\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := lint.Run(context.Background(), lint.Stream("x", bytes.NewReader(b)), lint.Options{})
		if err == nil {
			inside(t, r)
		}
	})
}

func inside(t *testing.T, r *lint.Report) {
	t.Helper()
	for _, f := range r.Findings {
		for _, p := range f.Paths {
			if strings.HasPrefix(p, "/") || p == ".." || strings.HasPrefix(p, "../") || strings.Contains(p, "/../") {
				t.Fatalf("%q leads out of the tree", p)
			}
		}
	}
}

// A layout either is refused or can be matched against any path.
func FuzzParseLayout(f *testing.F) {
	f.Add("{service}/{env}/{instance}/conf/{file...}", "a/prod/a-1/conf/x.yaml")
	f.Add("{env}{env}-{file...}", "prod")
	f.Fuzz(func(t *testing.T, layout, name string) {
		if name == "" {
			return
		}
		list, err := json.Marshal(map[string]any{"kind": "ConfigMap", "metadata": map[string]string{"name": name, "namespace": "prod"}, "data": map[string]string{name: "a"}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := lint.Run(context.Background(), lint.Stream("x", bytes.NewReader(list)), lint.Options{Layouts: []string{layout}})
		if err == nil {
			inside(t, r)
		}
	})
}
