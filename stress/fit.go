package stress

import (
	"cmp"
	"math"
	"slices"
)

// A posterior is what the windows say about the instance: weighted models.
type posterior struct {
	outside  bool // waits are part of response times seen from outside
	coarse   bool // waits come from a few readings of a queue, not from every request
	models   []weighted
	mean     float64 // of the capacity, requests per second
	low      float64
	high     float64
	best     model
	full     float64 // capacity of the best
	carried  float64 // rate that was carried well, requests per second; 0 if unknown
	degrade  float64 // relative slow-down per waiting request
	ceiling  float64 // utilization of the CPU with all workers busy, NaN if unknown
	fifth    float64 // 5 % quantile of the capacity
	spread   float64 // relative standard deviation of the capacity
	degraded float64 // probability that a backlog slows the service down
}

type weighted struct {
	model
	log, p, capacity, ceiling float64
	degraded                  float64 // probability of a slow-down under backlog if this is the model
}

// A window is a sample as the fit sees it.
type window struct {
	seconds, offered, throughput float64
	n                            float64 // requests completed
	service                      float64 // mean service time, seconds
	response                     float64 // mean response time, seconds
	queue                        float64 // mean number of requests that wait
	wait                         float64 // mean wait, NaN if unknown
	before                       float64 // wait at the beginning of the window
	waitNoise                    float64 // relative variance of the reading of wait; 0 if it was measured by request
	inferred                     bool    // wait is a guess from outside: only response was measured
	slow                         float64 // requests that missed the objective, NaN if unknown
	cpu                          float64 // utilization, NaN if unknown
	steady                       bool    // the rate did not change within it and no queue was drained
	stalled                      bool    // the instance stood still for a while
}

// coarse reports whether wait is no mean over every request.
func (w window) coarse() bool { return w.inferred || w.waitNoise > 0 }

// serviceTime returns the mean service time of the window with its relative
// variance that comes from the wait; prior is the best model before. Of a
// response time from outside only the sum is known: the wait of the model is
// taken off, and is as uncertain as it is long.
func (w window) serviceTime(prior model, mean float64) (seconds, variance float64) {
	switch {
	case w.inferred:
		wait := math.Min(prior.wait(w.offered), w.response/2)
		return w.response - wait, math.Pow(wait/mean, 2)
	case w.waitNoise > 0:
		// The mean of a few readings of a queue is mostly below its mean.
		return w.service, w.waitNoise * math.Pow(math.Max(w.wait, prior.wait(w.offered))/mean, 2)
	}
	return w.service, 0
}

// candidates are the numbers of workers that are tried: every one up to 64,
// then steps of 1.5 %.
var candidates = func() []float64 {
	var k []float64
	for i := 1.0; i <= 64; i++ {
		k = append(k, i)
	}
	for v := 65.0; v < 5000; v = math.Max(v+1, math.Round(v*1.015)) {
		k = append(k, v)
	}
	return k
}()

// finer are the numbers of workers that are tried from outside, in steps of 3 %:
// a request is under way for somewhat longer than it keeps a worker busy, so
// that whole numbers do not fit.
var finer = func() []float64 {
	var k []float64
	for v := 1.0; v < 5000; v *= 1.03 {
		k = append(k, v)
	}
	return k
}()

// ceilings are the utilizations of the CPU at saturation that are tried.
var ceilings = func() []float64 {
	c := []float64{1}
	for v := 0.98; v > 0.002; v *= 0.98 {
		c = append(c, v)
	}
	return c
}()

// normals are the points and weights at which a Gaussian is sampled.
var normals = func() []atom {
	var out []atom
	sum := 0.0
	for z := -2.25; z <= 2.26; z += 0.75 {
		p := math.Exp(-z * z / 2)
		out = append(out, atom{z, p})
		sum += p
	}
	for i := range out {
		out[i].p /= sum
	}
	return out
}()

