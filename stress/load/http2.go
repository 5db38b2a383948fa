package load

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http2/hpack"
)

// The frames, flags and settings of HTTP/2 that a client meets (RFC 9113).
const (
	frameData         = 0
	frameHeaders      = 1
	frameReset        = 3
	frameSettings     = 4
	framePush         = 5
	framePing         = 6
	frameGoAway       = 7
	frameWindow       = 8
	frameContinuation = 9

	flagEndStream  = 1
	flagAck        = 1
	flagEndHeaders = 4
	flagPadded     = 8
	flagPriority   = 0x20

	settingTableSize  = 1
	settingPush       = 2
	settingStreams    = 3
	settingWindow     = 4
	settingFrameSize  = 5
	frameHead         = 9
	maxFrame          = 16384 // what we accept; the default
	defaultWindow     = 65535
	cancelled         = 8 // error code CANCEL
	ownWindow         = math.MaxInt32
	windowUpdateEvery = 1 << 30
)

// http2 is a client connection of HTTP/2. It announces a header table of size
// zero, so that header blocks do not depend on one another: equal blocks mean
// equal headers and are decoded once. It reads of an answer the status only.
type http2 struct {
	limit  int // streams at once: ours, and what the peer allows
	peer   int
	next   uint32
	active map[uint32]*request
	unused []*request

	partial []byte // a frame that came in pieces
	out     []byte // frames to write
	dirty   bool   // on the worker's list of connections to flush
	away    bool   // no further streams: GOAWAY, or the numbers are used up

	window        int64 // bytes of bodies that may be sent on the connection
	initialWindow int64 // and on a new stream
	received      int64 // bytes of bodies since the last WINDOW_UPDATE
	stalled       []*request

	block       []byte // header block that continues
	blockStream uint32
	blockEnd    bool
	decoder     *hpack.Decoder
	fields      headFields
	known       map[string]headFields
}

// headFields are what counts of a header block; -1 where it is absent.
type headFields struct{ status, grpc int }

// body is what is left to send of a request on HTTP/2.
type body struct {
	rest     []byte
	window   int64
	received int64
	status   int
	grpc     int
}

func newHTTP2(streams int) *http2 {
	h := &http2{
		limit: streams, peer: math.MaxInt32, next: 1, active: make(map[uint32]*request, streams),
		window: defaultWindow, initialWindow: defaultWindow, known: map[string]headFields{},
	}
	h.decoder = hpack.NewDecoder(0, func(f hpack.HeaderField) {
		switch f.Name {
		case ":status":
			h.fields.status, _ = strconv.Atoi(f.Value)
		case "grpc-status":
			if n, err := strconv.Atoi(f.Value); err == nil {
				h.fields.grpc = n
			}
		}
	})
	slots := make([]request, streams)
	for i := range slots {
		h.unused = append(h.unused, &slots[i])
	}
	return h
}

// preface opens the connection (RFC 9113, 3.4), with windows so large that
// answers never wait for us.
func (h *http2) preface() []byte {
	b := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	b = appendFrame(b, 24, frameSettings, 0, 0)
	for _, s := range [][2]uint32{{settingTableSize, 0}, {settingPush, 0}, {settingStreams, 0}, {settingWindow, ownWindow}} {
		b = binary.BigEndian.AppendUint16(b, uint16(s[0]))
		b = binary.BigEndian.AppendUint32(b, s[1])
	}
	b = appendFrame(b, 4, frameWindow, 0, 0)
	return binary.BigEndian.AppendUint32(b, ownWindow-defaultWindow)
}

func appendFrame(b []byte, length int, kind, flags byte, stream uint32) []byte {
	b = append(b, byte(length>>16), byte(length>>8), byte(length), kind, flags)
	return binary.BigEndian.AppendUint32(b, stream)
}

// room says whether another stream may be opened.
func (h *http2) room() bool {
	return !h.away && len(h.unused) > 0 && len(h.active) < h.peer
}

// slot returns the request to use for the next stream.
func (h *http2) slot(c *conn) *request {
	r := h.unused[len(h.unused)-1]
	h.unused = h.unused[:len(h.unused)-1]
	r.conn = c
	return r
}

