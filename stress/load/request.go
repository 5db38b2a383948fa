package load

import "time"

// A call is what fell due: what to send and since when.
type call struct {
	due, sent int64 // sent is of the first attempt, 0 before it
	wire      *wire // what is sent
	target    int32 // whose statistics it counts in
	warm      bool  // due during the warm-up: not counted
}

// A request is a call on its way. Instants are nanoseconds since the epoch of
// the run.
type request struct {
	call
	prev, next *request // of the requests in flight, in the order of sending
	conn       *conn
	stream     uint32
	flying     bool
	beside     int32 // requests in flight when it was sent
	body       body  // of HTTP/2
}

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
		r.call = w.retries[0]
		w.retries = w.retries[:copy(w.retries, w.retries[1:])]
		return
	}
	r.call = call{due: due, warm: due < w.cfg.warmup}
	if rec, ok := w.src.(*recorded); ok {
		r.wire = rec.ahead.wire
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
	first := r.sent == 0
	if w.src == nil {
		r.due = now
	} else if first && !r.warm {
		record(w.st.lag, now-ready)
	}
	if first {
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

// again takes r back, to be sent on another connection.
func (w *worker) again(r *request) {
	w.drop(r)
	w.retries = append(w.retries, r.call)
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
