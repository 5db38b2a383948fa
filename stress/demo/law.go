package demo

import (
	"math"
	"math/rand/v2"
	"time"
)

// A Law says how an instance serves: a queue in front of Workers, each with
// one request at a time.
type Law struct {
	Workers int
	Service time.Duration // mean service time of a request that is alone
	CV      float64       // coefficient of variation of the service time (gamma); 0 constant, 1 exponential

	// Queue is how many requests may wait; one more is refused at once with
	// status 503.
	Queue int

	// PerBusy and PerQueued stretch the service time of a request that starts
	// while b other workers are busy and q requests wait behind it, by the
	// factor 1 + PerBusy*b + PerQueued*q. With PerQueued > 0 the instance is
	// metastable: past a certain backlog it slows down faster than it drains.
	PerBusy, PerQueued float64

	// CPUShare is the share of the service time that shows as busy CPU in the
	// metrics, in [0, 1]; the rest is waiting for others, as for a database.
	CPUShare float64
}

// draw returns a service time for a request that starts beside busy others
// with queued behind it.
func (l Law) draw(rng *rand.Rand, busy, queued int) time.Duration {
	stretch := 1 + l.PerBusy*float64(busy) + l.PerQueued*float64(queued)
	return time.Duration(l.Service.Seconds() * stretch * unitGamma(rng, l.CV) * 1e9)
}

// unitGamma draws from the gamma distribution with mean 1 and the coefficient
// of variation cv, by the method of Marsaglia and Tsang (ACM TOMS 26, 2000).
func unitGamma(rng *rand.Rand, cv float64) float64 {
	switch cv {
	case 0:
		return 1
	case 1:
		return rng.ExpFloat64()
	}
	shape := 1 / (cv * cv)
	scale, boost := 1/shape, 1.0
	if shape < 1 {
		boost = math.Pow(1-rng.Float64(), 1/shape)
		shape++
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := rng.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(1-rng.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v * boost * scale
		}
	}
}
