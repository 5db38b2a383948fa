package load

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestReplayKeepsOrderTimesAndPaths(t *testing.T) {
	var mu sync.Mutex
	var got []string
	var at []time.Time
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		b, _ := io.ReadAll(q.Body)
		mu.Lock()
		defer mu.Unlock()
		got = append(got, q.Method+" "+q.RequestURI+" "+string(b))
		at = append(at, time.Now())
	}))
	defer s.Close()
	log := `{"time":"2026-01-01T00:00:00Z","method":"get","path":"/a?q=1"}
{"time":"2026-01-01T00:00:00.4Z","method":"POST","url":"http://other.test/b","body":"aGk="}
{"time":"2026-01-01T00:00:00.8Z","path":"/c"}
`
	rec := &Recording{
		Source: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(log)), nil },
		Base:   Target{URL: mustURL(t, s.URL+"/")}, Speed: 2,
	}
	begin := time.Now()
	r := run(t, Options{Recording: rec, Connections: 2})
	mu.Lock()
	defer mu.Unlock()
	want := "GET /a?q=1 |POST /b hi|GET /c "
	if strings.Join(got, "|") != want || r.Answers() != 3 {
		t.Errorf("the server saw %q, want %q", strings.Join(got, "|"), want)
	}
	if len(at) == 3 {
		if d := at[2].Sub(begin); d < 400*time.Millisecond {
			t.Errorf("the log's 800 ms took %v at twice the speed, want at least 400 ms", d)
		}
	}
}

// Access logs tell seconds: what they hold of one is spread over it, and with
// Loop the portion ends the replay.
func TestReplaySpreadsWholeSeconds(t *testing.T) {
	line := func(second string) string {
		return `192.0.2.1 - - [10/Oct/2026:13:55:` + second + ` +0000] "GET /a HTTP/1.1" 200 1` + "\n"
	}
	log := strings.Repeat(line("36"), 4) + strings.Repeat(line("38"), 2)
	replayed := func(r *Recording) (at []time.Duration) {
		r.Source = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(log)), nil }
		r.Base = Target{URL: mustURL(t, "http://127.0.0.1/")}
		out := make(chan recordedItem, 100)
		r.read(t.Context(), false, false, out)
		for item := range out {
			at = append(at, time.Duration(item.at))
		}
		return at
	}
	const ms = time.Millisecond
	if got, want := replayed(&Recording{}), []time.Duration{0, 250 * ms, 500 * ms, 750 * ms, 2000 * ms, 2500 * ms}; !slices.Equal(got, want) {
		t.Errorf("requests are due at %v, want %v", got, want)
	}
	got := replayed(&Recording{Speed: 2, Loop: true, Portion: 2 * time.Second})
	if want := []time.Duration{0, 125 * ms, 250 * ms, 375 * ms, 1000 * ms, 1250 * ms, 1251 * ms, 1376 * ms, 1501 * ms, 1626 * ms}; !slices.Equal(got, want) {
		t.Errorf("requests of two loops are due at %v, want %v", got, want)
	}
}

// The names and instants that servers and tools write.
func TestLogLinesOfManyKinds(t *testing.T) {
	at := time.Date(2026, 10, 10, 13, 55, 36, 0, time.UTC)
	for _, c := range []struct{ name, line string }{
		{"nginx combined", `192.0.2.1 - - [10/Oct/2026:15:55:36 +0200] "PUT /a?x=1 HTTP/1.1" 200 2326 "-" "curl/8"`},
		{"Apache with virtual host", `shop.test:443 2001:db8::1 - ann [10/Oct/2026:13:55:36 +0000] "PUT /a?x=1 HTTP/2.0" 200 - "-" "a \"b\" c"`},
		{"nginx JSON", `{"time_local":"10/Oct/2026:13:55:36 +0000","request_method":"PUT","uri":"/a","request_uri":"/a?x=1","status":"200"}`},
		{"nginx JSON, msec", `{"msec":"1791640536.000","request":"PUT /a?x=1 HTTP/1.1"}`},
		{"Caddy", `{"level":"info","ts":1791640536.0,"request":{"method":"PUT","uri":"/a?x=1","host":"shop.test","headers":{"A":["b"]}},"status":200}`},
		{"Traefik", `{"RequestMethod":"PUT","RequestPath":"/a?x=1","StartUTC":"2026-10-10T13:55:36Z","time":"2026-10-10T13:55:36Z"}`},
		{"Envoy", `{"start_time":"2026-10-10T13:55:36.000Z","method":"PUT","path":"/a?x=1","response_code":200}`},
		{"vegeta", `{"method":"PUT","url":"http://shop.test/a?x=1","header":{"A":["b"]},"timestamp":"2026-10-10T13:55:36Z"}`},
		{"milliseconds", `{"timestamp":1791640536000,"method":"put","path":"/a?x=1"}`},
	} {
		x, err := parseLogLine(c.line)
		if err != nil || x.Method != "PUT" || x.Path != "/a?x=1" || !x.At.Equal(at) {
			t.Errorf("%s: %s %s at %v, %v", c.name, x.Method, x.Path, x.At, err)
		}
	}
}

