package stress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/wxops/wxops/capacity"
)

// Options are what a [Runner] needs. Fields without a default are required.
type Options struct {
	Instance string // service/instance
	Config   Config // MaxRate is filled in from the first window
	Lever    Lever

	// Sources are read once a window, Guards five times a second. They are
	// separate, so that a guard never waits for a slow window.
	Sources, Guards []Source

	Log io.Writer        // the run log: every sample, decision and event, as JSON lines
	Now func() time.Time // the clock, monotonic; nil: time.Now

	// Healthy is asked five times a second and returns an error that says
	// which peer is not fit to take the load back; nil: nobody is asked.
	Healthy func(context.Context) error
}

// restoreWithin bounds every attempt to put weights back; the watchdog takes
// over when the process is gone.
const restoreWithin = 3 * time.Second

// ErrUnfit is wrapped by errors of a test that ended before anything was
// changed, because it could not have begun safely.
var ErrUnfit = errors.New("the test was not begun")

// A Runner carries out one stress test: it reads the signals, asks the
// controller, moves the lever, and puts everything back whatever happens.
// Its methods are safe for concurrent use; Run is called once.
type Runner struct {
	o        Options
	now      func() time.Time
	pulse    *pulse
	start    time.Time
	commands chan Command
	abort    context.CancelCauseFunc

	mu         sync.Mutex // guards what follows
	controller *Recorder
	traffic    traffic // of the whole service
	share      meanShare
	snap       Snapshot
	unfit      float64   // 1 once Healthy has said that a peer cannot take the load back
	changedAt  time.Time // of the first write
	restoredAt time.Time
}

// NewRunner returns a runner. It reads and changes nothing before Run.
func NewRunner(o Options) *Runner {
	o.Config = o.Config.withDefaults()
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	return &Runner{
		o: o, now: o.Now, pulse: &pulse{now: o.Now}, commands: make(chan Command, 8), abort: func(error) {},
		snap: Snapshot{Instance: o.Instance, Objective: o.Config.Objective, Limit: o.Config.MaxDuration, Phase: PhasePreflight, Last: Unmeasured()},
	}
}

// Snapshot returns the state of the test as of now.
func (r *Runner) Snapshot() Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.snap
	s.History = slices.Clone(s.History)
	s.Points = slices.Clone(s.Points)
	s.Sentences = slices.Clone(s.Sentences)
	s.Guards = slices.Clone(s.Guards)
	s.Signals = slices.Clone(s.Signals)
	if !r.start.IsZero() && s.Verdict == "" {
		s.Elapsed = r.now().Sub(r.start)
	}
	state := r.o.Lever.State()
	s.WeightBase, s.Weight, s.RestorePoint, s.Lease = state.Base, state.Now, state.RestorePoint, state.Lease
	return s
}

// Abort ends the test and restores.
func (r *Runner) Abort() {
	r.mu.Lock()
	abort := r.abort
	r.mu.Unlock()
	abort(errAborted)
}

// Command passes a request of the user on. It does not wait.
func (r *Runner) Command(c Command) {
	select {
	case r.commands <- c:
	default: // eight are waiting: the test is about to end
	}
}

// Run carries out the test and returns its curve. The error is nil whenever
// the test was begun: how it ended is the curve's verdict. An error that wraps
// ErrUnfit says that nothing was changed, and so does that of a context which
// was cancelled, or a test aborted, by then; any other error says that the
// weights could not be put back.
func (r *Runner) Run(ctx context.Context) (capacity.Curve, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(errEnded)
	r.mu.Lock()
	r.start, r.abort = r.now(), cancel
	r.mu.Unlock()

	stale := 2 * r.o.Config.Window
	meter := NewMeter(r.start, stale, r.now, r.o.Sources...)
	first, err := r.preflight(ctx, meter)
	if err != nil {
		return capacity.Curve{}, err
	}

	var guards sync.WaitGroup
	guards.Go(func() { r.pulse.beat(ctx) })
	guards.Go(func() { r.guard(ctx, cancel, NewMeter(r.start, stale, r.now, r.o.Guards...)) })
	end := r.windows(ctx, meter, first)
	cancel(errEnded)
	guards.Wait()

	r.enter(PhaseRestore, "putting the weights back")
	safe, stop := context.WithTimeout(context.WithoutCancel(ctx), restoreWithin)
	defer stop()
	err = r.o.Lever.Restore(safe)
	r.mu.Lock()
	r.restoredAt = r.now()
	r.mu.Unlock()
	if !r.changedAt.IsZero() {
		r.settle(safe, meter)
	}
	return r.finish(end), err
}

