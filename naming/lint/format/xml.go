package format

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
)

// xml reads elements as keys and attributes as keys that begin with @. An
// element with both text and children has its text under "#text".
func (p *Parser) xml(b []byte) (*Node, error) {
	d := xml.NewDecoder(bytes.NewReader(b))
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	d.Entity = xml.HTMLEntity
	root := p.node(Map, "", "", 1, 1)
	stack := []*Node{root}
	for {
		line, column := d.InputPos()
		tok, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			var se *xml.SyntaxError
			if errors.As(err, &se) {
				return nil, &SyntaxError{se.Line, 1, se.Msg}
			}
			return nil, &SyntaxError{line, column, err.Error()}
		}
		top := stack[len(stack)-1]
		switch t := tok.(type) {
		case xml.StartElement:
			n := p.node(Scalar, xmlName(t.Name), "", line, column)
			for _, a := range t.Attr {
				n.Kind = Map
				c := n.add(p.node(Scalar, "@"+xmlName(a.Name), a.Value, line, column))
				c.Quoted = true
			}
			if top.Kind == Scalar {
				p.textToChild(top)
			}
			top.add(n)
			if stack = append(stack, n); len(stack) > maxDepth {
				return nil, &SyntaxError{line, column, "nested more than " + strconv.Itoa(maxDepth) + " deep"}
			}
		case xml.EndElement:
			if len(stack) == 1 || top.Key != xmlName(t.Name) {
				return nil, &SyntaxError{line, column, "</" + xmlName(t.Name) + "> closes what was not opened"}
			}
			stack = stack[:len(stack)-1]
		case xml.CharData:
			text := strings.TrimSpace(string(t))
			if text == "" || top == root {
				continue
			}
			if top.Kind == Scalar {
				top.Value += text
			} else {
				top.add(p.node(Scalar, "#text", text, line, column))
			}
		}
	}
	if len(stack) > 1 {
		top := stack[len(stack)-1]
		return nil, &SyntaxError{int(top.Line), int(top.Column), "<" + top.Key + "> is not closed"}
	}
	if root.First == nil {
		return nil, &SyntaxError{1, 1, "no element"}
	}
	return root, nil
}

func xmlName(n xml.Name) string {
	if n.Space != "" {
		return n.Space + ":" + n.Local
	}
	return n.Local
}

func (p *Parser) textToChild(n *Node) {
	n.Kind = Map
	if n.Value != "" {
		n.add(p.node(Scalar, "#text", n.Value, int(n.Line), int(n.Column)))
		n.Value = ""
	}
}
