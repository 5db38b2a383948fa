package stress

import (
	"cmp"
	"math"
	"slices"
)

// A Look gathers the looks at an instance at which a number of requests were
// under way.
type Look struct {
	InFlight float64 // requests under way, those that wait among them; at least 1
	Count    float64 // looks
	Seconds  float64 // from each of them to the next, in sum
	Answered float64 // of the requests under way, those that were answered before the next look
}

// Looks gathers what was seen of single requests from outside, ascending in
// InFlight. It tells the number of workers while nobody waits for long: of a
// few requests under way the same part is answered until the next look,
// however many they are, as each has a worker; of more than there are workers
// a smaller one. No response time from an idle instance is needed for that.
type Looks []Look

// Add takes further looks into account.
func (l *Looks) Add(seen ...Look) {
	for _, x := range seen {
		i, found := slices.BinarySearchFunc(*l, x, func(a, b Look) int { return cmp.Compare(a.InFlight, b.InFlight) })
		if !found {
			*l = slices.Insert(*l, i, Look{InFlight: x.InFlight})
		}
		to := &(*l)[i]
		to.Count += x.Count
		to.Seconds += x.Seconds
		to.Answered += x.Answered
	}
}

// anew returns how many of the requests that wait at x begin and end before the
// next look, per look: k workers of a mean service time, of the given
// distribution, take them up at even intervals.
func (x Look) anew(k, mean float64, service []atom) float64 {
	waiting := x.InFlight - k
	if waiting <= 0 {
		return 0
	}
	gap, last, sum := x.Seconds/x.Count, waiting*mean/k, 0.0
	for _, a := range service {
		sum += a.p * math.Max(0, math.Min(last, gap-a.value*mean))
	}
	return sum * k / mean
}

// likelihood is the logarithm of the chance of what was seen, for k workers
// whose service time is that of svc. How many of the requests at work are
// answered until the next look is told by the looks themselves: the value that
// makes their sum right.
func (l Looks) likelihood(k float64, svc line, service []atom) (log float64) {
	l = slices.DeleteFunc(slices.Clone(l), func(x Look) bool { return x.Seconds/x.Count > mostGap*svc.coef[0] })
	anew := make([]float64, len(l))
	for i, x := range l {
		anew[i] = x.anew(k, svc.coef[0]+svc.coef[1]*k, service)
	}
	due := func(i int, rest float64) float64 {
		x := l[i]
		busy := math.Min(x.InFlight, k)
		rest *= svc.coef[0] + svc.coef[1]*busy
		answered := busy*-math.Expm1(-x.Seconds/x.Count/rest) + anew[i]
		return math.Max(0.001, math.Min(x.InFlight-0.001, answered))
	}
	low, high := 0.1, 4.0 // of a service time are left of one that is under way
	for range 16 {
		rest, more := math.Sqrt(low*high), 0.0
		for i, x := range l {
			more += x.Count*due(i, rest) - x.Answered
		}
		if more > 0 {
			low = rest
		} else {
			high = rest
		}
	}
	rest := math.Sqrt(low * high)
	for i, x := range l {
		p := due(i, rest) / x.InFlight
		log += x.Answered*math.Log(p) + (x.InFlight*x.Count-x.Answered)*math.Log(1-p)
	}
	return log
}

// mostGap is the longest time between two looks that tells something, over the
// service time: with a longer one nearly all requests are answered in between.
const mostGap = 1.3
