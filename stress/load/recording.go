package load

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Recording yields requests with instants of their own, as a log has them.
// The log is read while it is replayed; it may be larger than the memory.
type Recording struct {
	Source  func() (io.ReadCloser, error) // opened again for each loop
	Base    Target                        // URL, headers and what a line does not say
	Speed   float64                       // 2 is twice as fast; 1 if 0
	Loop    bool                          // begin again at the end
	Filter  *regexp.Regexp                // of "METHOD PATH"; nil: all
	MaxBad  float64                       // share of bad lines that is accepted; 0.01 if 0, none if negative
	Portion time.Duration                 // requests fall due for so long, also with Loop; 0: all of the log

	judged           chan struct{} // closed when enough of the log is known to begin; nil: nobody waits
	judge            sync.Once
	lines, bad, kept atomic.Int64
	sample           atomic.Pointer[string] // the first bad line
	failed           atomic.Pointer[error]
}

// A LogInput says what was read of a log.
type LogInput struct {
	Lines    int64  `json:"lines" doc:"lines read"`
	Bad      int64  `json:"bad" doc:"of these, those that are no request"`
	Requests int64  `json:"requests" doc:"requests that passed the filter"`
	FirstBad string `json:"first_bad,omitempty" doc:"the first bad line"`
}

// Read says what has been read so far, and the error that ended the reading.
func (r *Recording) Read() (LogInput, error) {
	in := LogInput{Lines: r.lines.Load(), Bad: r.bad.Load(), Requests: r.kept.Load()}
	if s := r.sample.Load(); s != nil {
		in.FirstBad = *s
	}
	if e := r.failed.Load(); e != nil {
		return in, *e
	}
	return in, nil
}

// ErrBadLog says that too many lines of a log are no requests.
var ErrBadLog = errors.New("too many bad lines")

// judgeLines is how many lines of a log are read before the first request
// leaves, so that a file of another kind is refused before it does anything;
// judgeTime is how long a pipe is waited for.
const (
	judgeLines = 1000
	judgeTime  = time.Second
)

// open starts reading and returns what is read, when the beginning of the log
// has been judged. It returns the error that refuses the log.
func (r *Recording) open(ctx context.Context, h2, grpc bool) (<-chan recordedItem, error) {
	r.judged = make(chan struct{})
	items := make(chan recordedItem, readAhead)
	go r.read(ctx, h2, grpc, items)
	select {
	case <-r.judged:
	case <-time.After(judgeTime):
	case <-ctx.Done():
	}
	if _, err := r.Read(); err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	return items, nil
}

// known lets the replay begin.
func (r *Recording) known() {
	if r.judged != nil {
		r.judge.Do(func() { close(r.judged) })
	}
}

// A logLine is one request of a log.
type logLine struct {
	At           time.Time
	Method, Path string
	Header       map[string][]string
	Body         []byte
}

// readAhead is how many requests are ready before they are due.
const readAhead = 1 << 12

type recordedItem struct {
	at   int64 // nanoseconds since the first request of the log
	wire *wire
}

// recorded is the source of a replay. One worker uses it.
type recorded struct {
	in     <-chan recordedItem
	cfg    *config
	ahead  recordedItem
	have   bool
	closed bool
}

func (s *recorded) due() int64 {
	if !s.have && !s.closed {
		select {
		case item, ok := <-s.in:
			s.ahead, s.have, s.closed = item, ok, !ok
		default:
		}
	}
	if !s.have {
		return never
	}
	return s.cfg.start + s.ahead.at
}

func (s *recorded) advance() { s.have = false }

func (s *recorded) spacing() int64 { return 0 }

func (s *recorded) over() bool { return s.closed && !s.have }

