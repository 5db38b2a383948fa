// Package format reads configuration files into one tree of keys and values
// with line and column, whatever their syntax, and says what differs between
// two of them.
//
// [Detect] names the [Syntax] of a file, a [Parser] turns its bytes into a
// [Document], and [Diff] compares two documents by meaning: key order, quoting
// and comments do not count, list items are aligned by identity or by longest
// common subsequence. Duplicate keys, which most libraries hide, are listed in
// Document.Duplicates.
//
// The package never opens a file, never executes a template and never expands
// more than a bounded number of YAML aliases.
//
//	var p format.Parser
//	doc, err := p.Parse(format.Detect("app.yaml", b), b)
//	fmt.Println(doc.Lookup("cache.ttl").Value)
package format

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Syntax is how a file is written.
type Syntax uint8

// The syntaxes. Text is compared by bytes only; Template is text that a
// template engine reads first, so it is never parsed.
const (
	Text Syntax = iota
	YAML
	JSON
	TOML
	INI
	Properties
	XML
	Env
	Nginx
	HCL
	Plain // "key value" lines: redis.conf and the like
	Template
)

var syntaxNames = [...]string{"text", "YAML", "JSON", "TOML", "INI", "properties", "XML", "env", "nginx", "HCL", "key-value", "template"}

func (s Syntax) String() string { return syntaxNames[s] }

// Parsed reports whether the syntax has keys and values.
func (s Syntax) Parsed() bool { return s != Text && s != Template }

// Strict reports whether text that does not parse is an error of the file. The
// syntax of the others is guessed from their content, so it is not.
func (s Syntax) Strict() bool { return s == YAML || s == JSON || s == TOML || s == XML || s == HCL }

// repeats reports whether a key may stand several times with a meaning of its own.
func (s Syntax) repeats() bool { return s == Nginx || s == Plain || s == XML || s == HCL }

var byExtension = map[string]Syntax{
	".yaml": YAML, ".yml": YAML, ".eyaml": YAML, ".json": JSON, ".toml": TOML, ".ini": INI, ".cnf": INI,
	".properties": Properties, ".xml": XML, ".env": Env, ".hcl": HCL, ".tf": HCL, ".tfvars": HCL,
	".j2": Template, ".tpl": Template, ".gotmpl": Template, ".tmpl": Template, ".erb": Template, ".epp": Template,
}

// Detect returns the syntax of a file by its path, with slashes, and for the
// ambiguous .conf, .cfg and .config by the first 64 KiB of its content.
func Detect(name string, content []byte) Syntax {
	if strings.HasPrefix(name, "templates/") || strings.Contains(name, "/templates/") {
		return Template
	}
	base := strings.ToLower(path.Base(name))
	if base == ".env" || strings.HasPrefix(base, ".env.") || strings.HasPrefix(base, "env.") && !strings.Contains(base[4:], ".") {
		if s, ok := byExtension[path.Ext(base)]; !ok || base == ".env" {
			return Env
		} else if s == Template {
			return Template
		}
	}
	for {
		ext := path.Ext(base)
		if s, ok := byExtension[ext]; ok {
			return s
		}
		switch ext {
		case ".conf", ".cfg", ".config":
			return sniff(content)
		case ".bak", ".orig", ".old", ".swp", ".rej", ".save":
			base = strings.TrimSuffix(base, ext) // a copy keeps the syntax of the original
			continue
		}
		return Text
	}
}

// sniff guesses the syntax of a file with a name that says nothing.
func sniff(b []byte) Syntax {
	b = b[:min(len(b), 64<<10)]
	sections, assigns, ends, words := 0, 0, 0, 0
	for line := range bytes.Lines(b) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		last := line[len(line)-1]
		switch {
		case line[0] == '<' && words+assigns+ends+sections == 0:
			return XML
		case line[0] == '[' && last == ']':
			sections++
		case last == ';' || last == '{' || last == '}':
			ends++
		case bytes.IndexByte(line, '=') > 0 && line[0] != ';':
			assigns++
		default:
			words++
		}
	}
	switch {
	case sections > 0 && sections+assigns > words && ends == 0:
		return INI
	case ends > assigns+words:
		return Nginx
	case ends == 0 && assigns > words:
		return INI
	case ends == 0 && words > 0:
		return Plain
	}
	return Text
}

