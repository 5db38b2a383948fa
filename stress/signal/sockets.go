package signal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
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

	// Every is how often the sockets are looked at between two Reads, 20 ms
	// at the least. 0: only at each Read, and no response times then.
	Every time.Duration

	// Instant makes backlog and requests in flight those of the latest look
	// instead of the mean over the window, as guards want them.
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
	err      error     // of the latest look
	looked   time.Time // the latest look
	seconds  float64   // between looks since the last Read
	waiting  mean
	busy     mean
	ages     map[int]float64 // requests under way by age class, times seconds
	arrivals float64         // segments with data so far
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

// A conn is what is remembered of a connection between two looks.
type conn struct {
	segmentsIn int64
	balance    int64 // segments in less segments out when it owed nothing
	known      bool  // balance has been seen
}

// minEvery bounds the share of a core that looking at sockets may take
// together with pace: a look takes some 50 us on a small host and 2 ms where
// the kernel's table has half a million rows.
const (
	minEvery = 20 * time.Millisecond
	pace     = 50 // a look may take 1/50 of the time
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
	s := &Sockets{o: o, table: table, stop: cancel, done: make(chan struct{}), ages: map[int]float64{}, conns: map[uint64]conn{}}
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
	timer := time.NewTimer(max(minEvery, s.o.Every))
	defer timer.Stop()
	cost := time.Hour // of a look: the shortest of late, since on a busy machine most of a look is waiting
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			cost = min(cost+cost/16, s.look())
			timer.Reset(max(minEvery, s.o.Every, pace*cost))
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
	}
	s.looked = begun
	s.seconds += weight
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
			if c.owes(e) {
				busy++
				s.ages[ageClass(float64(e.received)/1e3)] += weight
			}
			c.segmentsIn = e.segmentsIn
		}
		next[e.id] = c
	}
	if !s.primed {
		s.primed, s.arrivals = true, 0 // what came before we looked
	}
	s.conns = next
	if s.o.Instant {
		s.waiting, s.busy = mean{}, mean{}
		weight = 1
	}
	s.waiting.add(waiting, weight)
	s.busy.add(busy, weight)
	return s.o.Now().Sub(begun)
}

// owes reports whether a request has come on e that is not answered yet, and
// learns from the cases that are clear. The kernel's clock ticks every 1 to 10
// ms; if the last request and the last response have the same tick, the
// segments decide: one more has come than when nothing was owed.
func (c *conn) owes(e socket) bool {
	balance := e.segmentsIn - e.segmentsOut
	switch {
	case e.segmentsIn == 0:
		return false
	case e.received < e.sent || e.segmentsOut == 0:
		return true
	case e.received > e.sent:
		c.balance, c.known = balance, true
		return false
	}
	return c.known && balance == c.balance+1
}

// Ages of requests are counted in classes of equal ratio: class i ends at
// ageBound(i). Narrower classes would hold less than one request a window in
// the tail, wider ones would blur a tail that falls by half within a class.
const ageRatio = 1.12

func ageClass(seconds float64) int {
	return max(0, int(math.Ceil(math.Log(max(seconds, 1e-9)/firstAge)/math.Log(ageRatio))))
}

// firstAge ends class 0: below it the tick of the kernel's clock is all there is.
const firstAge = 0.004

func ageBound(class int) float64 { return firstAge * math.Pow(ageRatio, float64(class)) }

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
	s.seconds = 0
	clear(s.ages)
	return stress.Reading{At: at, Sample: plausible(sample), Excess: excess}, nil
}

// window fills in what follows from the requests of the window, and returns
// the excess of requests under way.
func (s *Sockets) window(sample *stress.Sample, arrived float64, timed bool) float64 {
	sample.Offered = arrived / sample.Window.Seconds()
	if !timed {
		return math.NaN()
	}
	sample.Mean = sample.InFlight / sample.Offered // Little's law
	excess := s.excess.of(sample.InFlight, sample.Offered, sample.Mean, arrived)
	if s.o.Every == 0 {
		return excess
	}
	h := survival(s.ages, s.seconds, sample.Offered, arrived)
	if h.total() > 0 {
		sample.Buckets = h
		sample.P50, sample.P99 = h.quantile(0.5), h.quantile(0.99)
		if s.o.Bound > 0 {
			sample.SlowRatio = h.above(s.o.Bound)
		}
	}
	return excess
}

// survival turns ages of requests under way into a histogram of response
// times. At any instant the expected number of requests whose age lies in
// [a, b) is the rate of arrivals times the integral over [a, b) of the share
// of requests that take longer than that age: so the mean count of a class
// over rate and width is that share, which must not grow with age (neighbours
// that do are pooled: isotonic regression, Barlow and others 1972). ages are
// counts times the seconds they stand for.
func survival(ages map[int]float64, seconds, rate, arrived float64) histogram {
	if len(ages) == 0 || seconds <= 0 {
		return nil
	}
	last := slices.Max(slices.Collect(maps.Keys(ages)))
	type pool struct{ share, width, from, to float64 }
	pools := []pool{{1, math.Inf(1), 0, 0}} // every request takes longer than 0
	low := 0.0
	for i := 0; i <= last; i++ {
		high := ageBound(i)
		p := pool{ages[i] / (seconds * rate * (high - low)), high - low, low, high}
		for len(pools) > 1 && pools[len(pools)-1].share < p.share {
			q := pools[len(pools)-1]
			pools = pools[:len(pools)-1]
			p = pool{(q.share*q.width + p.share*p.width) / (q.width + p.width), q.width + p.width, q.from, p.to}
		}
		p.share = min(1, p.share)
		pools = append(pools, p)
		low = high
	}
	// The share of a pool is that at its middle; between two middles it falls.
	h := histogram{}
	for i := 1; i < len(pools); i++ {
		h = append(h, stress.Bucket{Bound: (pools[i].from + pools[i].to) / 2, Count: arrived * (pools[i-1].share - pools[i].share)})
	}
	h = append(h, stress.Bucket{Bound: ageBound(last + 1), Count: arrived * pools[len(pools)-1].share}, stress.Bucket{Bound: math.Inf(1)})
	return h
}
