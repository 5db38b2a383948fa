package signal

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/wxops/wxops/naming"
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

// counting is a registry whose statistics are those of a HAProxy that has just
// started: a plain mean of the first 512 response times, a sliding one from then
// on, in whole milliseconds, rounded up as swrate_avg does.
type counting struct {
	naming.Registry
	requests int64
	sum      float64 // of the sliding mean, seconds times requests
}

func (c *counting) Address() string { return "counting" }

func (c *counting) Stats(context.Context, string) ([]naming.Stats, error) {
	n := float64(max(1, min(c.requests, 512)))
	return []naming.Stats{{
		Service: "s", Instance: "a", Requests: c.requests, Sessions: c.requests, Limit: -1, Backlog: -1, InFlight: -1,
		ResponseTime: time.Duration(math.Ceil(1e3*c.sum/n)) * time.Millisecond,
	}}, nil
}

func (c *counting) serve(n int, response float64) {
	for range n {
		if c.requests >= 512 {
			c.sum -= c.sum / 512
		}
		c.requests++
		c.sum += response
	}
}

// A balancer that has just started has the mean of few requests. The mean of a
// window is taken out of it as exactly as later on; 4 ms were read out of 10 ms
// where it was taken for a sliding one, and everything above them for a queue.
func TestMeanResponseTimeOfABalancerThatHasJustStarted(t *testing.T) {
	c := &counting{}
	c.serve(100, 0.016) // connections are opened
	now := time.Unix(0, 0)
	r, err := OpenRegistry(t.Context(), c, RegistryOptions{Service: "s", Instance: "a", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	read := func() float64 {
		t.Helper()
		got, err := r.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return got.Sample.Mean
	}
	read()
	for window := range 12 {
		response := 0.010
		if window == 8 {
			response = 0.030 // a window with a queue
		}
		c.serve(200, response)
		now = now.Add(time.Second)
		// The rounding to 1 ms at both ends, taken apart.
		if got := read(); math.Abs(got-response) > 0.0031 {
			t.Errorf("window %d, requests %d: mean %.1f ms, want %.0f ms", window, c.requests, 1e3*got, 1e3*response)
		}
	}
}
