package load

import (
	"fmt"
	"math"
	"time"
)

// evidence is what one worker notes down to tell, after the run, whether the
// generator or the server was the limit.
//
// That requests wait for a connection proves neither: a server that queues
// keeps connections busy just as a pool does that is too small. Nor does it
// prove anything that the server is slower then than at rest: a generator on
// the same machine that takes all of its CPU slows the server down as well. So
// what is asked is: would the pool have been large enough had the server stayed
// as quick as at rest? Was it the server that held the connections, or had it
// answered and the answers waited to be read? And could the workers have handled
// so many requests at all, whatever the server did?
type evidence struct {
	// Sums over the requests for a straight line through service time, in
	// nanoseconds, over the requests in flight beside it.
	n, beside, service, besideSquared, cross float64
	shortest                                 float64

	fullSum, full float64 // service times while the pool was exhausted, and their number
	flying        float64 // requests in flight as the worker saw it, integrated over the exhausted time in ns

	woke    int64 // when the worker was last waked
	moved   bool  // a request was sent or answered since
	working int64 // nanoseconds from being waked until waiting again, if one was
}

func (e *evidence) sent(r *request, flying int) {
	r.beside = int32(flying)
	e.moved = true
}

// ended takes the service time of r; of a request that timed out it is at least
// that.
func (e *evidence) ended(r *request, now int64, exhausted bool) {
	e.moved = true
	x, y := float64(r.beside), float64(now-r.sent)
	if e.n == 0 || y < e.shortest {
		e.shortest = y
	}
	e.n++
	e.beside += x
	e.service += y
	e.besideSquared += x * x
	e.cross += x * y
	if exhausted {
		e.fullSum += y
		e.full++
	}
}

// waits ends a stretch of work. What a worker does that wakes and finds nothing
// to do is no cost of a request.
func (e *evidence) waits(now int64) {
	if e.moved && e.woke > 0 {
		e.working += now - e.woke
	}
	e.moved = false
}

func (e *evidence) add(o evidence) {
	if o.n > 0 && (e.n == 0 || o.shortest < e.shortest) {
		e.shortest = o.shortest
	}
	e.n += o.n
	e.beside += o.beside
	e.service += o.service
	e.besideSquared += o.besideSquared
	e.cross += o.cross
	e.fullSum += o.fullSum
	e.full += o.full
	e.flying += o.flying
	e.working += o.working
}

// rest is the service time at rest in seconds: what the line says of a request
// with none beside it. The few requests that really were alone are too few when
// a server is overloaded from the first instant; all those on the way there are
// enough. It is between the shortest and the mean one.
func (e *evidence) rest() float64 {
	if e.n == 0 {
		return 0
	}
	mean := e.service / e.n
	rest := mean
	if spread := e.besideSquared - e.beside*e.beside/e.n; spread > 0 {
		slope := (e.cross - e.beside*mean) / spread
		rest = mean - slope*e.beside/e.n
	}
	return min(max(rest, e.shortest), mean) / 1e9
}

// enough says whether so many connections carry so many requests per second
// when the server is as quick as at rest. By Little's law rate * service of
// them are busy on average; two square roots more leave a twentieth of the time
// in which a random arrival finds none (Halfin and Whitt, 1981, beta = 2).
func (e *evidence) enough(connections int, rate float64) bool {
	busy := rate * e.rest()
	return busy+2*math.Sqrt(busy) <= float64(connections)
}

// held is which share of the requests in flight was with the server, on average,
// while others waited for a connection; the answers of the rest had come and
// were not read. By Little's law the service times add up to the requests with
// the server integrated over time. The engine with the kernel's stamps knows
// when an answer came; the portable one takes it to have come when it was read.
func (e *evidence) held() float64 { return e.fullSum / max(1, e.flying) }

// slowdown is how many times longer than at rest the server took for a request
// while the pool was exhausted; 1 when there is too little to compare.
func (e *evidence) slowdown() float64 {
	if e.full < 5 || e.rest() == 0 {
		return 1
	}
	return e.fullSum / e.full / 1e9 / e.rest()
}

// The bounds of the self-diagnosis. A generator that met one of them may have
// measured itself instead of the server.
const (
	// maxBusy is the share of the time that a worker may use its CPU or wait for
	// it. Above it, requests queue in the generator (M/D/1: at 0.9 the mean wait
	// is 4.5 times the work for a request).
	maxBusy = 0.9
	// leastRequests is from how many requests on the share of the time says
	// something: three requests on a machine that pauses are not a busy worker.
	leastRequests = 100
	// leastWork is what no processor stays below for a request: two system calls
	// through the network stack. Of a few requests the measured work is that of
	// cold caches.
	leastWork = 1500 * time.Nanosecond
	// maxLagShare is the share of a response-time quantile that may be our own
	// lateness, as long as that is at least minLag.
	maxLagShare = 0.1
	minLag      = time.Millisecond
	// maxExhausted is the share of the run in which due requests may wait for a
	// connection of a pool that is too small.
	maxExhausted = 0.05
	// leastHeld is the share of the requests in flight that must have been with
	// the server, while the pool was exhausted, for the server to be the limit.
	leastHeld = 2. / 3
	// leastIdle is the share of the machine's CPU time that must be left for a
	// service on the same machine to be the limit by itself, when the generator
	// takes more than greedy of it: what it takes, the service has not. Two full
	// processors are idle up to a tenth of the time while threads wake one another.
	leastIdle = 0.15
	greedy    = 0.15
	// serverSlowdown is from how many times its service time at rest on the
	// server is the limit even of a pool that is too small: the same connections
	// would carry three times as much.
	serverSlowdown = 3
)

