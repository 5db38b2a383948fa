package format

import (
	"strconv"
	"strings"
)

// token is one word of a block language: a word, a quoted string, or one of { } ;
type token struct {
	text         string
	quoted       bool
	line, column int
}

// nginx reads directives "name arg arg;" and blocks "name arg { ... }". The
// arguments of a directive are its value, those of a block its identity.
func (p *Parser) nginx(s string) (*Node, error) {
	root := p.node(Map, "", "", 1, 1)
	stack := []*Node{root}
	var words []token
	line, start := 1, 0
	fail := func(i int, message string) error { return &SyntaxError{line, i - start + 1, message} }
	for i := 0; i < len(s); {
		switch c := s[i]; c {
		case '\n':
			i++
			line, start = line+1, i
		case ' ', '\t', '\r':
			i++
		case '#':
			if k := strings.IndexByte(s[i:], '\n'); k >= 0 {
				i += k
			} else {
				i = len(s)
			}
		case ';':
			if len(words) > 0 {
				stack[len(stack)-1].add(p.directive(words))
			}
			words = words[:0]
			i++
		case '{':
			if len(words) == 0 {
				return nil, fail(i, "a block without a name")
			}
			n := p.directive(words)
			n.Kind = Map
			p.addBlock(stack[len(stack)-1], n)
			if stack = append(stack, n); len(stack) > maxDepth {
				return nil, fail(i, "nested more than "+strconv.Itoa(maxDepth)+" deep")
			}
			words = words[:0]
			i++
		case '}':
			if len(stack) == 1 || len(words) > 0 {
				return nil, fail(i, "a closing brace that nothing opened, or a missing semicolon before it")
			}
			stack = stack[:len(stack)-1]
			i++
		case '"', '\'':
			end := i + 1
			for end < len(s) && s[end] != c {
				if s[end] == '\\' {
					end++
				}
				end++
			}
			if end >= len(s) {
				return nil, fail(i, "the string does not end")
			}
			words = append(words, token{s[i+1 : end], true, line, i - start + 1})
			if text := s[i:end]; strings.IndexByte(text, '\n') >= 0 {
				line += strings.Count(text, "\n")
				start = i + strings.LastIndexByte(text, '\n') + 1
			}
			i = end + 1
		default:
			end := i
			for end < len(s) && !strings.ContainsRune(" \t\r\n;{}", rune(s[end])) || end > i && end < len(s) && s[end] == '{' && s[end-1] == '$' {
				if s[end] == '{' { // ${variable}
					if k := strings.IndexAny(s[end:], "}\n"); k >= 0 && s[end+k] == '}' {
						end += k
					}
				}
				end++
			}
			words = append(words, token{s[i:end], false, line, i - start + 1})
			i = end
		}
	}
	if len(stack) > 1 {
		return nil, fail(len(s), "the block "+strconv.Quote(stack[len(stack)-1].Key)+" does not end")
	}
	if len(words) > 0 {
		return nil, fail(len(s), "a semicolon is missing after "+strconv.Quote(words[0].text))
	}
	return root, nil
}

func (p *Parser) directive(words []token) *Node {
	w := words[0]
	n := p.node(Scalar, w.text, "", w.line, w.column)
	if len(words) == 2 {
		n.Value, n.Quoted = words[1].text, words[1].quoted
		return n
	}
	parts := make([]string, 0, len(words))
	for _, w := range words[1:] {
		parts = append(parts, w.text)
	}
	n.Value = strings.Join(parts, " ")
	return n
}

// addBlock adds a block; those that have arguments or are servers are items of
// a list even when alone, so that their key path always names which one it is.
func (p *Parser) addBlock(at, n *Node) {
	if n.Value == "" && n.Key != "server" {
		at.add(n)
		return
	}
	list := at.Child(n.Key)
	if list == nil || !list.Repeated {
		list = at.add(p.node(List, n.Key, "", int(n.Line), int(n.Column)))
		list.Repeated = true
	}
	n.Key = ""
	list.add(n)
}
