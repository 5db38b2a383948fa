package stress

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/wxops/wxops/naming"
)

// A Lever sets the offered load at the instance under test. It is used by one
// goroutine at a time.
type Lever interface {
	// Reach returns the highest offered load that the lever can bring about
	// when the service gets total requests per second; +Inf without a limit.
	Reach(total float64) float64

	// Set asks for an offered load of rate while the service gets total
	// requests per second, and returns what it expects to arrive.
	Set(ctx context.Context, rate, total float64) (expected float64, err error)

	// Share returns the share of the service's requests that the instance gets
	// by its weight, NaN where there are no weights.
	Share() float64

	// Restore puts everything back. It is idempotent.
	Restore(ctx context.Context) error

	// Lost is closed when the lever may not be used any more; nil: never.
	Lost() <-chan struct{}

	// State returns what the screen shows of the lever.
	State() LeverState
}

// A LeverState is what a lever has done so far. Weights are NaN where the
// lever has none.
type LeverState struct {
	Base, Now    float64       // weight of the instance before the test, and now
	RestorePoint string        // path of the journal
	Lease        time.Duration // time left until the watchdog restores by itself
}

// A ShiftLever moves the share of a service's requests that reaches one
// instance, by a [naming.Shift]. Weight is a share, not a rate: the same rate
// needs another share in every window.
type ShiftLever struct {
	shift  *naming.Shift
	most   float64 // highest share
	tested int     // index of the instance in the list of the service

	mu     sync.Mutex
	report *naming.Report // of the restore, nil before
}

// NewShiftLever returns the lever of a shift that has begun. maxShare is the
// highest share of the service's requests, in (0, 1]; 0 means twice the share
// that the instance has now, at most 1.
func NewShiftLever(shift *naming.Shift, instance string, maxShare float64) *ShiftLever {
	if maxShare == 0 {
		maxShare = min(1, 2*shift.BaseShare())
	}
	tested := slices.IndexFunc(shift.Base(), func(in naming.Instance) bool { return in.Name == instance })
	return &ShiftLever{shift: shift, most: min(maxShare, shift.MaxShare()), tested: tested}
}

// Most returns the highest share that the lever sets.
func (l *ShiftLever) Most() float64 { return l.most }

// leverGrain is the change of share that is worth a write: 0.5 % of the share.
// Below it the noise of natural traffic (2 %) hides the effect.
const leverGrain = 0.005

// Share returns the share that the weights in force give the instance.
func (l *ShiftLever) Share() float64 {
	_, share := l.shift.Weights()
	return share
}

// Reach returns the rate at the highest share.
func (l *ShiftLever) Reach(total float64) float64 { return l.most * total }

// Set computes the share that rate needs and writes the weights for it. It
// never goes below the share before the test.
func (l *ShiftLever) Set(ctx context.Context, rate, total float64) (float64, error) {
	if !(total > 0) || math.IsNaN(rate) {
		return 0, fmt.Errorf("set %v of %v requests/s: the service has no traffic", rate, total)
	}
	share := min(max(rate/total, l.shift.BaseShare()), l.most)
	if now := l.Share(); math.Abs(share-now) <= leverGrain*now {
		return now * total, nil
	}
	actual, err := l.shift.SetShare(ctx, share)
	return actual * total, err
}

// Restore puts the base weights back.
func (l *ShiftLever) Restore(ctx context.Context) error {
	report, err := l.shift.Restore(ctx)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report = &report
	return nil
}

// Lost is closed when the lease is lost; the shift is restoring then.
func (l *ShiftLever) Lost() <-chan struct{} { return l.shift.Lost() }

// Report returns what the restore did, nil before it.
func (l *ShiftLever) Report() *naming.Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.report
}

// State returns the weights, the journal and the lease.
func (l *ShiftLever) State() LeverState {
	tested := l.shift.Base()[l.tested]
	weights, _ := l.shift.Weights()
	s := LeverState{
		Base: float64(tested.Weight), Now: float64(weights[l.tested]),
		RestorePoint: l.shift.Journal(), Lease: l.shift.Lease(),
	}
	if report := l.Report(); report != nil {
		s.Now = s.Base
		for _, left := range report.Left {
			if left.Instance == tested.Name {
				s.Now = float64(left.Found)
			}
		}
	}
	return s
}