// begin opens a stream for r. The frames go out with the next flush.
func (h *http2) begin(w *worker, c *conn, r *request, t *wire) {
	r.stream = h.next
	h.next += 2
	if h.next > math.MaxInt32 {
		h.away = true
	}
	h.active[r.stream] = r
	r.body = body{rest: t.body, window: h.initialWindow, grpc: -1}
	flags := byte(0)
	if len(t.body) == 0 {
		flags = flagEndStream
	}
	kind := byte(frameHeaders)
	for rest := t.bytes; ; kind, flags = frameContinuation, 0 {
		k := min(len(rest), maxFrame)
		if k == len(rest) {
			flags |= flagEndHeaders
		}
		h.out = append(appendFrame(h.out, k, kind, flags, r.stream), rest[:k]...)
		if rest = rest[k:]; len(rest) == 0 {
			break
		}
	}
	if len(t.body) > 0 && !h.pour(r) {
		h.stalled = append(h.stalled, r)
	}
	w.dirty(c)
}

// pour sends as much of the body as the windows allow and says whether that
// was all.
func (h *http2) pour(r *request) bool {
	for len(r.body.rest) > 0 {
		k := min(int64(len(r.body.rest)), maxFrame, h.window, r.body.window)
		if k <= 0 {
			return false
		}
		flag := byte(0)
		if k == int64(len(r.body.rest)) {
			flag = flagEndStream
		}
		h.out = appendFrame(h.out, int(k), frameData, flag, r.stream)
		h.out = append(h.out, r.body.rest[:k]...)
		r.body.rest = r.body.rest[k:]
		h.window -= k
		r.body.window -= k
	}
	return true
}

// resume sends bodies that waited for a window.
func (h *http2) resume() {
	h.stalled = slices.DeleteFunc(h.stalled, func(r *request) bool { return !r.flying || h.pour(r) })
}

// cancel gives up on r, which has been counted.
func (h *http2) cancel(w *worker, c *conn, r *request) {
	h.reset(w, c, r)
	h.forget(r)
	if h.room() {
		w.list(c)
	}
}

// reset tells the server that nothing more comes of r and nothing is wanted.
func (h *http2) reset(w *worker, c *conn, r *request) {
	h.out = appendFrame(h.out, 4, frameReset, 0, r.stream)
	h.out = binary.BigEndian.AppendUint32(h.out, cancelled)
	w.dirty(c)
}

func (h *http2) forget(r *request) {
	delete(h.active, r.stream)
	if len(r.body.rest) > 0 {
		h.stalled = slices.DeleteFunc(h.stalled, func(s *request) bool { return s == r })
		r.body.rest = nil
	}
	h.unused = append(h.unused, r)
}

// lost fails what was in flight when the connection ended.
func (h *http2) lost(w *worker, kind Failure) {
	for _, r := range h.active {
		w.failed(r, kind)
	}
	clear(h.active)
}

// feed consumes what came on the connection at instant at.
func (h *http2) feed(w *worker, c *conn, b []byte, at int64) Failure {
	if len(h.partial) > 0 {
		h.partial = append(h.partial, b...)
		b = h.partial
	}
	for len(b) >= frameHead {
		length := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
		if length > maxFrame {
			return Malformed
		}
		if len(b) < frameHead+length {
			break
		}
		f := frame{kind: b[3], flags: b[4], stream: binary.BigEndian.Uint32(b[5:]) & math.MaxInt32, payload: b[frameHead : frameHead+length]}
		if failure := h.frame(w, c, f, at); failure != none {
			return failure
		}
		if c.h2 != h {
			return none // the connection has been replaced meanwhile
		}
		b = b[frameHead+length:]
	}
	h.partial = append(h.partial[:0], b...)
	if h.away && len(h.active) == 0 {
		return Closed
	}
	return none
}

// A frame is one frame of HTTP/2 without its length.
type frame struct {
	kind, flags byte
	stream      uint32
	payload     []byte
}

// frame consumes one frame that came at instant at.
func (h *http2) frame(w *worker, c *conn, f frame, at int64) Failure {
	if h.blockStream != 0 && (f.kind != frameContinuation || f.stream != h.blockStream) {
		return Malformed
	}
	switch f.kind {
	case frameData:
		return h.data(w, c, f, at)
	case frameHeaders:
		return h.beginBlock(w, c, f, at)
	case frameContinuation:
		return h.continueBlock(w, c, f, at)
	case frameReset:
		return h.resetByPeer(w, c, f)
	case frameSettings:
		return h.settings(w, c, f)
	case framePing:
		return h.ping(w, c, f)
	case frameGoAway:
		return h.goAway(w, f)
	case frameWindow:
		return h.widen(w, c, f)
	case framePush:
		return Malformed // it was forbidden
	}
	return none // unknown kinds are ignored (RFC 9113, 5.5)
}

