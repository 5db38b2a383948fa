package signal

import (
	"math"
	"testing"
)

// The windows of a guard are short: at 350 requests a second none of them has
// enough requests for a mean response time, and all together must do. Otherwise
// the guards see no backlog for as long as the test lasts.
func TestExcessIsKnownFromShortWindows(t *testing.T) {
	const seconds, rate, usual = 0.2, 350.0, 0.020
	var e excess
	got := math.NaN()
	for range 5 {
		got = e.of(rate*usual, rate, usual, rate*seconds)
	}
	if got != 0 {
		t.Errorf("excess %v of an instance without a queue", got)
	}
	const waiting = 12
	if got := e.of(rate*usual+waiting, rate, usual+waiting/rate, rate*seconds); math.Abs(got-waiting) > 1e-9 {
		t.Errorf("excess %v with %d requests waiting", got, waiting)
	}
}
