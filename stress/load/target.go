package load

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A Target is one request that is sent again and again.
type Target struct {
	Name   string // in reports; "GET /path" if empty
	Method string // GET if empty
	URL    *url.URL
	Header map[string][]string
	Body   []byte
	Weight int // share of the requests among the targets; 1 if 0
}

func (t Target) method() string {
	if t.Method == "" {
		return "GET"
	}
	return t.Method
}

// Title is the name of the target in reports.
func (t Target) Title() string {
	if t.Name != "" {
		return t.Name
	}
	return t.method() + " " + t.URL.RequestURI()
}

// wire is a request as it goes out.
type wire struct {
	bytes []byte // the whole request of HTTP/1.1, or the header block of HTTP/2
	body  []byte // of HTTP/2
	head  bool
	safe  bool // may be sent again: idempotent (RFC 9110, 9.2.2)
}

// wire returns the request in the form of its protocol.
func (t Target) wire(http2, grpc bool) *wire {
	if http2 {
		return t.http2(grpc)
	}
	return t.http1()
}

// check refuses what would break the framing of the request.
func (t Target) check() error {
	if t.URL == nil || t.URL.Host == "" {
		return fmt.Errorf("target %q has no host", t.Name)
	}
	if !isToken(t.method()) {
		return fmt.Errorf("method %q is no HTTP token", t.Method)
	}
	for name, values := range t.Header {
		if !isToken(name) {
			return fmt.Errorf("header %q is no HTTP token", name)
		}
		for _, v := range values {
			if strings.ContainsAny(v, "\r\n\x00") {
				return fmt.Errorf("header %s: the value %q holds a line break", name, v)
			}
		}
	}
	return nil
}

func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

func (t Target) safe() bool {
	return slices.Contains([]string{"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}, t.method())
}

func (t Target) get(name string) (string, bool) {
	for k, v := range t.Header {
		if strings.EqualFold(k, name) && len(v) > 0 {
			return v[0], true
		}
	}
	return "", false
}

// http1 returns the request of HTTP/1.1.
func (t Target) http1() *wire {
	var b strings.Builder
	uri := t.URL.RequestURI()
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", t.method(), uri)
	if _, ok := t.get("Host"); !ok {
		fmt.Fprintf(&b, "Host: %s\r\n", t.URL.Host)
	}
	if _, ok := t.get("User-Agent"); !ok {
		b.WriteString("User-Agent: wxops\r\n")
	}
	for _, name := range slices.Sorted(maps.Keys(t.Header)) {
		for _, v := range t.Header[name] {
			fmt.Fprintf(&b, "%s: %s\r\n", name, v)
		}
	}
	if _, ok := t.get("Content-Length"); !ok && (len(t.Body) > 0 || slices.Contains([]string{"POST", "PUT", "PATCH"}, t.method())) {
		b.WriteString("Content-Length: " + strconv.Itoa(len(t.Body)) + "\r\n")
	}
	b.WriteString("\r\n")
	b.Write(t.Body)
	return &wire{bytes: []byte(b.String()), head: t.method() == "HEAD", safe: t.safe()}
}

// order spreads the targets by weight so that each one comes up as evenly as
// its share allows (smooth weighted round robin).
func order(targets []Target) []int32 {
	total := 0
	current := make([]int, len(targets))
	for _, t := range targets {
		total += max(t.Weight, 1)
	}
	out := make([]int32, 0, total)
	for range total {
		best := 0
		for i, t := range targets {
			current[i] += max(t.Weight, 1)
			if current[i] > current[best] {
				best = i
			}
		}
		current[best] -= total
		out = append(out, int32(best))
	}
	return out
}
