package format

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A Change is one difference of meaning between two documents at a key path.
// Old is nil where the key is new, New where it is gone; a subtree that is only
// in one of them is one change at its top.
type Change struct {
	Path     string
	Old, New *Node
}

// A Differ compares documents. Ordered says where the order of a list counts
// although its items have identities; nil means nowhere.
type Differ struct {
	Ordered func(path string) bool
}

// maxAligned bounds the product of list lengths that are aligned by longest
// common subsequence; longer lists are aligned by their common ends.
const maxAligned = 1 << 20

// Diff returns what differs in meaning between two documents, in the order of a
// and then of b. Equal meaning gives none, whatever the bytes.
func (d Differ) Diff(a, b *Document) []Change {
	w := walker{Differ: d, flat: a.flat()}
	w.node(a.Root, b.Root)
	return w.changes
}

type walker struct {
	Differ
	flat    bool
	changes []Change
	trail   []string
}

func (w *walker) path() string {
	if w.flat && len(w.trail) == 1 {
		return w.trail[0][1:]
	}
	var b strings.Builder
	for _, part := range w.trail {
		if strings.HasPrefix(part, "[") {
			b.WriteString(part)
		} else {
			appendKey(&b, part[1:])
		}
	}
	return b.String()
}

// in runs f with a part added to the path: keys begin with a dot, items are in brackets.
func (w *walker) in(part string, f func()) {
	w.trail = append(w.trail, part)
	f()
	w.trail = w.trail[:len(w.trail)-1]
}

func (w *walker) change(old, new *Node) {
	w.changes = append(w.changes, Change{w.path(), old, new})
}

func (w *walker) node(a, b *Node) {
	// One directive and several of the same name compare as lists.
	if a.Repeated != b.Repeated && (a.Repeated || b.Repeated) {
		w.list(items(a), items(b))
		return
	}
	switch {
	case a.Kind != b.Kind:
		if empty(a) && empty(b) {
			return // "key:" and "key: {}" say the same
		}
		w.change(a, b)
	case a.Kind == Scalar:
		if !Same(a.Value, b.Value) {
			w.change(a, b)
		}
	case a.Kind == Map:
		if a.Value != b.Value { // the arguments of a block
			w.change(a, b)
			return
		}
		w.maps(a, b)
	default:
		w.list(items(a), items(b))
	}
}

func empty(n *Node) bool { return n.First == nil && n.Value == "" }

func items(n *Node) []*Node {
	if n.Kind != List {
		return []*Node{n}
	}
	var out []*Node
	for c := n.First; c != nil; c = c.Next {
		out = append(out, c)
	}
	return out
}

// maps compares by key; of a duplicate key the last value counts.
func (w *walker) maps(a, b *Node) {
	bm := index(b)
	am := index(a)
	for c := a.First; c != nil; c = c.Next {
		if am[c.Key] != c {
			continue
		}
		w.in("."+c.Key, func() {
			if o := bm[c.Key]; o != nil {
				w.node(c, o)
			} else {
				w.change(c, nil)
			}
		})
	}
	for c := b.First; c != nil; c = c.Next {
		if am[c.Key] == nil && bm[c.Key] == c {
			w.in("."+c.Key, func() { w.change(nil, c) })
		}
	}
}

func index(n *Node) map[string]*Node {
	m := make(map[string]*Node)
	for c := n.First; c != nil; c = c.Next {
		m[c.Key] = c
	}
	return m
}