// Kind is the sort of a node.
type Kind uint8

// The kinds of nodes.
const (
	Map Kind = iota
	List
	Scalar
)

// A Node is a key with its value, or an item of a list. Line and Column count
// from 1, columns in bytes. Quoted says that a scalar was written in quotes.
type Node struct {
	Kind         Kind
	Quoted       bool
	Repeated     bool // a list made of repeated keys, not written as a list
	secret       bool // see Parser.Secret
	Key, Value   string
	Line, Column int32
	First, Next  *Node // first child, next sibling
	last         *Node
}

// Len returns the number of children.
func (n *Node) Len() int {
	k := 0
	for c := n.First; c != nil; c = c.Next {
		k++
	}
	return k
}

// Child returns the child with the key, or nil.
func (n *Node) Child(key string) *Node {
	for c := n.First; c != nil; c = c.Next {
		if c.Key == key {
			return c
		}
	}
	return nil
}

func (n *Node) add(c *Node) *Node {
	if n.last == nil {
		n.First = c
	} else {
		n.last.Next = c
	}
	n.last = c
	return c
}

// A Duplicate is a key that stands twice in one map: Node is the later one.
type Duplicate struct {
	Path  string
	Node  *Node
	First *Node
}

// A Document is a parsed file.
type Document struct {
	Syntax     Syntax
	Root       *Node
	Duplicates []Duplicate
}

// A SyntaxError says where a file cannot be read; Line and Column count from 1.
type SyntaxError struct {
	Line, Column int
	Message      string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}

// maxDepth bounds the nesting of every syntax; deeper files are refused.
const maxDepth = 1000

// A Parser reads files. The zero value is ready. A Parser keeps the memory of
// the nodes: call [Parser.Reset] to reuse it when earlier documents are no
// longer needed. It is not safe for concurrent use.
//
// Secret says which value of a key must not be printed; nil means none. Key
// paths are printed, so such a value is no identity of a list item.
type Parser struct {
	Secret func(key, value string) bool

	slabs [][]Node
	slab  int
	used  int
	seen  map[string]*Node
}

const slabNodes = 512

// Reset makes the memory of all documents parsed so far free for the next ones.
func (p *Parser) Reset() { p.slab, p.used = 0, 0 }

func (p *Parser) node(kind Kind, key, value string, line, column int) *Node {
	if p.slab == len(p.slabs) {
		p.slabs = append(p.slabs, make([]Node, slabNodes))
	}
	n := &p.slabs[p.slab][p.used]
	if p.used++; p.used == slabNodes {
		p.slab, p.used = p.slab+1, 0
	}
	*n = Node{Kind: kind, Key: key, Value: value, Line: int32(line), Column: int32(column)}
	return n
}

// Parse reads b as the syntax says. The error is a [*SyntaxError]. Text and
// Template give a document without keys. The nodes refer to a copy of b.
func (p *Parser) Parse(syntax Syntax, b []byte) (*Document, error) {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	d := &Document{Syntax: syntax}
	var err error
	switch text := string(b); syntax {
	case YAML:
		if d.Root = p.simpleYAML(text); d.Root == nil {
			d.Root, err = p.fullYAML(b)
		}
	case JSON:
		d.Root, err = p.json(text)
	case TOML:
		d.Root, err = p.toml(b, text, d)
	case INI:
		d.Root = p.ini(text)
	case Properties:
		d.Root = p.properties(text)
	case Env:
		d.Root = p.env(text)
	case Plain:
		d.Root = p.plain(text)
	case Nginx:
		d.Root, err = p.nginx(text)
	case HCL:
		d.Root, err = p.hcl(text)
	case XML:
		d.Root, err = p.xml(b)
	default:
		d.Root = p.node(Map, "", "", 1, 1)
	}
	if err != nil {
		return nil, err
	}
	if p.Secret != nil {
		p.markSecrets(d.Root)
	}
	if syntax.repeats() {
		p.mergeRepeated(d.Root)
	} else {
		p.duplicates(d, d.Root, nil)
	}
	return d, nil
}

