package load

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// ReadTargets reads targets in vegeta's two formats. A JSON target is an object
// on one line with method, url, header, body (base64) and, of our own, weight
// and name. A target of the http format is a line "METHOD URL", lines of
// headers, "@FILE" for a body, and an empty line. URLs without a host belong to
// base; files are looked up from folder.
func ReadTargets(r io.Reader, base *url.URL, folder string) ([]Target, error) {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 64<<10), maxLine)
	var out []Target
	open := false // the last target of the http format still takes headers
	for n := 1; s.Scan(); n++ {
		line := strings.TrimSpace(s.Text())
		refuse := func(format string, args ...any) error {
			return fmt.Errorf("line %d: %s", n, fmt.Sprintf(format, args...))
		}
		switch {
		case line == "":
			open = false
		case strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "{"):
			var x struct {
				Method, URL, Name string
				Header            map[string][]string
				Body              []byte
				Weight            int
			}
			if err := json.Unmarshal([]byte(line), &x); err != nil {
				return nil, refuse("%v", err)
			}
			if x.Weight < 0 {
				return nil, refuse("weight %d is negative", x.Weight)
			}
			u, err := targetURL(base, x.URL)
			if err != nil {
				return nil, refuse("%v", err)
			}
			out = append(out, Target{Name: x.Name, Method: x.Method, URL: u, Header: x.Header, Body: x.Body, Weight: x.Weight})
			open = false
		case open && strings.HasPrefix(line, "@"):
			b, err := os.ReadFile(filepath.Join(folder, line[1:]))
			if filepath.IsAbs(line[1:]) {
				b, err = os.ReadFile(line[1:])
			}
			if err != nil {
				return nil, refuse("%v", err)
			}
			out[len(out)-1].Body = b
		default:
			if name, value, ok := strings.Cut(line, ":"); open && ok && isToken(name) {
				t := &out[len(out)-1]
				t.Header[name] = append(t.Header[name], strings.TrimSpace(value))
				continue
			}
			method, address, ok := strings.Cut(line, " ")
			if !ok || !isToken(method) || method != strings.ToUpper(method) {
				return nil, refuse("%q is no target; write METHOD URL, as GET /pay", line)
			}
			u, err := targetURL(base, strings.TrimSpace(address))
			if err != nil {
				return nil, refuse("%v", err)
			}
			out = append(out, Target{Method: method, URL: u, Header: map[string][]string{}})
			open = true
		}
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no target")
	}
	return out, nil
}

// targetURL reads the address of a target: with a scheme, or a path on the host
// of base. "shop.example/pay" would be taken for a path by the rules of URLs.
func targetURL(base *url.URL, address string) (*url.URL, error) {
	if !strings.HasPrefix(address, "/") && !strings.Contains(address, "://") {
		return nil, fmt.Errorf("%q is no URL; write http://HOST/PATH, or /PATH on %s", address, base.Host)
	}
	return base.Parse(address)
}
