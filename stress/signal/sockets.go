package signal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/wxops/wxops/stress"
)

// ErrUnsupported is wrapped by errors of sources that this operating system
// does not have.
var ErrUnsupported = errors.New("not supported on this operating system, only on Linux")

// SocketsOptions say whose sockets to look at.
type SocketsOptions struct {
	// Address is the host:port on which the instance listens; it must be an
	// address of this host or of the network namespace of PID.
	Address string
	PID     int // of the instance, 0 if it is not known

	// Every is the time between two looks at the sockets, in between two
	// Reads, 20 ms at the least. Where requests take less than twice as long
	// the looks come more often, down to 5 ms apart. 0: only at each Read, and
	// no response times then.
	Every time.Duration

	// Instant makes the backlog that of the latest look instead of the mean
	// over the window, as guards want it. Requests under way are a mean anyway:
	// two or three more of them by chance are no backlog.
	Instant bool

	// Requests returns how many requests the instance has got so far, counted
	// by somebody else (see [Registry.Requests]). If it is nil they are
	// counted as segments with data, which is right for requests that fit in
	// one segment.
	Requests func() float64

	// Bound is the response time of the objective in seconds, 0 if none.
	Bound float64

	// Now is the clock, time.Now if nil; it must be monotonic.
	Now func() time.Time
}

// Sockets is a source that sees what the kernel knows about the connections of
// an instance on this host, which needs no instrumentation: connections not yet
// accepted, requests not yet read, and for how long each connection has owed
// an answer.
type Sockets struct {
	o     SocketsOptions
	table socketTable
	stop  context.CancelFunc
	done  chan struct{}

	mu       sync.Mutex
	err      error         // of the latest look
	start    time.Time     // of the first look
	looked   time.Time     // the latest look
	every    time.Duration // between two looks, as it is wanted
	due      time.Duration // from the latest look to the next
	looks    stress.Looks
	waiting  mean
	busy     mean
	answers  answers
	arrivals float64 // segments with data so far
	conns    map[uint64]conn
	primed   bool // conns is set

	begun  bool
	at     time.Time
	before float64 // requests at the last Read
	excess excess
}

var _ stress.Source = (*Sockets)(nil)

// A socketTable lists the TCP sockets of one port.
type socketTable interface {
	// look returns the listening sockets and the established ones.
	look() (listening, established []socket, err error)
	close() error
}

// A socket is one row of the kernel's table. Times and counters are -1 where
// the kernel does not tell them.
type socket struct {
	local       netip.AddrPort
	v4          bool   // of the table of IPv4
	id          uint64 // cookie or remote port: tells connections of one port apart
	inode       uint32 // 0 until it is accepted
	queued      uint32 // listening: connections not accepted; else bytes not read
	received    int64  // ms since data came
	sent        int64  // ms since data went
	segmentsIn  int64  // with data
	segmentsOut int64
}

// minEvery bounds the share of a core that looking at sockets may take
// together with pace: a look takes some 50 us on a small host and 2 ms where
// the kernel's table has half a million rows.
const (
	minEvery = 20 * time.Millisecond
	often    = 5 * time.Millisecond // between two looks at short requests
	pace     = 10                   // a look may take a tenth of the time
)

// OpenSockets finds the listening socket of the instance. The error wraps
// ErrUnsupported where there is no such table.
func OpenSockets(ctx context.Context, o SocketsOptions) (*Sockets, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	table, err := openSocketTable(ctx, o.Address, o.PID)
	if err != nil {
		return nil, fmt.Errorf("sockets of %s: %w", o.Address, err)
	}
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &Sockets{o: o, table: table, stop: cancel, done: make(chan struct{}), answers: newAnswers(), conns: map[uint64]conn{}, start: o.Now(), every: max(minEvery, o.Every), due: max(minEvery, o.Every)}
	s.look()
	if s.err != nil {
		cancel()
		_ = table.close()
		return nil, fmt.Errorf("sockets of %s: %w", o.Address, s.err)
	}
	if o.Every > 0 {
		go s.sample(background)
	} else {
		close(s.done)
	}
	return s, nil
}

// Name implements stress.Source.
func (s *Sockets) Name() string { return "sockets" }

// Close implements stress.Source.
func (s *Sockets) Close() error {
	s.stop()
	<-s.done
	return s.table.close()
}

func (s *Sockets) sample(ctx context.Context) {
	defer close(s.done)
	timer := time.NewTimer(s.every)
	defer timer.Stop()
	cost := time.Hour // of a look: the shortest of late, since on a busy machine most of a look is waiting
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			cost = min(cost+cost/16, s.look())
			s.mu.Lock()
			s.due = max(s.every, pace*cost)
			timer.Reset(s.due)
			s.mu.Unlock()
		}
	}
}