// read parses the log into out until it ends or ctx does; with Loop it begins
// again.
func (r *Recording) read(ctx context.Context, h2, grpc bool, out chan<- recordedItem) {
	defer close(out)
	defer r.known()
	p := player{ctx: ctx, out: out, speed: cmp.Or(r.Speed, 1), portion: int64(r.Portion)}
	for {
		kept := r.kept.Load()
		err := r.readOnce(&p, h2, grpc)
		if errors.Is(err, errPortion) || ctx.Err() != nil {
			return
		}
		if err != nil {
			r.failed.Store(&err)
			return
		}
		if !r.Loop || r.kept.Load() == kept {
			return
		}
		p.offset = p.last + int64(time.Millisecond)
	}
}

// readOnce reads the log from its beginning to its end.
func (r *Recording) readOnce(p *player, h2, grpc bool) error {
	f, err := r.Source()
	if err != nil {
		return err
	}
	defer f.Close()
	var first time.Time
	second := wholeSecond{send: p.send}
	err = readLog(f, func(line string, x logLine, bad error) error {
		if n := r.lines.Add(1); bad != nil {
			return r.refuse(line)
		} else if n == judgeLines {
			if err := r.tooBad(); err != nil {
				return err
			}
			r.known()
		}
		if r.Filter != nil && !r.Filter.MatchString(x.Method+" "+x.Path) {
			return nil
		}
		if first.IsZero() {
			first = x.At
		}
		t, ok := r.target(x)
		if !ok {
			return r.refuse(line)
		}
		r.kept.Add(1)
		return second.add(recordedItem{at: int64(x.At.Sub(first)), wire: t.wire(h2, grpc)}, x.At.Nanosecond() == 0)
	})
	if err == nil {
		err = r.tooBad()
	}
	if err != nil {
		return err
	}
	r.known() // what is left is sent below, while the replay runs
	return second.flush()
}

// target returns the request of a line, ok if it goes to the host under test
// and can be sent.
func (r *Recording) target(x logLine) (t Target, ok bool) {
	u, err := r.Base.URL.Parse(x.Path)
	if err != nil || u.Host != r.Base.URL.Host {
		return t, false
	}
	t = Target{Method: x.Method, URL: u, Header: map[string][]string{}, Body: x.Body}
	maps.Copy(t.Header, x.Header)
	maps.Copy(t.Header, r.Base.Header)
	return t, t.check() == nil
}

// A player gives the requests of a log their instants in the replay.
type player struct {
	ctx     context.Context
	out     chan<- recordedItem
	speed   float64
	portion int64 // nanoseconds of the replay; 0: all of the log
	offset  int64 // where this reading of the log begins
	last    int64
}

