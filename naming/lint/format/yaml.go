package format

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// simpleYAML reads the part of YAML that most configuration is written in:
// block maps of plain or simply quoted scalars, in ASCII. It returns nil for
// anything else, which [Parser.fullYAML] then reads: that costs ten times more.
func (p *Parser) simpleYAML(s string) *Node {
	root := p.node(Map, "", "", 1, 1)
	maps := openMaps{next: root}
	for number := 1; s != ""; number++ {
		text := s // cut by hand: strings.Cut and TrimLeft made the whole a fifth slower
		if i := strings.IndexByte(s, '\n'); i >= 0 {
			text, s = s[:i], s[i+1:]
		} else {
			s = ""
		}
		text = strings.TrimSuffix(text, "\r")
		indent := 0
		for indent < len(text) && text[indent] == ' ' {
			indent++
		}
		t := text[indent:]
		if t == "" || text == "---" && number == 1 {
			continue
		}
		if t[0] == '#' {
			if !printable(t) {
				return nil
			}
			continue
		}
		key, value, quoted, ok := simpleEntry(t)
		if !ok {
			return nil
		}
		at := maps.at(indent)
		if at == nil {
			return nil
		}
		n := at.add(p.node(Scalar, key, value, number, indent+1))
		n.Quoted = quoted
		if value == "" && !quoted {
			maps.next = n
		}
	}
	if root.First == nil {
		return nil
	}
	return root
}

// openMaps are the block maps that a line may belong to, the outermost first.
type openMaps struct {
	depth   int
	indents [simpleDepth]int
	nodes   [simpleDepth]*Node
	next    *Node // what a deeper line makes a map; nil if the last entry has a value
}

// simpleDepth is how deep maps lie in one another before the full reader takes
// over: nobody writes that by hand, and so the levels need no memory of their own.
const simpleDepth = 24

// at returns the map that the entry of a line belongs to, nil if its indent is
// that of none.
func (m *openMaps) at(indent int) *Node {
	top := m.depth - 1
	if m.next != nil && (top < 0 || indent > m.indents[top]) {
		if top++; top == simpleDepth {
			return nil
		}
		m.next.Kind = Map
		m.indents[top], m.nodes[top] = indent, m.next
	}
	m.next = nil
	for top > 0 && indent < m.indents[top] {
		top--
	}
	if top < 0 || indent != m.indents[top] {
		return nil
	}
	m.depth = top + 1
	return m.nodes[top]
}

// simpleEntry cuts "key: value", the value plain or simply quoted.
func simpleEntry(t string) (key, value string, quoted, ok bool) {
	end := 0
	for end < len(t) && simpleKey[t[end]] {
		end++
	}
	if end == 0 || end >= len(t) || t[end] != ':' || t[0] == '-' || t[0] == '.' {
		return "", "", false, false
	}
	key, value = t[:end], t[end+1:]
	if value == "" {
		return key, value, false, true
	}
	if value[0] != ' ' {
		return "", "", false, false
	}
	value = strings.Trim(value, " ")
	if value == "" {
		return key, value, false, true
	}
	if mark := value[0]; mark == '"' || mark == '\'' {
		inner := value[1:]
		k := strings.IndexByte(inner, mark)
		if k < 0 || k != len(inner)-1 || strings.IndexByte(inner, '\\') >= 0 || !printable(inner) {
			return "", "", false, false
		}
		return key, inner[:k], true, true
	}
	return key, value, false, simpleValue(value)
}

var simpleKey = func() (t [256]bool) {
	for c := range 256 {
		t[c] = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '/' || c == '-'
	}
	return t
}()

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// simpleValue reports whether v is a plain scalar that cannot be anything else.
func simpleValue(v string) bool {
	switch c := v[0]; {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '/', c == '.', c == '_', c == '+':
	case c == '-' && len(v) > 1 && v[1] >= '0' && v[1] <= '9':
	default:
		return false
	}
	if v == "..." {
		return false
	}
	for i := range len(v) {
		switch c := v[i]; {
		case c < ' ' || c > '~':
			return false
		case c == ':' && (i+1 == len(v) || v[i+1] == ' '):
			return false
		case c == '#' && v[i-1] == ' ':
			return false
		}
	}
	return true
}

