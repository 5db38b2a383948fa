package stress

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// A Source measures the instance under test in one way. Package stress/signal
// opens the real ones. A Source is used by one goroutine at a time; whoever
// wants readings at another pace, as the guards do, opens a second one, which
// then also has a connection of its own.
type Source interface {
	// Name is what screens and logs call the source: metrics, registry,
	// sockets or process.
	Name() string

	// Read closes a window: it takes the counters now and returns what
	// happened since the Read before. The first Read only takes the
	// counters; the Window of its Sample is 0 and rates are NaN.
	Read(ctx context.Context) (Reading, error)

	Close() error
}

// A Reading is one window of one source.
type Reading struct {
	// At is the instant to which the counters at the end of the window belong.
	At time.Time

	// Sample has the quantities that this source measures, and NaN for the
	// others (see [Unmeasured]). Window is the exact time between the two
	// takings of counters. Backlog is in requests: a source that measures a
	// time or a length of another kind converts it, so that the backlogs of
	// several sources can be compared.
	Sample Sample

	// Inside says that Sample.Backlog was measured inside the instance, where
	// its queue is.
	Inside bool

	// Excess is the backlog as it is inferred from outside, in requests; NaN
	// if it is not. That of the first source that infers one is used, while no
	// source measures Inside: it is noisier than a measured backlog, and would
	// often be the higher one.
	Excess float64
}

// Unmeasured returns a Sample in which no signal has measured anything.
func Unmeasured() Sample {
	nan := math.NaN()
	return Sample{
		Offered: nan, Throughput: nan, Mean: nan, P50: nan, P99: nan, SlowRatio: nan,
		QueueWait: nan, Backlog: nan, InFlight: nan, CPU: nan, CPULimit: nan,
		ErrorRatio: nan, Rejects: nan, Meant: nan, Share: nan, Total: nan,
	}
}

// A Meter closes windows over several sources: every call of [Meter.Window]
// reads all of them at once and combines what they say into one [Sample].
type Meter struct {
	sources []Source
	start   time.Time
	stale   time.Duration
	now     func() time.Time
	seen    time.Time // by the clock at the latest window
	last    []Reading // of each source, the latest that succeeded
	failed  []error   // of each source, why the latest Read failed
}

// NewMeter returns a meter over sources in order of preference: a quantity
// that several of them measure is taken from the first. start is the origin
// of Sample.End; a source whose latest data is older than stale (two windows)
// makes Window fail. now is the clock, monotonic.
func NewMeter(start time.Time, stale time.Duration, now func() time.Time, sources ...Source) *Meter {
	return &Meter{
		sources: sources, start: start, stale: stale, now: now,
		last: make([]Reading, len(sources)), failed: make([]error, len(sources)),
	}
}

// A StaleError says that a signal is missing or older than allowed.
type StaleError struct {
	Source string
	Age    time.Duration // of its latest data, since the meter began if it never gave any
	Err    error         // why the latest reading failed, nil if it only came late
}

func (e *StaleError) Error() string {
	text := fmt.Sprintf("signal %s is silent for %s", e.Source, e.Age.Round(10*time.Millisecond))
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns why the latest reading failed.
func (e *StaleError) Unwrap() error { return e.Err }

// ErrClock says that the clock went back, so that nothing counted per second
// can be trusted.
var ErrClock = errors.New("the clock went back")

// Window reads every source and returns the combined sample, the state of
// each signal in the order of the sources, and a joined error with one
// [StaleError] per signal that is stale. A reading that fails once is not an
// error yet: its quantities are missing from this window and its next window
// is longer. A clock that goes back is an error at once, ErrClock. ctx bounds the time for all sources together: each must return
// when it ends.
//
// The first call opens the first window: Sample.Window is 0.
func (m *Meter) Window(ctx context.Context) (Sample, []SignalState, error) {
	fresh := make([]bool, len(m.sources))
	var wg sync.WaitGroup
	for i, s := range m.sources {
		wg.Go(func() {
			r, err := s.Read(ctx)
			if m.failed[i] = err; err == nil {
				m.last[i], fresh[i] = r, true
			}
		})
	}
	wg.Wait()

	now := m.now()
	out := Unmeasured()
	states := make([]SignalState, len(m.sources))
	fired, inferred, inside := -1, -1, false
	var errs []error
	if step := m.seen.Sub(now); step > 0 {
		errs = append(errs, fmt.Errorf("%w by %s", ErrClock, step))
	}
	m.seen = now
	for i, s := range m.sources {
		age := now.Sub(m.start)
		if !m.last[i].At.IsZero() {
			age = now.Sub(m.last[i].At)
		}
		states[i] = SignalState{Name: s.Name(), Age: age, Stale: age > m.stale}
		if states[i].Stale {
			errs = append(errs, &StaleError{Source: s.Name(), Age: age, Err: m.failed[i]})
		}
		if !fresh[i] {
			continue
		}
		out.Age = max(out.Age, age)
		in := m.last[i].Sample
		if out.Window == 0 && in.Window > 0 {
			out.Window, out.End = in.Window, m.last[i].At.Sub(m.start)
		}
		if in.Backlog > 0 && !(out.Backlog >= in.Backlog) {
			fired = i
		}
		out.take(in)
		inside = inside || m.last[i].Inside
		if inferred < 0 && m.last[i].Excess >= 0 {
			inferred = i
		}
	}
	out.Inferred = !inside
	if inferred >= 0 && !inside && !(out.Backlog >= m.last[inferred].Excess) {
		out.Backlog = m.last[inferred].Excess
		if out.Backlog > 0 {
			fired = inferred
		}
	}
	if out.End == 0 {
		out.End = now.Sub(m.start)
	}
	if fired >= 0 {
		states[fired].Fired = true
	}
	return out, states, errors.Join(errs...)
}

// take fills what s lacks from a less preferred reading; the backlog is the
// highest of all. The quantiles of the response time are taken together, never
// mixed from two sources.
func (s *Sample) take(in Sample) {
	fill := func(to *float64, from float64) {
		if math.IsNaN(*to) {
			*to = from
		}
	}
	if s.Buckets == nil && math.IsNaN(s.P99) {
		if s.Buckets = in.Buckets; !math.IsNaN(in.P99) {
			s.P50, s.P99, s.SlowRatio = in.P50, in.P99, in.SlowRatio
		}
	}
	if s.Looks == nil {
		s.Looks = in.Looks
	}
	fill(&s.Mean, in.Mean)
	fill(&s.Offered, in.Offered)
	fill(&s.Throughput, in.Throughput)
	fill(&s.ErrorRatio, in.ErrorRatio)
	fill(&s.Rejects, in.Rejects)
	fill(&s.QueueWait, in.QueueWait)
	fill(&s.InFlight, in.InFlight)
	fill(&s.CPU, in.CPU)
	fill(&s.CPULimit, in.CPULimit)
	s.Slots = max(s.Slots, in.Slots)
	fill(&s.Share, in.Share)
	fill(&s.Total, in.Total)
	if !(s.Backlog >= in.Backlog) && !math.IsNaN(in.Backlog) {
		s.Backlog = in.Backlog
	}
}

// Close closes every source.
func (m *Meter) Close() error {
	errs := make([]error, len(m.sources))
	for i, s := range m.sources {
		errs[i] = s.Close()
	}
	return errors.Join(errs...)
}
