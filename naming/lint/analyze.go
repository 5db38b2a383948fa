package lint

import (
	"bytes"
	"hash/maphash"
	"net/netip"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/wxops/wxops/naming/lint/format"
)

// facts are what one content says for itself, without knowing where it lies.
type facts struct {
	binary, bom, crlf, notUTF8, noFinalNewline bool
	template                                   bool // broken, and marks of a template engine are in it
	broken                                     *format.SyntaxError
	hits                                       []hit
	blocks                                     []block
	manifest                                   *manifest
}

type hitKind uint8

const (
	hitDuplicate hitKind = iota
	hitSecret
	hitPlaceholder
	hitAddress     // an IPv4 address of a host
	hitEnv         // a value with an environment word
	hitConditional // a condition on an environment word
	hitName        // a reference to a registered name
)

// A hit is something in a content that a rule may be about.
type hit struct {
	kind         hitKind
	key          string
	value        string // never set for a secret
	line, column int32
}

// A block is a map of at least Options.SharedKeys scalars; the hashes are of
// its key path, of its keys and of its keys with values.
type block struct {
	shape, values uint64
}

// An analyzer has the memory that analyzing reuses. Not for concurrent use.
type analyzer struct {
	opt    *Options
	parser format.Parser
	trail  []*format.Node
	out    *facts
	doc    *format.Document
	k8s    bool
	name   string // of the file being analyzed
}

var conditional = regexp.MustCompile(`(?i)(?:\bif\b|\bunless\b|\bwhen\b|\bcase\b|\?|%\{)[^\n]{0,120}?(?:==|!=|=|\beq\b|\bne\b|\bin\b|~|\.equals\()[^\n]{0,40}?["']([a-z][a-z0-9_-]*)["']`)

// ternary is the condition of HCL and of many template engines: x == "prod" ? 3 : 1.
var ternary = regexp.MustCompile(`(?i)[A-Za-z_)\]][^\n"'=!]{0,60}[=!]=\s*["']([a-z][a-z0-9_-]*)["'][^\n?]{0,40}\?`)

// analyze returns the facts of a content, nil if there is none worth keeping.
func (a *analyzer) analyze(syntax format.Syntax, b []byte) *facts {
	f := facts{}
	if len(b) == 0 {
		return nil
	}
	if isBinary(b) {
		f.binary = true
		return &f
	}
	f.bom = bytes.HasPrefix(b, []byte("\xef\xbb\xbf"))
	f.crlf = bytes.Contains(b, []byte("\r\n"))
	f.notUTF8 = !utf8.Valid(b)
	f.noFinalNewline = b[len(b)-1] != '\n'
	a.out = &f
	if syntax != format.Text {
		a.conditions(b)
	} else if m := privateKey.FindIndex(b); m != nil {
		f.hits = append(f.hits, hit{hitSecret, "", "", int32(bytes.Count(b[:m[0]], []byte("\n")) + 1), 1})
	}
	if syntax.Parsed() {
		if f.notUTF8 {
			b = latin1(b)
		}
		a.parser.Reset()
		a.parser.Secret = hidden
		d, err := a.parser.Parse(syntax, b)
		if err != nil {
			f.broken, _ = err.(*format.SyntaxError)
			f.template = templateMark.Match(b)
		} else {
			a.doc = d
			a.scan(d)
			if a.name == "service.yaml" || a.name == "service.yml" {
				f.manifest = readManifest(d)
			}
		}
	}
	if f.bom || f.crlf || f.notUTF8 || f.noFinalNewline || f.broken != nil || len(f.hits) > 0 || len(f.blocks) > 0 || f.manifest != nil {
		return &f
	}
	return nil
}

// isBinary reports a NUL byte in the first 8 KiB, which no text format has; UTF-16 counts as binary.
func isBinary(b []byte) bool { return bytes.IndexByte(b[:min(len(b), 8<<10)], 0) >= 0 }

// latin1 replaces the bytes that are no UTF-8 by the characters they are in ISO 8859-1.
func latin1(b []byte) []byte {
	out := make([]byte, 0, len(b)+16)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			r = rune(b[0])
			if r < 0xa0 {
				r = '?'
			}
		}
		out = utf8.AppendRune(out, r)
		b = b[n:]
	}
	return out
}

