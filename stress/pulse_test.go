package stress

import (
	"testing"
	"time"
)

// The reader that wakes first after a pause, and the one that wakes after the
// next beat, are told the same.
func TestPulseCountsAPauseOnce(t *testing.T) {
	now := time.Unix(100, 0)
	p := &pulse{now: func() time.Time { return now }}
	beat := func(after time.Duration) {
		now = now.Add(after)
		p.record()
	}
	if got := p.frozen(); got != 0 {
		t.Errorf("%v before anything happened", got)
	}
	for range 20 {
		beat(pulseEvery + 20*time.Millisecond) // a busy machine
	}
	if got := p.frozen(); got != 0 {
		t.Errorf("%v on a machine that is busy only", got)
	}
	now = now.Add(pulseEvery + 300*time.Millisecond)
	if got := p.frozen(); got != 300*time.Millisecond {
		t.Errorf("%v right after a pause of 300 ms", got)
	}
	beat(0)
	if got := p.frozen(); got != 300*time.Millisecond {
		t.Errorf("%v after the next beat", got)
	}
}
