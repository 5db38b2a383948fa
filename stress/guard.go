package stress

import (
	"context"
	"errors"
	"time"

	"github.com/wxops/wxops/capacity"
)

// guardEvery is the pace of the guards.
const guardEvery = 200 * time.Millisecond

// A verdict is how the windows ended.
type verdict struct {
	verdict capacity.Verdict
	reason  string
}

// The context of a test has one of these as its cause, or that of the caller's.
var (
	errEnded   = errors.New("ended")                     // with a verdict of the windows
	errAborted = errors.New("asked to stop and restore") // by the user
	errLost    = errors.New("the lease was lost, and the weights are being put back")
)

// A guardError is the cause of a context that a guard cancelled.
type guardError struct{ error }

func (e guardError) Unwrap() error { return e.error }

// A guardVerdict is the cause of a context that the controller ended between
// two windows.
type guardVerdict struct{ Decision }

func (v guardVerdict) Error() string { return v.Reason }

// endOf says why the context of a test was cancelled.
func endOf(ctx context.Context) verdict {
	cause := context.Cause(ctx)
	var guard guardError
	var decided guardVerdict
	switch {
	case errors.As(cause, &guard):
		return verdict{capacity.VerdictGuard, guard.Error()}
	case errors.As(cause, &decided):
		return verdict{decided.Verdict, decided.Reason}
	case errors.Is(cause, errAborted):
		return verdict{capacity.VerdictInterrupted, errAborted.Error()}
	}
	return verdict{capacity.VerdictInterrupted, "a signal ended the test"}
}

// guard reads the fast signals five times a second and acts at once: it lowers
// the rate when the controller asks for it, and ends the test when a signal is
// gone or a peer is unhealthy.
func (r *Runner) guard(ctx context.Context, end context.CancelCauseFunc, meter *Meter) {
	tick := time.NewTicker(guardEvery)
	defer tick.Stop()
	frozen := r.pulse.frozen()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		select {
		case <-r.o.Lever.Lost():
			end(guardError{errLost})
			return
		default:
		}
		s, _, err := read(ctx, meter, 5*guardEvery)
		total := r.pulse.frozen()
		s.Frozen, frozen = total-frozen, total
		if err == nil && r.o.Healthy != nil {
			if err = r.o.Healthy(ctx); err != nil && ctx.Err() == nil {
				r.peersUnfit()
			}
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			end(guardError{err})
			return
		}
		if d, err := r.watch(ctx, s); err != nil {
			end(guardError{err})
			return
		} else if d.Done() {
			end(guardVerdict{d})
			return
		}
	}
}

// peersUnfit shows that the guard of the peers has fired.
func (r *Runner) peersUnfit() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unfit = 1
	r.snap.Guards = r.guardStates(r.snap.Last)
}

// watch shows a guard reading to the controller and does what it decides.
func (r *Runner) watch(ctx context.Context, s Sample) (Decision, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.controller == nil || s.Window <= 0 {
		return Decision{}, nil
	}
	r.fillShare(&s)
	d, act := r.controller.Watch(s)
	if !act {
		return Decision{}, r.recorded()
	}
	r.sentence(d)
	if d.Done() {
		return d, nil
	}
	return d, r.pull(ctx, d)
}
