package format

import (
	"strconv"
	"strings"
)

// hclReader reads the native syntax of HCL: attributes, blocks with labels,
// object and list literals. Other expressions are values as written.
type hclReader struct {
	p           *Parser
	s           string
	i           int
	line, start int
	depth       int
}

func (p *Parser) hcl(s string) (*Node, error) {
	r := &hclReader{p: p, s: s, line: 1}
	root := p.node(Map, "", "", 1, 1)
	if err := r.body(root, false); err != nil {
		return nil, err
	}
	return root, nil
}

func (r *hclReader) fail(message string) error {
	return &SyntaxError{r.line, r.i - r.start + 1, message}
}

// space skips white space and comments, with newlines if lines is true.
func (r *hclReader) space(lines bool) {
	for r.i < len(r.s) {
		rest := r.s[r.i:]
		switch {
		case rest[0] == '\n':
			if !lines {
				return
			}
			r.i++
			r.line, r.start = r.line+1, r.i
		case rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\r':
			r.i++
		case rest[0] == '#' || strings.HasPrefix(rest, "//"):
			if k := strings.IndexByte(rest, '\n'); k >= 0 {
				r.i += k
			} else {
				r.i = len(r.s)
			}
		case strings.HasPrefix(rest, "/*"):
			k := strings.Index(rest[2:], "*/")
			if k < 0 {
				return
			}
			r.advance(r.i + k + 4)
		default:
			return
		}
	}
}

// advance moves to offset end and counts the lines passed.
func (r *hclReader) advance(end int) {
	text := r.s[r.i:end]
	if k := strings.LastIndexByte(text, '\n'); k >= 0 {
		r.line += strings.Count(text, "\n")
		r.start = r.i + k + 1
	}
	r.i = end
}

func hclIdent(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.' || c >= 0x80
}

func (r *hclReader) word() (string, error) {
	if r.i < len(r.s) && r.s[r.i] == '"' {
		return r.quoted()
	}
	start := r.i
	for r.i < len(r.s) && hclIdent(r.s[r.i]) {
		r.i++
	}
	if start == r.i {
		return "", r.fail("a name is missing: " + excerpt(r.s[start:]))
	}
	return r.s[start:r.i], nil
}

// quoted reads a string; ${ } inside of it may hold further quotes.
func (r *hclReader) quoted() (string, error) {
	depth := 0
	for i := r.i + 1; i < len(r.s); i++ {
		switch c := r.s[i]; {
		case c == '\\' && depth == 0:
			i++
		case (c == '$' || c == '%') && i+1 < len(r.s) && r.s[i+1] == '{':
			depth++
			i++
		case c == '{' && depth > 0:
			depth++
		case c == '}' && depth > 0:
			depth--
		case c == '"' && depth == 0:
			raw := r.s[r.i+1 : i]
			r.i = i + 1
			if strings.IndexByte(raw, '\\') >= 0 {
				return unescape(raw), nil
			}
			return raw, nil
		case c == '\n':
			return "", r.fail("the string does not end on its line")
		}
	}
	return "", r.fail("the string does not end")
}

func (r *hclReader) body(n *Node, inner bool) error {
	if r.depth++; r.depth > maxDepth {
		return r.fail("nested more than " + strconv.Itoa(maxDepth) + " deep")
	}
	defer func() { r.depth-- }()
	for {
		r.space(true)
		if r.i == len(r.s) {
			if inner {
				return r.fail("the block does not end")
			}
			return nil
		}
		if r.s[r.i] == '}' && inner {
			r.i++
			return nil
		}
		line, column := r.line, r.i-r.start+1
		name, err := r.word()
		if err != nil {
			return err
		}
		r.space(false)
		at := n
		for r.i < len(r.s) && r.s[r.i] != '=' && r.s[r.i] != '{' { // labels
			label, err := r.word()
			if err != nil {
				return err
			}
			at = r.block(at, name, line, column)
			name = label
			r.space(false)
		}
		if r.i == len(r.s) {
			return r.fail("the file ends after " + strconv.Quote(name))
		}
		if r.s[r.i] == '{' {
			r.i++
			child := at.add(r.p.node(Map, name, "", line, column))
			if err := r.body(child, true); err != nil {
				return err
			}
			continue
		}
		if at != n {
			return r.fail("an attribute has no labels")
		}
		r.i++
		r.space(false)
		v, err := r.value(name, line, column)
		if err != nil {
			return err
		}
		n.add(v)
	}
}

