// Package load sends requests to a service at a rate that the service cannot
// slow down, and counts what becomes of each.
//
// [Start] takes [Options] and returns a running [Generator], whose rate can be
// steered; [Generator.Wait] returns the [Result]. With stages of rates the loop
// is open: request i is due when the integral of the rate curve reaches i, its
// response time counts from that instant, and a request that finds no free
// connection waits and is never dropped. Without stages the loop is closed:
// every connection sends its next request when the answer has come.
//
// Memory does not grow with the number of requests: two histograms hold the
// response times (from the due instant) and the service times (from the
// sending). Every due request is counted once, as an answer by status or as a
// [Failure] by kind.
//
// The package decides whether the generator itself was the limit; it never
// decides whether the service is good enough.
//
//	g, err := load.Start(ctx, load.Options{
//		Targets: []load.Target{{URL: u}}, Stages: load.Constant(5000, 10*time.Second), Connections: 64})
//	if err != nil { ... }
//	result := g.Wait()
package load

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Protocol is how requests are framed.
type Protocol uint8

// The protocols. HTTP2 on an http URL is h2c with prior knowledge.
const (
	HTTP1 Protocol = iota
	HTTP2
	GRPC
)

// Options say what to send, how fast and for how long. The zero value of a
// field means its documented default.
type Options struct {
	Targets  []Target // at least one, all of one scheme and host
	Protocol Protocol

	Stages   []Stage       // rate over time; none: a closed loop
	Poisson  bool          // random arrivals instead of evenly spaced ones
	Seed     uint64        // of random arrivals
	Duration time.Duration // of a closed loop; 10 s. An open loop lasts as long as its stages
	Requests int64         // end after so many requests; 0: the time decides
	Warmup   time.Duration // before the first stage, at its first rate; not counted

	Connections    int           // pool opened before the start; 50
	MaxConnections int           // up to which the pool may grow; see growth
	Streams        int           // requests in flight on a connection of HTTP2 and GRPC; 100
	Timeout        time.Duration // of one request, from its sending; 10 s
	Workers        int           // threads; by default as many as the rate needs
	TLS            *tls.Config   // of https URLs
	Portable       bool          // use the net package even where a faster engine exists

	Every      time.Duration  // length of an interval; 1 s
	OnInterval func(Interval) // called at the end of each interval
	Recording  *Recording     // requests with their own instants, instead of Stages and Targets
}

// ratePerWorker is the rate from which one thread alone would be busy more than a
// third of the time: 15 µs for a request is three times what it takes.
const ratePerWorker = 25000

// deliberate is the number of connections below which --connections is taken
// as a limit that the user wants, so that the pool does not grow by default.
const deliberate = 16

