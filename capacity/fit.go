package capacity

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// ErrNoFit is wrapped by every refusal of Fit; the text has the reason.
var ErrNoFit = errors.New("the metrics do not show the capacity")

// A Metric is one window of one instance. What was not measured is NaN.
type Metric struct {
	Rate    float64 // requests per second
	Cores   float64 // cores busy
	Memory  float64 // bytes in use, a level
	Disk    float64 // bytes per second
	Network float64 // bytes per second
}

// Limits are what an instance may use at most; 0 means unknown, and the resource
// is left out.
type Limits struct {
	Cores, Memory, Disk, Network float64 // cores, bytes, bytes per second
	CPUCeiling                   float64 // share of Cores, in (0, 1]
}

// MemoryCeiling is the share of the memory that may be in use: above it the
// page cache is squeezed and the kernel begins to reclaim.
const MemoryCeiling = 0.85

// A Line is use = Idle + Slope*rate.
type Line struct {
	Idle, Slope         float64
	SlopeLow, SlopeHigh float64 // 95 % interval, errors HAC (Newey and West 1987)
	TheilSen            float64 // median slope of pairs, which outliers do not move
	Outliers            int     // windows far from the Theil-Sen line, left out of the least squares
	R2                  float64
	CurvatureT          float64 // t value of a quadratic term; beyond ±3 the line is bent
}

// A Resource is the capacity as one resource limits it.
type Resource struct {
	Name      string // cpu, memory, disk or network
	Limit     float64
	Line      Line
	PerSecond float64 // (Limit - Idle) / Slope
	Low, High float64 // 95 % interval, by block bootstrap
}

// A Fitted is the answer of Fit.
type Fitted struct {
	N          int
	Resources  []Resource // CPU first, then those that grow with the rate
	Bottleneck int        // index of the resource with the least capacity
	Second     int        // index of the next one, -1 if there is none
	Notes      []string   // doubts, in words
}

const (
	fitLeast  = 30
	fitSpread = 1.5
	bootRuns  = 400
	// mostOutliers is the part of the windows up to which those far from the line
	// are left out of it: more are no outliers but another regime.
	mostOutliers = 10
	// shortHistory is how many windows are too few for the errors of Newey and
	// West alone. With the autoregression in full, 95 % intervals of 500 windows
	// that remember 0.8 held in 99 % of histories.
	shortHistory = 200
)

