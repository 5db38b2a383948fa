package stress

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxops/wxops/capacity"
)

// A stand is a service that is far from its capacity: a lever, and sources that
// tell what the lever has asked for. When the lever is moved first, moved is
// closed.
type stand struct {
	mu       sync.Mutex
	rate     float64
	refuse   error // of Set
	stuck    error // of Restore
	moved    chan struct{}
	lost     chan struct{}
	restores int
}

func newStand() *stand {
	return &stand{rate: 100, moved: make(chan struct{}), lost: make(chan struct{})}
}

func (s *stand) Reach(float64) float64 { return math.Inf(1) }
func (s *stand) Share() float64        { return 1. / 3 }
func (s *stand) Lost() <-chan struct{} { return s.lost }
func (s *stand) State() LeverState     { return LeverState{Base: 100, Now: 100} }

func (s *stand) Set(_ context.Context, rate, _ float64) (float64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rate = rate; s.restores == 0 {
		select {
		case <-s.moved:
		default:
			close(s.moved)
		}
	}
	return rate, s.refuse
}

func (s *stand) Restore(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restores++
	s.rate = 100
	return s.stuck
}

// source returns a source of the stand that fails with silent once that is set.
func (s *stand) source(name string, silent *atomic.Pointer[error]) Source {
	return &standSource{name: name, stand: s, silent: silent}
}

type standSource struct {
	name   string
	stand  *stand
	silent *atomic.Pointer[error]
	before time.Time
}

func (s *standSource) Name() string { return s.name }
func (s *standSource) Close() error { return nil }
func (s *standSource) Read(context.Context) (Reading, error) {
	if err := s.silent.Load(); err != nil {
		return Reading{}, *err
	}
	s.stand.mu.Lock()
	rate := s.stand.rate
	s.stand.mu.Unlock()
	r := Reading{At: time.Now(), Sample: Unmeasured(), Inside: true}
	if !s.before.IsZero() {
		r.Sample.Window = r.At.Sub(s.before)
	}
	s.before = r.At
	r.Sample.Offered, r.Sample.Throughput, r.Sample.Total = rate, rate, 300
	r.Sample.P50, r.Sample.P99, r.Sample.SlowRatio = 0.005, 0.01, 0
	r.Sample.Backlog, r.Sample.ErrorRatio, r.Sample.Rejects = 0.1, 0, 0
	r.Sample.CPU, r.Sample.CPULimit = rate*0.005, 8
	return r, nil
}

// A fullDisk takes so many bytes and no more.
type fullDisk struct{ room int }

func (d *fullDisk) Write(b []byte) (int, error) {
	if d.room -= len(b); d.room < 0 {
		return 0, errors.New("no space left on device")
	}
	return len(b), nil
}

// A closingLog takes two lines; then the lease is lost, and the restore that
// this begins has closed the log.
type closingLog struct {
	lost  chan struct{}
	lines int
}

func (l *closingLog) Write(b []byte) (int, error) {
	if l.lines++; l.lines == 3 {
		close(l.lost)
	}
	if l.lines >= 3 {
		return 0, os.ErrClosed
	}
	return len(b), nil
}

// TestRunnerRestoresWhateverEndsTheTest ends tests in every way that does not
// kill the process, as soon as the rate was raised: each names its cause, and
// puts everything back.
func TestRunnerRestoresWhateverEndsTheTest(t *testing.T) {
	objective, err := capacity.ParseObjective("p99<50ms")
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("connection refused")
	var wait sync.WaitGroup // they wait most of the time: all at once
	defer wait.Wait()
	for name, c := range map[string]struct {
		end     func(r *Runner, s *stand, window, guard *atomic.Pointer[error], peers *atomic.Pointer[error], cancel func())
		prepare func(s *stand)
		log     func(*stand) io.Writer
		verdict capacity.Verdict
		reason  string
		fails   bool // Run returns an error
	}{
		"a signal of the windows falls silent": {
			end: func(_ *Runner, _ *stand, window, _, _ *atomic.Pointer[error], _ func()) {
				window.Store(&gone)
			}, verdict: capacity.VerdictGuard, reason: "signal metrics is silent for",
		},
		"a signal of the guards falls silent": {
			end: func(_ *Runner, _ *stand, _, guard, _ *atomic.Pointer[error], _ func()) {
				guard.Store(&gone)
			}, verdict: capacity.VerdictGuard, reason: "signal registry is silent for",
		},
		"a peer is down": {
			end: func(_ *Runner, _ *stand, _, _, peers *atomic.Pointer[error], _ func()) {
				down := errors.New("checkout/b is down (L4CON)")
				peers.Store(&down)
			}, verdict: capacity.VerdictGuard, reason: "checkout/b is down (L4CON)",
		},
		"the lease is lost": {
			end: func(_ *Runner, s *stand, _, _, _ *atomic.Pointer[error], _ func()) {
				close(s.lost)
			}, verdict: capacity.VerdictGuard, reason: "the lease was lost",
		},
		"the user aborts": {
			end: func(r *Runner, _ *stand, _, _, _ *atomic.Pointer[error], _ func()) {
				r.Abort()
			}, verdict: capacity.VerdictInterrupted, reason: "asked to stop and restore",
		},
		"a signal of the system": {
			end: func(_ *Runner, _ *stand, _, _, _ *atomic.Pointer[error], cancel func()) {
				cancel()
			}, verdict: capacity.VerdictInterrupted, reason: "a signal ended the test",
		},
		// The lever is never asked again after the first write: only the log tells.
		"decisions cannot be recorded": {
			log: func(*stand) io.Writer { return &fullDisk{room: 4000} }, verdict: capacity.VerdictGuard, reason: "record the decision: no space left on device",
		},
		"the restore of a lost lease closes the log": {
			log:     func(s *stand) io.Writer { return &closingLog{lost: s.lost} },
			verdict: capacity.VerdictGuard, reason: "the lease was lost",
		},
		"the weights cannot be set": {
			prepare: func(s *stand) { s.refuse = errors.New("weight of checkout/a is 77 before the write") },
			verdict: capacity.VerdictGuard, reason: "is 77 before the write",
		},
		"the weights cannot be put back": {
			prepare: func(s *stand) { s.stuck = gone },
			end: func(r *Runner, _ *stand, _, _, _ *atomic.Pointer[error], _ func()) {
				r.Abort()
			}, verdict: capacity.VerdictInterrupted, reason: "asked to stop", fails: true,
		},
	} {
		wait.Go(func() {
			t.Run(name, func(t *testing.T) {
				s := newStand()
				if c.prepare != nil {
					c.prepare(s)
				}
				var log io.Writer
				if c.log != nil {
					log = c.log(s)
				}
				var window, guard, peers atomic.Pointer[error]
				r := NewRunner(Options{
					Instance: "checkout/a", Config: Config{Objective: objective}, Lever: s,
					Sources: []Source{s.source("metrics", &window)}, Guards: []Source{s.source("registry", &guard)}, Log: log,
					Healthy: func(context.Context) error {
						if err := peers.Load(); err != nil {
							return *err
						}
						return nil
					},
				})
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				go func() {
					select {
					case <-s.moved:
						if c.end != nil {
							c.end(r, s, &window, &guard, &peers, cancel)
						}
					case <-ctx.Done():
					}
				}()
				curve, err := r.Run(ctx)
				if (err != nil) != c.fails || curve.Verdict != c.verdict || !strings.Contains(curve.Reason, c.reason) {
					t.Errorf("verdict %s: %q, %v; want %s: %q", curve.Verdict, curve.Reason, err, c.verdict, c.reason)
				}
				if s.restores != 1 || s.rate != 100 {
					t.Errorf("%d restores, the rate is %g", s.restores, s.rate)
				}
				fired := false
				for _, g := range r.Snapshot().Guards {
					fired = fired || g.Name == "peers unfit" && g.Fired
				}
				if fired != (peers.Load() != nil) {
					t.Errorf("guards %+v", r.Snapshot().Guards)
				}
			})
		})
	}
}

