package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// engines runs a test on the fast engine and on the portable one.
func engines(t *testing.T, f func(t *testing.T, portable bool)) {
	t.Run("fast", func(t *testing.T) { f(t, false) })
	t.Run("portable", func(t *testing.T) { f(t, true) })
}

func run(t *testing.T, o Options) *Result {
	t.Helper()
	g, err := Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	r := g.Wait()
	var status, failed int64
	d := r.Report(nil)
	for _, n := range d.Status {
		status += n
	}
	for _, n := range d.Errors {
		failed += n
	}
	if status+failed != d.Requests {
		t.Errorf("%d answers and %d errors, but %d requests were due", status, failed, d.Requests)
	}
	if n := r.Response().TotalCount(); n != r.Answers() {
		t.Errorf("%d response times of %d answers", n, r.Answers())
	}
	h, err := d.Response.Histogram()
	if err != nil || !h.Equals(r.Response()) {
		t.Errorf("the exported histogram is another one (%v)", err)
	}
	return r
}

// rawServer answers every connection with f.
func rawServer(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); close(done) })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				closed := make(chan struct{})
				go func() {
					select {
					case <-done:
						c.Close()
					case <-closed:
					}
				}()
				f(c)
				c.Close()
				close(closed)
			}()
		}
	}()
	return "http://" + l.Addr().String() + "/"
}

// answering reads requests and writes text to each.
func answering(text string) func(net.Conn) {
	return func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			q, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, q.Body)
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	}
}

func TestEveryDueRequestIsAnsweredOnce(t *testing.T) {
	engines(t, func(t *testing.T, portable bool) {
		var seen atomic.Int64
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			seen.Add(1)
			_, _ = io.WriteString(w, "ok")
		}))
		defer s.Close()
		o := Options{Targets: []Target{{URL: mustURL(t, s.URL+"/")}}, Stages: Constant(2000, 500*time.Millisecond), Connections: 8, Portable: portable, Workers: 2}
		r := run(t, o)
		if r.Due() != 1000 || r.Answers() != 1000 || seen.Load() != 1000 {
			t.Errorf("due %d, answers %d, the server saw %d; want 1000", r.Due(), r.Answers(), seen.Load())
		}
		if r.Response().ValueAtPercentile(50) < r.Service().ValueAtPercentile(50) {
			t.Errorf("response times are shorter than service times")
		}
	})
}

func TestACountEndsTheRun(t *testing.T) {
	engines(t, func(t *testing.T, portable bool) {
		var seen atomic.Int64
		s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen.Add(1) }))
		defer s.Close()
		for _, o := range []Options{
			{Requests: 103, Connections: 4, Workers: 2},
			{Requests: 103, Connections: 4, Stages: Constant(2000, time.Hour), Workers: 2},
			{Requests: 103, Connections: 4, Stages: Constant(2000, time.Hour), Poisson: true},
			{Requests: 103, Connections: 4, Stages: Constant(1000, time.Hour), Warmup: 50 * time.Millisecond},
		} {
			seen.Store(0)
			o.Targets, o.Portable = []Target{{URL: mustURL(t, s.URL+"/")}}, portable
			r := run(t, o)
			want := int64(103)
			if o.Warmup > 0 {
				want += 50
			}
			if r.Due() != 103 || seen.Load() != want {
				t.Errorf("%+v: due %d, the server saw %d, want 103 and %d", o, r.Due(), seen.Load(), want)
			}
		}
	})
}

