package load

import (
	"bytes"
	"math"
)

// A Failure is a kind of error of a request.
type Failure uint8

// The kinds of errors, see [Failure.String] for their names in documents.
const (
	none      Failure = iota
	Timeout           // no complete answer within the timeout
	Refused           // no connection: refused, unreachable
	Closed            // the connection ended before the answer began
	Malformed         // the answer is not of the protocol
	Body              // the body ended early or is framed wrongly
	Header            // the head of the answer is too long, broken or ended early
	DNS               // the name of the host has no address
	TLS               // the TLS handshake failed
	Unsent            // due, and never sent
	failures          // how many there are
)

var failureNames = [failures]string{"", "timeout", "refused", "closed", "malformed", "body", "header", "dns", "tls", "unsent"}

func (f Failure) String() string { return failureNames[f] }

// maxHead is the longest head of an answer that is read; servers and browsers
// stop between 8 and 256 KiB.
const maxHead = 64 << 10

// The states of http1, in the order in which an answer passes through them.
const (
	inHead = iota
	inBody
	inChunkSize
	inChunkExtension
	inChunkData
	inChunkEnd // the CRLF behind the data
	inTrailer
	inUntilEOF
)

// http1 reads the answer to one HTTP/1.x request after the other from whatever
// pieces the network hands out (RFC 9112). It keeps bytes only of a head that
// came in pieces. The zero value awaits a head.
type http1 struct {
	state   uint8
	keep    bool // the connection may carry another request
	digits  uint8
	empty   bool // the trailer line is empty so far
	noBody  bool // the request was HEAD
	began   bool // some byte of the answer has come
	status  int16
	left    int64  // bytes of the body or the chunk that are still to come
	partial []byte // head so far, if it came in pieces
}

// headCache remembers the last head of a worker. Answers of a server mostly
// repeat their heads byte by byte within a second; comparing costs a twentieth
// of parsing.
type headCache struct {
	head    []byte
	noBody  bool
	keep    bool
	status  int16
	state   uint8
	left    int64
	instant bool // the body is empty
}

// expect prepares for the answer to the next request.
func (h *http1) expect(head bool) {
	h.state, h.noBody, h.began = inHead, head, false
	h.partial = h.partial[:0]
}

// feed consumes bytes of an answer. done says that the answer is complete; the
// bytes from n on are not part of it then.
func (h *http1) feed(b []byte, cache *headCache) (n int, done bool, failure Failure) {
	if len(b) > 0 {
		h.began = true
	}
	for n < len(b) {
		if h.state == inHead {
			used, complete, failure := h.feedHead(b[n:], cache)
			n += used
			if failure != none || complete {
				return n, complete, failure
			}
			continue
		}
		c := b[n]
		switch h.state {
		case inBody:
			if k := int64(len(b) - n); k < h.left {
				h.left -= k
				return len(b), false, none
			}
			return n + int(h.left), true, none
		case inUntilEOF:
			return len(b), false, none
		case inChunkSize:
			d := hexDigit(c)
			switch {
			case d >= 0:
				if h.digits++; h.digits > 15 {
					return n, false, Body
				}
				h.left = h.left<<4 | int64(d)
			case h.digits == 0:
				return n, false, Body
			case c == '\n':
				h.endChunkSize()
			case c == '\r' || c == ';' || c == ' ' || c == '\t':
				h.state = inChunkExtension
			default:
				return n, false, Body
			}
			n++
		case inChunkExtension:
			if i := bytes.IndexByte(b[n:], '\n'); i >= 0 {
				n += i + 1
				h.endChunkSize()
			} else {
				n = len(b)
			}
		case inChunkData:
			if k := int64(len(b) - n); k < h.left {
				h.left -= k
				return len(b), false, none
			}
			n += int(h.left)
			h.left, h.state = 0, inChunkEnd
		case inChunkEnd:
			n++
			switch {
			case c == '\r' && h.left == 0:
				h.left = 1
			case c == '\n':
				h.startChunk()
			default:
				return n, false, Body
			}
		case inTrailer:
			n++
			switch {
			case c == '\n' && h.empty:
				return n, true, none
			case c == '\n':
				h.empty = true
			case c != '\r':
				h.empty = false
			}
		}
	}
	return n, false, none
}

func (h *http1) startChunk() { h.state, h.left, h.digits = inChunkSize, 0, 0 }

func (h *http1) endChunkSize() {
	if h.left == 0 {
		h.state, h.empty = inTrailer, true
	} else {
		h.state = inChunkData
	}
}

// eof says what it means that the server closed the connection: a complete
// answer if its body lasts until then, else a failure.
func (h *http1) eof() (done bool, failure Failure) {
	switch {
	case h.state == inUntilEOF:
		return true, none
	case h.state != inHead:
		return false, Body
	case h.began:
		return false, Header
	}
	return false, Closed
}

