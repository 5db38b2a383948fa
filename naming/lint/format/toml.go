package format

import (
	"bytes"
	"errors"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// toml builds the tree from the expressions of the TOML parser, which keeps
// positions; a key or table defined twice is listed in d.
func (p *Parser) toml(b []byte, text string, d *Document) (*Node, error) {
	root := p.node(Map, "", "", 1, 1)
	at := root
	var tp unstable.Parser
	tp.Reset(b)
	lines := lineCounter{text: text, line: 1}
	for tp.NextExpression() {
		e := tp.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			at = root
			keys := e.Key()
			for keys.Next() {
				k := keys.Node()
				line, column := lines.at(int(k.Raw.Offset))
				at = p.tomlChild(at, string(k.Data), keys.IsLast() && e.Kind == unstable.ArrayTable, line, column)
			}
		case unstable.KeyValue:
			if err := p.tomlKeyValue(&tp, at, e, &lines, 0); err != nil {
				return nil, err
			}
		}
	}
	if err := tp.Error(); err != nil {
		var pe *unstable.ParserError
		line, column := 1, 1
		if errors.As(err, &pe) {
			if i := offset(b, pe.Highlight); i >= 0 {
				counter := lineCounter{text: text, line: 1}
				line, column = counter.at(i)
			}
			return nil, &SyntaxError{line, column, pe.Message}
		}
		return nil, &SyntaxError{line, column, err.Error()}
	}
	return root, nil
}

// offset returns where part lies in whole, -1 if it does not.
func offset(whole, part []byte) int {
	i := cap(whole) - cap(part)
	if i < 0 || i > len(whole) || !bytes.HasPrefix(whole[i:], part) {
		return -1
	}
	return i
}

// tomlChild finds or makes the table or, with item, the next item of the array
// of tables under a key.
func (p *Parser) tomlChild(at *Node, key string, item bool, line, column int) *Node {
	if at.Kind == List && at.last != nil {
		at = at.last
	}
	c := at.Child(key)
	if c == nil || c.Kind == Scalar {
		kind := Map
		if item {
			kind = List
		}
		c = at.add(p.node(kind, key, "", line, column))
	}
	if item && c.Kind == List {
		return c.add(p.node(Map, "", "", line, column))
	}
	if c.Kind == List && c.last != nil {
		return c.last
	}
	return c
}

func (p *Parser) tomlKeyValue(tp *unstable.Parser, at *Node, e *unstable.Node, lines *lineCounter, depth int) error {
	keys := e.Key()
	for keys.Next() {
		k := keys.Node()
		line, column := lines.at(int(k.Raw.Offset))
		if !keys.IsLast() {
			at = p.tomlChild(at, string(k.Data), false, line, column)
			continue
		}
		n, err := p.tomlValue(tp, string(k.Data), e.Value(), line, column, lines, depth)
		if err != nil {
			return err
		}
		at.add(n)
	}
	return nil
}

func (p *Parser) tomlValue(tp *unstable.Parser, key string, v *unstable.Node, line, column int, lines *lineCounter, depth int) (*Node, error) {
	if depth > maxDepth {
		return nil, &SyntaxError{line, column, "nested too deep"}
	}
	switch v.Kind {
	case unstable.Array:
		n := p.node(List, key, "", line, column)
		items := v.Children()
		for items.Next() {
			if items.Node().Kind == unstable.Comment {
				continue
			}
			c, err := p.tomlValue(tp, "", items.Node(), line, column, lines, depth+1)
			if err != nil {
				return nil, err
			}
			n.add(c)
		}
		return n, nil
	case unstable.InlineTable:
		n := p.node(Map, key, "", line, column)
		items := v.Children()
		for items.Next() {
			if items.Node().Kind != unstable.KeyValue {
				continue
			}
			if err := p.tomlKeyValue(tp, n, items.Node(), lines, depth+1); err != nil {
				return nil, err
			}
		}
		return n, nil
	}
	n := p.node(Scalar, key, string(v.Data), line, column)
	n.Quoted = v.Kind == unstable.String
	return n, nil
}

// lineCounter turns ascending offsets into lines and columns in one pass.
type lineCounter struct {
	text             string
	done, line, from int
}

func (l *lineCounter) at(offset int) (line, column int) {
	offset = min(offset, len(l.text))
	if offset < l.done {
		*l = lineCounter{text: l.text, line: 1}
	}
	part := l.text[l.done:offset]
	if i := strings.LastIndexByte(part, '\n'); i >= 0 {
		l.line += strings.Count(part, "\n")
		l.from = l.done + i + 1
	}
	l.done = offset
	return l.line, offset - l.from + 1
}
