// Package naming knows which instances a service has, which share of its
// requests each of them gets, and how to change that without leaving a trace.
//
// A [Registry] is a name service or a load balancer: it lists instances, sets
// their weights by compare-and-swap and may give statistics. Backends live in
// packages below this one (naming/file, naming/haproxy) and import only this
// one. A [Shift] is a weight change that undoes itself: recorded before it is
// made, leased while it lasts, restored on request, on expiry and after a crash.
//
//	shift, err := naming.Begin(ctx, registry, "checkout", "a", naming.Options{
//		StateDir: dir,
//		Watchdog: func(journal string) *exec.Cmd { return exec.Command(self, "watchdog", journal) },
//	})
//	if err != nil {
//		return err
//	}
//	defer shift.Restore(context.WithoutCancel(ctx))
//	actual, err := shift.SetShare(ctx, 0.5) // half of the requests of checkout
//
// The package never changes a weight that it has not journaled, and never
// overwrites a weight that somebody else has set meanwhile.
package naming

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Layer is the operational class of a service.
type Layer string

// The layers. A registry that does not know the layer of a service says "".
const (
	Access  Layer = "access"  // takes connections in, holds no data
	Logic   Layer = "logic"   // short-lived cache and static data only
	Storage Layer = "storage" // keeps data, routed automatically
)

// ParseLayer returns the layer called s.
func ParseLayer(s string) (Layer, error) {
	switch l := Layer(s); l {
	case Access, Logic, Storage:
		return l, nil
	}
	return "", fmt.Errorf("layer %q is not access, logic or storage", s)
}

// A Weight is a relative share of requests: an instance gets its weight over
// the sum of the weights of its service. 0 takes no new requests.
type Weight int

// A Health says whether an instance can take requests.
type Health string

// The states of health.
const (
	Unchecked   Health = "no check" // nobody checks it; counts as healthy
	Up          Health = "up"
	Down        Health = "down"
	Draining    Health = "drain" // finishes what it has
	Maintenance Health = "maint" // taken out by a person
)

// OK reports whether the instance counts as healthy.
func (h Health) OK() bool { return h == Up || h == Unchecked }

// An Instance is one process of a service.
type Instance struct {
	Service string
	Name    string
	Address string // host:port, or the path of a socket
	Layer   Layer
	Weight  Weight
	Health  Health
	Detail  string // health in the registry's own words: "L4OK", "UP 1/3"
}

// ID returns "service/instance".
func (i Instance) ID() string { return i.Service + "/" + i.Name }

// Condition returns the health in words, with what the registry itself says of it.
func (i Instance) Condition() string {
	text := string(i.Health)
	switch i.Health {
	case Draining:
		text = "draining"
	case Maintenance:
		text = "in maintenance"
	}
	if i.Detail == "" || strings.EqualFold(i.Detail, string(i.Health)) {
		return text
	}
	return text + " (" + i.Detail + ")"
}

// ParseID splits "service/instance". An instance may hold further slashes.
func ParseID(id string) (service, instance string, err error) {
	service, instance, ok := strings.Cut(id, "/")
	if !ok || service == "" || instance == "" {
		return "", "", fmt.Errorf("%q is not of the form SERVICE/INSTANCE", id)
	}
	return service, instance, nil
}

// A Change is one write: the weight goes From what is there now To another.
type Change struct {
	Instance string `json:"instance"`
	From     Weight `json:"from"`
	To       Weight `json:"to"`
}

// Stats are the running counters of one instance as its registry sees them.
// A value that the registry does not have is -1.
type Stats struct {
	Service, Instance string

	InFlight  int64         // requests (HTTP) or connections at the instance now
	Limit     int64         // most that may be in flight (HAProxy maxconn), -1 without a limit
	Backlog   int64         // waiting in the queue of this instance now
	Waiting   int64         // waiting in the queue of the whole service now, not yet given to an instance
	Rate      int64         // requests or connections in the last second
	Sessions  int64         // requests or connections since the registry started
	Requests  int64         // HTTP requests since the registry started
	Status    [6]int64      // responses 1xx..5xx at 1..5, others at 0; counted since the start
	Connects  int64         // errors: connections that failed
	Responses int64         // errors: responses that failed (aborted by the instance too)
	Retries   int64         // connections tried again
	Redirects int64         // requests given to another instance after a failure
	Idle      time.Duration // since the last request, -1 if there was none

	// Means over the last 1,024 requests of the instance, however old they
	// are: at 100 requests a second they lag by several seconds.
	QueueTime, ConnectTime, ResponseTime, TotalTime time.Duration
}

