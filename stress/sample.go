package stress

import "time"

// A Sample is one window of measurements of the instance under test.
//
// A quantity that no signal measured is NaN.
type Sample struct {
	End    time.Duration // end of the window, since the start of the run (monotonic)
	Window time.Duration // length of the window, > 0
	Age    time.Duration // how old the data was when the controller saw it

	// Frozen is how long of the window the observer itself was not let run,
	// although it was due: the machine stood still, and most likely all of it.
	Frozen time.Duration

	Offered    float64 // requests that arrived, per second
	Throughput float64 // requests completed, per second
	Mean       float64 // mean response time, seconds
	P50        float64 // median response time, seconds
	P99        float64 // 99 % quantile of the response time, seconds
	SlowRatio  float64 // share of completed requests above the bound of the objective, 0..1
	QueueWait  float64 // mean seconds between accept and start
	Backlog    float64 // requests accepted and not yet started, mean over the window; of a guard reading: at its end
	InFlight   float64 // requests started and not finished, mean over the window
	CPU        float64 // cores busy with this instance
	CPULimit   float64 // cores the instance may use
	ErrorRatio float64 // share of requests answered with an error, fast rejects included, 0..1
	Rejects    float64 // share of requests refused at once (fast reject), 0..1

	// Inferred says that nothing counts the requests that wait: Backlog is what
	// is under way beyond what is usual at this rate. Mean tells more of waits.
	Inferred bool

	// Slots is how many requests the balancer lets the instance have at once,
	// 0 without a limit. It gives the others to peers: Meant is the rate per
	// second that the weight alone would bring, NaN if unknown.
	Slots, Meant float64

	// Share is the share of the service's requests that reached this
	// instance, Total the request rate of the whole service per second.
	Share, Total float64

	// Buckets is the response-time histogram of the window, ascending in
	// bound; nil where no signal gives one.
	Buckets []Bucket

	// Looks is what was seen of single requests under way in the window,
	// ascending in InFlight; nil where no signal sees them.
	Looks Looks
}

// meant returns the rate at which requests are meant for the instance, those
// that go to its peers for want of a slot among them.
func (s Sample) meant() float64 {
	if s.Slots > 0 && s.Meant > s.Offered {
		return s.Meant
	}
	return s.Offered
}

// A Bucket counts the requests whose response time was above the bound of the
// bucket before it and at most Bound seconds (+Inf in the last one).
type Bucket struct {
	Bound float64
	Count float64
}