// preflight reads the signals until the first window is complete, and refuses
// a test that cannot be begun safely. It changes nothing.
func (r *Runner) preflight(ctx context.Context, meter *Meter) (Sample, error) {
	if err := r.o.Config.Check(); err != nil {
		return Sample{}, fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	if r.o.Healthy != nil {
		if err := r.o.Healthy(ctx); err != nil {
			return Sample{}, fmt.Errorf("%w: %w", ErrUnfit, err)
		}
	}
	var s Sample
	tick := time.NewTicker(r.o.Config.Window)
	defer tick.Stop()
	for n := 0; ; n++ {
		var err error
		s, err = r.window(ctx, meter, r.o.Config.Window)
		if ctx.Err() != nil {
			return s, ctx.Err()
		}
		if err != nil {
			return s, fmt.Errorf("%w: %w", ErrUnfit, err)
		}
		if n > 0 && s.Window > 0 {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
	r.fillShare(&s)
	switch {
	case math.IsNaN(s.Offered) && math.IsNaN(s.Throughput):
		return s, fmt.Errorf("%w: no signal tells the rate of requests at %s", ErrUnfit, r.o.Instance)
	case !(s.Offered > 0) && !(s.Throughput > 0):
		return s, fmt.Errorf("%w: no traffic reaches %s", ErrUnfit, r.o.Instance)
	}
	return s, nil
}

// window reads all sources within limit, and publishes how old they are.
func (r *Runner) window(ctx context.Context, meter *Meter, limit time.Duration) (Sample, error) {
	s, states, err := read(ctx, meter, limit)
	if ctx.Err() == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.snap.Signals = states
	}
	return s, err
}

// read reads all sources within limit.
func read(ctx context.Context, meter *Meter, limit time.Duration) (Sample, []SignalState, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return meter.Window(ctx)
}

// fillShare derives what no registry statistics told: the share from the
// weights, the traffic of the service from that share.
func (r *Runner) fillShare(s *Sample) {
	if math.IsNaN(s.Offered) {
		s.Offered = s.Throughput // a stable queue completes what arrives
	}
	if math.IsNaN(s.Share) {
		s.Share = r.o.Lever.Share()
	}
	if math.IsNaN(s.Total) && s.Share > 0 {
		s.Total = s.Offered / s.Share
	}
}

// fillMeant derives what the weights alone would have brought in the window.
// Least connections do not go by weights.
func (r *Runner) fillMeant(s *Sample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if share := r.share.take(r.now()); r.o.Config.Balance != BalanceUnknown {
		s.Meant = share * s.Total
	}
	r.share.set(r.now(), r.o.Lever.Share())
}

// A meanShare is the mean over time of the share that the weights in force give
// the instance.
type meanShare struct {
	since        time.Time // the share is in force
	share        float64
	sum, seconds float64 // up to since
}

func (m *meanShare) set(now time.Time, share float64) {
	if !m.since.IsZero() {
		m.sum += m.share * now.Sub(m.since).Seconds()
		m.seconds += now.Sub(m.since).Seconds()
	}
	m.since, m.share = now, share
}

// take returns the mean up to now and begins anew; NaN without any time.
func (m *meanShare) take(now time.Time) float64 {
	m.set(now, m.share)
	mean := m.sum / m.seconds
	m.sum, m.seconds = 0, 0
	return mean
}

// windows feeds the controller window by window until it reaches a verdict, a
// guard fires or the context ends.
func (r *Runner) windows(ctx context.Context, meter *Meter, s Sample) verdict {
	cfg := r.o.Config
	r.mu.Lock()
	if reach := r.o.Lever.Reach(s.Total); !math.IsInf(reach, 1) {
		cfg.MaxRate = reach
	}
	r.controller = NewRecorder(cfg, r.o.Log)
	r.mu.Unlock()

	next, frozen := r.now(), r.pulse.frozen()
	for {
		if end, done := r.step(ctx, s); done {
			return end
		}
		next = next.Add(cfg.Window)
		if late := r.now().Sub(next); late > cfg.Window {
			next = r.now() // the machine slept: one long window instead of a burst of empty ones
		}
		err := r.obeyUntil(ctx, next)
		if err == nil {
			s, err = r.window(ctx, meter, cfg.Window)
		}
		if ctx.Err() != nil {
			return endOf(ctx)
		}
		if err != nil {
			return verdict{capacity.VerdictGuard, err.Error()}
		}
		total := r.pulse.frozen()
		s.Frozen, frozen = total-frozen, total
		r.fillShare(&s)
		r.fillMeant(&s)
	}
}

// step shows one window to the controller and does what it decides.
func (r *Runner) step(ctx context.Context, s Sample) (verdict, bool) {
	if s.Window <= 0 || math.IsNaN(s.Offered) {
		return verdict{}, false // a reading failed once; the next window is longer
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.traffic.add(s.Total, s.Window.Seconds())
	r.account(s)
	d := r.controller.Step(s)
	r.show(s, d)
	if d.Done() {
		return verdict{d.Verdict, d.Reason}, true
	}
	if err := r.pull(ctx, d); err != nil {
		return verdict{capacity.VerdictGuard, err.Error()}, true
	}
	return verdict{}, false
}

// pull moves the lever to the target of d; r.mu is held. A decision that could
// not be recorded is an error, whether or not it changes a weight.
func (r *Runner) pull(ctx context.Context, d Decision) error {
	if err := r.recorded(); err != nil {
		return err
	}
	if d.Phase == PhaseBaseline {
		return nil
	}
	if ctx.Err() != nil {
		return nil // the loop sees it and restores
	}
	if r.changedAt.IsZero() {
		r.changedAt = r.now()
	}
	_, err := r.o.Lever.Set(ctx, d.Target, r.traffic.rate)
	r.share.set(r.now(), r.o.Lever.Share())
	r.snap.TargetRate = d.Target
	return err
}

// recorded says why the last decision is not in the run log, if it is not. A
// lost lease comes first: the restore that it began closes the log.
func (r *Runner) recorded() error {
	err := r.controller.Err()
	if err == nil {
		return nil
	}
	select {
	case <-r.o.Lever.Lost():
		return errLost
	default:
		return err
	}
}

// obeyUntil waits until then, and applies what the user asks for meanwhile.
func (r *Runner) obeyUntil(ctx context.Context, then time.Time) error {
	wait := time.NewTimer(then.Sub(r.now()))
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wait.C:
			return nil
		case c := <-r.commands:
			if err := r.obey(ctx, c); err != nil {
				return err
			}
		}
	}
}

// obey applies a command of the user.
func (r *Runner) obey(ctx context.Context, c Command) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.controller.Command(c)
	r.snap.Holding = c != CommandResume
	d.At = r.now().Sub(r.start) // what the controller says is of its latest window
	r.sentence(d)
	return r.pull(ctx, d)
}
