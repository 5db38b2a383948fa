package load

import (
	"crypto/tls"
	"sync/atomic"
	"time"
)

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
	retries   []call // to be sent again
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
// several. To go to sleep and to wake the server cost 50 µs of CPU time together
// where the rest of a request costs 17 (5,000/s on a virtual machine), so this
// is what the cost of a request at a moderate rate depends on. The lateness
// counts as send lag and in response times. It stays below a 16th of what the
// service typically takes, so that the response times of a quick service hold,
// and far enough below a millisecond for the send lag to do so as well. Seven
// requests share an awakening well enough: then more lateness buys little.
const (
	shortestGrain = int64(100 * time.Microsecond)
	sharedGrain   = int64(400 * time.Microsecond)
	longestGrain  = int64(600 * time.Microsecond)
	grainShare    = 16
	wellShared    = 7
)

// awake returns when to send the request due at instant next: together with
// the last one of those that fall due within the grain behind it.
func (w *worker) awake(now, next int64) int64 {
	if w.src == nil || next == never || w.exhaustion != 0 {
		return next
	}
	grain := min(max(w.typical/grainShare, shortestGrain), longestGrain)
	gap := w.src.spacing()
	if gap*(wellShared-1) <= sharedGrain {
		grain = min(grain, sharedGrain)
	}
	if gap > 0 && gap <= grain {
		next += grain / gap * gap
	}
	return max(next, now+shortestGrain)
}

// longestWait is how late a worker may hear of a changed rate or an early end.
const longestWait = int64(20 * time.Millisecond)

// stopped says whether the end of the schedule, or a request to end, has come.
func (w *worker) stopped(now int64) bool { return now >= w.stop.Load() }

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
