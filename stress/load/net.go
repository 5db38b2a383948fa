package load

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"
)

// netDriver moves bytes with package net: TLS, and systems without epoll. Each
// connection has a goroutine that reads and one that writes; the worker alone
// decides, so it needs no locks.
type netDriver struct {
	w      *worker
	events chan netEvent
	timer  *time.Timer
	turn   int
}

// netLink is a connection of the driver.
type netLink struct {
	c        *conn
	net      net.Conn
	cancel   context.CancelFunc
	mu       sync.Mutex
	wake     *sync.Cond
	unsent   []byte
	gone     chan struct{} // closed under mu by the hang-up: nobody takes events any more
	consumed chan struct{} // the worker is done with the bytes of the last event
}

// A netEvent is what happened on a connection: it opened, bytes came, or it
// ended with err.
type netEvent struct {
	link   *netLink
	opened bool
	data   []byte
	err    error
}

func newNetDriver(w *worker) driver {
	return &netDriver{w: w, events: make(chan netEvent, 256), timer: time.NewTimer(time.Hour)}
}

func (d *netDriver) close() { d.timer.Stop() }

func (d *netDriver) dial(c *conn) error {
	a := d.w.cfg.addresses[d.turn%len(d.w.cfg.addresses)]
	d.turn++
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(d.w.cfg.timeout))
	l := &netLink{c: c, cancel: cancel, gone: make(chan struct{}), consumed: make(chan struct{}, 1)}
	l.wake = sync.NewCond(&l.mu)
	c.link.net = l
	go l.run(ctx, d.w.cfg, a, d.events)
	return nil
}

// run opens the connection and reads until it ends or is hung up. Events of a
// link that was hung up are dropped by the worker, which compares it with its
// connection's.
func (l *netLink) run(ctx context.Context, cfg *config, a address, events chan<- netEvent) {
	defer l.cancel()
	n, err := open(ctx, cfg, a)
	if err != nil {
		l.tell(events, netEvent{link: l, err: err})
		return
	}
	l.mu.Lock()
	l.net = n
	hungUp := l.hungUp()
	l.mu.Unlock()
	if hungUp {
		n.Close()
		return
	}
	go l.write(n)
	l.tell(events, netEvent{link: l, opened: true})
	buffer := make([]byte, 16<<10)
	for {
		k, err := n.Read(buffer)
		if k > 0 {
			l.tell(events, netEvent{link: l, data: buffer[:k]})
			select {
			case <-l.consumed:
			case <-l.gone: // the worker may still hold the buffer
				return
			}
		}
		if err != nil {
			l.tell(events, netEvent{link: l, err: err})
			return
		}
	}
}

// tell gives e to the worker. It does not wait for one that has hung up: after
// a run nobody takes events.
func (l *netLink) tell(events chan<- netEvent, e netEvent) {
	select {
	case events <- e:
	case <-l.gone:
	}
}

func (l *netLink) hungUp() bool {
	select {
	case <-l.gone:
		return true
	default:
		return false
	}
}

func open(ctx context.Context, cfg *config, a address) (net.Conn, error) {
	var dialer net.Dialer
	n, err := dialer.DialContext(ctx, "tcp", a.String())
	if err != nil || !cfg.secure {
		return n, err
	}
	t := tls.Client(n, cfg.tlsConfig())
	if err := t.HandshakeContext(ctx); err != nil {
		n.Close()
		return nil, fmt.Errorf("%w: %w", errHandshake, err)
	}
	if cfg.http2 && t.ConnectionState().NegotiatedProtocol != "h2" {
		t.Close()
		return nil, fmt.Errorf("%w: the server does not offer HTTP/2", errHandshake)
	}
	return t, nil
}

// tlsConfig is the user's configuration with the name of the host and the
// protocol that is going to be spoken.
func (c *config) tlsConfig() *tls.Config {
	t := c.tls.Clone() // nil stays nil
	if t == nil {
		t = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if t.ServerName == "" {
		t.ServerName = c.host
	}
	t.NextProtos = []string{"http/1.1"}
	if c.http2 {
		t.NextProtos = []string{"h2"}
	}
	return t
}

func (l *netLink) write(n net.Conn) {
	var batch []byte
	for {
		l.mu.Lock()
		for len(l.unsent) == 0 && !l.hungUp() {
			l.wake.Wait()
		}
		if l.hungUp() {
			l.mu.Unlock()
			return
		}
		batch, l.unsent = l.unsent, batch[:0]
		l.mu.Unlock()
		if _, err := n.Write(batch); err != nil {
			return // the reader meets the same end and tells of it
		}
	}
}

func (d *netDriver) send(c *conn, b []byte) Failure {
	l := c.link.net
	l.mu.Lock()
	l.unsent = append(l.unsent, b...)
	l.mu.Unlock()
	l.wake.Signal()
	return none
}

func (d *netDriver) hangup(c *conn) {
	l := c.link.net
	if l == nil {
		return
	}
	c.link.net = nil
	l.mu.Lock()
	close(l.gone)
	n := l.net
	l.mu.Unlock()
	l.wake.Signal()
	l.cancel()
	if n != nil {
		go n.Close() // of TLS it writes an alert and may wait
	}
}

func (d *netDriver) poll(now, until int64) {
	e, some := d.wait(time.Duration(until - now))
	d.w.woke()
	for k := 0; some; k++ {
		d.handle(e)
		if k == cap(d.events) {
			return // the schedule comes first
		}
		select {
		case e = <-d.events:
		default:
			return
		}
	}
}

// wait returns the next event, at most after a time.
func (d *netDriver) wait(most time.Duration) (netEvent, bool) {
	if most <= 0 {
		select {
		case e := <-d.events:
			return e, true
		default:
			return netEvent{}, false
		}
	}
	d.timer.Reset(most)
	select {
	case e := <-d.events:
		return e, true
	case <-d.timer.C:
		return netEvent{}, false
	}
}

func (d *netDriver) handle(e netEvent) {
	c := e.link.c
	current := c.link.net == e.link
	switch {
	case e.data != nil:
		if current {
			d.w.onData(c, e.data, 0)
		}
		e.link.consumed <- struct{}{} // never waits: a link sends its next bytes after this
	case !current:
	case e.opened:
		d.w.onConnect(c, nil)
	case c.state == connDialing:
		d.w.onConnect(c, e.err)
	default:
		d.w.onEOF(c)
	}
}
