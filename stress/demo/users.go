package demo

import (
	"context"
	"math"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Users send requests in an open loop: Poisson arrivals whose rate wanders
// slowly by 2 % (standard deviation) around its mean, as natural traffic does.
type Users struct {
	URL  string
	Rate float64 // mean requests per second
	Seed uint64

	// Limit bounds the requests that are under way at once; one more is not
	// sent and counts as Unsent. 0 means 2000.
	Limit int
}

// Noise of the rate of natural traffic: an autoregressive process of order 1.
const (
	noiseDeviation = 0.02
	noiseStep      = time.Second
	noiseMemory    = 0.9 // correlation from one step to the next: about 10 s
)

// A Visit is one request as its user saw it.
type Visit struct {
	Sent     time.Time // when the request was due, so that a late sender is not hidden
	Response time.Duration
	Status   int    // 0 if no response came
	Instance string // which instance answered
}

// A Report is what became of the requests of Users.
type Report struct {
	Visits []Visit
	Unsent int           // requests not sent because Limit were under way
	Lag    time.Duration // the longest time by which a request was sent late: the machine stood still
}

// Run sends requests until ctx ends or count requests were sent (0: no bound)
// and waits for those under way for at most 5 s more.
func (u Users) Run(ctx context.Context, count int) Report {
	limit := u.Limit
	if limit == 0 {
		limit = 2000
	}
	transport := newTransport()
	defer transport.CloseIdleConnections()
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()

	rng := rand.New(rand.NewPCG(u.Seed, 0x05e5))
	var report Report
	var mu sync.Mutex // guards report.Visits
	var wg sync.WaitGroup
	var underWay atomic.Int64
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	start := time.Now()
	noise, step := noiseDeviation*rng.NormFloat64(), noiseStep
	next := time.Duration(0)
	for sent := 0; count == 0 || sent < count; sent++ {
		next += time.Duration(rng.ExpFloat64() / (u.Rate * (1 + noise)) * 1e9)
		for ; step < next; step += noiseStep {
			noise = noiseMemory*noise + noiseDeviation*math.Sqrt(1-noiseMemory*noiseMemory)*rng.NormFloat64()
		}
		if wait := next - time.Since(start); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			break
		}
		report.Lag = max(report.Lag, time.Since(start)-next)
		if underWay.Load() >= int64(limit) {
			report.Unsent++
			continue
		}
		underWay.Add(1)
		due := start.Add(next)
		wg.Go(func() {
			defer underWay.Add(-1)
			v := visit(sending, transport, u.URL)
			v.Sent, v.Response = due, time.Since(due)
			mu.Lock()
			report.Visits = append(report.Visits, v)
			mu.Unlock()
		})
	}
	last := time.AfterFunc(5*time.Second, cancel)
	defer last.Stop()
	wg.Wait()
	return report
}

func visit(ctx context.Context, transport *http.Transport, url string) Visit {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Visit{}
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return Visit{}
	}
	closeBody(resp)
	return Visit{Status: resp.StatusCode, Instance: resp.Header.Get(header)}
}
