package load

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// sink is a driver whose connections open when the test says so and whose
// bytes go nowhere.
type sink struct{}

func (sink) dial(*conn) error           { return nil }
func (sink) send(*conn, []byte) Failure { return none }
func (sink) hangup(*conn)               {}
func (sink) poll(int64, int64)          {}
func (sink) close()                     {}

// fuzzRequests is how many requests a closed loop of four streams sends to the
// fuzzer's server.
const fuzzRequests = 8

// readHTTP2 gives the bytes of a server, cut into pieces, to a connection of a
// closed loop, and returns its worker and the connection.
func readHTTP2(t *testing.T, b []byte, grpc bool, cut func(left int) int) (*worker, *conn) {
	t.Helper()
	w := &worker{
		cfg: &config{
			epoch: time.Now(), order: []int32{0}, workers: 1, timeout: int64(time.Hour), streams: 4, http2: true, grpc: grpc,
			targets: []*wire{Target{URL: mustURL(t, "http://example.test/"), Body: []byte("question")}.wire(true, grpc)},
		},
		io: sink{}, left: fuzzRequests, size: 1, st: newBlock(1), stop: &atomic.Int64{}, grace: &atomic.Int64{}, started: true,
	}
	w.stop.Store(math.MaxInt64 / 2)
	c := &conn{}
	c.req.conn = c
	w.conns = []*conn{c}
	w.dial(c, false)
	w.onConnect(c, nil)
	for len(b) > 0 && c.state == connOpen {
		k := min(max(cut(len(b)), 1), len(b))
		w.onData(c, b[:k], 0)
		w.flush()
		b = b[k:]
		if h := c.h2; h != nil && (len(h.partial) > maxFrame+frameHead || len(h.block) > maxHead+maxFrame || len(h.known) > maxKnown) {
			t.Fatalf("memory: %d bytes of a frame, %d of a header block, %d known blocks", len(h.partial), len(h.block), len(h.known))
		}
		if counted := w.st.answers() + w.st.errors() + int64(w.flying+len(w.retries)); counted != w.st.due {
			t.Fatalf("%d requests were due, %d are accounted for", w.st.due, counted)
		}
	}
	return w, c
}

// statuses is what x/net/http2, an independent reader, takes for the complete
// answers in b; ok is false if it refuses b.
func statuses(b []byte) (counts map[int]int64, ok bool) {
	counts = map[int]int64{}
	f := xhttp2.NewFramer(io.Discard, bytes.NewReader(b))
	f.SetMaxReadFrameSize(maxFrame)
	f.ReadMetaHeaders = hpack.NewDecoder(0, nil)
	status, over := map[uint32]int{}, map[uint32]bool{}
	for {
		frame, err := f.ReadFrame()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return counts, true
		} else if err != nil {
			return nil, false
		}
		id, end := frame.Header().StreamID, false
		switch frame := frame.(type) {
		case *xhttp2.MetaHeadersFrame:
			if frame.Truncated {
				return nil, false
			}
			if n, err := strconv.Atoi(frame.PseudoValue("status")); err == nil && n >= 200 && status[id] == 0 {
				status[id] = n
			}
			end = frame.StreamEnded()
		case *xhttp2.DataFrame:
			end = frame.StreamEnded()
		}
		if end && !over[id] {
			over[id] = true
			counts[status[id]]++
		}
	}
}

// serverFrames writes frames as a server does.
func serverFrames(write func(f *xhttp2.Framer, block func(fields ...string) []byte)) []byte {
	var out, fields bytes.Buffer
	encoder := hpack.NewEncoder(&fields)
	encoder.SetMaxDynamicTableSizeLimit(0)
	write(xhttp2.NewFramer(&out, nil), func(pairs ...string) []byte {
		fields.Reset()
		for i := 0; i < len(pairs); i += 2 {
			_ = encoder.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
		}
		return bytes.Clone(fields.Bytes())
	})
	return out.Bytes()
}

