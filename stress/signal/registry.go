package signal

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/wxops/wxops/naming"
	"github.com/wxops/wxops/stress"
)

// RegistryOptions say how to read the statistics of a registry.
type RegistryOptions struct {
	Service, Instance string

	// Every is how often requests in flight are counted between two Reads; a
	// window has their mean. 0: only at each Read.
	Every time.Duration

	// Now is the clock, time.Now if nil; it must be monotonic.
	Now func() time.Time
}

// Registry is a source that reads the statistics of a name service or load
// balancer: what it has sent to the instance and got back.
type Registry struct {
	o        RegistryOptions
	registry naming.Registry
	stop     context.CancelFunc
	done     chan struct{}

	mu       sync.Mutex
	inFlight mean // since the last Read
	backlog  mean

	requests float64 // of the instance so far, at the latest count

	before  registryTaking
	ordered bool // before is set
	excess  excess
}

var _ stress.Source = (*Registry)(nil)

// registryTaking is one taking of counters.
type registryTaking struct {
	at    time.Time
	stats naming.Stats
	total float64 // requests of the whole service
}

// mean is a running weighted mean.
type mean struct{ sum, weight float64 }

func (m *mean) add(v, weight float64) { m.sum, m.weight = m.sum+v*weight, m.weight+weight }

func (m *mean) take() float64 {
	v := m.sum / m.weight // NaN without values
	*m = mean{}
	return v
}

// OpenRegistry returns a source over the statistics of registry, which the
// caller keeps open. The error is naming.ErrNoStats when it has none.
func OpenRegistry(ctx context.Context, registry naming.Registry, o RegistryOptions) (*Registry, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &Registry{o: o, registry: registry, stop: cancel, done: make(chan struct{})}
	if _, _, err := r.count(ctx); err != nil {
		cancel()
		return nil, fmt.Errorf("statistics of %s: %w", registry.Address(), err)
	}
	if o.Every > 0 {
		go r.sample(background)
	} else {
		close(r.done)
	}
	return r, nil
}

// Name implements stress.Source.
func (r *Registry) Name() string { return "registry" }

// Close implements stress.Source. It leaves the registry open.
func (r *Registry) Close() error {
	r.stop()
	<-r.done
	return nil
}

func (r *Registry) sample(ctx context.Context) {
	defer close(r.done)
	tick := time.NewTicker(r.o.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_, _, _ = r.count(ctx) // a Read that fails as well reports it
		}
	}
}

