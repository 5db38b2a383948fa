package format

import (
	"strconv"
	"strings"
)

// nginx reads directives "name arg arg;" and blocks "name arg { ... }". The
// arguments of a directive are its value, those of a block its identity.
func (p *Parser) nginx(s string) (*Node, error) {
	root := p.node(Map, "", "", 1, 1)
	stack := []*Node{root}
	var words []token
	for text := (nginxText{s: s, line: 1}); ; {
		t, err := text.next()
		if err != nil {
			return nil, err
		}
		switch t.mark {
		case word:
			words = append(words, t)
			continue
		case ';':
			if len(words) > 0 {
				stack[len(stack)-1].add(p.directive(words))
			}
		case '{':
			if len(words) == 0 {
				return nil, t.fail("a block without a name")
			}
			n := p.directive(words)
			n.Kind = Map
			p.addBlock(stack[len(stack)-1], n)
			if stack = append(stack, n); len(stack) > maxDepth {
				return nil, t.fail("nested more than " + strconv.Itoa(maxDepth) + " deep")
			}
		case '}':
			if len(stack) == 1 || len(words) > 0 {
				return nil, t.fail("a closing brace that nothing opened, or a missing semicolon before it")
			}
			stack = stack[:len(stack)-1]
		case endOfText:
			if len(stack) > 1 {
				return nil, t.fail("the block " + strconv.Quote(stack[len(stack)-1].Key) + " does not end")
			}
			if len(words) > 0 {
				return nil, t.fail("a semicolon is missing after " + strconv.Quote(words[0].text))
			}
			return root, nil
		}
		words = words[:0]
	}
}

// A token is one mark or word of a block language.
type token struct {
	mark         byte // ; { } or one of these:
	text         string
	quoted       bool
	line, column int
}

const (
	endOfText = 0
	word      = 'w'
)

func (t token) fail(message string) error { return &SyntaxError{t.line, t.column, message} }

// nginxText yields the tokens of a text one by one.
type nginxText struct {
	s     string
	i     int // the next byte
	line  int
	start int // of the line
}

func (r *nginxText) next() (token, error) {
	for ; r.i < len(r.s); r.i++ {
		switch c := r.s[r.i]; c {
		case '\n':
			r.line, r.start = r.line+1, r.i+1
		case ' ', '\t', '\r':
		case '#':
			k := strings.IndexByte(r.s[r.i:], '\n')
			if k < 0 {
				k = len(r.s) - r.i
			}
			r.i += k - 1
		case ';', '{', '}':
			t := r.token(c)
			r.i++
			return t, nil
		case '"', '\'':
			return r.quoted(c)
		default:
			return r.word(), nil
		}
	}
	return r.token(endOfText), nil
}

// token begins a token at the next byte.
func (r *nginxText) token(mark byte) token {
	return token{mark: mark, line: r.line, column: r.i - r.start + 1}
}

// quoted reads a string, which may hold line ends.
func (r *nginxText) quoted(mark byte) (token, error) {
	t := r.token(word)
	end := r.i + 1
	for end < len(r.s) && r.s[end] != mark {
		if r.s[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(r.s) {
		return t, t.fail("the string does not end")
	}
	t.text, t.quoted = r.s[r.i+1:end], true
	if n := strings.Count(t.text, "\n"); n > 0 {
		r.line += n
		r.start = r.i + 1 + strings.LastIndexByte(t.text, '\n') + 1
	}
	r.i = end + 1
	return t, nil
}

// word reads up to white space or a mark; ${variable} may be part of it.
func (r *nginxText) word() token {
	t := r.token(word)
	end := r.i
	for ; end < len(r.s); end++ {
		c := r.s[end]
		if c == '{' && end > r.i && r.s[end-1] == '$' {
			if k := strings.IndexAny(r.s[end:], "}\n"); k >= 0 && r.s[end+k] == '}' {
				end += k
			}
		} else if strings.IndexByte(" \t\r\n;{}", c) >= 0 {
			break
		}
	}
	t.text = r.s[r.i:end]
	r.i = end
	return t
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