// FuzzHTTP2 holds that no bytes of a server make the reader panic, keep more
// than its bounds or lose count of a request; that pieces do not matter; and
// that x/net/http2 reads the same statuses out of what is accepted.
func FuzzHTTP2(f *testing.F) {
	headers := func(id uint32, block []byte, end, whole bool) xhttp2.HeadersFrameParam {
		return xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndStream: end, EndHeaders: whole}
	}
	for _, write := range []func(f *xhttp2.Framer, block func(...string) []byte){
		func(f *xhttp2.Framer, block func(...string) []byte) {
			_ = f.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingMaxConcurrentStreams, Val: 2}, xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 3})
			_ = f.WriteHeaders(headers(1, block(":status", "200", "content-type", "text/plain"), false, true))
			_ = f.WriteData(1, true, []byte("ok"))
			_ = f.WriteWindowUpdate(3, 100)
			_ = f.WriteHeaders(headers(3, block(":status", "503"), true, true))
		},
		func(f *xhttp2.Framer, block func(...string) []byte) {
			_ = f.WriteSettings()
			_ = f.WriteSettingsAck()
			_ = f.WriteHeaders(headers(5, block(":status", "103"), false, true))
			b := block(":status", "204", "x", "long enough to be cut")
			_ = f.WriteHeaders(headers(5, b[:7], true, false))
			_ = f.WriteContinuation(5, true, b[7:])
			_ = f.WritePing(false, [8]byte{1})
			_ = f.WriteRSTStream(1, xhttp2.ErrCodeRefusedStream)
			_ = f.WriteGoAway(3, xhttp2.ErrCodeNo, nil)
		},
		func(f *xhttp2.Framer, block func(...string) []byte) {
			_ = f.WriteSettings()
			_ = f.WriteHeaders(headers(1, block(":status", "200"), false, true))
			_ = f.WriteDataPadded(1, false, []byte("\x00\x00\x00\x00\x00"), []byte{0, 0})
			_ = f.WriteHeaders(headers(1, block("grpc-status", "5", "grpc-message", "none"), true, true))
			_ = f.WriteRawFrame(0xee, 1, 7, []byte("unknown"))
		},
	} {
		for _, grpc := range []bool{false, true} {
			f.Add(serverFrames(write), uint64(1), grpc)
		}
	}
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), uint64(1), false)
	f.Fuzz(func(t *testing.T, b []byte, seed uint64, grpc bool) {
		random := rand.New(rand.NewPCG(seed, 1))
		w, c := readHTTP2(t, b, grpc, whole)
		pieces, _ := readHTTP2(t, b, grpc, func(int) int { return 1 + random.IntN(20) })
		if w.st.status != pieces.st.status || w.st.failed != pieces.st.failed || len(w.retries) != len(pieces.retries) {
			t.Fatalf("whole: %d answers, failures %v; in pieces: %d, %v", w.st.answers(), w.st.failed, pieces.st.answers(), pieces.st.failed)
		}
		accepted := c.state == connOpen && w.st.errors() == 0 && len(w.retries) == 0
		if want, ok := statuses(b); ok && accepted && !grpc {
			got := map[int]int64{}
			for code, n := range w.st.status {
				if n > 0 {
					got[code] = n
				}
			}
			if !maps.Equal(got, want) {
				t.Fatalf("statuses %v, x/net/http2 reads %v", got, want)
			}
		}
		if w.lose(c, Closed); w.flying != 0 {
			t.Fatalf("%d requests in flight on a closed connection", w.flying)
		}
	})
}

// What the first seeds of the fuzz test mean, so that its bytes are known to
// reach the answers.
func TestHTTP2CountsAnswersResetsAndGoAway(t *testing.T) {
	answer := serverFrames(func(f *xhttp2.Framer, block func(...string) []byte) {
		_ = f.WriteSettings()
		_ = f.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: block(":status", "200"), EndHeaders: true})
		_ = f.WriteData(1, true, []byte("ok"))
		_ = f.WriteRSTStream(3, xhttp2.ErrCodeInternal)
		_ = f.WriteGoAway(5, xhttp2.ErrCodeNo, nil)
	})
	w, c := readHTTP2(t, answer, false, whole)
	// Four streams were open; 1 was answered and 3 was reset, for each of which
	// another began (9 and 11), and of 5, 7, 9, 11 the server keeps 5 alone.
	if w.st.status[200] != 1 || w.st.failed[Closed] != 1 || len(w.retries) != 3 || w.flying != 1 || w.st.due != 6 {
		t.Errorf("answers %d, failures %v, to be sent again %d, in flight %d, due %d", w.st.answers(), w.st.failed, len(w.retries), w.flying, w.st.due)
	}
	if c.state != connOpen {
		t.Error("the connection was closed with an answer to come")
	}
}

// taken is a driver that keeps what was sent.
type taken struct {
	sink
	bytes []byte
}

func (d *taken) send(_ *conn, b []byte) Failure {
	d.bytes = append(d.bytes, b...)
	return none
}

// A request of a log that waits while very many others come and go is sent
// again as itself when the server has not begun with it.
func TestHTTP2RetriesTheRequestOfTheLogThatWasLost(t *testing.T) {
	const others = 40_000
	log := make(chan recordedItem, 1+others)
	for i := range 1 + others {
		path := "/other"
		if i == 0 {
			path = "/first"
		}
		log <- recordedItem{wire: Target{URL: mustURL(t, "http://example.test"+path)}.wire(true, false)}
	}
	close(log)
	g := &Generator{options: Options{
		Targets: []Target{{URL: mustURL(t, "http://127.0.0.1/")}}, Recording: &Recording{}, Protocol: HTTP2,
		Workers: 1, Connections: 1, MaxConnections: 1, Streams: 2, Timeout: time.Hour, Every: time.Hour,
	}}
	g.options.Recording.Source = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("")), nil }
	if err := g.configure(context.Background()); err != nil {
		t.Fatal(err)
	}
	out := &taken{}
	w, c := g.workers[0], &conn{}
	w.io, w.src, w.conns, w.started = out, &recorded{in: log, cfg: g.cfg}, []*conn{c}, true
	w.stop.Store(math.MaxInt64 / 2)
	c.req.conn = c
	w.dial(c, false)
	w.onConnect(c, nil)
	w.dispatch(w.clock()) // /first on stream 1, another on stream 3
	for i := range uint32(others) {
		w.onData(c, serverFrames(func(f *xhttp2.Framer, block func(fields ...string) []byte) {
			_ = f.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 3 + 2*i, BlockFragment: block(":status", "200"), EndStream: true, EndHeaders: true})
		}), 0)
		w.dispatch(w.clock())
		w.flush()
	}
	if n := w.st.answers(); n != others || w.flying != 1 {
		t.Fatalf("%d answers and %d in flight, want %d and 1", n, w.flying, others)
	}
	w.onData(c, serverFrames(func(f *xhttp2.Framer, _ func(fields ...string) []byte) {
		_ = f.WriteGoAway(0, xhttp2.ErrCodeNo, nil)
	}), 0)
	out.bytes = nil
	if c.state == connClosed {
		w.dial(c, false)
	}
	w.onConnect(c, nil)
	w.dispatch(w.clock())
	w.flush()
	if !bytes.Contains(out.bytes, []byte("/first")) {
		t.Errorf("sent again: %q, want /first", out.bytes)
	}
}
