package format_test

import (
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/wxops/wxops/naming/lint/format"
)

// Any bytes in any syntax: no panic, an error with a place inside of the file,
// and a document that does not differ from itself.
func FuzzParse(f *testing.F) {
	for _, s := range samples {
		f.Add(uint8(format.Detect(s.name, []byte(s.text))), []byte(s.text))
	}
	f.Add(uint8(format.YAML), []byte("a: &a [*a]\n"))
	f.Add(uint8(format.YAML), []byte("a: &a {x: 1}\nb: &b [*a, *a]\nc: [*b, *b]\n"))
	f.Add(uint8(format.JSON), []byte("{\"a\":{\"a\":1,\"a\":2}}"))
	f.Add(uint8(format.HCL), []byte("a = <<E\nx\nE\nb \"c\" { d = [for x in y : x] }\n"))
	f.Fuzz(func(t *testing.T, syntax uint8, b []byte) {
		s := format.Syntax(syntax % uint8(format.Template+1))
		var p, q format.Parser
		d, err := p.Parse(s, b)
		if err != nil {
			e, ok := err.(*format.SyntaxError)
			if !ok || e.Line < 1 || e.Column < 1 {
				t.Fatalf("%s: error without a place: %v", s, err)
			}
			return
		}
		again, err := q.Parse(s, b)
		if err != nil {
			t.Fatalf("%s: read once and not twice: %v", s, err)
		}
		if c := (format.Differ{}).Diff(d, again); len(c) > 0 {
			t.Fatalf("%s: differs from itself at %q", s, c[0].Path)
		}
		d.Walk(func(trail []*format.Node) bool {
			n := trail[len(trail)-1]
			if n.Line < 1 || n.Column < 1 {
				t.Fatalf("%s: %q is at %d:%d", s, d.Path(trail), n.Line, n.Column)
			}
			return len(trail) < 20
		})
	})
}

// The quick reader of plain YAML has yaml/v3 as oracle: where it reads a file
// at all, the other one finds the same keys and values.
func FuzzSimpleYAMLAgreesWithTheLibrary(f *testing.F) {
	f.Add([]byte("a:\n  b: 'x y'\n\n  c: -3\nd:\ne: http://h:80/p\n"))
	f.Add([]byte("---\na: 1\nb:\n    c: \"d\"\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		quick, slow := format.SimpleYAML(b), (*format.Document)(nil)
		if quick == nil {
			return
		}
		var node yaml.Node
		if err := yaml.Unmarshal(b, &node); err != nil {
			t.Fatalf("only the quick reader reads %q: %v", b, err)
		}
		var err error
		if slow, err = format.FullYAML(b); err != nil {
			t.Fatal(err)
		}
		if c := (format.Differ{}).Diff(quick, slow); len(c) > 0 {
			t.Fatalf("%q: the readers differ at %q", b, c[0].Path)
		}
	})
}

func TestDiffAlignsAndNames(t *testing.T) {
	parse := func(text string) *format.Document {
		var p format.Parser
		d, err := p.Parse(format.YAML, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, c := range []struct{ name, a, b, want string }{
		{"order of keys", "a: 1\nb: 2", "b: 2\na: 1", ""},
		{"quoting", "a: 'x'", "a: \"x\"", ""},
		{"default port", "u: http://h:80/p", "u: http://h/p", ""},
		{"identity", "l: [{name: a, v: 1}, {name: b, v: 2}]", "l: [{name: b, v: 3}, {name: a, v: 1}]", "l[b].v"},
		{"inserted item", "l: [a, b, c]", "l: [a, x, b, c]", "l[1]"},
		{"changed identity", "l: [{host: a, v: 1}]", "l: [{host: b, v: 1}]", "l[0].host"},
		{"subtree", "a: 1", "a: 1\nb: {c: {d: 1}}", "b"},
		{"quoted key", "a: {b.c: 1}", "a: {b.c: 2}", `a."b.c"`},
	} {
		got := ""
		for _, ch := range (format.Differ{}).Diff(parse(c.a), parse(c.b)) {
			got += ch.Path
		}
		if got != c.want {
			t.Errorf("%s: differs at %q, want %q", c.name, got, c.want)
		}
	}
}