// fit weighs the models by the windows and by the spans under backlog. service is the distribution of the
// service time with mean 1, given has what is known of arrivals and slots, prior is the best model before this
// window.
func fit(ws []window, seen Looks, spans []surge, service []atom, given model, bound, miss float64, prior model) posterior {
	cs2, shorter := variance(service), overlap(service)
	constant, contended, degraded := fitService(ws, cs2, prior)
	out := posterior{degrade: degraded.coef[2] / degraded.coef[0], outside: ws[len(ws)-1].inferred}
	cpu, cpuKnown := fitCPU(ws, contended, cs2)

	type option struct{ k, log, ceiling float64 }
	var options []option
	top := math.Inf(-1)
	workers := candidates
	if out.outside {
		workers = finer
	}
	for _, k := range workers {
		o := option{k: k, log: -math.Log(k), ceiling: math.NaN()}
		if cpuKnown {
			l, ceiling := cpuLikelihood(cpu, k)
			o.log, o.ceiling = o.log+l, ceiling
		}
		if out.outside {
			o.log += seen.likelihood(k, constant, service)
		}
		top = math.Max(top, o.log)
		options = append(options, o)
	}
	for _, o := range options {
		if o.log < top-14 {
			continue
		}
		for _, svc := range []line{constant, contended} {
			if !(svc.coef[0] > 0) || svc.coef[1] < 0 || svc.log < math.Max(constant.log, contended.log)-6 {
				continue
			}
			// The service time with all workers busy and its error.
			k, alone, slope := o.k, svc.coef[0], svc.coef[1]
			sd := math.Sqrt(svc.cov[0][0]+2*k*svc.cov[0][1]+k*k*svc.cov[1][1]) / (alone + slope*k)
			for _, z := range normals {
				if out.outside {
					// The likelihood of the responses weighs service times itself.
					z.p = 1
				}
				f := math.Exp(z.value * math.Min(0.5, sd))
				m := given
				m.k, m.alone, m.slope, m.cs2, m.overlap, m.service = k, alone*f, slope*f, cs2, shorter, service
				l, degraded := spanLikelihood(spans, m)
				l += o.log + svc.log + math.Log(z.p) + waitLikelihood(ws, m)
				out.models = append(out.models, weighted{model: m, log: l, ceiling: o.ceiling, degraded: degraded})
			}
		}
	}
	out.coarse = ws[len(ws)-1].coarse()
	out.carried = carried(ws, miss)
	out.finish(bound, miss)
	return out
}

// cpuLikelihood marginalizes over the utilization at saturation: with 0.55 the
// CPU is the limit, else it is anything down to 0.002: two times in three
// evenly, else evenly in the logarithm, as of services that hardly compute.
// Believing in the CPU more often made ramps overshoot at services that wait for
// others.
func cpuLikelihood(cpu line, k float64) (log, ceiling float64) {
	sd := math.Sqrt(cpu.cov[1][1] + math.Pow(0.003*cpu.coef[1], 2))
	sum, mean := 0.0, 0.0
	for i, c := range ceilings {
		p := 0.55
		if i > 0 {
			p = 0.3*c*0.02 + 0.15/float64(len(ceilings)-1)
		}
		z := (cpu.coef[1] - c/k) / sd
		l := p * math.Exp(-math.Min(z*z/2, 300))
		sum += l
		mean += l * c
	}
	return math.Log(math.Max(sum/sd, 1e-300)), mean / math.Max(sum, 1e-300)
}

// fitService regresses the mean service time on the busy workers and on the
// backlog under three hypotheses: constant; slowed by busy workers; slowed by
// both. The evidence of a slope is that of a half-Gaussian of half the service
// time over the range.
func fitService(ws []window, cs2 float64, prior model) (constant, contended, degraded line) {
	mean, n, maxBusy := 0.0, 0.0, 0.0
	for _, w := range ws {
		mean += w.n * w.service
		n += w.n
	}
	mean /= n
	for _, w := range ws {
		maxBusy = math.Max(maxBusy, w.throughput*mean)
	}
	solve := func(old line, slopePrecision, degradePrecision float64) line {
		alone, slope := mean, math.Max(0, old.coef[1])
		if old.coef[0] > 0 {
			alone = old.coef[0]
		}
		var x [][3]float64
		var y, weight []float64
		for _, w := range ws {
			if w.stalled {
				continue
			}
			busy := w.throughput * alone / math.Max(0.3, 1-w.throughput*slope)
			noise := (cs2+0.02)/w.n + 0.004*0.004
			if math.IsInf(degradePrecision, 1) {
				// A slow-down under backlog must not pass for one by busy workers.
				noise += math.Pow(slowDownSuspected*w.queue, 2)
			}
			service, uncertain := w.serviceTime(prior, mean)
			noise += uncertain
			x = append(x, [3]float64{1, busy / maxBusy, w.queue})
			y = append(y, service/mean)
			weight = append(weight, 1/noise)
		}
		l := regress(x, y, weight, [3]float64{1, 0, 0}, [3]float64{1, slopePrecision, degradePrecision})
		scale := [3]float64{mean, mean / maxBusy, mean}
		for i := range 3 {
			l.coef[i] *= scale[i]
			for j := range 3 {
				l.cov[i][j] *= scale[i] * scale[j]
			}
		}
		return l
	}
	never := math.Inf(1)
	constant = solve(line{}, never, never)
	for range 3 {
		contended = solve(contended, 1/(0.5*0.5), never)
		degraded = solve(degraded, 1/(0.5*0.5), 1/(0.02*0.02))
	}
	contended.log += math.Log(2 * normalCDF(contended.coef[1]/math.Sqrt(contended.cov[1][1])))
	return constant, contended, degraded
}

