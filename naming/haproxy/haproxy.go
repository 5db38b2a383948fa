// Package haproxy is a registry in a running HAProxy, by its runtime API over a
// Unix socket or TCP ("stats socket ... level admin"). A service is a backend,
// an instance a server.
//
// Weights are those set by "set server"; 0..256. They hold until HAProxy is
// reloaded or restarted, which brings back those of its configuration. HAProxy
// has no compare-and-swap: weights are read, compared, and written and read back
// in one line of commands, so a change made by somebody else is overwritten only
// if it falls into the time between two calls, under a millisecond.
//
// Trap: with maxconn on a server, a saturated one hands its requests to its
// peers and its own queue stays empty. Then the signal is that the share of
// requests it serves is below its share of weight; see naming.Stats and the
// "served share" in docs/operations.md.
//
// HAProxy 2.4 or later is required.
package haproxy

import (
	"context"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/wxops/wxops/naming"
)

// MaxWeight is the largest weight of a server.
const MaxWeight naming.Weight = 256

// pollEvery is how often Watch asks; HAProxy tells nobody of changes by itself.
const pollEvery = 250 * time.Millisecond

// tolerate is how long Watch accepts silence: a reload takes below a second.
const tolerate = 5 * time.Second

// batchBytes keeps a line of commands below half of HAProxy's default buffer.
const batchBytes = 7000

// word is what HAProxy accepts in names of backends and servers; checked so
// that no name can carry a command.
var word = regexp.MustCompile(`^[A-Za-z0-9_.:-]+$`)

// Config says which HAProxy is meant.
type Config struct {
	Network  string       // "unix" or "tcp"
	Address  string       // path of the socket, or host:port
	Backends []string     // only these; all if empty
	Layer    naming.Layer // of all services, "" if unknown
}

// A Registry is a running HAProxy. It keeps no connection open.
type Registry struct {
	client   client
	backends []string
	layer    naming.Layer
}

var (
	_ naming.Registry  = (*Registry)(nil)
	_ naming.Balancer  = (*Registry)(nil)
	_ naming.Restarter = (*Registry)(nil)
)

// Open checks that HAProxy answers and that its release is supported.
func Open(ctx context.Context, c Config) (*Registry, error) {
	switch c.Network {
	case "unix":
		abs, err := filepath.Abs(c.Address)
		if err != nil {
			return nil, fmt.Errorf("open haproxy: %w", err)
		}
		if real, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
			abs = filepath.Join(real, filepath.Base(abs)) // one socket, one lock
		}
		c.Address = abs
	case "tcp":
		if _, _, err := net.SplitHostPort(c.Address); err != nil {
			return nil, fmt.Errorf("open haproxy: %w", err)
		}
	default:
		return nil, fmt.Errorf("open haproxy: network %q is not unix or tcp", c.Network)
	}
	r := &Registry{client{c.Network, c.Address}, c.Backends, c.Layer}
	info, err := r.client.exchange(ctx, "show info")
	if err != nil {
		return nil, err
	}
	major, minor, text, err := parseVersion(info)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", r.Address(), naming.ErrVersion, err)
	}
	if major < 2 || major == 2 && minor < 4 {
		return nil, fmt.Errorf("%s: %w: it is %s, 2.4 or later is needed", r.Address(), naming.ErrVersion, text)
	}
	return r, nil
}

// Address returns haproxy:unix:PATH or haproxy:tcp:HOST:PORT, without the
// choice of backends: tests of one HAProxy exclude each other by service.
func (r *Registry) Address() string { return "haproxy:" + r.client.network + ":" + r.client.address }

// MaxWeight returns 256.
func (r *Registry) MaxWeight() naming.Weight { return MaxWeight }

// Close does nothing.
func (r *Registry) Close() error { return nil }

// List returns the servers of the chosen backends, by backend and then in the
// order of the configuration.
func (r *Registry) List(ctx context.Context) ([]naming.Instance, error) {
	text, err := r.client.exchange(ctx, "show servers state")
	if err != nil {
		return nil, err
	}
	servers, err := parseServers(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Address(), err)
	}
	rows, _, err := r.stats(ctx)
	if err != nil {
		return nil, err
	}
	var out []naming.Instance
	for _, s := range servers {
		if len(r.backends) > 0 && !slices.Contains(r.backends, s.backend) {
			continue
		}
		address := s.address
		if s.port > 0 {
			address = net.JoinHostPort(s.address, fmt.Sprint(s.port))
		}
		stat := rows[s.backend+"/"+s.name]
		detail := strings.TrimSpace(stat.status + " " + stat.check)
		if stat.agent {
			detail += " (an agent may change the weight)"
		}
		out = append(out, naming.Instance{
			Service: s.backend, Name: s.name, Address: address, Layer: r.layer, Weight: s.weight,
			Health: health(s.admin, stat.status), Detail: detail,
		})
	}
	slices.SortStableFunc(out, func(a, b naming.Instance) int { return strings.Compare(a.Service, b.Service) })
	return out, nil
}

func (r *Registry) stats(ctx context.Context) (map[string]row, map[string]backend, error) {
	text, err := r.client.exchange(ctx, "show stat")
	if err != nil {
		return nil, nil, err
	}
	rows, backends, err := parseStats(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", r.Address(), err)
	}
	return rows, backends, nil
}

