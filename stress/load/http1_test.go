package load

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// read feeds text in pieces cut by cut and returns what http1 makes of it.
func read(text string, head bool, cut func(left int) int, cache *headCache) (status int, rest string, failure Failure, complete bool) {
	var h http1
	h.expect(head)
	b := []byte(text)
	for len(b) > 0 {
		k := min(max(cut(len(b)), 1), len(b))
		n, done, failure := h.feed(b[:k], cache)
		if failure != none {
			return 0, "", failure, false
		}
		if done {
			return int(h.status), string(b[n:]), none, true
		}
		b = b[k:]
	}
	done, failure := h.eof()
	return int(h.status), "", failure, done
}

func whole(n int) int { return n }

func TestHTTP1ReadsAnswers(t *testing.T) {
	for _, c := range []struct {
		name, text string
		head       bool
		status     int
		rest       string
	}{
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokmore", false, 200, "more"},
		{"no reason", "HTTP/1.1 204\r\n\r\nx", false, 204, "x"},
		{"not modified has no body", "HTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n", false, 304, ""},
		{"HEAD has no body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", true, 200, ""},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\nz", false, 200, "z"},
		{"chunks win over length", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\ntransfer-encoding: gzip, Chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", false, 200, ""},
		{"interim answers", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", false, 201, ""},
		{"until the end", "HTTP/1.0 200 OK\r\n\r\nanything", false, 200, ""},
		{"coded until the end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nanything", false, 200, ""},
		{"redirect", "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", false, 302, ""},
		{"lone line feeds", "HTTP/1.1 200 OK\nContent-Length: 1\n\na", false, 200, ""},
		{"equal lengths twice", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", false, 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, cut := range map[string]func(int) int{"whole": whole, "bytes": func(int) int { return 1 }, "sevens": func(int) int { return 7 }} {
				cache := &headCache{}
				for range 2 { // the second time the head may come from the cache
					status, rest, failure, complete := read(c.text, c.head, cut, cache)
					if failure != none || !complete || status != c.status || (name == "whole" && rest != c.rest) {
						t.Errorf("%s: status %d, rest %q, failure %q, complete %v; want %d, %q", name, status, rest, failure, complete, c.status, c.rest)
					}
				}
			}
		})
	}
}

func TestHTTP1SortsBrokenAnswers(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, c := range []struct {
		name, text string
		want       Failure
	}{
		{"nothing", "", Closed},
		{"garbage", "SSH-2.0-OpenSSH\r\n\r\n", Malformed},
		{"garbage without an end", "\x00\x01\x02\x03\x04\x05", Malformed},
		{"another version", "HTTP/2.0 200 OK\r\n\r\n", Malformed},
		{"status no number", "HTTP/1.1 abc OK\r\n\r\n", Malformed},
		{"status 99", "HTTP/1.1 099 OK\r\n\r\n", Malformed},
		{"half a head", ok + "Content-Le", Header},
		{"head too long", ok + "X: " + strings.Repeat("x", maxHead), Header},
		{"line without colon", ok + "broken\r\n\r\n", Header},
		{"two lengths", ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\na", Header},
		{"negative length", ok + "Content-Length: -1\r\n\r\n", Header},
		{"endless length", ok + "Content-Length: 99999999999999999999\r\n\r\n", Header},
		{"half a body", ok + "Content-Length: 10\r\n\r\nabc", Body},
		{"half a chunk", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nab", Body},
		{"chunk size no number", ok + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", Body},
		{"chunk size too long", ok + "Transfer-Encoding: chunked\r\n\r\n1234567890123456\r\n", Body},
		{"chunk without line end", ok + "Transfer-Encoding: chunked\r\n\r\n1\r\naXX", Body},
	} {
		for name, cut := range map[string]func(int) int{"whole": whole, "bytes": func(int) int { return 1 }} {
			if _, _, failure, complete := read(c.text, false, cut, &headCache{}); failure != c.want || complete {
				t.Errorf("%s (%s): failure %q, complete %v; want %q", c.name, name, failure, complete, c.want)
			}
		}
	}
}

func TestHTTP1KeepsConnections(t *testing.T) {
	for text, want := range map[string]bool{
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":                               true,
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n":          false,
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nconnection: upgrade, CLOSE\r\n\r\n": false,
		"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n":                               false,
		"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n":     true,
		"HTTP/1.1 200 OK\r\n\r\n":                                                    false,
	} {
		var h http1
		h.expect(false)
		if _, _, failure := h.feed([]byte(text), &headCache{}); failure != none || h.keep != want {
			t.Errorf("%q: keep %v, failure %q; want %v", text, h.keep, failure, want)
		}
	}
}

// FuzzHTTP1 holds that pieces do not matter, and that what is complete for
// http1 is for net/http, an independent reader, the same answer.
func FuzzHTTP1(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
		"HTTP/1.0 404 Not Found\r\n\r\nbody", "HTTP/1.1 304\r\n\r\n", "HTTP/1.1 200 OK\nA: b\n\n", "\r\n\r\n",
	} {
		f.Add([]byte(s), uint64(1), false)
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64, head bool) {
		random := rand.New(rand.NewPCG(seed, 1))
		cache := &headCache{}
		status, rest, failure, complete := read(string(b), head, whole, cache)
		again, _, failureAgain, completeAgain := read(string(b), head, func(int) int { return 1 + random.IntN(9) }, &headCache{})
		if status != again && complete || complete != completeAgain || (failure == none) != (failureAgain == none) {
			t.Fatalf("whole: %d %q %v; in pieces: %d %q %v", status, failure, complete, again, failureAgain, completeAgain)
		}
		if cached, restAgain, _, _ := read(string(b), head, whole, cache); complete && (cached != status || restAgain != rest) {
			t.Fatalf("with the head in the cache: %d %q, without: %d %q", cached, restAgain, status, rest)
		}
		if !complete || status < 200 {
			return
		}
		method := "GET"
		if head {
			method = "HEAD"
		}
		r := bufio.NewReader(bytes.NewReader(b))
		for {
			answer, err := http.ReadResponse(r, &http.Request{Method: method})
			if err != nil {
				return // net/http is stricter in places; it need not accept all of this
			}
			if answer.StatusCode < 200 && answer.StatusCode != 101 {
				continue
			}
			if _, err := io.Copy(io.Discard, answer.Body); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				return
			}
			if answer.StatusCode != status {
				t.Fatalf("status %d, net/http reads %d", status, answer.StatusCode)
			}
			return
		}
	})
}

func TestTargetsAreWrittenAsHTTP1(t *testing.T) {
	u := mustURL(t, "http://example.test:81/a%20b?q=1")
	w := Target{URL: u, Method: "POST", Header: map[string][]string{"X-A": {"1", "2"}}, Body: []byte("hello")}.http1()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(w.bytes)))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join([]string{r.Method, r.RequestURI, r.Host, strings.Join(r.Header["X-A"], "+"), string(body), strconv.FormatInt(r.ContentLength, 10)}, " ")
	if want := "POST /a%20b?q=1 example.test:81 1+2 hello 5"; got != want || w.safe {
		t.Errorf("got %q safe %v, want %q", got, w.safe, want)
	}
}
