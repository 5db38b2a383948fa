package stress

import (
	"math"
	"sort"
)

// A posterior is what the windows say about the instance: weighted models.
type posterior struct {
	models   []weighted
	mean     float64 // of the capacity, requests per second
	low      float64
	high     float64
	best     model
	degrade  float64 // relative slow-down per waiting request
	degradeZ float64 // the same over its standard error
	ceiling  float64 // utilization of the CPU with all workers busy, NaN if unknown
	spread   float64 // relative standard deviation of the capacity
}

type weighted struct {
	model
	log, p, capacity, ceiling float64
}

// A window is a sample as the fit sees it.
type window struct {
	seconds, offered, throughput float64
	service                      float64 // mean service time, NaN if it cannot be told from the wait
	wait                         float64 // mean wait, NaN if unknown
	before                       float64 // wait at the beginning of the window
	waitNoise                    float64 // relative variance of the reading of wait
	backlog                      float64
	cpu                          float64 // utilization, NaN if unknown
	n                            float64 // requests completed
}

// line is a weighted least-squares fit of y = a + b*x (+ d*z) with Gaussian
// priors on the coefficients.
type line struct {
	coef [3]float64
	cov  [3][3]float64
}

// regress solves the normal equations with a prior precision per coefficient
// around a prior mean. Rows have up to three regressors.
func regress(x [][3]float64, y, weight []float64, mean, precision [3]float64) line {
	var a [3][3]float64
	var b [3]float64
	for i := range precision {
		a[i][i] = precision[i]
		b[i] = precision[i] * mean[i]
	}
	for r := range x {
		for i := range 3 {
			for j := range 3 {
				a[i][j] += weight[r] * x[r][i] * x[r][j]
			}
			b[i] += weight[r] * x[r][i] * y[r]
		}
	}
	inv := invert(a)
	var l line
	l.cov = inv
	for i := range 3 {
		for j := range 3 {
			l.coef[i] += inv[i][j] * b[j]
		}
	}
	return l
}