var conditionWords = [][]byte{[]byte("if"), []byte("unless"), []byte("when"), []byte("case"), []byte("?"), []byte("%{")}

func (a *analyzer) conditions(b []byte) {
	if !bytes.ContainsAny(b, `"'`) || !hasConditionWord(b) {
		return
	}
	line := int32(0)
	for text := range bytes.Lines(b) {
		line++
		if !hasConditionWord(text) || !bytes.ContainsAny(text, `"'`) {
			continue
		}
		m := conditional.FindSubmatchIndex(text)
		if m == nil {
			m = ternary.FindSubmatchIndex(text)
		}
		if m != nil && isEnvName(string(text[m[2]:m[3]])) {
			a.out.hits = append(a.out.hits, hit{hitConditional, "", strings.TrimSpace(string(text[m[0]:m[1]])), line, int32(m[0] + 1)})
		}
	}
}

// privateKey begins a private key that no password protects.
var privateKey = regexp.MustCompile(`-----BEGIN (?:RSA |EC |DSA |OPENSSH )?PRIVATE KEY-----`)

// Marks of Go templates, Jinja, ERB and the like.
var templateMark = regexp.MustCompile(`\{\{[^\n]*\}\}|\{%[^\n]*%\}|<%[^\n]*%>|(?m)^\s*\{\{`)

func hasConditionWord(b []byte) bool {
	for _, w := range conditionWords {
		if bytes.Contains(b, w) {
			return true
		}
	}
	return false
}

func (a *analyzer) scan(d *format.Document) {
	for _, dup := range d.Duplicates {
		a.out.hits = append(a.out.hits, hit{hitDuplicate, dup.Path, "", dup.Node.Line, dup.Node.Column})
	}
	a.trail = a.trail[:0]
	a.visit(d.Root, nil)
}

// kubernetes reports whether a map is a Kubernetes object, whose blocks repeat by nature.
func kubernetes(n *format.Node) bool {
	return n.Kind == format.Map && n.Child("apiVersion") != nil && n.Child("kind") != nil
}

func (a *analyzer) visit(n *format.Node, outer *maphash.Hash) {
	if kubernetes(n) {
		a.k8s = true
		defer func() { a.k8s = false }()
		if secretObject(n) {
			if c := secretData(n); c != nil {
				a.trail = append(a.trail, c)
				a.hit(hitSecret, c, "")
				a.trail = a.trail[:len(a.trail)-1]
			}
			return // what it says of credentials is said
		}
	}
	scalars := 0
	for c := n.First; c != nil; c = c.Next {
		a.trail = append(a.trail, c)
		if shaped(c.Key) {
			a.hit(hitSecret, c, "")
		}
		if c.Kind == format.Scalar {
			scalars++
			a.value(c)
		} else {
			a.visit(c, outer)
		}
		a.trail = a.trail[:len(a.trail)-1]
	}
	if n.Kind == format.Map && scalars >= a.opt.SharedKeys && len(a.trail) > 0 && !a.k8s {
		a.out.blocks = append(a.out.blocks, a.block(n))
	}
}

// block hashes a map: the order of its keys does not count.
func (a *analyzer) block(n *format.Node) block {
	var b block
	for c := n.First; c != nil; c = c.Next {
		k := maphash.String(seedA, c.Key)
		b.shape += k * 0x9e3779b97f4a7c15
		b.values += (k ^ maphash.String(seedB, c.Value)) * 0xff51afd7ed558ccd
	}
	for _, t := range a.trail {
		b.shape = (b.shape ^ maphash.String(seedA, t.Key)) * 0x2545f4914f6cdd1d
	}
	return b
}

func (a *analyzer) hit(kind hitKind, n *format.Node, value string) {
	a.out.hits = append(a.out.hits, hit{kind, a.doc.Path(a.trail), value, n.Line, n.Column})
}