// feedHead consumes bytes of the head; complete says that the answer has no
// body and is therefore complete as well.
func (h *http1) feedHead(b []byte, cache *headCache) (n int, complete bool, failure Failure) {
	whole := b
	if len(h.partial) == 0 {
		if len(cache.head) > 0 && cache.noBody == h.noBody && bytes.HasPrefix(b, cache.head) {
			h.status, h.keep, h.state, h.left = cache.status, cache.keep, cache.state, cache.left
			h.digits = 0
			return len(cache.head), cache.instant, none
		}
	} else {
		h.partial = append(h.partial, b...)
		whole = h.partial
	}
	end := headEnd(whole)
	if end < 0 {
		if len(whole) > maxHead {
			return len(b), false, Header
		}
		if len(whole) >= 5 && !bytes.HasPrefix(whole, httpSlash) {
			return len(b), false, Malformed
		}
		if len(h.partial) == 0 {
			h.partial = append(h.partial, b...)
		}
		return len(b), false, none
	}
	if end > maxHead {
		return len(b), false, Header
	}
	n = len(b) - (len(whole) - end) // of b, what belongs to the head
	complete, failure = h.parseHead(whole[:end])
	if failure == none && h.state != inHead && len(h.partial) == 0 && end <= 1024 {
		cache.head = append(cache.head[:0], whole[:end]...)
		cache.noBody, cache.keep, cache.status, cache.state, cache.left, cache.instant = h.noBody, h.keep, h.status, h.state, h.left, complete
	}
	h.partial = h.partial[:0]
	return n, complete, failure
}

// headEnd returns the length of the head that b begins with, -1 if it is not
// complete. Lines may end with a lone LF (RFC 9112, 2.2), some of them or all.
func headEnd(b []byte) int {
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return -1
		}
		at += i + 1
		rest := b[at:]
		if len(rest) > 0 && rest[0] == '\n' {
			return at + 1
		}
		if len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n' {
			return at + 2
		}
	}
}

var httpSlash = []byte("HTTP/")

// parseHead reads a complete head and sets what follows it.
func (h *http1) parseHead(b []byte) (complete bool, failure Failure) {
	line, rest := cutLine(b)
	// HTTP/1.1 200 OK; the reason, and the space before it, may be missing
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return false, Malformed
	}
	status := int16(0)
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return false, Malformed
		}
		status = status*10 + int16(c-'0')
	}
	if status < 100 {
		return false, Malformed
	}
	h.status = status
	h.keep = line[7] >= '1'
	length, chunked, coded := int64(-1), false, false
	for len(rest) > 0 {
		line, rest = cutLine(rest)
		if len(line) == 0 {
			break
		}
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 || line[0] == ' ' || line[0] == '\t' {
			return false, Header
		}
		name, value := line[:colon], line[colon+1:]
		switch {
		case len(name) == 14 && bytes.EqualFold(name, []byte("content-length")):
			v, ok := parseLength(bytes.TrimSpace(value))
			if !ok || length >= 0 && length != v {
				return false, Header
			}
			length = v
		case len(name) == 17 && bytes.EqualFold(name, []byte("transfer-encoding")):
			coded = true
			chunked = bytes.EqualFold(lastToken(value), []byte("chunked"))
		case len(name) == 10 && bytes.EqualFold(name, []byte("connection")):
			for token := range bytes.SplitSeq(value, []byte(",")) {
				switch token = bytes.TrimSpace(token); {
				case bytes.EqualFold(token, []byte("close")):
					h.keep = false
				case bytes.EqualFold(token, []byte("keep-alive")) && line[7] >= '0':
					h.keep = true
				}
			}
		}
	}
	switch { // RFC 9112, 6.3
	case status < 200 && status != 101:
		h.state = inHead // an interim answer; the final one follows
		return false, none
	case status == 101:
		h.keep, h.state, h.left = false, inBody, 0
		return true, none
	case h.noBody || status == 204 || status == 304:
		h.state, h.left = inBody, 0
		return true, none
	case chunked:
		h.startChunk()
	case coded:
		h.keep, h.state = false, inUntilEOF
	case length >= 0:
		h.state, h.left = inBody, length
		return length == 0, none
	default:
		h.keep, h.state = false, inUntilEOF
	}
	return false, none
}

func cutLine(b []byte) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return b, nil
	}
	line, rest = b[:i], b[i+1:]
	if i > 0 && line[i-1] == '\r' {
		line = line[:i-1]
	}
	return line, rest
}

func lastToken(b []byte) []byte {
	if i := bytes.LastIndexByte(b, ','); i >= 0 {
		b = b[i+1:]
	}
	return bytes.TrimSpace(b)
}

func parseLength(b []byte) (int64, bool) {
	if len(b) == 0 {
		return 0, false
	}
	v := int64(0)
	for _, c := range b {
		if c < '0' || c > '9' || v > (math.MaxInt64-9)/10 {
			return 0, false
		}
		v = v*10 + int64(c-'0')
	}
	return v, true
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
