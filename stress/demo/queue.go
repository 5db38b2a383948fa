package demo

import (
	"math/rand/v2"
	"time"
)

// A job is one request inside an instance. Times are since the start of the
// instance.
type job struct {
	arrived, started, due time.Duration
	done                  chan struct{} // closed once the request is due; nil in a virtual queue
}

// queue is the law of an instance carried out in virtual time: the next
// request of a worker starts at the instant at which the one before was due,
// however late a timer reported it. So a slow machine delays responses but
// never the queue behind them.
type queue struct {
	law     Law
	rng     *rand.Rand
	virtual bool // nobody waits for a job
	waiting []*job
	busy    []*job // heap, due first on top

	served    func(*job)    // called for each request when it is done
	busyTime  time.Duration // worker time of the requests done
	startedAt time.Duration // sum of started over the requests in busy
}

// advance carries out everything that is due until t. The instants of advance
// and arrive must not decrease.
func (q *queue) advance(t time.Duration) {
	for len(q.busy) > 0 && q.busy[0].due <= t {
		j := q.pop()
		q.busyTime += j.due - j.started
		q.startedAt -= j.started
		q.served(j)
		if !q.virtual {
			close(j.done)
		}
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
	j := &job{arrived: t}
	if !q.virtual {
		j.done = make(chan struct{})
	}
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
	q.push(j)
}

// workerTime returns the time that workers have been busy until t, which must
// be the instant of the latest advance or arrive.
func (q *queue) workerTime(t time.Duration) time.Duration {
	return q.busyTime + time.Duration(len(q.busy))*t - q.startedAt
}

// push and pop are those of a binary heap; container/heap would call its
// methods through an interface, which takes twice the time of the rest.
func (q *queue) push(j *job) {
	q.busy = append(q.busy, j)
	for i := len(q.busy) - 1; i > 0; {
		up := (i - 1) / 2
		if q.busy[up].due <= q.busy[i].due {
			return
		}
		q.busy[up], q.busy[i] = q.busy[i], q.busy[up]
		i = up
	}
}

func (q *queue) pop() *job {
	top, last := q.busy[0], len(q.busy)-1
	q.busy[0] = q.busy[last]
	q.busy = q.busy[:last]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if q.busy[child].due < q.busy[least].due {
				least = child
			}
		}
		if least == i {
			return top
		}
		q.busy[i], q.busy[least] = q.busy[least], q.busy[i]
		i = least
	}
}