// count reads the statistics, and adds what is in flight to the means.
func (r *Registry) count(ctx context.Context) (all []naming.Stats, at time.Time, err error) {
	sent := r.o.Now()
	if all, err = r.registry.Stats(ctx, r.o.Service); err != nil {
		return nil, at, err
	}
	at = sent.Add(r.o.Now().Sub(sent) / 2)
	for _, s := range all {
		if s.Instance != r.o.Instance {
			continue
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if s.InFlight >= 0 {
			r.inFlight.add(float64(s.InFlight), 1)
		}
		if s.Backlog >= 0 {
			r.backlog.add(float64(s.Backlog), 1)
		}
		r.requests = float64(requestsOf(s))
		return all, at, nil
	}
	return nil, at, &naming.UnknownError{Kind: "instance", Name: r.o.Service + "/" + r.o.Instance}
}

// Requests returns how many requests the instance had got at the latest count.
func (r *Registry) Requests() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

// Read implements stress.Source.
func (r *Registry) Read(ctx context.Context) (stress.Reading, error) {
	all, at, err := r.count(ctx)
	if err != nil {
		return stress.Reading{}, err
	}
	now := registryTaking{at: at}
	for _, s := range all {
		now.total += float64(requestsOf(s))
		if s.Instance == r.o.Instance {
			now.stats = s
		}
	}
	s := stress.Unmeasured()
	s.Slots = float64(max(0, now.stats.Limit))
	r.mu.Lock()
	s.InFlight, s.Backlog = r.inFlight.take(), r.backlog.take()
	r.mu.Unlock()
	excess := math.NaN()
	if r.ordered {
		excess = r.window(&s, r.before, now)
	}
	r.before, r.ordered = now, true
	return stress.Reading{At: at, Sample: plausible(s), Excess: excess}, nil
}

// requestsOf returns the requests of an instance since the registry started.
func requestsOf(s naming.Stats) int64 {
	if s.Requests > 0 {
		return s.Requests
	}
	return max(0, s.Sessions)
}

// window fills s from two takings and returns the excess of requests in flight.
func (r *Registry) window(s *stress.Sample, before, now registryTaking) float64 {
	s.Window = now.at.Sub(before.at)
	seconds := s.Window.Seconds()
	if seconds <= 0 {
		return math.NaN()
	}
	arrived := grown(requestsOf(before.stats), requestsOf(now.stats))
	total := now.total - before.total
	if total < arrived { // the registry was restarted
		total = now.total
	}
	s.Offered, s.Total = arrived/seconds, total/seconds
	if total > 0 {
		s.Share = arrived / total
	}
	var answered, bad float64
	for class, n := range now.stats.Status {
		d := grown(before.stats.Status[class], n)
		if answered += d; class == 5 {
			bad += d
		}
	}
	lost := grown(before.stats.Connects, now.stats.Connects) + grown(before.stats.Responses, now.stats.Responses)
	switch {
	case answered > 0: // HTTP
		s.Throughput = (answered - bad) / seconds
		s.ErrorRatio = (bad + lost) / (answered + lost)
	case arrived > 0: // a TCP service, or no answer at all
		s.Throughput = max(0, arrived/seconds-float64(now.stats.InFlight-before.stats.InFlight)/seconds)
		s.ErrorRatio = min(1, lost/arrived)
	}
	s.Mean = r.mean(before.stats, now.stats, arrived, seconds, s.InFlight)
	return r.excess.of(s.InFlight, s.Offered, s.Mean, arrived)
}

// An excess tells the backlog inside an instance from outside: requests in
// flight beyond what their rate keeps busy without a queue, by Little's law
// with the lowest mean response time seen so far.
type excess struct {
	lowest           float64
	requests, inside float64 // since the last mean: arrived, and their seconds inside
}

// of takes a window into account and returns the backlog of its requests in
// flight, NaN while no mean is known.
func (e *excess) of(inFlight, offered, mean, arrived float64) float64 {
	if mean > 0 && arrived > 0 {
		e.requests += arrived
		e.inside += arrived * mean
	}
	// Windows of a guard are short: several make up a mean that counts.
	if e.requests >= minArrivals {
		if mean := e.inside / e.requests; e.lowest == 0 || mean < e.lowest {
			e.lowest = mean
		}
		e.requests, e.inside = 0, 0
	}
	if e.lowest == 0 {
		return math.NaN()
	}
	return max(0, inFlight-offered*e.lowest)
}

// minArrivals is how many requests a mean response time must be over to count:
// with 200 an exponential response time is known within 7 %.
const minArrivals = 200

// grown is the growth of a counter; one that went down was reset.
func grown(before, now int64) float64 {
	if now < before {
		return float64(max(0, now))
	}
	return float64(now - before)
}

// meanSamples is the length of HAProxy's sliding means in requests:
// TIME_STATS_SAMPLES in include/haproxy/defaults.h.
const meanSamples = 512

// staleShare returns how much of a sliding mean is still that of the first
// requests after further ones have come. Of the first 512 requests HAProxy gives
// the plain mean; each one more takes 1/512 of the weight of those before
// (swrate_add_dynamic in include/haproxy/freq_ctr.h).
func staleShare(first, further float64) float64 {
	plain := math.Max(first, math.Min(first+further, meanSamples))
	share := 1.0
	if plain > first {
		share = first / plain
	}
	return share * math.Pow(1-1.0/meanSamples, first+further-plain)
}

// mean returns the mean response time of the window in seconds, from two
// estimates weighted by how exactly they are known: the sliding means of the
// registry at both ends, taken apart, and requests in flight over arrivals
// (Little's law).
func (r *Registry) mean(before, now naming.Stats, arrived, seconds, inFlight float64) float64 {
	if arrived == 0 {
		return math.NaN()
	}
	var sum, weight float64
	add := func(value, deviation float64) {
		if value > 0 && deviation > 0 {
			sum += value / (deviation * deviation)
			weight += 1 / (deviation * deviation)
		}
	}
	if now.ResponseTime > 0 && before.ResponseTime > 0 {
		// It is given in whole milliseconds.
		const rounding = 0.41e-3 // deviation of the difference of two roundings to 1 ms
		stale := staleShare(float64(requestsOf(now))-arrived, arrived)
		add((now.ResponseTime.Seconds()-stale*before.ResponseTime.Seconds())/(1-stale), rounding/(1-stale))
	}
	if inFlight > 0 {
		little := inFlight * seconds / arrived
		// Counts of requests in flight that lie further apart than a response
		// time are independent of each other.
		counts := seconds / max(r.o.Every.Seconds(), little)
		if r.o.Every == 0 {
			counts = 1
		}
		add(little, little/math.Sqrt(inFlight*counts))
	}
	return sum / weight
}
