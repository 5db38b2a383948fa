package naming

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// CheckBefore is the compare half of a backend's compare-and-swap: it returns a
// *ConflictError unless every instance of changes has the weight of its first
// From, and every further From is the To before it. Weights outside 0..most and
// instances that are not in now are refused too.
func CheckBefore(service string, changes []Change, now map[string]Weight, most Weight) error {
	at := make(map[string]Weight, len(changes))
	for _, c := range changes {
		weight, seen := at[c.Instance]
		if !seen {
			var ok bool
			if weight, ok = now[c.Instance]; !ok {
				return &UnknownError{Kind: "instance", Name: service + "/" + c.Instance}
			}
		}
		if weight != c.From {
			return &ConflictError{Instance: service + "/" + c.Instance, Want: c.From, Found: weight}
		}
		if c.To < 0 || c.To > most {
			return fmt.Errorf("weight %d of %s/%s is outside 0..%d", c.To, service, c.Instance, most)
		}
		at[c.Instance] = c.To
	}
	return nil
}

// CheckAfter returns a *ConflictError unless the weights read back are those
// that changes lead to.
func CheckAfter(service string, changes []Change, back map[string]Weight) error {
	want := make(map[string]Weight, len(changes))
	for _, c := range changes {
		want[c.Instance] = c.To
	}
	for _, c := range changes {
		if back[c.Instance] != want[c.Instance] {
			return &ConflictError{Instance: service + "/" + c.Instance, Want: want[c.Instance], Found: back[c.Instance], Written: true}
		}
	}
	return nil
}

// Poll is Watch for a registry that tells nobody of changes by itself: it lists
// every interval and calls notify at first and when the list differs. Failures
// are passed over until they last longer than tolerate.
func Poll(ctx context.Context, every, tolerate time.Duration, list func(context.Context) ([]Instance, error), notify func([]Instance)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var known []Instance
	var good time.Time
	for {
		now, err := list(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && (good.IsZero() || time.Since(good) > tolerate):
			return fmt.Errorf("watch: %w", err)
		case err == nil:
			if good.IsZero() || !slices.Equal(known, now) {
				known = now
				notify(slices.Clone(now))
			}
			good = time.Now()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