// block finds or makes the map of a block type or outer label.
func (r *hclReader) block(at *Node, name string, line, column int) *Node {
	if c := at.Child(name); c != nil && c.Kind == Map {
		return c
	}
	return at.add(r.p.node(Map, name, "", line, column))
}

func (r *hclReader) value(key string, line, column int) (*Node, error) {
	if r.i < len(r.s) && (r.s[r.i] == '{' || r.s[r.i] == '[') {
		i, l, start := r.i, r.line, r.start
		if n, ok := r.literal(key, line, column); ok && r.endOfValue() {
			return n, nil
		}
		r.i, r.line, r.start = i, l, start // a for expression or an index: as written
	}
	start := r.i
	if r.i < len(r.s) && r.s[r.i] == '"' {
		if s, err := r.quoted(); err == nil && r.endOfValue() {
			n := r.p.node(Scalar, key, s, line, column)
			n.Quoted = true
			return n, nil
		}
		r.i = start
	}
	if err := r.expression(); err != nil {
		return nil, err
	}
	text := strings.TrimSpace(r.s[start:r.i])
	if text == "" {
		return nil, r.fail("a value is missing after " + strconv.Quote(key))
	}
	return r.p.node(Scalar, key, text, line, column), nil
}

// endOfValue reports whether nothing but a comment or a separator follows on the line.
func (r *hclReader) endOfValue() bool {
	r.space(false)
	return r.i == len(r.s) || strings.IndexByte("\n,]}", r.s[r.i]) >= 0
}

// expression skips to the end of the line, over brackets, strings and heredocs.
func (r *hclReader) expression() error {
	depth := 0
	for r.i < len(r.s) {
		rest := r.s[r.i:]
		switch c := rest[0]; {
		case c == '"':
			if _, err := r.quoted(); err != nil {
				return err
			}
			continue
		case strings.HasPrefix(rest, "<<"):
			if mark, body, ok := strings.Cut(strings.TrimPrefix(rest[2:], "-"), "\n"); ok && heredocMark(strings.TrimSpace(mark)) {
				return r.heredoc(strings.TrimSpace(mark), len(rest)-len(body))
			}
		case c == '(' || c == '[' || c == '{':
			depth++
		case c == ')' || c == ']' || c == '}':
			if depth == 0 {
				return nil // the end of the list or object around it
			}
			depth--
		case c == ',' && depth == 0:
			return nil
		case c == '#' || strings.HasPrefix(rest, "//"):
			if depth == 0 {
				return nil
			}
			r.space(false)
			continue
		case c == '\n':
			if depth == 0 {
				return nil
			}
			r.line, r.start = r.line+1, r.i+1
		}
		r.i++
	}
	if depth > 0 {
		return r.fail("a bracket is not closed")
	}
	return nil
}

func heredocMark(s string) bool {
	for i := range len(s) {
		if !hclIdent(s[i]) {
			return false
		}
	}
	return s != ""
}

func (r *hclReader) heredoc(mark string, skip int) error {
	end := r.i + skip
	for end < len(r.s) {
		line, _, _ := strings.Cut(r.s[end:], "\n")
		if strings.TrimSpace(line) == mark {
			r.advance(end + len(line))
			return nil
		}
		end = min(end+len(line)+1, len(r.s))
	}
	return r.fail("the text until " + strconv.Quote(mark) + " does not end")
}

// literal reads { k = v, ... } or [ v, ... ]; ok is false for anything else.
func (r *hclReader) literal(key string, line, column int) (*Node, bool) {
	if r.depth++; r.depth > maxDepth {
		return nil, false
	}
	defer func() { r.depth-- }()
	open := r.s[r.i]
	r.i++
	kind, closing := Map, byte('}')
	if open == '[' {
		kind, closing = List, ']'
	}
	n := r.p.node(kind, key, "", line, column)
	for {
		r.space(true)
		if r.i == len(r.s) {
			return nil, false
		}
		if r.s[r.i] == closing {
			r.i++
			return n, true
		}
		l, c, name := r.line, r.i-r.start+1, ""
		if kind == Map {
			var err error
			if name, err = r.word(); err != nil || name == "for" {
				return nil, false
			}
			r.space(false)
			if r.i == len(r.s) || r.s[r.i] != '=' && r.s[r.i] != ':' {
				return nil, false
			}
			r.i++
			r.space(false)
		}
		v, err := r.value(name, l, c)
		if err != nil || v.Kind == Scalar && !v.Quoted && strings.HasPrefix(v.Value, "for ") {
			return nil, false
		}
		n.add(v)
		r.space(true)
		if r.i < len(r.s) && r.s[r.i] == ',' {
			r.i++
		}
	}
}
