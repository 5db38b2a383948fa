package stress

import (
	"context"
	"sync"
	"time"
)

// A pulse notices when its process is not let run: the host of a virtual
// machine, a frozen cgroup or a busy machine takes the CPU away. What the
// signals say of such a moment is no evidence about the instance, which most
// likely stood still as well.
type pulse struct {
	now func() time.Time

	mu    sync.Mutex
	last  time.Time     // of the beats
	total time.Duration // stood still, up to last
}

const (
	pulseEvery = 10 * time.Millisecond

	// faint is the gap that counts: a busy machine lets a sleeper wait for some
	// slices of 3 to 10 ms, and a queue of 50 ms is below most objectives' notice.
	faint = 50 * time.Millisecond
)

// beat watches until ctx ends.
func (p *pulse) beat(ctx context.Context) {
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	p.frozen()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.record()
		}
	}
}

// record is one beat.
func (p *pulse) record() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.total += p.gap(now)
	p.last = now
}

// gap returns how much of the time since the last beat the process stood still.
func (p *pulse) gap(now time.Time) time.Duration {
	if gap := now.Sub(p.last) - pulseEvery; !p.last.IsZero() && gap > faint {
		return gap
	}
	return 0
}

// frozen returns for how long the process has stood still so far. It is right
// at once after a pause, even if it is called before the next beat.
func (p *pulse) frozen() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if p.last.IsZero() {
		p.last = now
	}
	return p.total + p.gap(now)
}