// diagnose returns why the result is the generator's rather than the server's,
// empty if it is not.
func (r *Result) diagnose() string {
	if reason := r.atLimit(); reason != "" || !r.Open {
		return reason
	}
	for _, reason := range []string{r.outpaced(), r.late(), r.readLate(), r.crowded(), r.poolTooSmall()} {
		if reason != "" {
			return reason
		}
	}
	return ""
}

// atLimit says whether a limit of the machine was met: its CPU, descriptors or
// ports.
func (r *Result) atLimit() string {
	t := r.total
	switch {
	case r.limits.descriptors:
		return fmt.Sprintf("out of file descriptors at %d connections; raise ulimit -n or lower --connections", r.MaxOpen)
	case r.limits.ports:
		return fmt.Sprintf("out of local ports at %d connections; the server closes connections, or net.ipv4.ip_local_port_range is small", r.MaxOpen)
	case r.Saturation > maxBusy && t.sent >= leastRequests:
		wait := float64(t.runDelay) / float64(t.busy+t.runDelay)
		return fmt.Sprintf("the generator was busy %.0f %% of the time, %.0f %% of it waiting for a CPU; give it more cores, or run it elsewhere", 100*r.Saturation, 100*wait)
	}
	return ""
}

// outpaced says whether the workers could not have kept up with the rate, were
// the server never so quick.
func (r *Result) outpaced() string {
	t := r.total
	if t.sent == 0 {
		return ""
	}
	work := leastWork
	if t.sent >= leastRequests {
		work = max(work, time.Duration(r.evidence.working/t.sent))
	}
	most := maxBusy * float64(r.Workers) / work.Seconds()
	if r.PeakRate <= most {
		return ""
	}
	return fmt.Sprintf("%.0f/s were asked for, but at %.1f µs of work for a request %d of its threads can send %.0f/s; lower the rate or add machines",
		r.PeakRate, float64(work)/1e3, r.Workers, most)
}

// late says whether requests left so late that it shows in response times.
func (r *Result) late() string {
	t := r.total
	for _, q := range []float64{50, 90, 99, 99.9} {
		if float64(t.answers())*(1-q/100) < 10 {
			break // a handful of late requests is no quantile
		}
		lag, response := t.lag.ValueAtPercentile(q), t.response.ValueAtPercentile(q)
		if lag > int64(minLag) && float64(lag) > maxLagShare*float64(response) {
			return fmt.Sprintf("requests left late: the p%g of the send lag is %s, of the response time %s", q, time.Duration(lag).Round(10*time.Microsecond), time.Duration(response).Round(10*time.Microsecond))
		}
	}
	return ""
}

// readLate says whether requests waited for connections on which the answer had
// come already.
func (r *Result) readLate() string {
	share, held := r.exhausted(), r.evidence.held()
	if share <= maxExhausted || held >= leastHeld || r.total.answers() == 0 {
		return ""
	}
	return fmt.Sprintf("requests waited for a connection %.0f %% of the time while only %.0f %% of those in flight were with the server: the answers of the rest waited for the generator; give it more cores, or run it elsewhere", 100*share, 100*held)
}

// crowded says whether requests waited for a service that shares this machine,
// all of whose processors were busy, with the generator.
func (r *Result) crowded() string {
	own := r.ownShare()
	if !r.shared || r.idle >= leastIdle || own < greedy || r.exhausted() <= maxExhausted {
		return ""
	}
	return fmt.Sprintf("all processors were busy, %.0f %% of their time with the generator, and the service is on the same machine; run the generator elsewhere", 100*own)
}

// poolTooSmall says whether requests waited for a connection although the
// server was not the limit.
func (r *Result) poolTooSmall() string {
	e := &r.evidence
	share := r.exhausted()
	if share <= maxExhausted || e.n == 0 {
		return ""
	}
	if !r.recorded && e.enough(r.MaxOpen*r.streams, r.PeakRate) || e.slowdown() >= serverSlowdown {
		return ""
	}
	text := fmt.Sprintf("the pool was exhausted %.0f %% of the time, at its size of %d", 100*share, r.MaxOpen)
	if !r.recorded {
		text += fmt.Sprintf(": at %s for a request alone %.0f/s keep %.2g of them busy", time.Duration(1e9*e.rest()).Round(time.Microsecond), r.PeakRate, r.PeakRate*e.rest())
	}
	return text + "; raise --max-connections"
}

// exhausted is the share of the run in which due requests waited for a
// connection.
func (r *Result) exhausted() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return min(1, float64(r.total.exhausted)/float64(r.Elapsed)/float64(r.Workers))
}