// While the server stalls, requests go on falling due; those that wait for a
// connection count from their due instants. Half a second of silence at 200/s
// with 2 connections must show as about 100 slow requests, not as 2.
func TestAStallIsSeenByEveryRequestThatFellDue(t *testing.T) {
	engines(t, func(t *testing.T, portable bool) {
		const rate, stall = 200, 500 * time.Millisecond
		var begin atomic.Int64 // the first request
		epoch := time.Now()
		s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			now := time.Since(epoch)
			begin.CompareAndSwap(0, int64(now))
			if at := now - time.Duration(begin.Load()); at > 300*time.Millisecond && at < 300*time.Millisecond+stall {
				<-time.After(300*time.Millisecond + stall - at)
			}
		}))
		defer s.Close()
		r := run(t, Options{Targets: []Target{{URL: mustURL(t, s.URL+"/")}}, Stages: Constant(rate, 1500*time.Millisecond), Connections: 2, Portable: portable})
		slow := int64(0)
		for _, b := range r.Response().Distribution() {
			if b.From > int64(50*time.Millisecond) {
				slow += b.Count
			}
		}
		if slow < 70 { // on a busy machine there are more
			t.Errorf("%d slow requests, want at least 90 or so", slow)
		}
		if r.Due() != 300 || r.Answers() != 300 {
			t.Errorf("due %d, answers %d, want 300", r.Due(), r.Answers())
		}
	})
}

func TestFailuresAreSortedByKind(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	silent := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	engines(t, func(t *testing.T, portable bool) {
		for _, c := range []struct {
			name   string
			server func(net.Conn)
			want   Failure
		}{
			{"silent", silent, Timeout},
			{"slow body", answering(ok + "Content-Length: 5\r\n\r\nab"), Timeout},
			{"closes at once", func(c net.Conn) { _, _ = bufio.NewReader(c).ReadString('\n') }, Closed},
			{"garbage", answering("no http at all\r\n\r\n"), Malformed},
			{"endless head", answering(ok + "X: " + strings.Repeat("y", 2*maxHead)), Header},
			{"half a body", func(c net.Conn) {
				_, _ = bufio.NewReader(c).ReadString('\n')
				_, _ = io.WriteString(c, ok+"Content-Length: 5\r\n\r\nab")
				_ = c.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, c)
			}, Body},
		} {
			t.Run(c.name, func(t *testing.T) {
				timeout := 150 * time.Millisecond
				if c.want != Timeout {
					timeout = 10 * time.Second // a busy machine may answer late, and that is not the failure meant
				}
				r := run(t, Options{
					Targets: []Target{{URL: mustURL(t, rawServer(t, c.server))}}, Stages: Constant(100, 100*time.Millisecond),
					Connections: 2, Timeout: timeout, Portable: portable,
				})
				d := r.Report(nil)
				if got := d.Errors[c.want.String()] + d.Errors[Unsent.String()]; got != 10 || d.Errors[c.want.String()] == 0 {
					t.Errorf("errors %v, status %v; want 10 of kind %s", d.Errors, d.Status, c.want)
				}
			})
		}
	})
}

func TestARefusedPortFailsEveryRequest(t *testing.T) {
	engines(t, func(t *testing.T, portable bool) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		for _, stages := range [][]Stage{Constant(200, 100*time.Millisecond), nil} {
			r := run(t, Options{Targets: []Target{{URL: mustURL(t, "http://"+l.Addr().String())}}, Stages: stages, Duration: 100 * time.Millisecond, Connections: 3, Timeout: time.Second, Portable: portable})
			if d := r.Report(nil); r.Sent() != 0 || d.Errors["refused"] != d.Requests || d.Requests == 0 || d.Verdict != VerdictNothingSent || d.Reason == "" {
				t.Errorf("sent %d, errors %v, due %d, verdict %s: %s", r.Sent(), d.Errors, d.Requests, d.Verdict, d.Reason)
			}
		}
	})
}