// maxAliases bounds how many nodes the aliases of one file may stand for; what
// is beyond it is compared by the name of its anchor.
const maxAliases = 100_000

// fullYAML reads any YAML; several documents become a list.
func (p *Parser) fullYAML(b []byte) (*Node, error) {
	b = expandTabs(b)
	d := yaml.NewDecoder(bytes.NewReader(b))
	var docs []*Node
	budget := maxAliases
	for {
		var doc yaml.Node
		err := decode(d, &doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, yamlError(err, b)
		}
		if len(doc.Content) == 0 || doc.Content[0].Tag == "!!null" && doc.Content[0].Value == "" {
			continue
		}
		n, err := p.fromYAML("", doc.Content[0], nil, &budget, 0)
		if err != nil {
			return nil, err
		}
		docs = append(docs, n)
	}
	switch len(docs) {
	case 0:
		return p.node(Map, "", "", 1, 1), nil
	case 1:
		return docs[0], nil
	}
	root := p.node(List, "", "", 1, 1)
	for _, n := range docs {
		root.add(n)
	}
	return root, nil
}

// decode keeps a panic of the YAML reader on malformed input from ending the run.
func decode(d *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &SyntaxError{1, 1, "the YAML reader gave up on it"}
		}
	}()
	return d.Decode(n)
}

// expandTabs is the identity unless a line holds nothing but tabs and spaces:
// such lines are blank for every YAML reader but this one.
func expandTabs(b []byte) []byte {
	if bytes.IndexByte(b, '\t') < 0 {
		return b
	}
	return blankTabs.ReplaceAll(b, nil)
}

var blankTabs = regexp.MustCompile(`(?m)^[ \t]*\t[ \t]*$`)

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

func yamlError(err error, b []byte) error {
	var known *SyntaxError
	if errors.As(err, &known) {
		return known
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	line := 1
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		if k, e := strconv.Atoi(m[1]); e == nil {
			line = min(k, bytes.Count(b, []byte("\n"))+1)
		}
		text = m[2]
	}
	return &SyntaxError{line, 1, text}
}

func (p *Parser) fromYAML(key string, y *yaml.Node, open []*yaml.Node, budget *int, depth int) (*Node, error) {
	if depth > maxDepth {
		return nil, &SyntaxError{y.Line, max(y.Column, 1), "nested more than " + strconv.Itoa(maxDepth) + " deep"}
	}
	line, column := y.Line, max(y.Column, 1)
	if y.Kind == yaml.AliasNode {
		for _, o := range open {
			if o == y.Alias {
				return nil, &SyntaxError{line, column, "the alias *" + y.Value + " contains itself"}
			}
		}
		if *budget <= 0 {
			return p.node(Scalar, key, "*"+y.Value, line, column), nil
		}
		n, err := p.fromYAML(key, y.Alias, append(open, y.Alias), budget, depth+1)
		if n != nil {
			n.Line, n.Column = int32(line), int32(column)
		}
		return n, err
	}
	if len(open) > 0 {
		*budget--
	}
	switch y.Kind {
	case yaml.MappingNode:
		n := p.node(Map, key, "", line, column)
		for i := 0; i+1 < len(y.Content); i += 2 {
			k := y.Content[i]
			name := k.Value
			if k.Kind != yaml.ScalarNode {
				name = "?"
			}
			c, err := p.fromYAML(name, y.Content[i+1], open, budget, depth+1)
			if err != nil {
				return nil, err
			}
			if k.Line > 0 && len(open) == 0 {
				c.Line, c.Column = int32(k.Line), int32(max(k.Column, 1))
			}
			n.add(c)
		}
		return n, nil
	case yaml.SequenceNode:
		n := p.node(List, key, "", line, column)
		for _, item := range y.Content {
			c, err := p.fromYAML("", item, open, budget, depth+1)
			if err != nil {
				return nil, err
			}
			n.add(c)
		}
		return n, nil
	}
	n := p.node(Scalar, key, y.Value, line, column)
	n.Quoted = y.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	return n, nil
}
