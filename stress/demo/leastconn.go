package demo

import (
	"math"
	"math/rand/v2"
	"time"
)

// TruthLeastConn is [Truth] behind a balancer that gives each request to the
// instance with the least load for its weight, as HAProxy's leastconn does, with
// peers further instances of the same law beside the one that is measured.
//
// What reaches an instance then depends on its own queue: a burst of slow
// requests turns the next ones away. So it carries a few per cent more than
// behind a round robin, and no rate can be set: the weight is raised until the
// share miss is reached, and the rate that comes by that weight is the answer.
// It is the throughput of every request of the instance, and holds for this
// total and these peers alone. About 0.5 % of it is uncertain.
func TruthLeastConn(law Law, bound time.Duration, miss, total float64, peers int, seed uint64) float64 {
	low, high := 1.0/64, 64.0 // weight over that of a peer
	for high > 1.02*low {
		weight := math.Sqrt(low * high)
		if _, missed := leastConn(law, bound, weight, total, peers, seed, coarseRequests); missed > miss {
			high = weight
		} else {
			low = weight
		}
	}
	weight := math.Sqrt(low * high)
	below, missedBelow := leastConn(law, bound, weight/1.1, total, peers, seed, truthRequests)
	above, missedAbove := leastConn(law, bound, weight*1.1, total, peers, seed, truthRequests)
	if missedAbove <= missedBelow {
		return math.Sqrt(below * above)
	}
	part := math.Log(miss/missedBelow) / math.Log(missedAbove/missedBelow)
	return below * math.Pow(above/below, max(-1, min(2, part)))
}

// leastConn simulates n requests of a whole service and returns the rate at its
// first instance, whose weight is that many times that of each peer, and the
// share of its requests that was refused or slower than bound.
//
// The instance with the least (requests under way + 1) / weight is chosen, one
// without any first; of equal ones the one that has been so for longest
// (fwlc_queue_srv of HAProxy's src/lb_fwlc.c, release 2.4 and later).
func leastConn(law Law, bound time.Duration, weight, total float64, peers int, seed uint64, n int) (rate, missed float64) {
	bad, all := 0.5, 1.0 // so that the logarithm of none is finite
	fleet := make([]queue, 1+peers)
	latest := make([]time.Duration, len(fleet)) // change of the requests under way
	for k := range fleet {
		fleet[k] = queue{law: law, rng: rand.New(rand.NewPCG(seed, uint64(k))), virtual: true}
		fleet[k].served = func(j *job) {
			latest[k] = j.due
			if k == 0 && j.due-j.arrived > bound {
				bad++
			}
		}
	}
	load := func(k int) float64 {
		switch underWay := len(fleet[k].busy) + len(fleet[k].waiting); {
		case underWay == 0:
			return 0
		case k == 0:
			return float64(underWay+1) / weight
		default:
			return float64(underWay + 1)
		}
	}
	rng := rand.New(rand.NewPCG(seed, 1<<32))
	var t time.Duration
	for range n {
		t += time.Duration(rng.ExpFloat64() / total * 1e9)
		to := 0
		for k := range fleet {
			fleet[k].advance(t)
			if a, b := load(k), load(to); a < b || a == b && latest[k] < latest[to] {
				to = k
			}
		}
		latest[to] = t
		accepted := fleet[to].arrive(t) != nil
		if to == 0 {
			all++
			if !accepted {
				bad++
			}
		}
	}
	return all / t.Seconds(), bad / all
}