// Fit finds from ordinary metrics what each request costs of each resource, and
// the rate at which the first one is used up. The rows must be in order of time.
// The error wraps ErrNoFit when there are fewer than 30 windows, no traffic, a
// highest rate below 1.5 times the lowest, or a cost per request that may be 0.
func Fit(rows []Metric, l Limits) (Fitted, error) {
	if err := positive("limit of CPU", l.Cores); err != nil {
		return Fitted{}, err
	}
	if !(l.CPUCeiling > 0 && l.CPUCeiling <= 1) {
		return Fitted{}, fmt.Errorf("%w: ceiling %g is outside (0, 1]", ErrRange, l.CPUCeiling)
	}
	refuse := func(format string, args ...any) (Fitted, error) {
		return Fitted{}, fmt.Errorf("%w: %s", ErrNoFit, fmt.Sprintf(format, args...))
	}
	rate, cores := columns(rows, func(m Metric) float64 { return m.Cores })
	if len(rate) < fitLeast {
		return refuse("%d windows, at least %d are needed", len(rate), fitLeast)
	}
	low, high := slices.Min(rate), slices.Max(rate)
	switch {
	case low < 0 || slices.Min(cores) < 0:
		return refuse("a rate or a use is negative")
	case high <= 0:
		return refuse("no traffic")
	case high < fitSpread*low:
		return refuse("the rate only moves from %s to %s per second; its highest must be %g times its lowest", Digits(low, 4), Digits(high, 4), fitSpread)
	}
	f := Fitted{N: len(rate), Second: -1}
	cpu := fitResource("cpu", l.CPUCeiling*l.Cores, rate, cores)
	switch {
	case !(cpu.Line.SlopeLow > 0):
		return refuse("the cost of a request may be 0: %.4g core-seconds, 95 %% interval %.4g to %.4g", cpu.Line.Slope, cpu.Line.SlopeLow, cpu.Line.SlopeHigh)
	case cpu.Line.Idle >= cpu.Limit:
		return refuse("%.4g cores are busy without a request, the ceiling is %.4g", cpu.Line.Idle, cpu.Limit)
	}
	f.Resources = append(f.Resources, cpu)
	for _, r := range []struct {
		name  string
		limit float64
		use   func(Metric) float64
	}{
		{"memory", MemoryCeiling * l.Memory, func(m Metric) float64 { return m.Memory }},
		{"disk", l.Disk, func(m Metric) float64 { return m.Disk }},
		{"network", l.Network, func(m Metric) float64 { return m.Network }},
	} {
		x, y := columns(rows, r.use)
		if !(r.limit > 0) || len(x) < fitLeast || slices.Max(x) < fitSpread*slices.Min(x) {
			continue
		}
		res := fitResource(r.name, r.limit, x, y)
		switch {
		case res.Line.Idle >= res.Limit:
			f.Notes = append(f.Notes, fmt.Sprintf("%s is above its ceiling without a request: %s of %s", r.name, Digits(res.Line.Idle, 4), Digits(res.Limit, 4)))
		case res.Line.SlopeLow > 0:
			f.Resources = append(f.Resources, res)
		default:
			f.Notes = append(f.Notes, r.name+" does not grow with the rate")
		}
	}
	for i, r := range f.Resources {
		if r.PerSecond < f.Resources[f.Bottleneck].PerSecond {
			f.Bottleneck = i
		}
		if math.Abs(r.Line.CurvatureT) > 3 {
			f.Notes = append(f.Notes, fmt.Sprintf("%s over rate is bent (t %.1f): the line holds near the measured rates only", r.Name, r.Line.CurvatureT))
		}
		if n := r.Line.Outliers; n > 0 {
			left := "left out of it"
			if n > len(rate)/mostOutliers {
				left = "too many to leave them out"
			}
			f.Notes = append(f.Notes, fmt.Sprintf("%s: %d windows lie far from the line; %s", r.Name, n, left))
		}
	}
	for i, r := range f.Resources {
		if i != f.Bottleneck && (f.Second < 0 || r.PerSecond < f.Resources[f.Second].PerSecond) {
			f.Second = i
		}
	}
	if b := f.Resources[f.Bottleneck]; b.PerSecond > 3*high {
		f.Notes = append(f.Notes, fmt.Sprintf("the capacity is %.1f times the highest rate that was seen: far beyond what was measured", b.PerSecond/high))
	}
	return f, nil
}

// Agreement compares the capacity of a stress test with that of the hardware:
// 0.8 to 1.2 agree; below, the limit is not the CPU; above, the ceiling is too
// careful.
func Agreement(stress, cpu float64) (ratio float64, verdict string) {
	q := stress / cpu
	switch {
	case q < 0.8:
		return q, "the limit is not the CPU"
	case q > 1.2:
		return q, "the ceiling is too careful"
	}
	return q, "agree"
}

func columns(rows []Metric, use func(Metric) float64) (x, y []float64) {
	for _, m := range rows {
		if v := use(m); !math.IsNaN(v+m.Rate) && !math.IsInf(v+m.Rate, 0) {
			x, y = append(x, m.Rate), append(y, v)
		}
	}
	return x, y
}

func fitResource(name string, limit float64, x, y []float64) Resource {
	r := Resource{Name: name, Limit: limit}
	slope, near := theilSen(x, y)
	r.Line.TheilSen, r.Line.Outliers = slope, len(x)-len(near)
	if r.Line.Outliers <= len(x)/mostOutliers {
		x, y = at(x, near), at(y, near)
	}
	r.Line.Idle, r.Line.Slope = stat.LinearRegression(x, y, nil, false)
	r.Line.R2 = stat.RSquared(x, y, nil, r.Line.Idle, r.Line.Slope)
	if math.IsNaN(r.Line.R2) {
		r.Line.R2 = 0 // a use that never changes
	}
	residual := make([]float64, len(x))
	for i := range x {
		residual[i] = y[i] - r.Line.Idle - r.Line.Slope*x[i]
	}
	rho := memory(residual)
	reach := student(float64(len(x))*(1-rho)/(1+rho)-2) * hacError(x, residual)
	r.Line.SlopeLow, r.Line.SlopeHigh = r.Line.Slope-reach, r.Line.Slope+reach
	r.Line.CurvatureT = curvature(x, residual)
	r.PerSecond = rateAt(limit, r.Line.Idle, r.Line.Slope)
	r.Low, r.High = r.bootstrap(x, y, rho, reach)
	return r
}