// data counts bytes of an answer's body, which nobody reads, and gives the peer
// new windows in time.
func (h *http2) data(w *worker, c *conn, f frame, at int64) Failure {
	n := int64(len(f.payload))
	if h.received += n; h.received >= windowUpdateEvery {
		h.update(w, c, 0, h.received)
		h.received = 0
	}
	r := h.active[f.stream]
	if r == nil {
		return h.stray(f.stream)
	}
	if r.body.status == 0 {
		return Malformed
	}
	if f.flags&flagEndStream != 0 {
		return h.complete(w, c, r, at)
	}
	if r.body.received += n; r.body.received >= windowUpdateEvery {
		h.update(w, c, f.stream, r.body.received)
		r.body.received = 0
	}
	return none
}

// beginBlock takes a header block, or the beginning of one that continues.
func (h *http2) beginBlock(w *worker, c *conn, f frame, at int64) Failure {
	p := f.payload
	if f.flags&flagPadded != 0 {
		if len(p) == 0 || int(p[0]) >= len(p) {
			return Malformed
		}
		p = p[1 : len(p)-int(p[0])]
	}
	if f.flags&flagPriority != 0 {
		if len(p) < 5 {
			return Malformed
		}
		p = p[5:]
	}
	end := f.flags&flagEndStream != 0
	if f.flags&flagEndHeaders != 0 {
		return h.headers(w, c, f.stream, p, end, at)
	}
	if f.stream == 0 {
		return Malformed
	}
	h.block, h.blockStream, h.blockEnd = append(h.block[:0], p...), f.stream, end
	return none
}

func (h *http2) continueBlock(w *worker, c *conn, f frame, at int64) Failure {
	if h.blockStream == 0 {
		return Malformed
	}
	if h.block = append(h.block, f.payload...); len(h.block) > maxHead {
		return Header
	}
	if f.flags&flagEndHeaders == 0 {
		return none
	}
	h.blockStream = 0
	return h.headers(w, c, f.stream, h.block, h.blockEnd, at)
}

// resetByPeer fails the request that the server gave up.
func (h *http2) resetByPeer(w *worker, c *conn, f frame) Failure {
	if len(f.payload) != 4 || f.stream == 0 {
		return Malformed
	}
	if r := h.active[f.stream]; r != nil {
		w.failed(r, Closed)
		h.forget(r)
		w.release(c, w.clock())
	}
	return none
}

func (h *http2) ping(w *worker, c *conn, f frame) Failure {
	if len(f.payload) != 8 {
		return Malformed
	}
	if f.flags&flagAck == 0 {
		h.out = append(appendFrame(h.out, 8, framePing, flagAck, 0), f.payload...)
		w.dirty(c)
	}
	return none
}

// goAway opens no further streams. Requests that the server has not begun with
// may be sent again (RFC 9113, 6.8).
func (h *http2) goAway(w *worker, f frame) Failure {
	if len(f.payload) < 8 {
		return Malformed
	}
	h.away = true
	last := binary.BigEndian.Uint32(f.payload) & math.MaxInt32
	for id, r := range h.active {
		if id > last {
			h.forget(r)
			w.again(r)
		}
	}
	return none
}

// widen takes a WINDOW_UPDATE: bodies that waited for it go on.
func (h *http2) widen(w *worker, c *conn, f frame) Failure {
	if len(f.payload) != 4 {
		return Malformed
	}
	n := int64(binary.BigEndian.Uint32(f.payload) & math.MaxInt32)
	if f.stream == 0 {
		h.window += n
	} else if r := h.active[f.stream]; r != nil {
		r.body.window += n
	}
	if len(h.stalled) > 0 {
		h.resume()
		w.dirty(c)
	}
	return none
}

// stray judges a frame of a stream that is not active: of one of ours that has
// been given up it may still come, others there are none (RFC 9113, 5.1).
func (h *http2) stray(stream uint32) Failure {
	if stream%2 == 0 || stream >= h.next {
		return Malformed
	}
	return none
}

func (h *http2) update(w *worker, c *conn, stream uint32, n int64) {
	h.out = appendFrame(h.out, 4, frameWindow, 0, stream)
	h.out = binary.BigEndian.AppendUint32(h.out, uint32(n))
	w.dirty(c)
}

func (h *http2) settings(w *worker, c *conn, f frame) Failure {
	if f.flags&flagAck != 0 {
		return none
	}
	p := f.payload
	if len(p)%6 != 0 {
		return Malformed
	}
	for ; len(p) > 0; p = p[6:] {
		v := binary.BigEndian.Uint32(p[2:])
		switch binary.BigEndian.Uint16(p) {
		case settingStreams:
			h.peer = int(min(v, math.MaxInt32))
		case settingWindow:
			if v > math.MaxInt32 {
				return Malformed
			}
			for _, r := range h.active {
				r.body.window += int64(v) - h.initialWindow
			}
			h.initialWindow = int64(v)
			h.resume()
		}
	}
	h.out = appendFrame(h.out, 0, frameSettings, flagAck, 0)
	w.dirty(c)
	w.release(c, w.clock()) // more streams may be allowed than before
	return none
}

