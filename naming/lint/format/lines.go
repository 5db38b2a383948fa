package format

import "strings"

// A line of a file: its text without the line end, and its number from 1.
func eachLine(s string, f func(text string, number int)) {
	for number := 1; s != ""; number++ {
		text, rest, _ := strings.Cut(s, "\n")
		f(strings.TrimSuffix(text, "\r"), number)
		s = rest
	}
}

// assignment cuts "key = value" at the first of the separators.
func assignment(text, separators string) (key, value string, column int, ok bool) {
	key, value, ok = text, "", false
	if i := strings.IndexAny(text, separators); i >= 0 {
		key, value, ok = text[:i], strings.TrimSpace(text[i+1:]), true
	}
	trimmed := strings.TrimLeft(key, " \t")
	return strings.TrimRight(trimmed, " \t"), value, len(key) - len(trimmed) + 1, ok
}

// unquote takes off one pair of quotes around the whole value.
func unquote(v string) (string, bool) {
	if len(v) >= 2 && (v[0] == '"' || v[0] == '\'') && v[len(v)-1] == v[0] && strings.IndexByte(v[1:len(v)-1], v[0]) < 0 {
		return v[1 : len(v)-1], true
	}
	return v, false
}

// ini reads [section], key = value or key: value, and lone keys; comments begin
// with ; or # at the start of a line or after white space.
func (p *Parser) ini(s string) *Node {
	root := p.node(Map, "", "", 1, 1)
	at := root
	sections := map[string]*Node{}
	var lastKey *Node
	eachLine(s, func(text string, number int) {
		t := strings.TrimSpace(text)
		if t == "" || t[0] == ';' || t[0] == '#' {
			return
		}
		if t[0] == '[' {
			if end := strings.LastIndexByte(t, ']'); end > 0 {
				name := strings.TrimSpace(t[1:end])
				if at = sections[name]; at == nil {
					at = root.add(p.node(Map, name, "", number, 1))
					sections[name] = at
				}
				lastKey = nil
				return
			}
		}
		key, value, column, ok := assignment(text, "=:")
		if !ok && lastKey != nil && (text[0] == ' ' || text[0] == '\t') {
			lastKey.Value += "\n" + t // a continued value is indented
			return
		}
		for _, mark := range []string{" ;", " #", "\t;", "\t#"} {
			if i := strings.Index(value, mark); i >= 0 && !strings.ContainsAny(value[:i], `"'`) {
				value = strings.TrimSpace(value[:i])
			}
		}
		value, quoted := unquote(value)
		lastKey = at.add(p.node(Scalar, key, value, number, column))
		lastKey.Quoted = quoted
	})
	return root
}

// properties reads the format of java.util.Properties: =, : or white space
// after the key, # and ! comments, a backslash continues a line.
func (p *Parser) properties(s string) *Node {
	root := p.node(Map, "", "", 1, 1)
	var open *Node
	eachLine(s, func(text string, number int) {
		t := strings.TrimLeft(text, " \t\f")
		if open != nil {
			value, more := continued(t)
			open.Value += value
			if !more {
				open = nil
			}
			return
		}
		if t == "" || t[0] == '#' || t[0] == '!' {
			return
		}
		end := len(t)
		for i := 0; i < len(t); i++ {
			if t[i] == '\\' {
				i++
			} else if strings.IndexByte("=: \t\f", t[i]) >= 0 {
				end = i
				break
			}
		}
		value := strings.TrimLeft(t[end:], " \t\f")
		if value != "" && (value[0] == '=' || value[0] == ':') {
			value = strings.TrimLeft(value[1:], " \t\f")
		}
		value, more := continued(value)
		key := t[:end]
		if strings.IndexByte(key, '\\') >= 0 {
			key = propertyEscapes.Replace(key)
		}
		n := root.add(p.node(Scalar, key, value, number, len(text)-len(t)+1))
		if more {
			open = n
		}
	})
	return root
}

var propertyEscapes = strings.NewReplacer(`\:`, ":", `\=`, "=", `\ `, " ")

func continued(v string) (string, bool) {
	slashes := len(v) - len(strings.TrimRight(v, `\`))
	if slashes%2 == 1 {
		return v[:len(v)-1], true
	}
	return v, false
}

// env reads NAME=value lines, with "export" before and quotes around the value.
func (p *Parser) env(s string) *Node {
	root := p.node(Map, "", "", 1, 1)
	var open *Node
	var quote string
	eachLine(s, func(text string, number int) {
		if open != nil {
			open.Value += "\n" + text
			if strings.HasSuffix(strings.TrimRight(text, " \t"), quote) {
				open.Value, _ = unquote(strings.TrimRight(open.Value, " \t"))
				open = nil
			}
			return
		}
		t := strings.TrimSpace(text)
		if t == "" || t[0] == '#' {
			return
		}
		key, value, column, ok := assignment(text, "=")
		if rest, found := strings.CutPrefix(key, "export "); found {
			key = strings.TrimSpace(rest)
			column += len("export ")
		}
		n := root.add(p.node(Scalar, key, value, number, column))
		if !ok || value == "" {
			return
		}
		if q := value[:1]; (q == `"` || q == "'") && (len(value) == 1 || strings.Count(value, q) == 1) {
			open, quote = n, q // the value goes on until the quote that ends it
			return
		}
		if unquoted, ok := unquote(value); ok {
			n.Value, n.Quoted = unquoted, true
		} else if i := strings.Index(value, " #"); i >= 0 && value[0] != '"' && value[0] != '\'' {
			n.Value = strings.TrimSpace(value[:i])
		}
	})
	return root
}

// plain reads "key value" lines; an indented line below one that is not
// belongs to that one, as in haproxy.cfg.
func (p *Parser) plain(s string) *Node {
	root := p.node(Map, "", "", 1, 1)
	var head *Node
	eachLine(s, func(text string, number int) {
		t := strings.TrimSpace(text)
		if t == "" || t[0] == '#' {
			return
		}
		key, value, _ := strings.Cut(t, " ")
		if i := strings.IndexByte(key, '\t'); i >= 0 {
			key, value = t[:i], t[i:]
		}
		value, quoted := unquote(strings.TrimSpace(value))
		column := strings.Index(text, t) + 1
		n := p.node(Scalar, key, value, number, column)
		n.Quoted = quoted
		if column > 1 && head != nil {
			head.Kind = Map
			head.add(n)
			return
		}
		head = root.add(n)
	})
	return root
}