// fitCPU regresses the utilization of the CPU on the busy workers: the slope
// is the utilization at saturation over the number of workers.
func fitCPU(ws []window, svc line, cs2 float64) (line, bool) {
	var x [][3]float64
	var y, weight []float64
	var scale float64
	for _, w := range ws {
		if math.IsNaN(w.cpu) || w.n < 1 || w.stalled {
			continue
		}
		// What was measured of the service time in this window is what the CPU did.
		busy, noise := w.throughput*w.service, 0.011*0.011
		if w.coarse() {
			// Otherwise the work of this window differs from that of the mean one.
			noise += w.cpu * w.cpu * cs2 / w.n
			busy = w.throughput * svc.coef[0] / math.Max(0.3, 1-w.throughput*math.Max(0, svc.coef[1]))
		}
		scale = math.Max(scale, busy)
		x = append(x, [3]float64{1, busy, 0})
		y = append(y, w.cpu)
		weight = append(weight, 1/noise)
	}
	if len(x) == 0 {
		return line{}, false
	}
	// Background work of a process is a few per cent of its limit.
	return regress(x, y, weight, [3]float64{0.03, 0, 0}, [3]float64{1 / (0.03 * 0.03), 1e-6 * scale * scale, 1}), true
}

// kinship tempers the evidence of waits measured by request: near saturation
// those of neighbouring windows are children of the same few bursts, so they
// are worth less than as many independent ones. Found in simulation.
const kinship = 0.7

// balancerNoise is the standard deviation of the mean response time of a window
// as a balancer tells it, in seconds: seen on HAProxy.
const balancerNoise = 0.0005

// strayShare is how often a window seen from outside is disturbed by something
// that is no queue of the instance: a pause, a neighbour, a burst of the users.
const strayShare = 0.03

// waitLikelihood is the logarithm of the chance of the measured waits.
func waitLikelihood(ws []window, m model) float64 {
	sat := m.saturation()
	log := 0.0
	for _, w := range ws {
		due := 0.0 // wait, where slots are limited
		if m.limited() && w.steady {
			var served float64
			served, due = m.spilled(w.offered)
			off := w.throughput/served - 1
			log -= math.Min(30, off*off/2/(math.Max(m.arrivalSCV(w.offered), m.cs2)/w.n+0.01*0.01))
		}
		// No throughput is above saturation for long.
		if over := w.throughput/sat - 1; over > 0 && !w.stalled {
			log -= math.Min(100, over*over/2/(0.0001+m.cs2/w.n))
		}
		if math.IsNaN(w.wait) && !w.inferred || !w.steady {
			continue
		}
		x, floor, noise := w.wait, 0.004*m.alone, 0.0
		if w.inferred {
			// The response less the service of the model is the wait and the noise
			// of both: far enough above 0 that a gamma distribution fits it.
			x = w.response - m.alone - m.slope*m.busy(w.offered)
			noise = m.alone*m.alone*((m.cs2+0.02)/w.n+0.004*0.004) + balancerNoise*balancerNoise
			floor += 3 * math.Sqrt(noise)
		}
		ca2 := m.arrivalSCV(w.offered)
		variance := w.offered*ca2 + sat*m.cs2 // of the backlog per second
		slack := math.Max(sat-w.offered, 0.002*sat)
		age := w.seconds * slack * slack / variance // in relaxation times
		if m.limited() {                            // the queue follows the rate at once
			age = w.seconds * math.Pow(sat/(m.room()+1), 2) / variance
		}
		rho := math.Min(m.busy(w.offered)/m.k, 0.998)
		c := m.waitProbability(rho, ca2)
		steady := c * (ca2 + m.cs2) / 2 / slack
		share := 1 - math.Exp(-1.06*math.Sqrt(age))
		mean := share*steady + (1-share)*w.before
		if m.limited() {
			mean = due
		} else if over := w.offered - sat; over > 0 {
			mean = math.Max(mean, w.before+over*w.seconds/2/sat)
		}
		spread := math.Min(1/0.3, 2*(2/c-1)/math.Max(age, 0.5)+0.03+w.waitNoise) // relative variance of the wait
		shape := math.Pow(mean+floor, 2) / (math.Pow(mean+0.004*m.alone, 2)*spread + noise)
		mean += floor
		x = math.Max(x+floor, 0.1*floor)
		lg, _ := math.Lgamma(shape)
		l := math.Max(-200, shape*math.Log(shape/mean)+(shape-1)*math.Log(x)-shape*x/mean-lg)
		switch {
		case w.inferred:
			// One window in thirty has a longer wait than any queue explains.
			stray := -x/(2*m.alone) - math.Log(2*m.alone)
			l = stray + math.Log(strayShare+(1-strayShare)*math.Exp(math.Min(l-stray, 500)))
		case !w.coarse():
			l *= kinship
		}
		log += l
	}
	return log
}