// value looks at one key with its value. Of several things it could be, the
// most specific one counts.
func (a *analyzer) value(n *format.Node) {
	v := n.Value
	if v == "" {
		return
	}
	key := n.Key
	switch {
	case len(a.trail) < 2:
	case key == "":
		key = a.trail[len(a.trail)-2].Key
	case key == "value":
		key = pairName(a.trail[len(a.trail)-2], n)
	}
	switch a.secrecy(key, v) {
	case isSecret:
		a.hit(hitSecret, n, "")
		return
	case isPlaceholder:
		a.hit(hitPlaceholder, n, "")
		return
	}
	digits, dots, letters := 0, 0, 0
	for i := range len(v) {
		switch c := v[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c == '.':
			dots++
		case c != '-':
			letters++
		}
	}
	if dots >= 3 && digits >= 4 {
		if ip, ok := hostAddress(key, v); ok {
			a.hit(hitAddress, n, ip)
			return
		}
	}
	if strings.HasPrefix(v, "ns/") && len(v) > 3 && a.opt.Inventory.knowsNames() {
		a.hit(hitName, n, v[3:])
	}
	if letters == 0 || len(v) > 512 {
		return
	}
	if m := mentions(v, a.opt.envWords); len(m) > 0 && standsAlone(v, m[0]) {
		if strings.HasSuffix(key, "on-profile") {
			a.hit(hitConditional, n, "on-profile: "+v)
			return
		}
		a.hit(hitEnv, n, v)
	}
}

// standsAlone reports whether an environment word in a value can be a part of
// a name or an address rather than a word of a sentence.
func standsAlone(v string, m envMention) bool {
	blank := func(i int) bool { return i >= 0 && i < len(v) && (v[i] == ' ' || v[i] == '\n' || v[i] == '\t') }
	if blank(m.start-1) && (blank(m.end) || m.end == len(v)) || m.start == 0 && blank(m.end) {
		return false
	}
	return true
}

var notAHost = []string{"version", "cidr", "mask", "subnet", "range", "network", "allow", "deny", "trusted", "whitelist", "blacklist", "proxies", "serial", "build", "release", "tag", "oid"}

// hostAddress finds an IPv4 address that stands for one host: not part of a
// longer number, not a range, not loopback, wildcard, multicast or documentation,
// and not under a key that speaks of versions or networks.
func hostAddress(key, v string) (string, bool) {
	lower := strings.ToLower(key)
	for _, w := range notAHost {
		if strings.Contains(lower, w) {
			return "", false
		}
	}
	for i := 0; i < len(v); i++ {
		if v[i] < '0' || v[i] > '9' || i > 0 && (wordByte(v[i-1]) || v[i-1] == '.' || v[i-1] == '-') {
			continue
		}
		end := i
		for end < len(v) && (v[end] >= '0' && v[end] <= '9' || v[end] == '.') {
			end++
		}
		word := strings.TrimRight(v[i:end], ".")
		after := i + len(word)
		if after < len(v) && (wordByte(v[after]) || v[after] == '-' || v[after] == '/' && after+1 < len(v) && v[after+1] >= '0' && v[after+1] <= '9' && !strings.Contains(v, "://")) {
			i = end
			continue
		}
		ip, err := netip.ParseAddr(word)
		if err == nil && ip.Is4() && !ip.IsLoopback() && !ip.IsUnspecified() && !ip.IsMulticast() && !documentation(ip) && ip.As4()[3] != 0 && ip.As4()[0] < 240 {
			return word, true
		}
		i = end
	}
	return "", false
}

func documentation(ip netip.Addr) bool {
	b := ip.As4()
	return b[0] == 0 || b[0] == 192 && b[1] == 0 && b[2] == 2 || b[0] == 198 && b[1] == 51 && b[2] == 100 || b[0] == 203 && b[1] == 0 && b[2] == 113 || b[0] == 169 && b[1] == 254
}

// leftover reports names that editors, package managers and people leave behind.
func leftover(name string) bool {
	switch ext := strings.ToLower(path.Ext(name)); ext {
	case ".bak", ".orig", ".rej", ".swp", ".swo", ".old", ".save", ".tmp", ".dpkg-old", ".dpkg-dist", ".rpmsave", ".rpmnew":
		return true
	}
	return strings.HasSuffix(name, "~") || strings.HasPrefix(name, ".#") || strings.HasPrefix(name, "#") && strings.HasSuffix(name, "#") || name == ".DS_Store" || name == "Thumbs.db"
}