// look takes the table into account once and returns how long that took.
func (s *Sockets) look() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	begun := s.o.Now()
	listening, established, err := s.table.look()
	if err == nil && len(listening) == 0 {
		err = fmt.Errorf("nothing listens on %s any more", s.o.Address)
	}
	if s.err = err; err != nil {
		return s.o.Now().Sub(begun)
	}
	// A look stands for the time since the one before: on a busy machine looks
	// come late just when there is most to see.
	weight := minEvery.Seconds()
	if s.primed {
		weight = begun.Sub(s.looked).Seconds()
		s.answers.looks++
		s.answers.gaps += weight
	}
	s.looked = begun
	at := begun.Sub(s.start).Seconds()
	under := s.answers.owed
	s.answers.ended = 0
	var waiting, busy float64
	for _, l := range listening {
		waiting += float64(l.queued)
	}
	next := make(map[uint64]conn, len(established))
	for _, e := range established {
		if e.inode != 0 && e.queued > 0 {
			waiting++ // sockets that are not accepted are in the accept queue
		}
		c, seen := s.conns[e.id]
		if e.received >= 0 {
			if !seen {
				c.balance, c.known = 0, true // a new connection owes nothing before its first segment
			}
			s.arrivals += float64(max(0, e.segmentsIn-c.segmentsIn))
			if s.answers.look(&c, e, at) {
				busy++
			}
		}
		next[e.id] = c
	}
	for id, c := range s.conns {
		if _, still := next[id]; !still && c.owed {
			s.answers.end(&c, at) // it was closed
			s.answers.ended++
		}
	}
	s.answers.owed = busy
	// What came late may be a pause of the machine.
	if under > 0 && s.primed && weight < 2*s.due.Seconds() {
		s.looks.Add(stress.Look{InFlight: under, Count: 1, Seconds: weight, Answered: s.answers.ended})
	}
	if !s.primed { // what came before we looked
		s.primed, s.arrivals = true, 0
		s.answers.forget()
	}
	s.conns = next
	s.busy.add(busy, weight)
	if s.o.Instant {
		s.waiting, weight = mean{}, 1
	}
	s.waiting.add(waiting, weight)
	return s.o.Now().Sub(begun)
}

// Read implements stress.Source.
func (s *Sockets) Read(context.Context) (stress.Reading, error) {
	s.look()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return stress.Reading{}, s.err
	}
	at := s.o.Now()
	requests := s.arrivals
	if s.o.Requests != nil {
		requests = s.o.Requests()
	}
	sample := stress.Unmeasured()
	sample.Backlog = s.waiting.take()
	busy := s.busy.take()
	timed := len(s.conns) == 0
	for _, c := range s.conns {
		timed = timed || c.segmentsIn > 0
	}
	if timed {
		sample.InFlight = busy
	}
	excess := math.NaN()
	if s.begun {
		sample.Window = at.Sub(s.at)
		if arrived := grown(int64(s.before), int64(requests)); arrived > 0 && sample.Window > 0 {
			excess = s.window(&sample, arrived, timed)
		}
	}
	s.begun, s.at, s.before = true, at, requests
	s.answers.forget()
	s.looks = nil
	return stress.Reading{At: at, Sample: plausible(sample), Excess: excess}, nil
}

// window fills in what follows from the requests of the window, and returns
// the excess of requests under way.
func (s *Sockets) window(sample *stress.Sample, arrived float64, timed bool) float64 {
	offered := arrived / sample.Window.Seconds()
	if s.o.Requests == nil { // else somebody else knows it better
		sample.Offered = offered
	}
	if !timed {
		return math.NaN()
	}
	sample.Looks = s.looks
	sample.Mean = sample.InFlight / offered // Little's law
	if s.o.Every > 0 {
		if h, mean := s.answers.histogram(arrived, s.o.Bound); h.total() > 0 {
			sample.Mean, sample.Buckets = mean, h
			if !s.o.Instant {
				s.every = min(max(minEvery, s.o.Every), max(often, time.Duration(mean/2*float64(time.Second))))
			}
			sample.P50, sample.P99 = h.quantile(0.5), h.quantile(0.99)
			if s.o.Bound > 0 {
				sample.SlowRatio = h.above(s.o.Bound)
			}
		}
	}
	return s.excess.of(sample.InFlight, offered, sample.Mean, arrived)
}