// Servers end connections between requests, announced or not; no request may
// suffer from it.
func TestLostKeepAliveCostsNoRequest(t *testing.T) {
	engines(t, func(t *testing.T, portable bool) {
		for name, text := range map[string]string{
			"announced":   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
			"unannounced": "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
			"until end":   "HTTP/1.0 200 OK\r\n\r\nbody",
		} {
			once := rawServer(t, func(c net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.WriteString(c, text)
				}
			})
			r := run(t, Options{Targets: []Target{{URL: mustURL(t, once)}}, Stages: Constant(200, 250*time.Millisecond), Connections: 4, Portable: portable})
			if r.Answers() != 50 {
				t.Errorf("%s: %d answers of 50, errors %v", name, r.Answers(), r.Report(nil).Errors)
			}
		}
	})
}

func TestLargeBodiesGoBothWays(t *testing.T) {
	engines(t, func(t *testing.T, portable bool) {
		for _, p := range []Protocol{HTTP1, HTTP2} {
			var received atomic.Int64
			s := h2cServer(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				n, _ := io.Copy(io.Discard, q.Body)
				received.Add(n)
				_, _ = w.Write(make([]byte, 3<<20))
			}))
			r := run(t, Options{Targets: []Target{{URL: mustURL(t, s), Method: "POST", Body: make([]byte, 1<<20)}}, Requests: 6, Connections: 2, Portable: portable, Protocol: p})
			if r.Answers() != 6 || received.Load() != 6<<20 || r.Bytes() < 18<<20 {
				t.Errorf("protocol %d: %d answers, sent %d, received %d, errors %v", p, r.Answers(), received.Load(), r.Bytes(), r.Report(nil).Errors)
			}
		}
	})
}

func h2cServer(t *testing.T, h http.Handler) string {
	t.Helper()
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = &p
	s.Start()
	t.Cleanup(s.Close)
	return s.URL + "/"
}

func TestHTTP2AnswersByStatus(t *testing.T) {
	engines(t, func(t *testing.T, portable bool) {
		var n atomic.Int64
		u := h2cServer(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if q.ProtoMajor != 2 || q.Header.Get("X-Tag") != "1" {
				t.Errorf("the server got %s, headers %v", q.Proto, q.Header)
			}
			if n.Add(1)%2 == 0 {
				w.WriteHeader(503)
			}
		}))
		r := run(t, Options{Targets: []Target{{URL: mustURL(t, u), Header: map[string][]string{"X-Tag": {"1"}}}}, Requests: 500, Connections: 2, Streams: 10, Portable: portable, Protocol: HTTP2})
		if d := r.Report(nil); d.Status["200"] != 250 || d.Status["503"] != 250 || math.Abs(d.ErrorRatio-0.5) > 1e-9 {
			t.Errorf("status %v, errors %v, ratio %v", d.Status, d.Errors, d.ErrorRatio)
		}
	})
}

func TestTLSOfBothProtocols(t *testing.T) {
	for _, p := range []Protocol{HTTP1, HTTP2} {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		s.EnableHTTP2 = true
		s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on purpose
		s.StartTLS()
		defer s.Close()
		o := Options{Targets: []Target{{URL: mustURL(t, s.URL+"/")}}, Stages: Constant(200, 200*time.Millisecond), Connections: 2, Protocol: p, TLS: s.Client().Transport.(*http.Transport).TLSClientConfig}
		if r := run(t, o); r.Answers() != 40 {
			t.Errorf("protocol %d: %d answers, errors %v, %v", p, r.Answers(), r.Report(nil).Errors, r.LastError)
		}
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12} // does not know the certificate
		if r := run(t, o); r.Report(nil).Errors["tls"] != 40 {
			t.Errorf("protocol %d: errors %v, want 40 of kind tls", p, r.Report(nil).Errors)
		}
	}
}

