package load

import (
	"crypto/tls"
	"sync/atomic"
	"time"
)

// A request is one due request on its way. Instants are nanoseconds since the
// epoch of the run.
type request struct {
	prev, next *request // of the requests in flight, in the order of sending
	conn       *conn
	due, sent  int64
	wire       *wire // what is sent
	target     int32 // whose statistics it counts in
	stream     uint32
	retried    bool
	warm       bool // due during the warm-up: not counted
	flying     bool
	beside     int32 // requests in flight when it was sent
	body       body  // of HTTP/2
}

// The life of a connection.
const (
	connClosed = iota
	connDialing
	connOpen
)

// A conn is one place of the pool.
type conn struct {
	slot    int
	state   uint8
	listed  bool // on the list of connections with room
	answers int  // answers on this connection so far
	freeAt  int64
	dialed  int64
	demand  bool // dialed because a request waited

	one  http1
	req  request // of HTTP/1.1
	h2   *http2
	link link
}

// A driver moves bytes for one worker. It calls the worker's on... methods from
// within poll only.
type driver interface {
	dial(c *conn) error
	send(c *conn, b []byte) Failure
	hangup(c *conn)
	// poll waits for something to happen, from instant now until instant t at
	// most, and calls woke before anything else.
	poll(now, t int64)
	close()
}

// A source yields what is due next; see scheduled.
type source interface {
	due() int64
	advance()
	// spacing is the mean time between due instants now, in nanoseconds; 0 if it
	// is not known.
	spacing() int64
}

// A worker owns a part of the schedule and of the connections. It runs on one
// goroutine; nothing in it is shared but the flags at its end.
type worker struct {
	id        int
	cfg       *config
	io        driver
	src       source // nil in a closed loop
	left      int64  // requests that a closed loop may still begin
	conns     []*conn
	free      []*conn
	opened    int // connections open
	dialing   int
	size      int // connections wanted: the prewarmed pool
	max       int // up to which it may grow
	head      headCache
	first     *request // in flight, oldest first
	last      *request
	flying    int
	retries   []request
	unflushed []*conn
	turn      int // position in the order of targets

	tokens     float64 // connections that the pool may grow by
	tokensAt   int64
	dialAfter  int64 // no redial of lost connections before this instant
	backoff    int64
	started    bool
	exhaustion int64 // since when requests wait for a connection, 0 if none does
	lastError  error

	st       *block
	seq      int64
	publish  int64 // when the block is due
	evidence evidence
	typical  int64 // running median of the service time, nanoseconds
	spare    chan *block
	out      chan<- *block
	cpu      cpuClock
	spent    int64 // nanoseconds of CPU used, or waited for
	intime   int64 // the same until the end of the schedule
	sooner   int64 // when that was, 0 before it

	limits limitFlags
	stop   *atomic.Int64 // instant at which nothing more falls due
	grace  *atomic.Int64 // how long after it due requests may still be sent
}

// limitFlags says which limits of this machine were met.
type limitFlags struct {
	descriptors, ports bool
}

// link is what a driver keeps for a connection.
type link struct {
	fd         int
	generation int32  // tells events of a closed socket from those of its successor
	unsent     []byte // what the kernel did not take yet
	net        *netLink
}

// config is what all workers share and nobody changes.
type config struct {
	epoch     time.Time
	addresses []address
	targets   []*wire
	order     []int32 // indices of targets, repeated
	workers   int
	timeout   int64
	start     int64 // of the schedule
	warmup    int64 // requests due before this instant are not counted
	every     int64
	streams   int
	grpc      bool
	http2     bool
	secure    bool
	open      bool // requests fall due by the clock
	tls       *tls.Config
	host      string
	growth    float64 // connections that a pool may grow by in a second
}

func (w *worker) clock() int64 { return int64(time.Since(w.cfg.epoch)) }

