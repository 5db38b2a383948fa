package format

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// jsonReader reads RFC 8259, and beside it // and /* */ comments and a comma
// after the last member, which the common configuration readers accept.
type jsonReader struct {
	p         *Parser
	s         string
	i         int
	line      int
	lineStart int
	depth     int
}

func (p *Parser) json(s string) (*Node, error) {
	r := &jsonReader{p: p, s: s, line: 1}
	if err := r.space(); err != nil {
		return nil, err
	}
	if r.i == len(s) {
		return nil, r.fail("the file is empty")
	}
	n, err := r.value("")
	if err != nil {
		return nil, err
	}
	if err := r.space(); err != nil {
		return nil, err
	}
	if r.i < len(s) {
		return nil, r.fail("text after the end of the value")
	}
	return n, nil
}

func (r *jsonReader) fail(message string) error {
	return &SyntaxError{r.line, r.i - r.lineStart + 1, message}
}

func (r *jsonReader) space() error {
	for r.i < len(r.s) {
		switch r.s[r.i] {
		case '\n':
			r.i++
			r.line, r.lineStart = r.line+1, r.i
		case ' ', '\t', '\r':
			r.i++
		case '/':
			if !r.comment() {
				return r.fail("a slash outside of a string")
			}
		default:
			return nil
		}
	}
	return nil
}

func (r *jsonReader) comment() bool {
	rest := r.s[r.i:]
	switch {
	case strings.HasPrefix(rest, "//"):
		if k := strings.IndexByte(rest, '\n'); k >= 0 {
			r.i += k
		} else {
			r.i = len(r.s)
		}
		return true
	case strings.HasPrefix(rest, "/*"):
		k := strings.Index(rest[2:], "*/")
		if k < 0 {
			return false
		}
		text := rest[:k+4]
		if nl := strings.LastIndexByte(text, '\n'); nl >= 0 {
			r.line += strings.Count(text, "\n")
			r.lineStart = r.i + nl + 1
		}
		r.i += len(text)
		return true
	}
	return false
}

func (r *jsonReader) value(key string) (*Node, error) {
	if r.i >= len(r.s) {
		return nil, r.fail("the file ends inside a value")
	}
	line, column := r.line, r.i-r.lineStart+1
	switch c := r.s[r.i]; c {
	case '{', '[':
		if r.depth++; r.depth > maxDepth {
			return nil, r.fail("nested more than " + strconv.Itoa(maxDepth) + " deep")
		}
		defer func() { r.depth-- }()
		r.i++
		if c == '{' {
			return r.object(r.p.node(Map, key, "", line, column))
		}
		return r.array(r.p.node(List, key, "", line, column))
	case '"':
		s, err := r.str()
		if err != nil {
			return nil, err
		}
		n := r.p.node(Scalar, key, s, line, column)
		n.Quoted = true
		return n, nil
	}
	start := r.i
	for r.i < len(r.s) && !strings.ContainsRune(" \t\r\n,]}:\"{[/", rune(r.s[r.i])) {
		r.i++
	}
	word := r.s[start:r.i]
	if word != "true" && word != "false" && word != "null" && !jsonNumber(word) {
		r.i = start
		return nil, r.fail("no value: " + excerpt(r.s[start:]))
	}
	return r.p.node(Scalar, key, word, line, column), nil
}

func jsonNumber(s string) bool {
	t := strings.TrimPrefix(s, "-")
	if t == "" || t[0] < '0' || t[0] > '9' || len(t) > 1 && t[0] == '0' && t[1] >= '0' && t[1] <= '9' {
		return false
	}
	digits := true
	for i := range len(t) {
		digits = digits && t[i] >= '0' && t[i] <= '9'
	}
	if digits {
		return true
	}
	if strings.ContainsAny(t, "xXoObB_pPnNiI") || t[len(t)-1] == '.' {
		return false
	}
	_, err := strconv.ParseFloat(s, 64)
	return err == nil || strings.Contains(err.Error(), "range")
}

func excerpt(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	for len(s) > 20 {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return strconv.Quote(s)
}

func (r *jsonReader) object(n *Node) (*Node, error) {
	for {
		if err := r.space(); err != nil {
			return nil, err
		}
		if r.i < len(r.s) && r.s[r.i] == '}' {
			r.i++
			return n, nil
		}
		if r.i >= len(r.s) || r.s[r.i] != '"' {
			return nil, r.fail("a key in double quotes is missing")
		}
		line, column := r.line, r.i-r.lineStart+1
		key, err := r.str()
		if err != nil {
			return nil, err
		}
		if err := r.space(); err != nil {
			return nil, err
		}
		if r.i >= len(r.s) || r.s[r.i] != ':' {
			return nil, r.fail("a colon is missing after the key " + strconv.Quote(key))
		}
		r.i++
		if err := r.space(); err != nil {
			return nil, err
		}
		v, err := r.value(key)
		if err != nil {
			return nil, err
		}
		v.Line, v.Column = int32(line), int32(column)
		n.add(v)
		if done, err := r.comma('}'); done || err != nil {
			return n, err
		}
	}
}

func (r *jsonReader) array(n *Node) (*Node, error) {
	for {
		if err := r.space(); err != nil {
			return nil, err
		}
		if r.i < len(r.s) && r.s[r.i] == ']' {
			r.i++
			return n, nil
		}
		v, err := r.value("")
		if err != nil {
			return nil, err
		}
		n.add(v)
		if done, err := r.comma(']'); done || err != nil {
			return n, err
		}
	}
}

func (r *jsonReader) comma(end byte) (done bool, err error) {
	if err := r.space(); err != nil {
		return false, err
	}
	if r.i >= len(r.s) {
		return false, r.fail("the file ends before " + strconv.Quote(string(end)))
	}
	c := r.s[r.i]
	if c != ',' && c != end {
		return false, r.fail("a comma or " + strconv.Quote(string(end)) + " is missing")
	}
	r.i++
	return c == end, nil
}

func (r *jsonReader) str() (string, error) {
	start := r.i
	for i := start + 1; i < len(r.s); i++ {
		switch c := r.s[i]; {
		case c == '"':
			r.i = i + 1
			raw := r.s[start+1 : i]
			if strings.IndexByte(raw, '\\') < 0 {
				return raw, nil
			}
			return unescape(raw), nil
		case c == '\\':
			i++
		case c == '\n':
			return "", r.fail("the string does not end on its line")
		}
	}
	return "", r.fail("the string does not end")
}

// unescape resolves the escapes of JSON, HCL and TOML basic strings; unknown
// ones stay as they are.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if k := strings.IndexByte(`"\/bfnrt`, s[i]); k >= 0 {
			b.WriteByte("\"\\/\b\f\n\r\t"[k])
			continue
		}
		if s[i] == 'u' && i+4 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+5], 16, 32); err == nil {
				b.WriteRune(rune(v))
				i += 4
				continue
			}
		}
		b.WriteByte('\\')
		b.WriteByte(s[i])
	}
	return b.String()
}