func (o *Options) defaults() error {
	if o.Recording != nil {
		o.Targets = []Target{o.Recording.Base}
	}
	if len(o.Targets) == 0 {
		return errors.New("no target")
	}
	for _, t := range o.Targets {
		if err := t.check(); err != nil {
			return err
		}
		if t.URL.Host != o.Targets[0].URL.Host || t.URL.Scheme != o.Targets[0].URL.Scheme {
			return fmt.Errorf("targets %s://%s and %s://%s: one run loads one host", o.Targets[0].URL.Scheme, o.Targets[0].URL.Host, t.URL.Scheme, t.URL.Host)
		}
	}
	if o.Duration <= 0 {
		o.Duration = 10 * time.Second
		if len(o.Stages) == 0 && o.Requests > 0 {
			o.Duration = math.MaxInt64 / 4
		}
	}
	given := o.Connections > 0
	if !given {
		o.Connections = 50
	}
	if o.Requests > 0 && len(o.Stages) == 0 {
		o.Connections = int(min(int64(o.Connections), o.Requests))
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = o.Connections
		if (len(o.Stages) > 0 || o.Recording != nil) && o.Connections >= deliberate {
			o.MaxConnections = 4 * o.Connections
		}
	}
	o.MaxConnections = max(o.MaxConnections, o.Connections)
	if o.Streams <= 0 {
		o.Streams = 100
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Every <= 0 {
		o.Every = time.Second
	}
	peak := 0.0
	for _, s := range o.Stages {
		peak = max(peak, s.From, s.To)
	}
	if o.Workers <= 0 {
		o.Workers = runtime.NumCPU()
		if len(o.Stages) > 0 {
			o.Workers = min(o.Workers, 1+int(peak/ratePerWorker))
		}
		if o.Recording != nil {
			o.Workers = 1
		}
	}
	o.Workers = min(o.Workers, o.Connections)
	return nil
}

// A Generator is a running load test.
type Generator struct {
	cfg     *config
	options Options
	steer   *steered
	stop    atomic.Int64
	grace   atomic.Int64
	workers []*worker
	collect *collector
	done    chan struct{}
	result  *Result
	rates   sync.Mutex
	rate    float64
	peak    float64 // highest rate asked for
	paused  bool
	log     <-chan recordedItem // of a replay
	machine cpuTotal            // at the start
}

// ErrDescriptors says that the limit of open files is below the number of
// connections asked for.
var ErrDescriptors = errors.New("too few file descriptors")

// reserve is how many descriptors the program needs besides its connections.
const reserve = 32

// Start resolves the host, opens the pool and begins. When ctx ends, nothing
// more falls due and the run ends within a second. An error says that the run
// did not start; a host that refuses every connection is no error, its requests
// count as failures.
func Start(ctx context.Context, o Options) (*Generator, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	if limit := descriptors(); limit > 0 && o.Connections+reserve > limit {
		return nil, fmt.Errorf("%w: %d connections need %d, the limit is %d", ErrDescriptors, o.Connections, o.Connections+reserve, limit)
	}
	g := &Generator{options: o, done: make(chan struct{})}
	if err := g.configure(ctx); err != nil {
		return nil, err
	}
	// A worker's thread may hold its processor for a while; collector, screen
	// and signals need others.
	if procs := int(threads.Add(int64(len(g.workers)))) + 2; runtime.GOMAXPROCS(0) < procs {
		runtime.GOMAXPROCS(procs)
	}
	ready := make(chan error, len(g.workers))
	begin := make(chan struct{})
	var failed error // of an engine; fixed when begin is closed
	var running sync.WaitGroup
	limit := time.Since(g.cfg.epoch) + min(o.Timeout, prewarmLimit)
	for _, w := range g.workers {
		running.Add(1)
		go func() {
			defer running.Done()
			io, err := g.driver(w)
			if err != nil {
				ready <- err
				return
			}
			w.io = io
			defer w.close()
			w.prewarm(int64(limit))
			ready <- nil
			<-begin
			if failed == nil {
				w.run()
			}
		}()
	}
	for range g.workers {
		failed = cmp.Or(<-ready, failed)
	}
	if failed != nil {
		close(begin) // the others have connections to close
		running.Wait()
		threads.Add(-int64(len(g.workers)))
		return nil, fmt.Errorf("start the engine: %w", failed)
	}
	g.launch()
	close(begin)
	go func() {
		select {
		case <-ctx.Done():
			g.Stop()
		case <-g.done:
		}
	}()
	go func() {
		running.Wait()
		threads.Add(-int64(len(g.workers)))
		close(g.collect.in)
	}()
	go g.collect.run()
	return g, nil
}

// threads is how many workers run in this process, of all generators.
var threads atomic.Int64

// prewarmLimit is how long the opening of the pool may take before the run
// starts with what is there.
const prewarmLimit = 5 * time.Second

// configure builds what the workers share.
func (g *Generator) configure(ctx context.Context) error {
	o := &g.options
	first := o.Targets[0].URL
	port := first.Port()
	secure := first.Scheme == "https" || first.Scheme == "grpcs"
	if port == "" {
		port = "80"
		if secure {
			port = "443"
		}
	}
	lookup, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	addresses, err := resolve(lookup, first.Hostname(), port)
	if err != nil {
		return err
	}
	cfg := &config{
		epoch: time.Now(), addresses: addresses, order: order(o.Targets), workers: o.Workers,
		timeout: int64(o.Timeout), every: int64(o.Every), streams: o.Streams,
		http2: o.Protocol != HTTP1, grpc: o.Protocol == GRPC, secure: secure, open: len(o.Stages) > 0 || o.Recording != nil, tls: o.TLS,
		host:   first.Hostname(),
		growth: 5 * float64(o.Connections) / float64(o.Workers),
	}
	for _, t := range o.Targets {
		cfg.targets = append(cfg.targets, t.wire(cfg.http2, cfg.grpc))
	}
	if o.Recording != nil {
		if g.log, err = o.Recording.open(ctx, cfg.http2, cfg.grpc); err != nil {
			return err
		}
	}
	g.cfg = cfg
	g.grace.Store(int64(o.Timeout))
	g.collect = newCollector(g)
	for i := range o.Workers {
		size := share(o.Connections, i, o.Workers)
		w := &worker{
			id: i, cfg: cfg, size: size, max: share(o.MaxConnections, i, o.Workers), turn: i,
			st: newBlock(len(o.Targets)), spare: make(chan *block, 4), out: g.collect.in, stop: &g.stop, grace: &g.grace,
		}
		w.turn %= len(cfg.order)
		g.workers = append(g.workers, w)
	}
	return nil
}

// streamsPerConn is how many requests a connection carries at once.
func (c *config) streamsPerConn() int {
	if c.http2 {
		return c.streams
	}
	return 1
}

// share splits n into parts as equal as can be.
func share(n, part, parts int) int { return n/parts + min(1, max(0, n%parts-part)) }

// launch fixes the instant of the start and gives the workers their schedules.
func (g *Generator) launch() {
	o, cfg := &g.options, g.cfg
	g.machine = readCPUTotal()
	cfg.start = int64(time.Since(cfg.epoch)) + int64(time.Millisecond)
	cfg.warmup = cfg.start + int64(o.Warmup)
	length := o.Duration
	perWorker := int64(math.MaxInt64)
	if o.Recording != nil {
		g.stop.Store(cfg.start + math.MaxInt64/4)
		g.workers[0].src = &recorded{in: g.log, cfg: cfg}
		return
	}
	if len(o.Stages) == 0 {
		g.stop.Store(cfg.warmup + int64(length))
		for i, w := range g.workers {
			w.left = math.MaxInt64
			if o.Requests > 0 {
				w.left = int64(share(int(o.Requests), i, len(g.workers)))
			}
		}
		return
	}
	stages := o.Stages
	if o.Warmup > 0 {
		stages = append([]Stage{{stages[0].From, stages[0].From, o.Warmup}}, stages...)
	}
	p := newPlan(stages)
	warm := p.find(float64(o.Warmup)).at(float64(o.Warmup))
	_, length = Total(stages)
	for i := range p.segments {
		p.segments[i].t += float64(cfg.start)
	}
	if o.Requests > 0 {
		length = p.lasts(warm+float64(o.Requests), float64(cfg.start), o.Poisson)
	}
	g.collect.warm = warm
	g.steer = &steered{}
	g.steer.now.Store(p)
	g.rate = p.rate(float64(cfg.start))
	for _, s := range stages {
		g.peak = max(g.peak, s.From, s.To)
	}
	g.stop.Store(cfg.start + int64(length))
	for i, w := range g.workers {
		if o.Requests > 0 {
			perWorker = int64(share(int(o.Requests)+int(warm), i, len(g.workers)))
		}
		var random *rand.Rand
		if o.Poisson {
			random = rand.New(rand.NewPCG(o.Seed, uint64(i)))
		}
		w.src = newScheduled(g.steer, i, len(g.workers), perWorker, math.MaxInt64, random)
	}
}

// lasts returns how long it takes, from start, until n requests are due. Random
// arrivals get six standard deviations more.
func (p *plan) lasts(n, start float64, poisson bool) time.Duration {
	if poisson {
		n += 6*math.Sqrt(n) + 10
	}
	for _, s := range p.segments {
		if n <= s.end() && s.end() > s.x {
			return time.Duration(s.when(n)-start) + 1
		}
	}
	return math.MaxInt64 / 4 // the rate ends at zero: the user ends the run
}

// SetRate makes rate, in requests per second, hold from now on. A closed loop
// has no rate to set.
func (g *Generator) SetRate(rate float64) {
	g.rates.Lock()
	defer g.rates.Unlock()
	g.rate, g.peak = rate, max(g.peak, rate)
	if g.steer != nil && !g.paused {
		g.steer.set(float64(time.Since(g.cfg.epoch)), rate)
	}
}

// Pause stops and continues the schedule: nothing falls due meanwhile.
func (g *Generator) Pause(paused bool) {
	g.rates.Lock()
	defer g.rates.Unlock()
	if g.steer == nil || g.paused == paused {
		return
	}
	g.paused = paused
	now := float64(time.Since(g.cfg.epoch))
	if paused {
		g.rate = g.steer.now.Load().rate(now)
		g.steer.set(now, 0)
	} else {
		g.steer.set(now, g.rate)
	}
}

// Rate returns the rate in force, in requests per second; 0 in a closed loop.
func (g *Generator) Rate() float64 {
	if g.steer == nil {
		return 0
	}
	return g.steer.now.Load().rate(float64(time.Since(g.cfg.epoch)))
}

// Stop ends the run early: nothing more falls due, and what is in flight gets
// a second at most.
func (g *Generator) Stop() {
	now := int64(time.Since(g.cfg.epoch))
	g.grace.Store(int64(min(g.options.Timeout, time.Second)))
	for old := g.stop.Load(); old > now && !g.stop.CompareAndSwap(old, now); old = g.stop.Load() {
	}
}

// Wait returns the result when every due request has been counted.
func (g *Generator) Wait() *Result {
	<-g.done
	return g.result
}

// driver chooses the engine of a worker.
func (g *Generator) driver(w *worker) (driver, error) {
	if fastEngine && !g.cfg.secure && !g.options.Portable {
		return newEpollDriver(w)
	}
	return newNetDriver(w), nil
}

// IsDNS reports whether err says that a host has no address.
func IsDNS(err error) bool {
	var e *net.DNSError
	return errors.As(err, &e)
}

// Unresolved is the result of a run whose host has no address, as err says:
// every request that would have fallen due has failed. Of a closed loop that
// is one for each connection, of a recording none that is known.
func Unresolved(o Options, err error) *Result {
	_ = o.defaults() // Start has accepted them
	r := &Result{Open: len(o.Stages) > 0 || o.Recording != nil, Protocol: o.Protocol, Targets: o.Targets, total: newBlock(len(o.Targets)), Engine: "net", LastError: err}
	due := int64(o.Connections)
	if len(o.Stages) > 0 {
		n, length := Total(o.Stages)
		due, r.Planned = int64(math.Ceil(n-1e-6)), length
	}
	switch {
	case o.Recording != nil:
		due = 0
	case o.Requests > 0 && r.Open:
		due = min(due, o.Requests)
	case o.Requests > 0:
		due = o.Requests
	}
	r.total.due, r.total.failed[DNS] = due, due
	return r
}

// Origin is the scheme, host and port of a target, as people write it.
func (t Target) Origin() string { return strings.TrimSuffix(t.URL.Scheme+"://"+t.URL.Host, "/") }

// Pool returns how many connections were asked for, and up to how many the
// pool may grow.
func (g *Generator) Pool() (prewarmed, max int) {
	return g.options.Connections, g.options.MaxConnections
}
