package cli

import (
	"fmt"
	"sync"
	"time"
)

// Progress tells on standard error how far long work is. Nothing is printed
// during the first 500 ms, with --quiet, or when standard error is no terminal.
type Progress struct {
	s     *IO
	now   func() time.Time
	mu    sync.Mutex
	phase string
	start time.Time
	last  time.Time
	shown bool
}

// NewProgress returns the progress of one phase of work.
func NewProgress(s *IO, phase string) *Progress {
	return &Progress{s: s, now: time.Now, phase: phase, start: time.Now()}
}

// Update says that done of total units are done; total 0 means unknown.
// It is safe for concurrent use and prints at most ten times a second.
func (p *Progress) Update(done, total int) {
	if p.s.quiet || !p.s.errTTY {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	elapsed := now.Sub(p.start)
	if elapsed < 500*time.Millisecond || now.Sub(p.last) < 100*time.Millisecond {
		return
	}
	p.last, p.shown = now, true
	rate := float64(done) / elapsed.Seconds()
	line := fmt.Sprintf("%s: %d", p.phase, done)
	if total > 0 {
		line += fmt.Sprintf("/%d", total)
	}
	line += fmt.Sprintf(", %.0f/s", rate)
	if total > 0 && rate > 0 {
		left := time.Duration(float64(total-done) / rate * float64(time.Second))
		line += ", " + left.Round(time.Second).String() + " left"
	}
	fmt.Fprintf(p.s.Err, "\r\x1b[K%s", line)
}

// Done removes the progress line.
func (p *Progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.s.Err, "\r\x1b[K")
		p.shown = false
	}
}
