package demo

import (
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A Target is an instance as the router sees it.
type Target struct {
	Name, Addr string // Addr is host:port
	Weight     int    // relative share of requests; none at 0
}

// A router is an HTTP server on 127.0.0.1 that spreads requests over targets
// by smooth weighted round robin, and tries a request that one of them refused
// with 503 once more on another.
type router struct {
	addr      string
	server    *http.Server
	transport *http.Transport

	mu      sync.Mutex
	targets []*target
	sent    map[string]int64 // requests by target, retries included
}

type target struct {
	Target
	current int // of the smooth round robin
}

// startRouter starts a router without targets; Set gives it some.
func startRouter() (*router, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("router: %w", err)
	}
	r := &router{addr: ln.Addr().String(), transport: newTransport(), sent: map[string]int64{}}
	r.server = &http.Server{Handler: r, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = r.server.Serve(ln) }() // always returns ErrServerClosed, on Close
	return r, nil
}

// newTransport keeps as many connections as an open loop can fill.
func newTransport() *http.Transport {
	return &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true, ResponseHeaderTimeout: 30 * time.Second}
}

// URL returns the address of the router.
func (r *router) URL() string { return "http://" + r.addr + "/" }

// Close stops the router; requests inside it fail.
func (r *router) Close() error {
	err := r.server.Close()
	r.transport.CloseIdleConnections()
	return err
}

// Set replaces the targets. Targets that stay keep their place in the round.
func (r *router) Set(targets []Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.targets
	r.targets = nil
	for _, t := range targets {
		next := &target{Target: t}
		if i := slices.IndexFunc(old, func(o *target) bool { return o.Name == t.Name }); i >= 0 {
			next.current = old[i].current
		}
		r.targets = append(r.targets, next)
	}
}

// Sent returns how many requests went to each target so far, retries included.
func (r *router) Sent() map[string]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.sent)
}

// pick returns the next target other than the one named avoid.
func (r *router) pick(avoid string) (Target, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	total := 0
	var best *target
	for _, t := range r.targets {
		if t.Weight <= 0 || t.Name == avoid {
			continue
		}
		t.current += t.Weight
		total += t.Weight
		if best == nil || t.current > best.current {
			best = t
		}
	}
	if best == nil {
		return Target{}, false
	}
	best.current -= total
	r.sent[best.Name]++
	return best.Target, true
}

// ServeHTTP forwards a request.
func (r *router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	t, ok := r.pick("")
	if !ok {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	resp, err := r.forward(req, t)
	if err == nil && resp.StatusCode == http.StatusServiceUnavailable {
		if other, ok := r.pick(t.Name); ok {
			closeBody(resp)
			resp, err = r.forward(req, other)
		}
	}
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer closeBody(resp)
	maps.Copy(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body) // a client that left is not our failure
}

func (r *router) forward(req *http.Request, t Target) (*http.Response, error) {
	out := req.Clone(context.WithoutCancel(req.Context()))
	out.URL.Scheme, out.URL.Host, out.RequestURI = "http", t.Addr, ""
	out.Body, out.ContentLength = nil, 0 // requests of the demo have none
	return r.transport.RoundTrip(out)
}

func closeBody(resp *http.Response) {
	_, _ = io.Copy(io.Discard, resp.Body) // so that the connection is used again
	_ = resp.Body.Close()
}