// at picks the values at the given places.
func at(v []float64, places []int) []float64 {
	out := make([]float64, len(places))
	for i, p := range places {
		out[i] = v[p]
	}
	return out
}

func rateAt(limit, idle, slope float64) float64 {
	return max((limit-idle)/slope, 0)
}

// memory is the correlation of neighbouring residuals in [0, 0.97], with the
// bias of a short row taken out (Kendall, Biometrika 41, 1954) and its standard
// error sqrt((1-r^2)/n) added: an interval that believes too little of it is too
// narrow by more than one that believes too much is too wide. With 60 windows
// that remember 0.6 intervals held 91 % of the time without that error.
func memory(residual []float64) float64 {
	n := len(residual)
	both, all := 0.0, 0.0
	for i, v := range residual {
		all += v * v
		if i > 0 {
			both += v * residual[i-1]
		}
	}
	if all == 0 {
		return 0
	}
	r := both / all
	r += (1 + 3*r) / float64(n)
	r += math.Sqrt(max(1-r*r, 0) / float64(n))
	return min(max(r, 0), 0.97)
}

// student is the 97.5 % quantile of Student's t, with at least two degrees of
// freedom.
func student(freedom float64) float64 {
	return distuv.StudentsT{Sigma: 1, Nu: max(freedom, 2)}.Quantile(0.975)
}

// hacError is the standard error of the slope under errors that depend on the
// rate and on their neighbours: Newey and West with a Bartlett window, as wide
// as the memory of the scores asks for (Andrews, Econometrica 59, 1991, table 1
// and (6.4)), at least floor(4*(n/100)^(2/9)) lags. That is too narrow in short
// histories, so the error of scores that are a first-order autoregression counts
// where it is higher: in full up to shortHistory windows, beyond them less and
// less, because real load has a day and its scores swing back where those of an
// autoregression fade.
func hacError(x, residual []float64) float64 {
	n := len(x)
	mean := stat.Mean(x, nil)
	sxx := 0.0
	score := make([]float64, n)
	for i := range x {
		d := x[i] - mean
		sxx += d * d
		score[i] = d * residual[i]
	}
	rho := memory(score)
	wide := 1.1447 * math.Cbrt(4*rho*rho/math.Pow(1-rho*rho, 2)*float64(n))
	lags := min(max(int(4*math.Pow(float64(n)/100, 2.0/9)), int(wide)), n/3)
	sum := 0.0
	for k := 0; k <= lags; k++ {
		g := 0.0
		for i := k; i < n; i++ {
			g += score[i] * score[i-k]
		}
		if k > 0 {
			g *= 2 * (1 - float64(k)/float64(lags+1))
		}
		sum += g
	}
	if regressive := floats.Dot(score, score) * (1 + rho) / (1 - rho); regressive > sum {
		sum += (regressive - sum) * min(1, math.Sqrt(shortHistory/float64(n)))
	}
	return math.Sqrt(sum*float64(n)/float64(n-2)) / sxx
}