func TestAnInterruptedRunEndsSoonAndCountsAll(t *testing.T) {
	engines(t, func(t *testing.T, portable bool) {
		ctx, cancel := context.WithCancel(context.Background())
		first := make(chan struct{}, 1)
		g, err := Start(ctx, Options{
			Targets: []Target{{URL: mustURL(t, rawServer(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }))}},
			Stages:  Constant(100, time.Hour), Connections: 2, Timeout: time.Minute, Portable: portable, Every: 50 * time.Millisecond,
			OnInterval: func(Interval) {
				select {
				case first <- struct{}{}:
				default:
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		<-first
		cancel()
		begin := time.Now()
		r := g.Wait()
		if d := time.Since(begin); d > 10*time.Second {
			t.Errorf("the run ended after %v", d)
		}
		if r.Errors() != r.Due() || r.Due() == 0 {
			t.Errorf("due %d, errors %v", r.Due(), r.Report(nil).Errors)
		}
	})
}

// One connection to a server that takes 10 ms cannot carry 1000 requests a
// second: what requests wait for is the pool.
func TestAPoolTooSmallIsNeverValid(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-time.After(10 * time.Millisecond) }))
	defer s.Close()
	r := run(t, Options{Targets: []Target{{URL: mustURL(t, s.URL+"/")}}, Stages: Constant(1000, 500*time.Millisecond), Connections: 1, Timeout: time.Second})
	if d := r.Report(nil); d.Verdict != VerdictClientLimited || !strings.Contains(d.Reason, "pool") && !strings.Contains(d.Reason, "late") {
		t.Errorf("verdict %s: %s", d.Verdict, d.Reason)
	}
}

func TestIntervalsAddUp(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	total := newHistogram()
	r := run(t, Options{
		Targets: []Target{{URL: mustURL(t, s.URL+"/")}}, Stages: Constant(1000, 300*time.Millisecond), Every: 50 * time.Millisecond, Workers: 2, Connections: 8,
		OnInterval: func(i Interval) { total.Merge(i.Response) },
	})
	if !total.Equals(r.Response()) {
		t.Errorf("intervals hold %d response times, the result %d", total.TotalCount(), r.Response().TotalCount())
	}
}

func TestHistogramsKeepThreeDigits(t *testing.T) {
	h := newHistogram()
	for v := int64(1_000_000); v < highestNanos; v = v * 11 / 10 {
		h.Reset()
		record(h, v)
		if got := h.ValueAtPercentile(50); math.Abs(float64(got-v)) > 0.001*float64(v) {
			t.Errorf("%d is read as %d", v, got)
		}
	}
	b, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := hdrhistogram.Decode(b); err != nil || !back.Equals(h) {
		t.Errorf("decoded it differs: %v", err)
	}
}

// The goroutines of connections end with the run, also when there are more
// connections than events that the engine holds at once.
func TestNetEngineLeavesNoGoroutines(t *testing.T) {
	const connections = 400
	url := rawServer(t, answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	r := run(t, Options{
		Targets: []Target{{URL: mustURL(t, url)}}, Stages: Constant(1000, 100*time.Millisecond),
		Connections: connections, Workers: 1, Portable: true,
	})
	if r.Answers() != 100 {
		t.Errorf("%d answers, want 100: %v", r.Answers(), r.Report(nil).Errors)
	}
	left := func() int {
		stacks := make([]byte, 16<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		return bytes.Count(stacks, []byte("created by github.com/wxops/wxops/stress/load.(*netDriver)")) +
			bytes.Count(stacks, []byte("created by github.com/wxops/wxops/stress/load.(*netLink)"))
	}
	deadline := time.After(5 * time.Second)
	for left() > 0 {
		select {
		case <-deadline:
			t.Fatalf("%d goroutines of %d connections are left", left(), connections)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Requests of the warm-up are counted nowhere, also those that a connection
// left to be sent again when the run ended.
func TestWarmUpRequestsAreNeverUnsent(t *testing.T) {
	w := &worker{st: newBlock(1), retries: []call{{warm: true}, {}, {warm: true}}}
	if w.countUnsent(); w.st.failed[Unsent] != 1 || len(w.retries) != 0 {
		t.Errorf("%d requests are unsent, 1 was due; %d are left", w.st.failed[Unsent], len(w.retries))
	}
}
