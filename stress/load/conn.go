package load

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

// link is what a driver keeps for a connection.
type link struct {
	fd         int
	generation int32  // tells events of a closed socket from those of its successor
	unsent     []byte // what the kernel did not take yet
	net        *netLink
}

// room says whether a request may be sent on c now.
func (c *conn) room() bool {
	if c.h2 != nil {
		return c.state == connOpen && c.h2.room()
	}
	return c.state == connOpen && !c.req.flying
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

// lose closes c and fails what was in flight on it. A request without side
// effects that met the end of an idle connection is sent again, as any client
// does (RFC 9110, 9.2.2): the server may close between two requests. It may meet
// one such connection after the other, but each of them only once.
func (w *worker) lose(c *conn, kind Failure) {
	w.shut(c)
	if c.h2 != nil {
		c.h2.lost(w, kind)
		c.h2 = nil
		return
	}
	if r := &c.req; r.flying {
		if kind == Closed && c.answers > 0 && r.wire.safe {
			w.again(r)
		} else {
			w.failed(r, kind)
		}
	}
}

// shut closes the connection and leaves its place empty.
func (w *worker) shut(c *conn) {
	switch c.state {
	case connOpen:
		w.opened--
	case connDialing:
		w.dialing--
	}
	c.state = connClosed
	w.io.hangup(c)
}