// A Registry lists instances and sets their weights. Implementations are safe
// for concurrent use.
type Registry interface {
	// Address returns the canonical form of the registry's URL. Opening it
	// again leads to the same registry; locks are keyed by it.
	Address() string

	// MaxWeight is the largest weight the registry takes. The least is 0.
	MaxWeight() Weight

	// List returns all instances, ordered by service and then in the order
	// of the registry.
	List(ctx context.Context) ([]Instance, error)

	// Watch calls notify with the list at first and after every change, until
	// ctx ends (nil) or the registry cannot be read for longer than it
	// tolerates (an error).
	Watch(ctx context.Context, notify func([]Instance)) error

	// SetWeights writes the changes in order, back to back, or all at once
	// where the registry can. An instance may occur several times, then each
	// From is the To before it. Nothing is written when the weight of an
	// instance is not its first From: the error is then a *ConflictError.
	// The weights read back afterwards are returned. A ctx that ends between
	// the first write and the last does not stop the writes.
	SetWeights(ctx context.Context, service string, changes []Change) (map[string]Weight, error)

	// Stats returns the counters of the instances of a service, or ErrNoStats.
	Stats(ctx context.Context, service string) ([]Stats, error)

	// Close releases what the registry holds. It changes no weight.
	Close() error
}

// A Balancer is a registry that distributes the requests itself, and tells how.
type Balancer interface {
	// Balance returns by which rule the registry chooses an instance of the
	// service, in its own words ("roundrobin"); "" if it does not tell.
	Balance(ctx context.Context, service string) (string, error)
}

// A Restarter is a registry whose process may start anew with weights older than
// those written last, as a load balancer does that loads a saved state.
type Restarter interface {
	// Process returns what tells the running process from others, and for how
	// long it has run, to the second.
	Process(ctx context.Context) (id string, uptime time.Duration, err error)
}

// An Opener opens the registry at a canonical address.
type Opener func(ctx context.Context, address string) (Registry, error)

// Errors of registries and shifts; test for them with errors.Is.
var (
	ErrConflict    = errors.New("changed by somebody else")
	ErrNoStats     = errors.New("the registry has no statistics")
	ErrUnknown     = errors.New("not in the registry")
	ErrUnsuitable  = errors.New("not fit for a weight change")
	ErrBusy        = errors.New("another weight change is under way")
	ErrLeaseLost   = errors.New("the lease is lost")
	ErrUnreachable = errors.New("the registry cannot be reached")
	ErrVersion     = errors.New("the registry's version is not supported")
	ErrJournal     = errors.New("not a journal that this wxops reads")
	ErrDenied      = errors.New("the registry does not permit it")
)

// A ConflictError says that a weight is not what we last wrote or read.
type ConflictError struct {
	Instance    string // service/instance
	Want, Found Weight
	Written     bool // the conflict was seen after our write
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("the weight of %s is %d, expected %d: %v", e.Instance, e.Found, e.Want, ErrConflict)
}

// Unwrap returns ErrConflict.
func (e *ConflictError) Unwrap() error { return ErrConflict }

// An UnknownError names a service or instance that the registry does not have,
// and those it has, so that a command can suggest the closest.
type UnknownError struct {
	Kind  string // "service" or "instance"
	Name  string
	Known []string
}

func (e *UnknownError) Error() string { return fmt.Sprintf("%s %q is %v", e.Kind, e.Name, ErrUnknown) }

// Unwrap returns ErrUnknown.
func (e *UnknownError) Unwrap() error { return ErrUnknown }

// Find returns the instances of a service and the index of one of them. An
// empty instance finds the service alone, with index -1. The error is an
// *UnknownError.
func Find(all []Instance, service, instance string) (of []Instance, index int, err error) {
	index = -1
	var services, names []string
	for _, in := range all {
		if len(services) == 0 || services[len(services)-1] != in.Service {
			services = append(services, in.Service)
		}
		if in.Service != service {
			continue
		}
		if in.Name == instance {
			index = len(of)
		}
		of = append(of, in)
		names = append(names, in.ID())
	}
	switch {
	case len(of) == 0:
		return nil, -1, &UnknownError{Kind: "service", Name: service, Known: services}
	case index < 0 && instance != "":
		return nil, -1, &UnknownError{Kind: "instance", Name: service + "/" + instance, Known: names}
	}
	return of, index, nil
}