// run works until everything that fell due is counted.
func (w *worker) run() {
	w.started = true
	w.publish = w.cfg.start + w.cfg.every
	w.tokensAt = w.cfg.start
	w.cpu.start()
	for {
		now := w.clock()
		if now >= w.publish {
			w.hand(now)
		}
		w.expire(now)
		next := w.dispatch(now)
		if w.done(now, next) {
			break
		}
		until := min(w.awake(now, next), w.publish, w.keepPool(now))
		if w.first != nil {
			until = min(until, w.first.sent+w.cfg.timeout)
		}
		if stop := w.stop.Load(); now < stop {
			until = min(until, stop)
		} else {
			if w.sooner == 0 {
				w.account()
				w.sooner, w.intime = now, w.spent
			}
			until = min(until, max(stop+w.grace.Load(), now+int64(time.Millisecond)))
		}
		w.flush()
		until = min(until, now+longestWait)
		now = w.clock()
		w.evidence.waits(now)
		w.io.poll(now, until)
	}
	w.hand(w.clock())
}

// close hangs up all connections.
func (w *worker) close() {
	for _, c := range w.conns {
		if c.state != connClosed {
			w.io.hangup(c)
		}
	}
	w.io.close()
}

// The bounds of how late a request may leave so that one awakening serves
// several. An awakening with cold caches costs as much CPU time as a request;
// the lateness counts as send lag. It stays below a 25th of what the service
// typically takes, so that the response times of a quick service hold, and far
// below the millisecond at which a timer of epoll ticks.
const (
	shortestGrain = int64(100 * time.Microsecond)
	longestGrain  = int64(400 * time.Microsecond)
	grainShare    = 25
)

// awake returns when to send the request due at instant next: together with
// the last one of those that fall due within the grain behind it.
func (w *worker) awake(now, next int64) int64 {
	if w.src == nil || next == never || w.exhaustion != 0 {
		return next
	}
	grain := min(max(w.typical/grainShare, shortestGrain), longestGrain)
	if gap := w.src.spacing(); gap > 0 && gap <= grain {
		next += grain / gap * gap
	}
	return max(next, now+shortestGrain)
}

// longestWait is how late a worker may hear of a changed rate or an early end.
const longestWait = int64(20 * time.Millisecond)

// stopped says whether the end of the schedule, or a request to end, has come.
func (w *worker) stopped(now int64) bool { return now >= w.stop.Load() }

// nextDue is the instant at which the next request falls due, never if none does.
func (w *worker) nextDue(now int64) int64 {
	if len(w.retries) > 0 {
		return w.retries[0].due
	}
	if w.src != nil {
		if t := w.src.due(); t < w.stop.Load() {
			return t
		}
		return never
	}
	if w.left <= 0 || w.stopped(now) {
		return never
	}
	return max(now, w.cfg.start)
}

// done says whether all that fell due has been counted. Behind the end of the
// schedule the requests that were never sent get one timeout more.
func (w *worker) done(now, next int64) bool {
	if next == never && w.first == nil {
		return w.src == nil || w.stopped(now) || w.exhaustedSource()
	}
	stop := w.stop.Load()
	grace := w.grace.Load()
	if now < stop || now < stop+grace {
		return false
	}
	if next != never {
		w.countUnsent()
	}
	if grace < w.cfg.timeout { // the user wants it to end now
		for w.first != nil {
			w.lose(w.first.conn, Timeout)
		}
	}
	return w.first == nil
}

// exhaustedSource says whether the number of requests has been reached, so that
// no later change of the rate can make another one due.
func (w *worker) exhaustedSource() bool {
	switch s := w.src.(type) {
	case *scheduled:
		return s.left <= 0
	case *recorded:
		return s.over()
	}
	return true
}

func (w *worker) countUnsent() {
	for _, r := range w.retries {
		if !r.warm {
			w.st.failed[Unsent]++
		}
	}
	w.retries = w.retries[:0]
	if w.src == nil {
		w.left = 0
		return
	}
	stop := w.stop.Load()
	for t := w.src.due(); t < stop; t = w.src.due() {
		if t >= w.cfg.warmup {
			w.st.due++
			w.st.failed[Unsent]++
		}
		w.src.advance()
	}
}

// dispatch sends what is due while there is a connection with room and returns
// when it wants to be called again.
func (w *worker) dispatch(now int64) int64 {
	for {
		due := w.nextDue(now)
		if due > now {
			w.idle(now)
			return due
		}
		c := w.take()
		if c == nil {
			if due == never {
				return never
			}
			if w.exhaustion == 0 && w.src != nil {
				w.exhaustion = now
			}
			w.exhaustedUntil(now)
			w.grow(now)
			if w.src == nil {
				return now + int64(time.Second) // a closed loop waits for answers
			}
			return now + int64(10*time.Millisecond) // the pool's tokens come in at this pace
		}
		w.begin(c, due, max(due, w.freeSince(c)), now)
		now = w.clock()
	}
}