// finish normalizes the weights and computes the capacity of every model that
// matters.
func (p *posterior) finish(bound, miss float64) {
	top := math.Inf(-1)
	for _, w := range p.models {
		top = math.Max(top, w.log)
	}
	kept := p.models[:0]
	sum := 0.0
	for _, w := range p.models {
		if w.p = math.Exp(w.log - top); w.p > 1e-3 {
			sum += w.p
			kept = append(kept, w)
		}
	}
	p.models = kept
	best, square := 0.0, 0.0
	p.ceiling = 0
	for i := range p.models {
		p.models[i].p /= sum
	}
	if p.outside {
		// Too many numbers of workers come into question to simulate each of
		// them every second, and that number is what is not known.
		for i := range p.models {
			p.models[i].capacity = p.models[i].model.capacity(bound, miss)
		}
	} else {
		p.correct(bound, miss)
	}
	for _, w := range p.models {
		p.mean += w.p * math.Log(math.Max(w.capacity, 1e-9))
		p.ceiling += w.p * w.ceiling
		p.degraded += w.p * w.degraded
		if w.p > best {
			best, p.best, p.full = w.p, w.model, w.capacity
		}
	}
	for _, w := range p.models {
		square += w.p * math.Pow(math.Log(math.Max(w.capacity, 1e-9))-p.mean, 2)
	}
	p.fifth = p.quantile(0.05)
	p.spread = math.Sqrt(square)
	p.mean = math.Exp(p.mean)
	if p.coarse {
		// Few readings of a queue and means over long spans leave more open than
		// the fit knows; 3 % in simulation.
		p.spread = math.Hypot(p.spread, 0.03)
	}
	p.reach(0)
}

// reach sets the interval of the capacity. unknown is a relative standard
// deviation of what the models take for granted.
func (p *posterior) reach(unknown float64) {
	// The models differ from a real queue; seen in simulation as about 1 %.
	reach := 1.96 * math.Hypot(math.Hypot(p.spread, 0.012), unknown)
	p.low, p.high = p.mean*math.Exp(-reach), p.mean*math.Exp(reach)
}

// varianceError returns the standard error of the squared coefficient of
// variation of a distribution with mean 1 that was found from n requests.
func varianceError(atoms []atom, n float64) float64 {
	var second, mean, square float64
	for _, a := range atoms {
		second += a.p * a.value * a.value
	}
	for _, a := range atoms {
		influence := a.value * (a.value - 2*second)
		mean += a.p * influence
		square += a.p * influence * influence
	}
	return math.Sqrt(math.Max(0, square-mean*mean) / n)
}

func variance(atoms []atom) float64 {
	var mean, square float64
	for _, a := range atoms {
		mean += a.p * a.value
		square += a.p * a.value * a.value
	}
	return math.Max(0, square/(mean*mean)-1)
}

// quantile returns a quantile of the capacity, requests per second.
func (p *posterior) quantile(q float64) float64 {
	byCapacity := slices.Clone(p.models)
	slices.SortFunc(byCapacity, func(a, b weighted) int { return cmp.Compare(a.capacity, b.capacity) })
	sum := 0.0
	for _, w := range byCapacity {
		if sum += w.p; sum >= q {
			return w.capacity
		}
	}
	return math.NaN()
}