// A file of another kind is refused before anything leaves; a log that turns
// bad later ends the replay there.
func TestABadLogIsRefused(t *testing.T) {
	good := `{"time":"2026-01-01T00:00:00Z","path":"/"}` + "\n"
	for _, c := range []struct {
		name, log string
		maxBad    float64
		fails     bool
		lines     int64
	}{
		{"one of ten", strings.Repeat(good, 9) + "x\n", 0, true, 10},
		{"one of ten, allowed", strings.Repeat(good, 9) + "x\n", 0.1, false, 10},
		{"none allowed", strings.Repeat(good, 500) + "x\n", -1, true, 501},
		{"one of 500", "x\n" + strings.Repeat(good, 499), 0, false, 500},
		{"the beginning", strings.Repeat("x\n", 5000), 0, true, 1000},
		{"later", strings.Repeat(good, 1500) + strings.Repeat("x\n", 5000), 0, true, 1516},
	} {
		r := &Recording{MaxBad: c.maxBad, Base: Target{URL: mustURL(t, "http://127.0.0.1/")}}
		r.Source = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(c.log)), nil }
		items, err := r.open(t.Context(), false, false)
		if err == nil {
			for range items {
			}
			_, err = r.Read()
		}
		if in, _ := r.Read(); errors.Is(err, ErrBadLog) != c.fails || in.Lines != c.lines {
			t.Errorf("%s: %v after %d lines, want an error %v after %d", c.name, err, in.Lines, c.fails, c.lines)
		}
	}
}

// A document that was cut off must not pass for a short one, and it is not the
// service's fault.
func TestACutOffHARDocumentIsRefused(t *testing.T) {
	const whole = `{"log":{"version":"1.2","entries":[
{"startedDateTime":"2026-01-01T00:00:00Z","request":{"method":"GET","url":"/a"}},
{"startedDateTime":"2026-01-01T00:00:01Z","request":{"method":"GET","url":"/b"}}]}}`
	end := strings.Index(whole, "]}}") + 1 // what follows the entries is not read
	for n := len(`{"log":{"version":`); n <= len(whole); n++ {
		requests := 0
		err := readLog(strings.NewReader(whole[:n]), func(_ string, _ logLine, bad error) error {
			requests++
			return bad
		})
		if n >= end && (err != nil || requests != 2) || n < end && (err == nil || errors.Is(err, io.EOF)) {
			t.Errorf("%q: %d requests, error %v", whole[:n], requests, err)
		}
	}
	for _, other := range []string{`{"log":{"version":"1.2","entries":{}}}`, `{"log":{"version":"1.2"}}`} {
		if err := readLog(strings.NewReader(other), func(string, logLine, error) error { return nil }); err == nil {
			t.Errorf("%s is taken for a document without requests", other)
		}
	}
}

func FuzzHAR(f *testing.F) {
	for _, s := range []string{
		`{"log":{"version":"1.2","entries":[{"startedDateTime":"2026-01-01T00:00:00Z","request":{"method":"POST","url":"http://a.test/b","postData":{"mimeType":"text/plain","text":"hi"}}}]}}`,
		`{"log":{"version":1,"entries":[{}]}}`, `"entries"`, `{"entries":[`, `[]`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_ = readHAR(strings.NewReader(s), func(_ string, x logLine, bad error) error {
			if bad == nil && (x.Method == "" || x.Path == "" || x.At.IsZero()) {
				t.Errorf("a request that cannot be sent: %+v", x)
			}
			return nil
		})
	})
}

func FuzzLogLine(f *testing.F) {
	for _, s := range []string{
		`192.0.2.1 - - [10/Oct/2026:13:55:36 +0000] "GET /a HTTP/1.1" 200 1`, `{"time":1e9,"path":"/x"}`,
		`{"ts":"2026-01-01T00:00:00Z","request":"GET / HTTP/1.1"}`, `{`, `{"path":1,"time":"x"}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if x, err := parseLogLine(s); err == nil && x.Path == "" {
			t.Errorf("a request without a path: %+v", x)
		}
	})
}