// freeSince is since when a request could have been sent if c, just taken, was
// the last connection listed: the list is in the order of becoming free.
func (w *worker) freeSince(c *conn) int64 {
	for len(w.free) > 0 && w.free[0].state != connOpen {
		w.free[0].listed = false
		w.free = w.free[:copy(w.free, w.free[1:])]
	}
	if len(w.free) > 0 {
		return min(c.freeAt, w.free[0].freeAt)
	}
	return c.freeAt
}

// idle ends a time in which requests waited for a connection.
func (w *worker) idle(now int64) {
	w.exhaustedUntil(now)
	w.exhaustion = 0
}

// exhaustedUntil counts the time in which requests have waited for a connection.
func (w *worker) exhaustedUntil(now int64) {
	if w.exhaustion != 0 {
		w.st.exhausted += now - w.exhaustion
		w.evidence.flying += float64(now-w.exhaustion) * float64(w.flying)
		w.exhaustion = now
	}
}

// claim takes the next due request off the schedule.
func (w *worker) claim(r *request, due int64) {
	if len(w.retries) > 0 {
		old := w.retries[0]
		w.retries = w.retries[:copy(w.retries, w.retries[1:])]
		r.due, r.sent, r.target, r.wire, r.retried, r.warm = old.due, old.sent, old.target, old.wire, true, old.warm
		return
	}
	r.retried, r.sent = false, 0
	r.due = due
	if rec, ok := w.src.(*recorded); ok {
		r.target, r.wire = 0, rec.ahead.wire
	} else {
		r.target = w.cfg.order[w.turn]
		r.wire = w.cfg.targets[r.target]
		if w.turn += w.cfg.workers; w.turn >= len(w.cfg.order) {
			w.turn %= len(w.cfg.order)
		}
	}
	if w.src != nil {
		w.src.advance()
	} else {
		w.left--
	}
	r.warm = due < w.cfg.warmup
	if !r.warm {
		w.st.due++
	}
}

// begin sends the request due on c, which has room. ready is when it could have
// been sent at the earliest, now the instant of the sending.
func (w *worker) begin(c *conn, due, ready, now int64) {
	r := &c.req
	if c.h2 != nil {
		r = c.h2.slot(c)
	}
	w.claim(r, due)
	if w.src == nil {
		r.due = now
	} else if !r.warm && !r.retried {
		record(w.st.lag, now-ready)
	}
	if !r.retried {
		r.sent = now
		if !r.warm {
			w.st.sent++
		}
	}
	w.evidence.sent(r, w.flying)
	w.push(r)
	t := r.wire
	if c.h2 != nil {
		c.h2.begin(w, c, r, t)
		if c.h2.room() {
			w.list(c)
		}
		return
	}
	c.one.expect(t.head)
	if failure := w.io.send(c, t.bytes); failure != none {
		w.lose(c, failure)
	}
}

// dirty remembers that c has frames to write.
func (w *worker) dirty(c *conn) {
	if !c.h2.dirty {
		c.h2.dirty = true
		w.unflushed = append(w.unflushed, c)
	}
}

// flush writes what has gathered on connections of HTTP/2, in one piece each.
func (w *worker) flush() {
	for i := 0; i < len(w.unflushed); i++ {
		c := w.unflushed[i]
		if c.h2 == nil || !c.h2.dirty || c.state != connOpen {
			continue
		}
		c.h2.dirty = false
		failure := w.io.send(c, c.h2.out)
		c.h2.out = c.h2.out[:0]
		if failure != none {
			w.lose(c, failure)
		}
	}
	w.unflushed = w.unflushed[:0]
}

func (w *worker) push(r *request) {
	r.flying = true
	r.prev, r.next = w.last, nil
	if w.last != nil {
		w.last.next = r
	} else {
		w.first = r
	}
	w.last = r
	w.flying++
}

func (w *worker) drop(r *request) {
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		w.first = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	} else {
		w.last = r.prev
	}
	r.prev, r.next, r.flying = nil, nil, false
	w.flying--
}