// markSecrets marks what below n would identify an item and is a secret.
func (p *Parser) markSecrets(n *Node) {
	for c := n.First; c != nil; c = c.Next {
		if c.Kind != Scalar {
			p.markSecrets(c)
		} else if key := strings.TrimPrefix(c.Key, "@"); slices.Contains(identityKeys, key) {
			c.secret = p.Secret(key, c.Value)
		}
	}
}

// duplicates lists the keys that stand twice in one map, anywhere below n.
func (p *Parser) duplicates(d *Document, n *Node, trail []*Node) {
	if n.Kind == Scalar {
		return
	}
	small := true
	if n.Kind == Map {
		k := 0
		for c := n.First; c != nil; c = c.Next {
			if k++; k > 8 {
				small = false
				break
			}
		}
		if !small {
			if p.seen == nil {
				p.seen = make(map[string]*Node)
			}
			clear(p.seen)
		}
	}
	nested := false
	for c := n.First; c != nil; c = c.Next {
		nested = nested || c.First != nil
		if n.Kind != Map {
			continue
		}
		var first *Node
		if small {
			for o := n.First; o != c; o = o.Next {
				if o.Key == c.Key {
					first = o
					break
				}
			}
		} else if o, ok := p.seen[c.Key]; ok {
			first = o
		} else {
			p.seen[c.Key] = c
		}
		if first != nil && c.Key != "<<" {
			d.Duplicates = append(d.Duplicates, Duplicate{d.Path(append(trail, c)), c, first})
		}
	}
	if !nested {
		return
	}
	for c := n.First; c != nil; c = c.Next {
		if c.First != nil {
			p.duplicates(d, c, append(trail, c))
		}
	}
}

// mergeRepeated turns keys that stand several times in one map into one list
// under that key, in order.
func (p *Parser) mergeRepeated(n *Node) {
	if n.Kind == Map {
		byKey := map[string]*Node{}
		var prev *Node
		for c := n.First; c != nil; {
			next := c.Next
			if o := byKey[c.Key]; o != nil {
				if !o.Repeated {
					item := p.node(o.Kind, "", o.Value, int(o.Line), int(o.Column))
					item.Quoted, item.First, item.last = o.Quoted, o.First, o.last
					*o = Node{Kind: List, Repeated: true, Key: o.Key, Line: o.Line, Column: o.Column, First: item, Next: o.Next, last: item}
				}
				c.Next = nil
				c.Key = ""
				prev.Next = next
				o.add(c)
			} else {
				byKey[c.Key] = c
				prev = c
			}
			c = next
		}
		n.last = prev
	}
	for c := n.First; c != nil; c = c.Next {
		p.mergeRepeated(c)
	}
}

// Lookup returns the node at a path as [Document.Path] writes it, or nil.
func (d *Document) Lookup(path string) *Node {
	var found *Node
	d.Walk(func(trail []*Node) bool {
		if found == nil && d.Path(trail) == path {
			found = trail[len(trail)-1]
		}
		return found == nil
	})
	return found
}

// Walk calls f with the trail of every node below the root, parents first; f
// returns false to leave out what is below. The trail is only valid during the call.
func (d *Document) Walk(f func(trail []*Node) bool) {
	trail := make([]*Node, 0, 16)
	var visit func(n *Node)
	visit = func(n *Node) {
		for c := n.First; c != nil; c = c.Next {
			trail = append(trail, c)
			if f(trail) {
				visit(c)
			}
			trail = trail[:len(trail)-1]
		}
	}
	visit(d.Root)
}
