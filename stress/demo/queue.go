package demo

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// A job is one request inside an instance. Times are since the start of the
// instance.
type job struct {
	arrived, started, due time.Duration
	done                  chan struct{} // closed once the request is due
}

// queue is the law of an instance carried out in virtual time: the next
// request of a worker starts at the instant at which the one before was due,
// however late a timer reported it. So a slow machine delays responses but
// never the queue behind them.
type queue struct {
	law     Law
	rng     *rand.Rand
	waiting []*job
	busy    jobHeap

	served    func(*job)    // called for each request when it is done
	busyTime  time.Duration // worker time of the requests done
	startedAt time.Duration // sum of started over the requests in busy
}

// advance carries out everything that is due until t. The instants of advance
// and arrive must not decrease.
func (q *queue) advance(t time.Duration) {
	for len(q.busy) > 0 && q.busy[0].due <= t {
		j := heap.Pop(&q.busy).(*job)
		q.busyTime += j.due - j.started
		q.startedAt -= j.started
		q.served(j)
		close(j.done)
		if len(q.waiting) > 0 {
			next := q.waiting[0]
			q.waiting = q.waiting[1:]
			q.begin(next, j.due)
		}
	}
}

// arrive brings a request at t, and returns nil if it is refused because the
// queue is full.
func (q *queue) arrive(t time.Duration) *job {
	q.advance(t)
	if len(q.busy) == q.law.Workers && len(q.waiting) >= q.law.Queue {
		return nil
	}
	j := &job{arrived: t, done: make(chan struct{})}
	if len(q.busy) < q.law.Workers {
		q.begin(j, t)
	} else {
		q.waiting = append(q.waiting, j)
	}
	return j
}

func (q *queue) begin(j *job, t time.Duration) {
	j.started = t
	j.due = t + q.law.draw(q.rng, len(q.busy), len(q.waiting))
	q.startedAt += t
	heap.Push(&q.busy, j)
}

// workerTime returns the time that workers have been busy until t, which must
// be the instant of the latest advance or arrive.
func (q *queue) workerTime(t time.Duration) time.Duration {
	return q.busyTime + time.Duration(len(q.busy))*t - q.startedAt
}

// jobHeap has the request that is due first on top.
type jobHeap []*job

func (h jobHeap) Len() int           { return len(h) }
func (h jobHeap) Less(i, j int) bool { return h[i].due < h[j].due }
func (h jobHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *jobHeap) Push(x any)        { *h = append(*h, x.(*job)) }
func (h *jobHeap) Pop() any {
	old := *h
	j := old[len(old)-1]
	*h = old[:len(old)-1]
	return j
}