// answered counts r, whose answer was complete at instant now.
func (w *worker) answered(r *request, status int, now int64) {
	w.drop(r)
	r.conn.answers++
	if r.warm {
		return
	}
	w.st.status[status]++
	record(w.st.response, now-r.due)
	service := now - r.sent
	record(w.st.service, service)
	if step := w.typical>>6 + 1; service > w.typical {
		w.typical += step
	} else {
		w.typical -= step
	}
	w.evidence.ended(r, now, w.exhaustion != 0)
	if w.st.targets != nil {
		t := &w.st.targets[r.target]
		t.answers++
		if t.response != nil {
			record(t.response, now-r.due)
		}
	}
}

// failed counts r as a failure of a kind.
func (w *worker) failed(r *request, kind Failure) {
	if r.flying {
		w.drop(r)
	}
	if r.warm {
		return
	}
	w.st.failed[kind]++
	if kind == Timeout {
		w.evidence.ended(r, w.clock(), w.exhaustion != 0)
	}
	if w.st.targets != nil {
		w.st.targets[r.target].failed++
	}
}

// expire fails the requests whose time is over. Their connections are closed:
// the answer may still come and would be taken for the next one's.
func (w *worker) expire(now int64) {
	for w.first != nil && w.first.sent+w.cfg.timeout <= now {
		r := w.first
		c := r.conn
		if c.h2 != nil {
			w.failed(r, Timeout)
			c.h2.cancel(w, c, r)
			continue
		}
		w.lose(c, Timeout)
	}
}

// onData is called by the driver with bytes that came on c. at is when the last
// of them came, 0 for now.
func (w *worker) onData(c *conn, b []byte, at int64) {
	w.st.bytes += int64(len(b))
	if c.h2 != nil {
		if failure := c.h2.feed(w, c, b, at); failure != none {
			w.lose(c, failure)
			if failure == Closed {
				w.replace(c, w.clock())
			}
		}
		return
	}
	if !c.req.flying {
		w.lose(c, Malformed) // an answer nobody asked for
		return
	}
	n, done, failure := c.one.feed(b, &w.head)
	switch {
	case failure != none:
		w.lose(c, failure)
	case done:
		now := w.arrival(&c.req, at)
		w.answered(&c.req, int(c.one.status), now)
		if !c.one.keep || n < len(b) {
			w.lose(c, Closed)
			w.replace(c, now)
			return
		}
		w.release(c, now)
	}
}

// arrival is the instant of an answer: the stamp of the kernel where there is a
// believable one, else now.
func (w *worker) arrival(r *request, at int64) int64 {
	now := w.clock()
	if at > r.sent && at < now {
		return at
	}
	return now
}

// onEOF is called by the driver when the server has closed c, or when the
// connection broke.
func (w *worker) onEOF(c *conn) {
	if c.state != connOpen {
		return
	}
	now := w.clock()
	if c.h2 == nil && c.req.flying {
		done, failure := c.one.eof()
		if !done {
			w.lose(c, failure)
			return
		}
		w.answered(&c.req, int(c.one.status), now)
	}
	w.lose(c, Closed)
	w.replace(c, now)
}

// account adds the CPU time used since the last call to the block.
func (w *worker) account() {
	busy, delay := w.cpu.lap()
	w.st.busy += busy
	w.st.runDelay += delay
	w.spent += busy + delay
}

// saturation is the largest share of a time, of the schedule or of the whole
// run until instant end, that the worker used its CPU or waited for it. At the
// end of a run it may have done nothing but wait for answers.
func (w *worker) saturation(end int64) float64 {
	share := float64(w.spent) / float64(max(1, end-w.cfg.start))
	if w.sooner > 0 {
		share = max(share, float64(w.intime)/float64(max(1, w.sooner-w.cfg.start)))
	}
	return share
}

// woke is called by the driver when its waiting is over.
func (w *worker) woke() { w.evidence.woke = w.clock() }

// hand gives the filled block to the collector and goes on with an empty one.
func (w *worker) hand(now int64) {
	w.exhaustedUntil(now)
	w.account()
	b := w.st
	b.worker, b.seq = w.id, w.seq
	b.inFlight, b.open = w.flying, w.opened
	select {
	case w.st = <-w.spare:
	default:
		w.st = newBlock(len(w.st.targets))
	}
	w.out <- b
	w.seq++
	w.publish += w.cfg.every
	if w.publish <= now {
		skipped := (now-w.publish)/w.cfg.every + 1
		w.seq += skipped
		w.publish += skipped * w.cfg.every
	}
}