// theilSen is the median slope over pairs, at most 20,000 of them, and the places
// of the points within 4 robust deviations from its line.
func theilSen(x, y []float64) (slope float64, near []int) {
	rng := rand.New(rand.NewPCG(6, 2))
	n := len(x)
	var slopes []float64
	take := func(i, j int) {
		if d := x[j] - x[i]; d != 0 {
			slopes = append(slopes, (y[j]-y[i])/d)
		}
	}
	if n*(n-1)/2 <= 20_000 {
		for i := range n {
			for j := range i {
				take(i, j)
			}
		}
	} else {
		for range 20_000 {
			take(rng.IntN(n), rng.IntN(n))
		}
	}
	slices.Sort(slopes)
	slope = stat.Quantile(0.5, stat.Empirical, slopes, nil)
	rest := make([]float64, n)
	for i := range x {
		rest[i] = y[i] - slope*x[i]
	}
	sorted := slices.Sorted(slices.Values(rest))
	middle := stat.Quantile(0.5, stat.Empirical, sorted, nil)
	for i, v := range rest {
		rest[i] = math.Abs(v - middle)
	}
	deviation := 1.4826 * stat.Quantile(0.5, stat.Empirical, slices.Sorted(slices.Values(rest)), nil)
	for i, v := range rest {
		if v <= 4*deviation+1e-12*math.Abs(middle) {
			near = append(near, i)
		}
	}
	return slope, near
}

// curvature is the t value, with HAC errors, of a quadratic term that is made
// orthogonal to the line.
func curvature(x, residual []float64) float64 {
	mean, dev := stat.MeanStdDev(x, nil)
	q := make([]float64, len(x))
	z := make([]float64, len(x))
	for i, v := range x {
		z[i] = (v - mean) / dev
		q[i] = z[i] * z[i]
	}
	a, b := stat.LinearRegression(z, q, nil, false)
	num, den := 0.0, 0.0
	for i := range q {
		q[i] -= a + b*z[i]
		num += q[i] * residual[i]
		den += q[i] * q[i]
	}
	if den < 1e-12*float64(len(x)) {
		return 0
	}
	slope := num / den
	left := make([]float64, len(x))
	for i := range left {
		left[i] = residual[i] - slope*q[i]
	}
	se := hacError(q, left)
	if se <= 1e-12*math.Abs(slope) || math.Abs(slope) < 1e-12 {
		return 0
	}
	return slope / se
}

// bootstrap resamples blocks of neighbouring windows, because neighbours are
// alike (Künsch 1989), of the length that is best for a memory of rho (Carlstein,
// Annals of Statistics 14, 1986), at least the third root of n. Where the slopes of
// the samples spread less than reach, their 95 % interval, says, as those of
// short histories do, the interval is widened in proportion.
func (r Resource) bootstrap(x, y []float64, rho, reach float64) (low, high float64) {
	rng := rand.New(rand.NewPCG(6, 3))
	n := len(x)
	long := math.Cbrt(float64(n)) * math.Pow(math.Sqrt(6)*rho/(1-rho*rho), 2.0/3)
	block := min(max(1, int(math.Cbrt(float64(n))+0.5), int(long+0.5)), n/4)
	bx, by := make([]float64, 0, n+block), make([]float64, 0, n+block)
	var rates, slopes []float64
	for range bootRuns {
		bx, by = bx[:0], by[:0]
		for len(bx) < n {
			at := rng.IntN(n - block + 1)
			bx, by = append(bx, x[at:at+block]...), append(by, y[at:at+block]...)
		}
		idle, slope := stat.LinearRegression(bx, by, nil, false)
		if v := rateAt(r.Limit, idle, slope); slope > 0 && !math.IsInf(v, 0) && !math.IsNaN(v) {
			rates = append(rates, v)
		}
		slopes = append(slopes, slope)
	}
	if len(rates) < bootRuns/2 {
		return 0, math.MaxFloat64
	}
	slices.Sort(rates)
	wider := 1.0
	if spread := 1.96 * stat.StdDev(slopes, nil); spread > 0 {
		wider = max(1, reach/spread)
	}
	below := r.PerSecond - stat.Quantile(0.025, stat.Empirical, rates, nil)
	above := stat.Quantile(0.975, stat.Empirical, rates, nil) - r.PerSecond
	return max(r.PerSecond-wider*max(below, 0), 0), r.PerSecond + wider*max(above, 0)
}

// Distance says in words how far the second resource is behind the bottleneck.
func (f Fitted) Distance() string {
	if f.Second < 0 {
		return ""
	}
	a, b := f.Resources[f.Bottleneck], f.Resources[f.Second]
	return strings.TrimSpace(fmt.Sprintf("%s is next at %s per second, %.0f %% above %s", b.Name, Digits(b.PerSecond, 4), 100*(b.PerSecond/a.PerSecond-1), a.Name))
}
