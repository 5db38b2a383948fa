package signal

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// A pooled is a simulated instance behind a balancer that keeps connections.
type pooled struct {
	workers int
	service func(*rand.Rand) float64 // seconds
	rate    float64                  // requests per second
	tick    float64                  // of the kernel's clock, seconds
	last    bool                     // the connection freed last is used first, else the one freed first
	closed  bool                     // every request has a connection of its own
	bound   float64
}

// A call is one request on a connection, in seconds.
type call struct{ came, answered float64 }

// calls plays the queue and returns the calls of each connection in order.
func (p pooled) calls(seconds float64, rng *rand.Rand) (of [][]call) {
	free := make([]float64, p.workers) // when each worker is free
	var idle []int                     // connections, in the order in which they were freed
	var busy []int                     // the others
	for at := rng.ExpFloat64() / p.rate; at < seconds; at += rng.ExpFloat64() / p.rate {
		slices.SortFunc(busy, func(a, b int) int {
			return int(math.Copysign(1, of[a][len(of[a])-1].answered-of[b][len(of[b])-1].answered))
		})
		for len(busy) > 0 && of[busy[0]][len(of[busy[0]])-1].answered <= at {
			idle, busy = append(idle, busy[0]), busy[1:]
		}
		w := 0
		for i := range free {
			if free[i] < free[w] {
				w = i
			}
		}
		free[w] = max(free[w], at) + p.service(rng)
		c := len(of)
		switch {
		case p.closed || len(idle) == 0:
			of = append(of, nil)
		case p.last:
			c, idle = idle[len(idle)-1], idle[:len(idle)-1]
		default:
			c, idle = idle[0], idle[1:]
		}
		of[c] = append(of[c], call{at, free[w]})
		busy = append(busy, c)
	}
	return of
}

// socketAt returns what the kernel says of a connection, and whether it exists.
func (p pooled) socketAt(of []call, id int, at float64) (s socket, exists bool) {
	ticks := func(v float64) float64 { return math.Floor(v / p.tick) }
	age := func(v float64) int64 { return int64(math.Round((ticks(at) - ticks(v)) * p.tick * 1e3)) }
	s.id = uint64(id) + 1
	for _, c := range of {
		if c.came <= at {
			exists = true
			s.segmentsIn++
			s.received = age(c.came)
			s.sent = age(of[0].came) // the handshake, if nothing else
		}
	}
	for _, c := range of {
		if c.answered <= at {
			exists = !p.closed
			s.segmentsOut++
			s.sent = age(c.answered)
		}
	}
	return s, exists
}

// Oracle: the response times themselves. Looks at the connections of a
// simulated instance must give their mean, quantiles and the share above the
// objective, whatever connections are used again.
func TestAnswersGiveTheResponseTimesOfAQueue(t *testing.T) {
	exponential := func(mean float64) func(*rand.Rand) float64 {
		return func(rng *rand.Rand) float64 { return rng.ExpFloat64() * mean }
	}
	even := func(rng *rand.Rand) float64 { return 0.006 * (1 + 0.5*(rng.Float64()*2-1)) }
	for name, p := range map[string]pooled{
		"8 x 20 ms, last freed first":  {workers: 8, service: exponential(0.02), rate: 320, tick: 0.004, last: true, bound: 0.1},
		"8 x 20 ms, first freed first": {workers: 8, service: exponential(0.02), rate: 320, tick: 0.004, bound: 0.1},
		"8 x 20 ms, tick of 1 ms":      {workers: 8, service: exponential(0.02), rate: 320, tick: 0.001, bound: 0.1},
		"8 x 20 ms, tick of 10 ms":     {workers: 8, service: exponential(0.02), rate: 320, tick: 0.01, last: true, bound: 0.1},
		"2 x 4 ms":                     {workers: 2, service: exponential(0.004), rate: 380, tick: 0.004, last: true, bound: 0.029},
		"2 x 6 ms, even":               {workers: 2, service: even, rate: 270, tick: 0.004, last: true, bound: 0.020},
		"4 x 10 ms":                    {workers: 4, service: exponential(0.01), rate: 300, tick: 0.004, last: true, bound: 0.045},
		"each on its own connection":   {workers: 8, service: exponential(0.02), rate: 320, tick: 0.004, closed: true, bound: 0.1},
	} {
		t.Run(name, func(t *testing.T) {
			const seconds, every, window = 100.0, 0.02, 1.0
			rng := rand.New(rand.NewPCG(1, 1))
			all := p.calls(seconds, rng)
			var times []float64
			came := make([]float64, int(seconds/window)+1) // by window
			for _, of := range all {
				for _, c := range of {
					times = append(times, c.answered-c.came)
					came[int(c.came/window)]++
				}
			}
			a, conns := newAnswers(), make([]conn, len(all))
			for i := range conns {
				conns[i].known = true
			}
			var got histogram
			n, sum, over := 0.0, 0.0, make([]int, len(all)) // calls that cannot change any more
			for at, w := 0.0, 0; at < seconds; at += every * (0.9 + 0.2*rng.Float64()) {
				a.owed, a.looks, a.gaps = 0, a.looks+1, a.gaps+every
				for i, of := range all {
					for over[i] < len(of)-1 && of[over[i]+1].answered < at-1 {
						over[i]++
					}
					if of[over[i]].came > at || p.closed && of[0].answered < at-1 {
						continue
					}
					s, exists := p.socketAt(of[over[i]:], i, at)
					s.segmentsIn += int64(over[i])
					s.segmentsOut += int64(over[i])
					switch {
					case exists && a.look(&conns[i], s, at):
						a.owed++
					case !exists && conns[i].owed:
						a.end(&conns[i], at)
						conns[i].owed = false
					}
				}
				if at > float64(w+1)*window {
					h, mean := a.histogram(came[w], p.bound)
					a.forget()
					got = merged(got, h)
					n += h.total()
					sum += mean * h.total()
					w++
				}
			}
			slices.Sort(times)
			slow, total := 0.0, 0.0
			for _, v := range times {
				total += v
				if v > p.bound {
					slow++
				}
			}
			near := func(what string, got, want, relative float64) {
				if !(math.Abs(got/want-1) <= relative) {
					t.Errorf("%s: %.4g, want %.4g within %.0f %%", what, got, want, 100*relative)
				}
			}
			count := float64(len(times))
			near("requests", n, count, 0.015)
			near("mean", sum/n, total/count, 0.03)
			near("share above the objective", got.above(p.bound), slow/count, 0.07)
			near("median", got.quantile(0.5), times[len(times)/2], 0.05)
			near("99 % quantile", got.quantile(0.99), times[len(times)*99/100], 0.02)
		})
	}
}

// merged adds two histograms of the same classes.
func merged(a, b histogram) histogram {
	counts := map[float64]float64{}
	for _, h := range []histogram{a, b} {
		for _, x := range h {
			counts[x.Bound] += x.Count
		}
	}
	return fromCounts(counts)
}