func (w *walker) list(a, b []*Node) {
	aid, bid := identitiesOf(a), identitiesOf(b)
	if aid != nil && bid != nil {
		w.identified(a, b, aid, bid)
		return
	}
	head := 0
	for head < len(a) && head < len(b) && equal(a[head], b[head]) {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && equal(a[len(a)-1-tail], b[len(b)-1-tail]) {
		tail++
	}
	w.align(a[head:len(a)-tail], b[head:len(b)-tail], head)
}

func identitiesOf(list []*Node) []string {
	var out []string
	seen := map[string]bool{}
	for _, c := range list {
		id := Identity(c)
		if id == "" || seen[id] {
			return nil
		}
		seen[id] = true
		out = append(out, id)
	}
	return out
}

func (w *walker) identified(a, b []*Node, aid, bid []string) {
	at := map[string]int{}
	for j, id := range bid {
		at[id] = j
	}
	if len(a) == len(b) && !slices.ContainsFunc(aid, func(id string) bool { _, ok := at[id]; return ok }) {
		// Nothing has the same identity: the identity itself is what differs.
		for i := range a {
			w.in("["+strconv.Itoa(i)+"]", func() { w.node(a[i], b[i]) })
		}
		return
	}
	last, moved := -1, false
	matched := map[string]bool{}
	for i, id := range aid {
		w.in("["+id+"]", func() {
			j, ok := at[id]
			if !ok {
				w.change(a[i], nil)
				return
			}
			matched[id] = true
			moved = moved || j < last
			last = j
			w.node(a[i], b[j])
		})
	}
	for j, id := range bid {
		if !matched[id] {
			w.in("["+id+"]", func() { w.change(nil, b[j]) })
		}
	}
	if moved && w.Ordered != nil && w.Ordered(w.path()) {
		w.changes = append(w.changes, Change{w.path() + "[order]", a[0], b[0]})
	}
}

// align pairs the items of two lists by longest common subsequence; items left
// over between two pairs are compared with each other in order.
func (w *walker) align(a, b []*Node, base int) {
	if len(a) == 0 && len(b) == 0 {
		return
	}
	var pairs [][2]int
	if len(a)*len(b) <= maxAligned {
		pairs = common(a, b)
	}
	i, j := 0, 0
	for _, p := range append(pairs, [2]int{len(a), len(b)}) {
		for i < p[0] || j < p[1] {
			switch {
			case i < p[0] && j < p[1]:
				w.in("["+strconv.Itoa(base+i)+"]", func() { w.node(a[i], b[j]) })
				i, j = i+1, j+1
			case i < p[0]:
				w.in("["+strconv.Itoa(base+i)+"]", func() { w.change(a[i], nil) })
				i++
			default:
				w.in("["+strconv.Itoa(base+j)+"]", func() { w.change(nil, b[j]) })
				j++
			}
		}
		i, j = p[0]+1, p[1]+1
	}
}

func common(a, b []*Node) [][2]int {
	n, m := len(a), len(b)
	length := make([][]int32, n+1)
	for i := range length {
		length[i] = make([]int32, m+1)
	}
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			if equal(a[i], b[j]) {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	var out [][2]int
	for i, j := 0, 0; i < n && j < m; {
		switch {
		case equal(a[i], b[j]):
			out = append(out, [2]int{i, j})
			i, j = i+1, j+1
		case length[i+1][j] >= length[i][j+1]:
			i++
		default:
			j++
		}
	}
	return out
}

// equal reports whether two nodes have the same meaning.
func equal(a, b *Node) bool {
	if a.Kind != b.Kind {
		return empty(a) && empty(b)
	}
	if a.Kind == Scalar {
		return Same(a.Value, b.Value)
	}
	if a.Kind == List {
		x, y := a.First, b.First
		for ; x != nil && y != nil; x, y = x.Next, y.Next {
			if !equal(x, y) {
				return false
			}
		}
		return x == nil && y == nil
	}
	n := 0
	for c := a.First; c != nil; c = c.Next {
		o := b.Child(c.Key)
		if o == nil || !equal(c, o) {
			return false
		}
		n++
	}
	return a.Value == b.Value && n == b.Len()
}

var defaultPorts = map[string]string{
	"http": "80", "https": "443", "ws": "80", "wss": "443", "redis": "6379", "mysql": "3306", "postgres": "5432",
	"postgresql": "5432", "amqp": "5672", "mongodb": "27017", "ftp": "21", "ldap": "389", "ldaps": "636",
}

// Same reports whether two scalars have the same meaning: equal text, equal
// numbers or truth values, or URLs that differ in a default port.
func Same(a, b string) bool {
	if a == b {
		return true
	}
	if a == "" || b == "" {
		return false
	}
	if strings.EqualFold(a, b) {
		switch strings.ToLower(a) {
		case "true", "false", "null":
			return true
		}
	}
	if strings.Contains(a, "://") && strings.Contains(b, "://") {
		return withoutDefaultPort(a) == withoutDefaultPort(b)
	}
	if number(a) && number(b) && (whole(a) || whole(b)) {
		x, err := strconv.ParseFloat(a, 64)
		y, err2 := strconv.ParseFloat(b, 64)
		return err == nil && err2 == nil && x == y && len(a) < 16 && len(b) < 16
	}
	return false
}

func number(s string) bool {
	dot := false
	for i := range len(s) {
		dot = dot || s[i] == '.'
		if (s[i] < '0' || s[i] > '9') && s[i] != '.' && (s[i] != '-' || i > 0) {
			return false
		}
	}
	return s[0] != '0' || dot || s == "0" // 007 is a name
}

// whole reports whether a number has no fraction but zeros. Of two that have one
// equal text is asked for: 1.1 and 1.10 are more often versions than numbers.
func whole(s string) bool {
	_, fraction, _ := strings.Cut(s, ".")
	return strings.Trim(fraction, "0") == ""
}

func withoutDefaultPort(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Port() == "" || u.Port() != defaultPorts[u.Scheme] {
		return s
	}
	return strings.Replace(s, u.Host, strings.TrimSuffix(u.Host, ":"+u.Port()), 1)
}