// send takes an item whose instant is that of the log and waits until there is
// room for it.
func (p *player) send(item recordedItem) error {
	// Logs are written at the end of requests, so their order may slip.
	item.at = max(p.last, p.offset+int64(float64(item.at)/p.speed))
	if p.portion > 0 && item.at >= p.portion {
		return errPortion
	}
	p.last = item.at
	select {
	case p.out <- item:
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

// errPortion ends the reading when the portion has been replayed.
var errPortion = errors.New("enough of the log")

// A wholeSecond gathers the requests of a log that tells no more than seconds,
// as access logs do, and spreads those of one second evenly over it: sent all
// at once they would be a burst that never was.
type wholeSecond struct {
	send  func(recordedItem) error
	items []recordedItem
	finer bool // the log tells fractions
}

// manyInASecond bounds the memory: of more, the first are spread on their own.
const manyInASecond = 1 << 17

func (w *wholeSecond) add(item recordedItem, whole bool) error {
	w.finer = w.finer || !whole
	if len(w.items) > 0 && (w.finer || item.at > w.items[0].at || len(w.items) >= manyInASecond) {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if w.finer {
		return w.send(item)
	}
	w.items = append(w.items, item)
	return nil
}

func (w *wholeSecond) flush() error {
	n := int64(len(w.items))
	for i, item := range w.items {
		if !w.finer {
			item.at = w.items[0].at + int64(i)*int64(time.Second)/n
		}
		if err := w.send(item); err != nil {
			return err
		}
	}
	w.items = w.items[:0]
	return nil
}

// refuse counts a bad line; beyond the share that is accepted it is an error.
func (r *Recording) refuse(line string) error {
	if len(line) > 120 {
		line = line[:120]
	}
	r.sample.CompareAndSwap(nil, &line)
	r.bad.Add(1)
	if r.lines.Load() < judgeLines {
		return nil // a share of so few says nothing yet
	}
	return r.tooBad()
}

// tooBad is an error if more of the lines so far than accepted are bad.
func (r *Recording) tooBad() error {
	bad, lines, limit := r.bad.Load(), r.lines.Load(), r.MaxBad
	if limit == 0 {
		limit = 0.01
	}
	if bad > 0 && float64(bad) > limit*float64(lines) {
		return fmt.Errorf("%w: %d of %d, accepted are %g %%; the first is %q", ErrBadLog, bad, lines, 100*max(0, limit), *r.sample.Load())
	}
	return nil
}

// maxLine is the longest line of a log; a vegeta target with a body of some
// megabytes fits.
const maxLine = 16 << 20

// readLog calls f for every line of an access log: combined or common format of
// nginx and Apache, JSON lines with named fields (also vegeta targets with a
// timestamp), or a HAR document. An error of f ends the reading.
func readLog(r io.Reader, f func(line string, x logLine, bad error) error) error {
	b := bufio.NewReaderSize(r, 64<<10)
	if head, _ := b.Peek(4096); strings.Contains(string(head), `"log"`) && strings.Contains(string(head), `"version"`) && !strings.Contains(strings.TrimSpace(string(head)), "}\n{") {
		return readHAR(b, f)
	}
	s := bufio.NewScanner(b)
	s.Buffer(make([]byte, 64<<10), maxLine)
	for s.Scan() {
		line := strings.TrimSpace(s.Text())
		if line == "" {
			continue
		}
		x, err := parseLogLine(line)
		if err := f(line, x, err); err != nil {
			return err
		}
	}
	return s.Err()
}

var (
	combined   = regexp.MustCompile(`^\S+ \S+ .*?\[([^\]]+)\] "([A-Z]+) (\S+)(?: HTTP/[0-9.]+)?" [0-9]{3}\b`)
	errLogLine = errors.New("no request")
)

// parseLogLine reads one line of an access log or one JSON object.
func parseLogLine(line string) (logLine, error) {
	if strings.HasPrefix(line, "{") {
		return parseJSONLine(line)
	}
	m := combined.FindStringSubmatch(line)
	if m == nil {
		return logLine{}, errLogLine
	}
	at, err := time.Parse("02/Jan/2006:15:04:05 -0700", m[1])
	if err != nil {
		return logLine{}, err
	}
	return logLine{At: at, Method: m[2], Path: m[3]}, nil
}

// parseJSONLine knows the names that common servers and tools give the fields:
// nginx, Apache, Caddy, Traefik, Envoy, vegeta. Case and underscores do not
// count. Caddy puts the fields of the request into an object of their own.
func parseJSONLine(line string) (x logLine, err error) {
	m := map[string]json.RawMessage{}
	if err := addFields(m, []byte(line)); err != nil {
		return x, err
	}
	if raw := m["request"]; len(raw) > 0 && raw[0] == '{' {
		if err := addFields(m, raw); err != nil {
			return x, err
		}
	}
	text := func(names ...string) string {
		for _, n := range names {
			var s string
			if raw, ok := m[n]; ok && json.Unmarshal(raw, &s) == nil {
				return s
			} else if ok {
				return string(raw)
			}
		}
		return ""
	}
	x.Method = strings.ToUpper(text("method", "requestmethod", "httpmethod", "verb"))
	// The path with its query comes first: nginx's $uri has none.
	x.Path = text("requesturi", "url", "path", "uri", "requestpath")
	if request := strings.Fields(text("request", "requestline")); len(request) >= 2 && x.Path == "" {
		x.Method, x.Path = request[0], request[1]
	}
	if x.Method == "" {
		x.Method = "GET"
	}
	if x.Path == "" {
		return x, errLogLine
	}
	x.Path = pathOnly(x.Path)
	if x.At, err = parseInstant(text("time", "timestamp", "ts", "@timestamp", "timeiso8601", "timelocal", "msec", "start", "starttime", "startutc")); err != nil {
		return x, err
	}
	for _, name := range []string{"header", "headers"} {
		if raw, ok := m[name]; ok {
			_ = json.Unmarshal(raw, &x.Header) // another shape is no header
		}
	}
	if raw, ok := m["body"]; ok {
		// vegeta writes bodies in base64, which is how []byte is read
		if json.Unmarshal(raw, &x.Body) != nil {
			x.Body = []byte(text("body"))
		}
	}
	return x, nil
}

// addFields puts the fields of a JSON object into m under plain names.
func addFields(m map[string]json.RawMessage, object []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(object, &fields); err != nil {
		return err
	}
	for name, raw := range fields {
		m[strings.ToLower(strings.ReplaceAll(name, "_", ""))] = raw
	}
	return nil
}

// pathOnly strips scheme and host: requests go to the URL under test.
func pathOnly(s string) string {
	if u, err := url.Parse(s); err == nil && u.Host != "" {
		return u.RequestURI()
	}
	return s
}

func parseInstant(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "02/Jan/2006:15:04:05 -0700", "2006-01-02T15:04:05.999999999-0700", "2006-01-02 15:04:05.999999999"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	v, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil || !(v >= 0 && v < 1e20):
		return time.Time{}, fmt.Errorf("%q is no instant", s)
	case v > 1e17: // nanoseconds
		return time.Unix(0, int64(v)), nil
	case v > 1e14: // microseconds
		return time.UnixMicro(int64(v)), nil
	case v > 1e11: // milliseconds
		return time.UnixMilli(int64(v)), nil
	}
	return time.Unix(0, int64(v*1e9)), nil
}

// readHAR reads the entries of a HAR document one after the other. A document
// that was cut off is an error, whatever it ends in.
func readHAR(r io.Reader, f func(string, logLine, error) error) error {
	d := json.NewDecoder(r)
	next := func() (json.Token, error) {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return t, err
	}
	for {
		t, err := next()
		if err != nil {
			return fmt.Errorf("HAR document: no entries: %w", err)
		}
		if t == "entries" {
			break
		}
	}
	if t, err := next(); err != nil {
		return fmt.Errorf("HAR document: %w", err)
	} else if t != json.Delim('[') {
		return fmt.Errorf("HAR document: the entries are %v, a list is wanted", t)
	}
	for number := 1; d.More(); number++ {
		var e harEntry
		if err := d.Decode(&e); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("HAR document: entry %d: %w", number, err)
		}
		x := logLine{At: e.Started, Method: e.Request.Method, Path: pathOnly(e.Request.URL), Body: []byte(e.Request.PostData.Text)}
		if e.Request.PostData.MimeType != "" {
			x.Header = map[string][]string{"Content-Type": {e.Request.PostData.MimeType}}
		}
		var bad error
		if x.Method == "" || x.Path == "" || x.At.IsZero() {
			bad = errLogLine
		}
		if err := f(x.Method+" "+x.Path, x, bad); err != nil {
			return err
		}
	}
	if _, err := next(); err != nil {
		return fmt.Errorf("HAR document: %w", err)
	}
	return nil
}

// A harEntry is what a replay needs of an entry (HAR 1.2, "entries").
type harEntry struct {
	Started time.Time `json:"startedDateTime"`
	Request struct {
		Method   string `json:"method"`
		URL      string `json:"url"`
		PostData struct {
			MimeType string `json:"mimeType"`
			Text     string `json:"text"`
		} `json:"postData"`
	} `json:"request"`
}