// invert returns the inverse of a symmetric positive definite matrix.
func invert(a [3][3]float64) [3][3]float64 {
	c := func(i, j int) float64 {
		i1, i2, j1, j2 := (i+1)%3, (i+2)%3, (j+1)%3, (j+2)%3
		return a[i1][j1]*a[i2][j2] - a[i1][j2]*a[i2][j1]
	}
	det := a[0][0]*c(0, 0) + a[0][1]*c(0, 1) + a[0][2]*c(0, 2)
	var out [3][3]float64
	for i := range 3 {
		for j := range 3 {
			out[i][j] = c(j, i) / det
		}
	}
	return out
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

// ceilings are the utilizations of the CPU at saturation that are tried.
var ceilings = func() []float64 {
	c := []float64{1}
	for v := 0.98; v > 0.1; v *= 0.98 {
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

// fit weighs the models by the windows. service is the distribution of the
// service time with mean 1, ca2 the variability of the arrivals, workers the
// known number of workers or 0.
func fit(ws []window, service []atom, ca2 float64, workers int, bound, miss float64) posterior {
	cs2 := variance(service)
	svc := fitService(ws, cs2)
	out := posterior{degrade: svc.coef[2] / svc.coef[0], degradeZ: svc.coef[2] / math.Sqrt(svc.cov[2][2])}
	cpu, cpuKnown := fitCPU(ws, svc)

	for _, k := range candidates {
		if workers > 0 && k != float64(workers) {
			continue
		}
		// The service time with all workers busy and its error.
		alone, slope := svc.coef[0], math.Max(0, svc.coef[1])
		sd := math.Sqrt(math.Max(0, svc.cov[0][0]+2*k*svc.cov[0][1]+k*k*svc.cov[1][1])) / (alone + slope*k)
		prior := -math.Log(k)
		for _, z := range normals {
			f := math.Exp(z.value * math.Min(0.5, sd))
			m := model{k: k, alone: alone * f, slope: slope * f, cs2: cs2, ca2: ca2, service: service}
			w := weighted{model: m, log: prior + math.Log(z.p) + waitLikelihood(ws, m), ceiling: math.NaN()}
			if !cpuKnown {
				out.models = append(out.models, w)
				continue
			}
			l, ceiling := cpuLikelihood(cpu, k)
			w.log += l
			w.ceiling = ceiling
			out.models = append(out.models, w)
		}
	}
	out.finish(bound, miss)
	return out
}

// cpuLikelihood marginalizes over the utilization at saturation: three times
// in four the CPU is the limit, else it is anything between 0.1 and 1.
func cpuLikelihood(cpu line, k float64) (log, ceiling float64) {
	sd := math.Sqrt(cpu.cov[1][1] + math.Pow(0.003*cpu.coef[1], 2))
	sum, mean := 0.0, 0.0
	for i, c := range ceilings {
		p := 0.75
		if i > 0 {
			p = 0.25 * c * 0.02 / 0.9
		}
		z := (cpu.coef[1] - c/k) / sd
		l := p * math.Exp(-math.Min(z*z/2, 300))
		sum += l
		mean += l * c
	}
	return math.Log(math.Max(sum/sd, 1e-300)), mean / math.Max(sum, 1e-300)
}

// fitService regresses the mean service time on the busy workers and on the
// backlog. The prior keeps both slopes near 0 while the data say nothing.
func fitService(ws []window, cs2 float64) line {
	var x [][3]float64
	var y, weight []float64
	mean, n := 0.0, 0.0
	for _, w := range ws {
		if !math.IsNaN(w.service) {
			mean += w.n * w.service
			n += w.n
		}
	}
	mean /= n
	maxBusy := 0.0
	for _, w := range ws {
		maxBusy = math.Max(maxBusy, w.throughput*mean)
	}
	slope := 0.0
	var l line
	for range 2 { // busy depends a little on the slope
		x, y, weight = nil, nil, nil
		for _, w := range ws {
			if math.IsNaN(w.service) || w.n < 1 {
				continue
			}
			busy := w.throughput * mean / math.Max(0.3, 1-w.throughput*slope)
			backlog := w.backlog
			if math.IsNaN(backlog) {
				backlog = 0
			}
			noise := mean*mean*(cs2+0.02)/w.n + math.Pow(0.005*mean, 2)
			if !math.IsNaN(w.wait) {
				noise += w.waitNoise * w.wait * w.wait
			}
			x = append(x, [3]float64{1, busy, backlog})
			y = append(y, w.service)
			weight = append(weight, 1/noise)
		}
		l = regress(x, y, weight, [3]float64{mean, 0, 0}, [3]float64{1e-6 / (mean * mean), math.Pow(maxBusy/(0.5*mean), 2), math.Pow(1/(0.05*mean), 2)})
		slope = math.Max(0, l.coef[1])
	}
	return l
}

// fitCPU regresses the utilization of the CPU on the busy workers: the slope
// is the utilization at saturation over the number of workers.
func fitCPU(ws []window, svc line) (line, bool) {
	var x [][3]float64
	var y, weight []float64
	var scale float64
	for _, w := range ws {
		if math.IsNaN(w.cpu) || w.n < 1 {
			continue
		}
		s := w.service
		if math.IsNaN(s) {
			s = svc.coef[0]
		}
		busy := w.throughput * s
		scale = math.Max(scale, busy)
		x = append(x, [3]float64{1, busy, 0})
		y = append(y, w.cpu)
		weight = append(weight, 1/(0.011*0.011))
	}
	if len(x) < 2 {
		return line{}, false
	}
	// Background work of a process is a few per cent of its limit.
	return regress(x, y, weight, [3]float64{0.03, 0, 0}, [3]float64{1 / (0.03 * 0.03), 1e-6 * scale * scale, 1}), true
}

// waitLikelihood is the logarithm of the chance of the measured waits.
func waitLikelihood(ws []window, m model) float64 {
	sat := m.saturation()
	log := 0.0
	for _, w := range ws {
		if math.IsNaN(w.wait) {
			continue
		}
		floor := 0.004 * m.alone
		variance := w.offered*m.ca2 + sat*m.cs2 // of the backlog per second
		slack := math.Max(sat-w.offered, 0.002*sat)
		age := w.seconds * slack * slack / variance // in relaxation times
		rho := math.Min(m.busy(w.offered)/m.k, 0.998)
		c := m.waitProbability(rho)
		steady := c * (m.ca2 + m.cs2) / 2 / slack
		share := 1 - math.Exp(-1.06*math.Sqrt(age))
		mean := share*steady + (1-share)*w.before
		if over := w.offered - sat; over > 0 {
			mean = math.Max(mean, w.before+over*w.seconds/2/sat)
		}
		mean += floor
		shape := 1 / (2*(2/c-1)/math.Max(age, 0.5) + 0.03 + w.waitNoise)
		shape = math.Max(shape, 0.3)
		x := w.wait + floor
		lg, _ := math.Lgamma(shape)
		log += math.Max(-200, shape*math.Log(shape/mean)+(shape-1)*math.Log(x)-shape*x/mean-lg)
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
		if w.p = math.Exp(w.log - top); w.p > 1e-4 {
			sum += w.p
			kept = append(kept, w)
		}
	}
	p.models = kept
	best, square := 0.0, 0.0
	p.ceiling = 0
	for i := range p.models {
		w := &p.models[i]
		w.p /= sum
		w.capacity = w.model.capacity(bound, miss)
		p.mean += w.p * math.Log(math.Max(w.capacity, 1e-9))
		p.ceiling += w.p * w.ceiling
		if w.p > best {
			best, p.best = w.p, w.model
		}
	}
	for _, w := range p.models {
		square += w.p * math.Pow(math.Log(math.Max(w.capacity, 1e-9))-p.mean, 2)
	}
	p.spread = math.Sqrt(square)
	p.mean = math.Exp(p.mean)
	sort.Slice(p.models, func(i, j int) bool { return p.models[i].capacity < p.models[j].capacity })
	p.low, p.high = p.quantile(0.025), p.quantile(0.975)
}

// quantile returns a quantile of the capacity, interpolated between models.
func (p *posterior) quantile(q float64) float64 {
	below := 0.0
	last := p.models[0].capacity
	for _, w := range p.models {
		if below+w.p/2 >= q {
			if below == 0 {
				return w.capacity
			}
			return last
		}
		below += w.p
		last = w.capacity
	}
	return last
}

func variance(atoms []atom) float64 {
	var mean, square float64
	for _, a := range atoms {
		mean += a.p * a.value
		square += a.p * a.value * a.value
	}
	return math.Max(0, square/(mean*mean)-1)
}
