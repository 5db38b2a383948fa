package lint

import (
	"bytes"
	"encoding/base64"
	"regexp"
	"strings"

	"github.com/wxops/wxops/naming/lint/format"
)

// secrecy says what a value is to somebody who may not know credentials.
type secrecy uint8

const (
	noSecret secrecy = iota
	isSecret
	isPlaceholder
)

var (
	secretWords   = map[string]bool{"password": true, "passwd": true, "passwort": true, "pwd": true, "pass": true, "passphrase": true}
	tokenWords    = map[string]bool{"secret": true, "token": true, "apikey": true, "credential": true, "credentials": true, "accesskey": true, "secretkey": true, "privatekey": true, "apisecret": true, "authtoken": true}
	authWords     = map[string]bool{"auth": true, "basic": true, "authorization": true}
	keyBefore     = map[string]bool{"api": true, "access": true, "private": true, "secret": true, "encryption": true, "signing": true, "account": true, "aes": true, "des": true, "hmac": true, "jwt": true, "cipher": true, "crypto": true, "encrypt": true, "decrypt": true, "master": true}
	openBefore    = map[string]bool{"public": true, "pub": true, "publishable": true, "site": true, "ssh": true, "host": true, "cache": true, "primary": true, "foreign": true, "partition": true, "sort": true, "routing": true, "object": true, "measurement": true, "instrumentation": true, "gpg": true}
	secretShapes  = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b|\bxox[abprs]-[A-Za-z0-9-]{10,}|\b(?:sk_|rk_)?live_[a-z]*[0-9][A-Za-z0-9]{14,}|\b[sr]k_test_[A-Za-z0-9]{16,}|\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.`)
	referenceForm = regexp.MustCompile(`^(?:\$\{.*\}|\$\(.*\)|\$[A-Za-z_][A-Za-z0-9_]*|\{\{.*\}\}|<%.*%>|<(?:path|vault):.*>|%\{.*\}|%[A-Z_]+%|@[A-Za-z._]+@|ENC\[?\(?.*|DEC::.*|vault:.*|!vault.*|\$ANSIBLE_VAULT.*|secret://.*|ref\+.*|arn:.*|sm://.*|ssm:.*|env:.*|file:.*|/.*|ns/.*|#\{.*|AQIC.*|var\..*|local\..*|data\..*|module\..*|__.*__|valueFrom.*|cipher.*|\{cipher\}.*)$`)
	placeholders  = regexp.MustCompile(`(?i)^(?:change[-_ ]?(?:me|it|this)?.*|replace[-_ ]?me.*|todo.*|fixme|x{3,}|\*{3,}|<[^>]*>|your[-_ ].*|example.*|dummy|placeholder.*|secret|password|passwd|pass|admin|root|test|guest|postgres|mysql|sa|minioadmin|123456?7?8?9?|default|none|null|foo|bar|foobar|sample|fake.*|redacted|my-?(?:secret|password|token).*|insert.*|tbd|\.\.\.)$`)
	shapeStart    = [256]bool{'-': true, 'A': true, 'g': true, 'x': true, 'e': true}

	// Credentials inside of longer values: in the address of a server, in the
	// data source name of a Go driver, and as a parameter of a connection string,
	// a command or an environment.
	passwordInside = regexp.MustCompile(`(?i)[a-z][a-z0-9+.-]*://[^/\s:@]*:([^/\s@]+)@|^[^\s:@/]+:([^\s@/]+)@(?:tcp|unix)\(|(?:password|passwd|pwd)=([^\s&;"',]+)`)
	tokenInside    = regexp.MustCompile(`(?i)(?:secret|token|api_?key|secret_?key|access_?key)=([^\s&;"',]+)`)
	insideSigns    = [...]string{"://", "@", "="}
)

// keyKind says what a key promises about its value.
type keyKind uint8

const (
	anyKey      keyKind = iota
	passwordKey         // any word may be the credential
	tokenKey            // what looks random is the credential
	someKey             // what can only be generated is the credential
	authKey             // a name with a password in base64 is the credential
)

func kindOfKey(key string) keyKind {
	last, rest := lastWord(key)
	switch {
	case len(last) < 3:
	case in(secretWords, last), len(last) > 8 && strings.EqualFold(last[len(last)-8:], "password"):
		return passwordKey
	case in(tokenWords, last):
		return tokenKey
	case in(authWords, last):
		return authKey
	case strings.EqualFold(last, "key"):
		switch before, _ := lastWord(rest); {
		case in(keyBefore, before):
			return tokenKey
		case before != "" && !in(openBefore, before):
			return someKey
		}
	}
	return anyKey
}

// secretOf decides whether a key and its value are a credential in the clear.
func secretOf(key, v string) secrecy {
	if shaped(v) {
		return isSecret
	}
	if s := secretInside(v); s != noSecret || strings.Contains(v, "://") {
		return s
	}
	switch kindOfKey(key) {
	case passwordKey:
		return judge(v, true)
	case tokenKey:
		return judge(v, false)
	case someKey:
		if generated(v) {
			return isSecret
		}
	case authKey:
		if basicAuth(v) {
			return isSecret
		}
	}
	return noSecret
}

// basicAuth reports whether a value is a name and a password in base64, as HTTP
// and the configuration of Docker have them; see RFC 7617, section 2.
func basicAuth(v string) bool {
	v = strings.TrimPrefix(strings.TrimPrefix(v, "Basic "), "basic ")
	plain, err := base64.StdEncoding.DecodeString(v)
	if err != nil || len(v) < 8 {
		return false
	}
	name, password, found := strings.Cut(string(plain), ":")
	printable := func(r rune) bool { return r > ' ' && r < 0x7f }
	return found && name != "" && password != "" && strings.IndexFunc(string(plain), func(r rune) bool { return !printable(r) }) < 0
}

// generated reports whether a text looks like the output of a random generator:
// at least 32 hexadecimal digits, or 24 characters of base64 with capitals, small
// letters and digits. A slash without padding at the end makes it a path.
func generated(v string) bool {
	letters := strings.TrimRight(v, "=")
	if len(letters) < 22 || len(v) < 24 || len(v) > 4096 {
		return false
	}
	hex, upper, lower, digit, slash := true, false, false, false, false
	for i := range len(letters) {
		c := letters[i]
		hex = hex && (c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F')
		switch {
		case c >= '0' && c <= '9':
			digit = true
		case c >= 'a' && c <= 'z':
			lower = true
		case c >= 'A' && c <= 'Z':
			upper = true
		case c == '/':
			slash = true
		case c != '+':
			return false
		}
	}
	if hex {
		return len(v) >= 32 && digit && (lower || upper)
	}
	return upper && lower && digit && scrambled(letters) && (!slash || len(letters) < len(v))
}

// secretInside decides whether a part of a value is a credential in the clear.
func secretInside(v string) secrecy {
	signs := false
	for _, sign := range insideSigns {
		signs = signs || strings.Contains(v, sign)
	}
	if !signs {
		return noSecret
	}
	for _, form := range []struct {
		*regexp.Regexp
		password bool
	}{{passwordInside, true}, {tokenInside, false}} {
		if m := form.FindStringSubmatch(v); m != nil {
			if s := judge(strings.Join(m[1:], ""), form.password); s != noSecret {
				return s
			}
		}
	}
	return noSecret
}

// revealing finds what may be a credential where secretOf is not sure enough to
// complain; it is not printed either.
var revealing = regexp.MustCompile(`(?i)(?:secret|token|passphrase|api[-_]?key|access[-_]?key|signature)["']?\s*[=:]\s*\S|\b(?:bearer|basic)\s+\S{8,}`)

// hidden reports whether a value must not be printed: it is a credential, or
// stands where one belongs, or may have one inside. A plain "key" names things
// more often than it opens them, so only what no person would call a thing is hidden.
func hidden(key, v string) bool {
	if secretOf(key, v) != noSecret || revealing.MatchString(v) {
		return true
	}
	if strings.EqualFold(key, "key") && scrambled(v) && judge(v, false) == isSecret {
		return true
	}
	switch strings.ToLower(v) {
	case "", "true", "false", "null", "none", "~", "yes", "no":
		return false
	}
	return promises(key) && (!referenceForm.MatchString(v) || withDefault.MatchString(v))
}

// promises reports whether a key says that its value is a credential.
func promises(key string) bool {
	kind := kindOfKey(key)
	return kind == passwordKey || kind == tokenKey
}

// scrambled reports whether letters and digits of some word are mixed as in
// generated text: in a word of at least 12, or changing at least three times.
func scrambled(v string) bool {
	length, changes := 0, 0
	digitBefore := false
	for i := range len(v) {
		if !wordByte(v[i]) {
			length, changes = 0, 0
			continue
		}
		digit := v[i] >= '0' && v[i] <= '9'
		if length > 0 && digit != digitBefore {
			changes++
		}
		digitBefore = digit
		if length++; changes >= 3 || length >= 12 && changes > 0 {
			return true
		}
	}
	return false
}

// secretObject reports whether a map is a Kubernetes Secret.
func secretObject(n *format.Node) bool {
	return kubernetes(n) && n.Child("kind").Value == "Secret"
}

// secretData returns the part of a Kubernetes Secret that holds a credential in
// the clear, nil if there is none. Values of data are in base64, which hides nothing.
func secretData(n *format.Node) *format.Node {
	for _, part := range []string{"stringData", "data"} {
		list := n.Child(part)
		if list == nil {
			continue
		}
		for c := list.First; c != nil; c = c.Next {
			v := c.Value
			if plain, err := base64.StdEncoding.DecodeString(v); part == "data" && err == nil {
				v = string(plain)
			}
			if c.Kind == format.Scalar && !strings.Contains(strings.ToLower(c.Key), "user") && (judge(v, true) == isSecret || secretOf(c.Key, v) == isSecret) {
				return list
			}
		}
	}
	return nil
}

// secrecy is secretOf where the trail of the value is known: below a key such as
// secretKeyRef or namespace_secrets stand the names of credentials, and so under
// one such as SECRET_DB_PASSWORD.
func (a *analyzer) secrecy(key, v string) secrecy {
	s := secretOf(key, v)
	if s == noSecret {
		return s
	}
	if last, rest := lastWord(key); s == isPlaceholder && in(secretWords, last) && strings.Contains(strings.ToLower(rest), "secret") && credentialName(v) {
		return noSecret
	}
	for _, n := range a.trail[:len(a.trail)-1] {
		if strings.Contains(strings.ToLower(n.Key), "secret") && credentialName(v) {
			return noSecret
		}
	}
	return s
}

// credentialName reports whether a value is the name of a credential and not
// one itself: words without digits, the last of which is password or the like.
func credentialName(v string) bool {
	for i := range len(v) {
		if c := v[i]; !(wordByte(c) || c == '_' || c == '-' || c == '.') || c >= '0' && c <= '9' {
			return false
		}
	}
	last, rest := lastWord(v)
	return rest != "" && (in(secretWords, last) || in(tokenWords, last) || strings.EqualFold(last, "key"))
}

func maybeShape(v string) bool {
	return shapeStart[v[0]] || strings.Contains(v, "AKIA") || strings.Contains(v, "PRIVATE KEY") || strings.Contains(v, "gh") || strings.Contains(v, "xox") || strings.Contains(v, "eyJ") || strings.Contains(v, "live_") || strings.Contains(v, "k_test_")
}

// withDefault is a reference with what holds where it leads to nothing, as in
// ${DB_PASSWORD:hunter2} of Spring and ${DB_PASSWORD:-hunter2} of a shell.
var withDefault = regexp.MustCompile(`^\$\{[A-Za-z_][A-Za-z0-9_.-]*:-?([^${}]+)\}$`)

// judge tells a credential from a reference to one and from a placeholder. A
// password may be any word; other credentials look random. Of a reference the
// default is judged: it is in the clear.
func judge(v string, password bool) secrecy {
	v = strings.TrimSpace(v)
	if m := withDefault.FindStringSubmatch(v); m != nil {
		v = m[1]
	}
	if v == "" || referenceForm.MatchString(v) || strings.Contains(v, "${") || strings.Contains(v, "{{") {
		return noSecret
	}
	switch strings.ToLower(v) {
	case "true", "false", "null", "none", "~", "yes", "no":
		return noSecret
	}
	if placeholders.MatchString(v) || credentialName(v) {
		return isPlaceholder
	}
	digit, letter := false, false
	for i := range len(v) {
		digit = digit || v[i] >= '0' && v[i] <= '9'
		letter = letter || v[i] >= 'a' && v[i] <= 'z' || v[i] >= 'A' && v[i] <= 'Z'
	}
	if password {
		if !letter && len(v) < 6 || strings.ContainsAny(v, " \n") {
			return noSecret // a length or a count, or a sentence
		}
		return isSecret
	}
	if len(v) >= 12 && digit && letter && !strings.ContainsAny(v, " \n") {
		return isSecret
	}
	return noSecret
}

// lastWord returns the last word of a key and what is before it: words end at
// punctuation and where a capital begins a word.
func lastWord(key string) (word, rest string) {
	end := len(key)
	for end > 0 && !wordByte(key[end-1]) {
		end--
	}
	i := end
	for i > 0 && wordByte(key[i-1]) {
		i--
		upper := func(i int) bool { return key[i] >= 'A' && key[i] <= 'Z' }
		if upper(i) && i > 0 && wordByte(key[i-1]) && (!upper(i-1) || i+1 < end && !upper(i+1)) {
			break // fooBar, DBPassword
		}
	}
	return key[i:end], key[:i]
}

// in looks a word up in lower case, without allocating.
func in(set map[string]bool, word string) bool {
	var buffer [16]byte
	if len(word) == 0 || len(word) > len(buffer) {
		return false
	}
	for i := range len(word) {
		c := word[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		buffer[i] = c
	}
	return set[string(buffer[:len(word)])]
}

// show prints a value in a message: short, on one line, and never a credential.
func show(key string, n *format.Node) string {
	switch {
	case n == nil:
		return "missing"
	case n.Kind == format.Scalar && hidden(lastPart(key), n.Value), n.Kind != format.Scalar && hides(lastPart(key), n):
		return "(hidden)"
	case n.Kind == format.Scalar && n.Value == "":
		return `""`
	}
	return shorten(nodeText(n), 60)
}

// lastPart returns the part of a key path that says what its value is: the last
// one, or for a pair of name and value, as in env[DB_PASSWORD].value, the name,
// or for an item of a list, as in tokens[0], the list.
func lastPart(key string) string {
	if pair, ok := strings.CutSuffix(key, "].value"); ok {
		return pair[strings.LastIndexByte(pair, '[')+1:]
	}
	if i := strings.LastIndexByte(key, '['); i > 0 && strings.HasSuffix(key, "]") {
		key = strings.TrimSuffix(key[:i], "s")
	}
	return key[strings.LastIndexAny(key, ".@")+1:]
}

// opens reports whether a key of a map is a credential itself.
func opens(key string) bool { return shaped(key) || generated(key) }

// shaped reports whether a text has the shape of a well-known kind of credential.
func shaped(v string) bool {
	return len(v) >= 16 && maybeShape(v) && secretShapes.MatchString(v)
}

// pathPart finds the parts of a key path that may be credentials.
var pathPart = regexp.MustCompile(`[A-Za-z0-9_+/=-]{16,}(?:\.[A-Za-z0-9_-]{10,}){0,2}`)

// masked is a key path without the parts of it that are credentials.
func masked(path string) string {
	if len(path) < 16 {
		return path
	}
	return pathPart.ReplaceAllStringFunc(path, func(part string) string {
		if opens(part) {
			return "(hidden)"
		}
		return part
	})
}

// hides reports whether something in a map or list must not be printed.
func hides(key string, n *format.Node) bool {
	if secretObject(n) {
		return true
	}
	for c := n.First; c != nil; c = c.Next {
		own := key
		if n.Kind == format.Map {
			own = pairName(n, c)
		} else {
			own = strings.TrimSuffix(own, "s")
		}
		if opens(c.Key) || c.Kind == format.Scalar && hidden(own, c.Value) || c.Kind != format.Scalar && hides(own, c) {
			return true
		}
	}
	return false
}

// pairName returns what the value of n's child c is about: c's key, or in a
// pair of name and value the name.
func pairName(n, c *format.Node) string {
	if c.Key == "value" {
		if name := n.Child("name"); name != nil && name.Kind == format.Scalar {
			return name.Value
		}
	}
	return c.Key
}

// credentialLine finds lines that speak of a credential, in whatever syntax.
var credentialLine = regexp.MustCompile(`(?i)pass(?:word|wd|wort|phrase)|\bpass\b|pwd|secret|token|credential|private[-_ ]?key|api[-_]?key|access[-_]?key|authorization|://[^/\s]*@|@(?:tcp|unix)\(`)

// credentialLines returns the lines of a file, counted from 1, that are not
// shown to anybody: those that speak of a credential, those of a value that is
// one, and private keys.
func credentialLines(name string, b []byte) map[int]bool {
	out := map[int]bool{}
	n, inKey := 0, false
	for line := range bytes.Lines(b) {
		n++
		inKey = inKey || bytes.Contains(line, []byte("PRIVATE KEY-----"))
		if inKey || credentialLine.Match(line) || secretShapes.Match(line) || revealing.Match(line) {
			out[n] = true
		}
		if bytes.Contains(line, []byte("-----END")) {
			inKey = false
		}
	}
	syntax := format.Detect(name, b)
	if !syntax.Parsed() {
		return out
	}
	d, err := new(format.Parser).Parse(syntax, latin1(b))
	if err != nil {
		return out
	}
	from := 0 // first line of a credential that goes on until the next node
	var visit func(n *format.Node, key string, secret bool)
	visit = func(n *format.Node, key string, secret bool) {
		for ; from > 0 && from < int(n.Line); from++ {
			out[from] = true
		}
		from = 0
		if n.Kind == format.Scalar {
			if secret || hidden(key, n.Value) {
				from = int(n.Line)
				out[from] = true
			}
			return
		}
		secret = secret || secretObject(n) || promises(strings.TrimSuffix(key, "s"))
		for c := n.First; c != nil; c = c.Next {
			if n.Kind == format.Map {
				key = pairName(n, c)
			}
			visit(c, key, secret)
		}
	}
	visit(d.Root, "", false)
	for ; from > 0 && from <= n; from++ {
		out[from] = true
	}
	return out
}