// maxKnown bounds the memory for header blocks seen before; a server whose
// every answer has other headers only costs their decoding.
const maxKnown = 64

func (h *http2) headers(w *worker, c *conn, stream uint32, block []byte, end bool, at int64) Failure {
	r := h.active[stream]
	if r == nil {
		return h.stray(stream)
	}
	f, ok := h.known[string(block)]
	if !ok {
		h.fields = headFields{-1, -1}
		if _, err := h.decoder.Write(block); err != nil || h.decoder.Close() != nil {
			return Header
		}
		f = h.fields
		if len(h.known) >= maxKnown {
			clear(h.known)
		}
		h.known[string(block)] = f
	}
	switch {
	case f.status >= 100 && f.status < 200:
		if end {
			return Malformed
		}
		return none // an interim answer
	case r.body.status == 0:
		if f.status < 200 || f.status > 999 {
			return Malformed
		}
		r.body.status = f.status
	case !end:
		return Malformed // trailers end the stream
	}
	if f.grpc >= 0 {
		r.body.grpc = f.grpc
	}
	if end {
		return h.complete(w, c, r, at)
	}
	return none
}

// complete counts r, whose answer has ended.
func (h *http2) complete(w *worker, c *conn, r *request, at int64) Failure {
	now := w.arrival(r, at)
	status := r.body.status
	if w.cfg.grpc {
		status = grpcStatus(r.body)
	}
	if len(r.body.rest) > 0 { // answered before the whole request was sent
		h.reset(w, c, r)
	}
	w.answered(r, status, now)
	h.forget(r)
	w.release(c, now)
	return none
}

// grpcStatus is the code of an answer; without one it follows from the HTTP
// status ("HTTP to gRPC Status Code Mapping" of the gRPC project).
func grpcStatus(b body) int {
	if b.grpc >= 0 && b.grpc < len(grpcCodes) {
		return b.grpc
	}
	switch b.status {
	case 400:
		return 13 // INTERNAL
	case 401:
		return 16 // UNAUTHENTICATED
	case 403:
		return 7 // PERMISSION_DENIED
	case 404:
		return 12 // UNIMPLEMENTED
	case 429, 502, 503, 504:
		return 14 // UNAVAILABLE
	}
	return 2 // UNKNOWN
}

// http2 returns the request of HTTP/2: a header block that uses no dynamic
// table, and the body.
func (t Target) http2(grpc bool) *wire {
	scheme := t.URL.Scheme
	method := t.method()
	if grpc {
		scheme, method = strings.Replace(scheme, "grpc", "http", 1), "POST"
	}
	b := appendField(nil, ":method", method)
	b = appendField(b, ":scheme", scheme)
	authority := t.URL.Host
	if host, ok := t.get("Host"); ok {
		authority = host
	}
	b = appendField(b, ":authority", authority)
	b = appendField(b, ":path", t.URL.RequestURI())
	if _, ok := t.get("User-Agent"); !ok {
		b = appendField(b, "user-agent", "wxops")
	}
	if grpc {
		b = appendField(b, "content-type", "application/grpc")
		b = appendField(b, "te", "trailers")
	} else if len(t.Body) > 0 {
		b = appendField(b, "content-length", strconv.Itoa(len(t.Body)))
	}
	for name, values := range t.Header {
		switch name = strings.ToLower(name); name {
		case "host", "connection", "keep-alive", "transfer-encoding", "upgrade", "content-length":
			continue // of HTTP/1.1 only (RFC 9113, 8.2.2)
		}
		for _, v := range values {
			b = appendField(b, name, v)
		}
	}
	return &wire{bytes: b, body: t.Body, head: t.method() == "HEAD", safe: t.safe()}
}

// appendField writes a literal field without indexing (RFC 7541, 6.2.2).
func appendField(b []byte, name, value string) []byte {
	b = append(b, 0)
	b = appendString(b, name)
	return appendString(b, value)
}

func appendString(b []byte, s string) []byte {
	if n := len(s); n < 127 {
		b = append(b, byte(n))
	} else {
		b = append(b, 127)
		for n -= 127; n >= 128; n >>= 7 {
			b = append(b, byte(n)|128)
		}
		b = append(b, byte(n))
	}
	return append(b, s...)
}