// Who aborts before anything was changed has broken the test off, no more.
func TestAbortBeforeTheFirstWindowIsNoFailure(t *testing.T) {
	objective, err := capacity.ParseObjective("p99<50ms")
	if err != nil {
		t.Fatal(err)
	}
	s := newStand()
	var silent atomic.Pointer[error]
	r := NewRunner(Options{
		Instance: "checkout/a", Config: Config{Objective: objective}, Lever: s,
		Sources: []Source{s.source("metrics", &silent)}, Guards: []Source{s.source("metrics", &silent)},
	})
	ended := make(chan error, 1)
	go func() {
		_, err := r.Run(t.Context())
		ended <- err
	}()
	for {
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
			return
		case <-s.moved:
			t.Fatal("the lever was moved")
		default:
			r.Abort() // until the test has begun it does nothing
		}
	}
}

// The interval of an estimate that nobody confirmed may begin above all that was
// ever sent. A test that is broken off says what was held, not that.
func TestInterruptedTestSaysWhatWasHeld(t *testing.T) {
	objective, err := capacity.ParseObjective("p99<50ms")
	if err != nil {
		t.Fatal(err)
	}
	r := NewRunner(Options{Instance: "checkout/a", Config: Config{Objective: objective}, Lever: newStand()})
	r.snap.Points = []capacity.Point{{Offered: 163, Throughput: 160}}
	r.snap.Decision.Estimate = Estimate{PerSecond: 598, Low: 257, High: 1396}
	c := r.finish(verdict{verdict: capacity.VerdictInterrupted})
	if c.Capacity.Found || *c.Capacity.Low != 160 {
		t.Errorf("%g/s was held, want 160", *c.Capacity.Low)
	}
}

// What cannot be begun safely is refused before the lever is moved.
func TestRunnerRefusesBeforeAnythingIsChanged(t *testing.T) {
	objective, err := capacity.ParseObjective("p99<50ms")
	if err != nil {
		t.Fatal(err)
	}
	down := errors.New("checkout/b is down (L4CON)")
	var wait sync.WaitGroup
	defer wait.Wait()
	for name, c := range map[string]struct {
		rate      float64
		objective capacity.Objective
		healthy   error
		want      string
	}{
		"no traffic":       {0, objective, nil, "no traffic reaches checkout/a"},
		"no rate measured": {math.NaN(), objective, nil, "no signal tells the rate"},
		"a peer is down":   {100, objective, down, "checkout/b is down"},
		"no objective":     {100, capacity.Objective{}, nil, "bounds no quantile"},
	} {
		wait.Go(func() {
			t.Run(name, func(t *testing.T) {
				s := newStand()
				s.rate = c.rate
				var silent atomic.Pointer[error]
				r := NewRunner(Options{
					Instance: "checkout/a", Config: Config{Objective: c.objective}, Lever: s,
					Sources: []Source{s.source("metrics", &silent)}, Guards: []Source{s.source("metrics", &silent)},
					Healthy: func(context.Context) error { return c.healthy },
				})
				if _, err := r.Run(t.Context()); !errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want ErrUnfit with %q", err, c.want)
				}
				select {
				case <-s.moved:
					t.Error("the lever was moved")
				default:
				}
			})
		})
	}
}