// Stats returns the counters of the servers of a backend, by name. Requests are
// sessions of the server in HTTP mode, and -1 in TCP mode.
func (r *Registry) Stats(ctx context.Context, service string) ([]naming.Stats, error) {
	rows, backends, err := r.stats(ctx)
	if err != nil {
		return nil, err
	}
	var out []naming.Stats
	for _, row := range rows {
		if row.Service == service {
			s := row.Stats
			s.Waiting = -1
			if b, ok := backends[service]; ok {
				s.Waiting = b.queue
			}
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return nil, unknown(service, backends)
	}
	slices.SortFunc(out, func(a, b naming.Stats) int { return strings.Compare(a.Instance, b.Instance) })
	return out, nil
}

// unknown says that there is no such backend.
func unknown(service string, backends map[string]backend) error {
	return &naming.UnknownError{Kind: "service", Name: service, Known: slices.Sorted(maps.Keys(backends))}
}

// Process returns the process ID of HAProxy and for how long it has run.
func (r *Registry) Process(ctx context.Context) (id string, uptime time.Duration, err error) {
	info, err := r.client.exchange(ctx, "show info")
	if err != nil {
		return "", 0, err
	}
	if id, uptime, err = parseProcess(info); err != nil {
		return "", 0, fmt.Errorf("%s: %w", r.Address(), err)
	}
	return id, uptime, nil
}

// Balance returns the "balance" of a backend: roundrobin, leastconn, source, ...
// It is "" on a socket below level operator, and for random, which HAProxy 2.6
// itself calls unknown.
func (r *Registry) Balance(ctx context.Context, service string) (string, error) {
	_, backends, err := r.stats(ctx)
	if err != nil {
		return "", err
	}
	b, ok := backends[service]
	switch {
	case !ok:
		return "", unknown(service, backends)
	case b.algo == "unknown":
		return "", nil
	}
	return b.algo, nil
}

// SetWeights compares, writes and reads back. The writes of one call go out as
// one line, or as few lines as HAProxy's buffer allows.
func (r *Registry) SetWeights(ctx context.Context, service string, changes []naming.Change) (map[string]naming.Weight, error) {
	if !word.MatchString(service) {
		return nil, fmt.Errorf("set weights: service %q is no name of a backend", service)
	}
	var names []string
	for _, c := range changes {
		if !word.MatchString(c.Instance) {
			return nil, fmt.Errorf("set weights: instance %q is no name of a server", c.Instance)
		}
		if !slices.Contains(names, c.Instance) {
			names = append(names, c.Instance)
		}
	}
	now, err := r.weights(ctx, service, names)
	if err != nil {
		return nil, err
	}
	if err := naming.CheckBefore(service, changes, now, MaxWeight); err != nil {
		return nil, fmt.Errorf("set weights: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx) // half of the writes would be worse than all
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var commands []string
	for _, c := range changes {
		commands = append(commands, fmt.Sprintf("set server %s/%s weight %d", service, c.Instance, c.To))
	}
	answers, err := r.batches(ctx, append(commands, getWeights(service, names)...)) // read back on the same connection
	if err != nil {
		return nil, err
	}
	for k, command := range commands {
		if answers[k] != "" {
			return nil, fmt.Errorf("haproxy refuses %q: %w", command, refusal(answers[k]))
		}
	}
	back, err := weightsFrom(service, names, answers[len(commands):])
	if err != nil {
		return nil, err
	}
	return back, naming.CheckAfter(service, changes, back)
}

// refusal gives an answer of HAProxy the error it stands for.
func refusal(answer string) error {
	switch {
	case strings.HasPrefix(answer, "Permission denied"):
		return fmt.Errorf("%w: %s (the socket needs \"level admin\")", naming.ErrDenied, first(answer))
	case strings.Contains(answer, "static LB algorithm"):
		return fmt.Errorf("%w: %s (use balance roundrobin or leastconn)", naming.ErrUnsuitable, first(answer))
	case strings.HasPrefix(answer, "No such"), strings.HasPrefix(answer, "Unknown "):
		return fmt.Errorf("%w: %s", naming.ErrUnknown, first(answer))
	}
	return fmt.Errorf("%s", first(answer))
}

// weights reads the weights in force of some servers of a backend.
func (r *Registry) weights(ctx context.Context, service string, names []string) (map[string]naming.Weight, error) {
	answers, err := r.batches(ctx, getWeights(service, names))
	if err != nil {
		return nil, err
	}
	return weightsFrom(service, names, answers)
}

func getWeights(service string, names []string) []string {
	var commands []string
	for _, n := range names {
		commands = append(commands, "get weight "+service+"/"+n)
	}
	return commands
}

// weightsFrom reads the answers to getWeights.
func weightsFrom(service string, names, answers []string) (map[string]naming.Weight, error) {
	out := make(map[string]naming.Weight, len(names))
	for k, n := range names {
		var err error
		if out[n], err = parseWeight(answers[k]); err != nil {
			return nil, fmt.Errorf("haproxy refuses %q: %w", "get weight "+service+"/"+n, refusal(answers[k]))
		}
	}
	return out, nil
}

// batches sends commands in lines that fit HAProxy's buffer.
func (r *Registry) batches(ctx context.Context, commands []string) ([]string, error) {
	var answers []string
	for len(commands) > 0 {
		n, size := 0, 0
		for n < len(commands) && (n == 0 || size+len(commands[n])+1 <= batchBytes) {
			size += len(commands[n]) + 1
			n++
		}
		some, err := r.client.batch(ctx, commands[:n])
		if err != nil {
			return answers, err
		}
		answers = append(answers, some...)
		commands = commands[n:]
	}
	return answers, nil
}

// Watch asks four times a second and tells of changes.
func (r *Registry) Watch(ctx context.Context, notify func([]naming.Instance)) error {
	return naming.Poll(ctx, pollEvery, tolerate, r.List, notify)
}
