package demo

import (
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// header names the instance that answered a request.
const header = "X-Instance"

// An Instance is an HTTP server on 127.0.0.1 whose law of service is known.
// Any path but /metrics and /tally is a request; it is answered with 200 when it is
// served and with 503 when the queue is full.
type Instance struct {
	name   string
	addr   string
	start  time.Time
	server *http.Server

	mu      sync.Mutex
	queue   queue
	timer   *time.Timer // fires at the due instant of queue.busy[0]
	armed   time.Duration
	metrics metrics
	ledger  []Outcome // a ring of the latest, next is the oldest once it is full
	next    int
}

// ledgerSize bounds the outcomes kept: 10 minutes at 800 requests a second.
const ledgerSize = 1 << 19

// An Outcome is what happened to one request of an instance.
type Outcome struct {
	Arrived  time.Time
	Response time.Duration // from arrival to the end of service; 0 if refused
	Refused  bool
}

// StartInstance starts an instance on a free port of 127.0.0.1. bound is a
// bucket bound of its latency histogram (that of the objective); seed decides
// its service times.
func StartInstance(name string, law Law, bound time.Duration, seed uint64) (*Instance, error) {
	return startInstanceAt("127.0.0.1:0", name, law, bound, seed)
}

// startInstanceAt is [StartInstance] on a given address.
func startInstanceAt(addr, name string, law Law, bound time.Duration, seed uint64) (*Instance, error) {
	if law.Workers < 1 || law.Service <= 0 || law.CV < 0 || law.Queue < 0 {
		return nil, fmt.Errorf("instance %s: law %+v: workers and service must be positive, cv and queue not negative", name, law)
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("instance %s: %w", name, err)
	}
	in := &Instance{name: name, addr: ln.Addr().String(), start: time.Now(), metrics: newMetrics(bound)}
	in.queue = queue{law: law, rng: rand.New(rand.NewPCG(seed, 0x1257)), served: in.served}
	in.timer = time.AfterFunc(time.Hour, in.tick)
	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", in.serveMetrics)
	mux.HandleFunc(tallyPath, in.serveTally)
	mux.HandleFunc("/", in.serve)
	in.server = &http.Server{Handler: mux, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = in.server.Serve(ln) }() // always returns ErrServerClosed, on Close
	return in, nil
}

// Name returns the name of the instance.
func (in *Instance) Name() string { return in.name }

// Addr returns its host:port.
func (in *Instance) Addr() string { return in.addr }

// MetricsURL returns the address of its Prometheus text endpoint.
func (in *Instance) MetricsURL() string { return "http://" + in.addr + "/metrics" }

// Close stops the server; requests inside it fail.
func (in *Instance) Close() error {
	in.timer.Stop()
	return in.server.Close()
}

func (in *Instance) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(header, in.name)
	j := in.arrive()
	if j == nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	select {
	case <-j.done:
		_, _ = io.WriteString(w, "ok\n") // a client that left is not our failure
	case <-r.Context().Done(): // the worker goes on: the work was accepted
	}
}

func (in *Instance) arrive() *job {
	in.mu.Lock()
	defer in.mu.Unlock()
	t := time.Since(in.start)
	j := in.queue.arrive(t)
	if j == nil {
		in.metrics.refused++
		in.keep(Outcome{Arrived: in.start.Add(t), Refused: true})
	}
	in.arm()
	return j
}

// tick releases what is due.
func (in *Instance) tick() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.armed = 0
	in.queue.advance(time.Since(in.start))
	in.arm()
}

// arm sets the timer to the earliest due instant. in.mu is held.
func (in *Instance) arm() {
	if len(in.queue.busy) == 0 || in.queue.busy[0].due == in.armed {
		return
	}
	in.armed = in.queue.busy[0].due
	in.timer.Reset(in.armed - time.Since(in.start))
}

// served is called by the queue, with in.mu held.
func (in *Instance) served(j *job) {
	in.metrics.observe(j.due-j.arrived, j.started-j.arrived)
	in.keep(Outcome{Arrived: in.start.Add(j.arrived), Response: j.due - j.arrived})
}

func (in *Instance) keep(o Outcome) {
	if len(in.ledger) < ledgerSize {
		in.ledger = append(in.ledger, o)
		return
	}
	in.ledger[in.next] = o
	in.next = (in.next + 1) % ledgerSize
}

// A Tally counts the requests of an instance in a span of time by outcome.
type Tally struct {
	Requests int
	Slow     int // served, but above the bound
	Refused  int
}

// Ratio returns the share of requests that were slow or refused.
func (t Tally) Ratio() float64 {
	if t.Requests == 0 {
		return 0
	}
	return float64(t.Slow+t.Refused) / float64(t.Requests)
}

// Tally counts the requests that arrived in [from, to) and have ended, by the
// law of the instance rather than by when a timer let the response go. The
// latest 500,000 requests are known.
func (in *Instance) Tally(from, to time.Time, bound time.Duration) Tally {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.queue.advance(time.Since(in.start))
	var t Tally
	for _, o := range in.ledger {
		if o.Arrived.Before(from) || !o.Arrived.Before(to) {
			continue
		}
		t.Requests++
		switch {
		case o.Refused:
			t.Refused++
		case o.Response > bound:
			t.Slow++
		}
	}
	return t
}

func (in *Instance) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	in.mu.Lock()
	t := time.Since(in.start)
	in.queue.advance(t)
	in.arm()
	cpu := in.queue.law.CPUShare * in.queue.workerTime(t).Seconds()
	text := in.metrics.text(len(in.queue.waiting), len(in.queue.busy), cpu, in.queue.law)
	in.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text)
}
