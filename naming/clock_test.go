//go:build unix

package naming_test

import (
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/wxops/wxops/naming"
	"github.com/wxops/wxops/naming/namingtest"
)

// TestClockStepsBreakNeitherLeaseNorJournal runs tests by a wall clock that
// jumps by years whenever it is asked, back and forth.
func TestClockStepsBreakNeitherLeaseNorJournal(t *testing.T) {
	l := newLane(t, false)
	o := options(l.state)
	o.TTL = 500 * time.Millisecond
	years := []int{-40, 150, -3, 0, 7, 60, -20}
	asked := 0
	o.Now = func() time.Time {
		asked++
		return time.Now().Round(0).AddDate(years[asked%len(years)], 0, 0) // without a monotonic reading
	}
	begin := func() *naming.Shift {
		t.Helper()
		s, err := naming.Begin(t.Context(), l.reg, namingtest.Service, "a", o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := begin()
	shares := []float64{0.4, 0.5, 0.6}
	for n, start := 0, time.Now(); time.Since(start) < 3*o.TTL; n++ {
		if _, err := s.SetShare(t.Context(), shares[n%len(shares)]); err != nil {
			t.Fatalf("change %d: %v", n, err)
		}
		if left := s.Lease(); left <= 0 || left > o.TTL {
			t.Fatalf("change %d: lease of %v", n, left)
		}
	}
	journal, err := os.ReadFile(s.Journal())
	if err != nil {
		t.Fatal(err)
	}
	if rep, err := s.Restore(t.Context()); err != nil || !rep.Clean() {
		t.Fatalf("Restore = %+v, %v", rep, err)
	}
	if asked < 10 {
		t.Errorf("the clock was asked %d times", asked)
	}
	// A journal from the far future is replayed as any other.
	future := regexp.MustCompile(`("started": ")\d+`).ReplaceAll(journal, []byte("${1}2999"))
	if err := os.WriteFile(s.Journal(), future, 0o600); err != nil {
		t.Fatal(err)
	}
	s = begin()
	if s.Replayed() == nil || !s.Replayed().Clean() {
		t.Errorf("replayed %+v", s.Replayed())
	}
	if _, err := s.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.atBase(t); err != nil {
		t.Error(err)
	}
}
