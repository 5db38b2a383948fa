package load

import (
	"math"
	"time"
)

// dialsAtOnce keeps a burst of connections below the accept backlog that
// servers commonly have (128): a lost SYN costs a second.
const dialsAtOnce = 64

// prewarm opens the pool and returns when every connection is open or failed,
// or when limit is over.
func (w *worker) prewarm(limit int64) {
	for i := range w.max {
		c := &conn{slot: i}
		c.req.conn = c
		w.conns = append(w.conns, c)
	}
	w.size = min(w.size, len(w.conns))
	next := 0
	for {
		for next < w.size && w.dialing < dialsAtOnce {
			w.dial(w.conns[next], false)
			next++
		}
		now := w.clock()
		if now >= limit || w.dialing == 0 && next == w.size {
			return
		}
		w.io.poll(now, min(limit, now+int64(10*time.Millisecond)))
	}
}

// take returns a connection with room, nil if there is none. The one used last
// comes first: its memory is warm.
func (w *worker) take() *conn {
	for n := len(w.free); n > 0; n = len(w.free) {
		c := w.free[n-1]
		w.free = w.free[:n-1]
		c.listed = false
		if c.room() {
			return c
		}
	}
	return nil
}

// list puts c on the list of connections with room.
func (w *worker) list(c *conn) {
	if !c.listed {
		c.listed = true
		w.free = append(w.free, c)
	}
}

// dial opens the place c. demand says that a request waits for it.
func (w *worker) dial(c *conn, demand bool) {
	c.state, c.answers, c.demand = connDialing, 0, demand
	c.dialed = w.clock()
	w.dialing++
	if err := w.io.dial(c); err != nil {
		w.onConnect(c, err)
	}
}

// onConnect is called by the driver when a dial has ended.
func (w *worker) onConnect(c *conn, err error) {
	now := w.clock()
	if err != nil {
		w.shut(c)
		w.lastError = err
		w.backoff = min(max(2*w.backoff, int64(time.Millisecond)), int64(100*time.Millisecond))
		w.dialAfter = now + w.backoff
		kind, local := dialFailure(err)
		switch local {
		case localDescriptors:
			w.limits.descriptors = true
			return
		case localPorts:
			w.limits.ports = true
			return
		}
		if !w.started {
			return
		}
		// The request that waits longest fails with the attempt made for it.
		// Lost connections that are opened again in advance cost no request.
		if due := w.nextDue(now); due <= now && (c.demand || w.opened == 0) && len(w.free) == 0 {
			w.claim(&c.req, due)
			w.failed(&c.req, kind)
		}
		return
	}
	w.dialing--
	w.opened++
	w.backoff = 0
	c.state = connOpen
	c.freeAt = now
	c.one = http1{partial: c.one.partial[:0]}
	if w.cfg.http2 {
		c.h2 = newHTTP2(w.cfg.streams)
		if failure := w.io.send(c, c.h2.preface()); failure != none {
			w.lose(c, failure)
			return
		}
	}
	w.release(c, now)
}

// release lists c, which has had room since instant free. A request that waits
// for room goes out at once: always in a closed loop, and in an open loop that
// had run out of connections. Else dispatch sends, when all answers that have
// come are read.
func (w *worker) release(c *conn, free int64) {
	if !c.room() {
		return
	}
	c.freeAt = free
	for w.started && (w.src == nil || w.exhaustion != 0) && c.room() {
		now := free
		if w.src != nil {
			now = w.clock() // free may be the kernel's stamp of an answer that was read later
		}
		due := w.nextDue(now)
		if due > now {
			break
		}
		w.begin(c, due, max(due, free), now)
	}
	if c.room() {
		w.list(c)
	}
}

// replace opens the place of a connection that ended in an orderly way again.
func (w *worker) replace(c *conn, now int64) {
	if c.state == connClosed && w.started && !w.stopped(now) && now >= w.dialAfter && w.nextDue(now) != never {
		w.dial(c, false)
	}
}

// keepPool opens lost connections again and returns when to try the next time.
func (w *worker) keepPool(now int64) int64 {
	if w.opened+w.dialing >= w.size || w.nextDue(now) == never {
		return w.expireDials(now)
	}
	if now < w.dialAfter {
		return min(w.dialAfter, w.expireDials(now))
	}
	for _, c := range w.conns[:w.size] {
		if c.state == connClosed && w.dialing < dialsAtOnce && now >= w.dialAfter {
			w.dial(c, false)
		}
	}
	return min(w.expireDials(now), now+int64(10*time.Millisecond))
}

// expireDials fails dials that take longer than the timeout, and returns when
// the next one will.
func (w *worker) expireDials(now int64) int64 {
	if w.dialing == 0 {
		return never
	}
	next := int64(never)
	for _, c := range w.conns {
		if c.state != connDialing {
			continue
		}
		if t := c.dialed + w.cfg.timeout; t <= now {
			w.onConnect(c, errDialTimeout)
		} else {
			next = min(next, t)
		}
	}
	return next
}

// grow opens a connection because a request waits for one. Within the pool's
// size that is done at once; beyond it at a limited pace, so that a server that
// stalls does not meet a storm of connections when it comes back.
func (w *worker) grow(now int64) {
	w.tokens = math.Min(w.cfg.growth/10, w.tokens+float64(now-w.tokensAt)/1e9*w.cfg.growth)
	w.tokensAt = now
	if w.opened+w.dialing < w.size {
		if w.dialing == 0 || w.opened == 0 && w.dialing < dialsAtOnce {
			w.dialClosed(now, 0, w.size)
		}
		return
	}
	for w.tokens >= 1 && w.dialing < dialsAtOnce && w.opened+w.dialing < len(w.conns) {
		w.tokens--
		if !w.dialClosed(now, w.size, len(w.conns)) {
			return
		}
	}
}

// dialClosed dials one closed place of those given and says whether it could.
func (w *worker) dialClosed(now int64, from, to int) bool {
	if w.limits.descriptors && now < w.dialAfter || w.limits.ports && now < w.dialAfter {
		return false
	}
	for _, c := range w.conns[from:to] {
		if c.state == connClosed {
			if w.src == nil && now < w.dialAfter {
				return false // a closed loop does not spin on a refused port
			}
			w.dial(c, true)
			return true
		}
	}
	return false
}
