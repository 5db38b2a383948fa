package load

import (
	"fmt"
	"time"
)

// A baseline tells a pool that is too small from a server that is too slow.
// Both make due requests wait for a connection; but the server that queues
// takes longer for a request while all connections are busy than it took for
// those sent when few were.
type baseline struct {
	few               int // connections in flight that count as few
	quietSum, fullSum float64
	quiet, full       int64
}

func (b *baseline) sent(r *request, flying int) { r.quiet = flying < b.few }

func (b *baseline) answered(r *request, now int64, exhausted bool) {
	if r.quiet {
		b.quietSum += float64(now - r.sent)
		b.quiet++
	}
	if exhausted {
		b.fullSum += float64(now - r.sent)
		b.full++
	}
}

func (b *baseline) add(o baseline) {
	b.quietSum += o.quietSum
	b.quiet += o.quiet
	b.fullSum += o.fullSum
	b.full += o.full
}

// slowdown is how many times longer the server took for a request while the
// pool was exhausted; 1 when there is too little to compare.
func (b *baseline) slowdown() float64 {
	if b.quiet < 5 || b.full == 0 {
		return 1
	}
	return (b.fullSum / float64(b.full)) / (b.quietSum / float64(b.quiet))
}

// The bounds of the self-diagnosis. A generator that met one of them may have
// measured itself instead of the server.
const (
	// maxBusy is the share of the run that a worker may use its CPU or wait for
	// it. Above it, requests queue in the generator (M/D/1: at 0.9 the mean wait
	// is 4.5 times the work for a request).
	maxBusy = 0.9
	// maxLagShare is the share of a response-time quantile that may be our own
	// lateness, as long as that is at least minLag.
	maxLagShare = 0.1
	minLag      = time.Millisecond
	// maxExhausted is the share of the run in which due requests may wait for a
	// connection although the server is not slower than at rest.
	maxExhausted = 0.05
	// serverSlowdown is from how many times its service time at rest on the
	// server, not the size of the pool, is what requests wait for.
	serverSlowdown = 3
)

// diagnose returns why the result is the generator's rather than the server's,
// empty if it is not.
func (r *Result) diagnose() string {
	t := r.total
	if r.limits.descriptors {
		return fmt.Sprintf("out of file descriptors at %d connections; raise ulimit -n or lower --connections", r.MaxOpen)
	}
	if r.limits.ports {
		return fmt.Sprintf("out of local ports at %d connections; the server closes connections, or net.ipv4.ip_local_port_range is small", r.MaxOpen)
	}
	run := r.Elapsed.Seconds()
	if run <= 0 {
		return ""
	}
	if r.Open && t.answers() > 0 {
		for _, q := range []float64{50, 90, 99, 99.9} {
			if float64(t.answers())*(1-q/100) < 10 {
				break // a handful of late requests is no quantile
			}
			lag, response := t.lag.ValueAtPercentile(q), t.response.ValueAtPercentile(q)
			if lag > int64(minLag) && float64(lag) > maxLagShare*float64(response) {
				return fmt.Sprintf("requests left late: the p%g of the send lag is %s, of the response time %s", q, time.Duration(lag).Round(10*time.Microsecond), time.Duration(response).Round(10*time.Microsecond))
			}
		}
		if share := float64(t.exhausted) / 1e9 / run / float64(r.Workers); share > maxExhausted && r.baseline.slowdown() < serverSlowdown {
			return fmt.Sprintf("the pool of %d connections was exhausted %.0f %% of the time while the server was no slower than at rest; raise --max-connections", r.MaxOpen, 100*share)
		}
	}
	if share := r.Saturation; share > maxBusy {
		wait := float64(t.runDelay) / 1e9 / run / float64(r.Workers)
		return fmt.Sprintf("the generator was busy %.0f %% of the time (waiting for a CPU %.0f %%); give it more cores, or run it elsewhere", 100*share, 100*wait)
	}
	return ""
}
