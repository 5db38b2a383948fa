package capacity

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/stat"
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

// A Line is use = Idle + Slope*rate by least squares. Its errors, and those of
// what is computed from it, are those of noise that has a memory and may grow
// with the rate; see docs/formulas.md, Capacity.
type Line struct {
	Idle, Slope         float64
	SlopeLow, SlopeHigh float64 // 95 % interval of Slope
	TheilSen            float64 // median slope of pairs, which outliers do not move
	Outliers            int     // windows far from the Theil-Sen line; up to a tenth are left out of the least squares
	CurvatureT          float64 // quadratic term over its standard error; beyond ±3 the line is bent
}

// A Resource is the capacity as one resource limits it.
type Resource struct {
	Name      string // cpu, memory, disk or network
	Limit     float64
	Line      Line
	PerSecond float64 // (Limit - Idle) / Slope
	Low, High float64 // 95 % interval of PerSecond, by a block bootstrap of the noise
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
	fitLeast  = 30  // windows
	fitSpread = 1.5 // highest rate / lowest
	// mostOutliers is the part of the windows up to which those far from the line
	// are left out of it: more are no outliers but another regime.
	mostOutliers = 10
	// bent is the t value of a curvature that is no chance: a straight line comes
	// to it in fewer than one of 100 histories, also in short ones.
	bent = 3
)

// Fit finds from ordinary metrics what each request costs of each resource, and
// the rate at which the first one is used up. The rows must be in order of time;
// what neighbours have in common decides how wide the intervals are. The error
// wraps ErrNoFit when there are fewer than 30 windows, no traffic, a highest rate
// below 1.5 times the lowest, or a cost per request that may be 0, and ErrRange
// for limits that make no sense.
func Fit(rows []Metric, l Limits) (Fitted, error) {
	if err := positive("limit of CPU", l.Cores); err != nil {
		return Fitted{}, err
	}
	if !(l.CPUCeiling > 0 && l.CPUCeiling <= 1) {
		return Fitted{}, fmt.Errorf("%w: ceiling %g is outside (0, 1]", ErrRange, l.CPUCeiling)
	}
	rate, cores := columns(rows, func(m Metric) float64 { return m.Cores })
	if why := unusable(rate, cores); why != "" {
		return Fitted{}, fmt.Errorf("%w: %s", ErrNoFit, why)
	}
	cpu := fitResource("cpu", l.CPUCeiling*l.Cores, rate, cores)
	switch {
	case !(cpu.Line.SlopeLow > 0):
		return Fitted{}, fmt.Errorf("%w: the cost of a request may be 0: %.4g core-seconds, 95 %% interval %.4g to %.4g", ErrNoFit, cpu.Line.Slope, cpu.Line.SlopeLow, cpu.Line.SlopeHigh)
	case cpu.Line.Idle >= cpu.Limit:
		return Fitted{}, fmt.Errorf("%w: %.4g cores are busy without a request, the ceiling is %.4g", ErrNoFit, cpu.Line.Idle, cpu.Limit)
	}
	f := Fitted{N: len(rate), Second: -1, Resources: []Resource{cpu}}
	for _, r := range []struct {
		name  string
		limit float64
		use   func(Metric) float64
	}{
		{"memory", MemoryCeiling * l.Memory, func(m Metric) float64 { return m.Memory }},
		{"disk", l.Disk, func(m Metric) float64 { return m.Disk }},
		{"network", l.Network, func(m Metric) float64 { return m.Network }},
	} {
		if x, y := columns(rows, r.use); len(x) > 0 {
			f.add(r.name, r.limit, x, y)
		}
	}
	for i, r := range f.Resources {
		if r.PerSecond < f.Resources[f.Bottleneck].PerSecond {
			f.Bottleneck = i
		}
	}
	for i, r := range f.Resources {
		if i != f.Bottleneck && (f.Second < 0 || r.PerSecond < f.Resources[f.Second].PerSecond) {
			f.Second = i
		}
		f.doubt(r)
	}
	if b, high := f.Resources[f.Bottleneck], slices.Max(rate); b.PerSecond > 3*high {
		f.note("the capacity is %.1f times the highest rate that was seen: far beyond what was measured", b.PerSecond/high)
	}
	return f, nil
}

// unusable returns why a line through the windows would say nothing; empty if it
// says something.
func unusable(rate, use []float64) string {
	if len(rate) < fitLeast {
		return fmt.Sprintf("%d windows, at least %d are needed", len(rate), fitLeast)
	}
	low, high := slices.Min(rate), slices.Max(rate)
	switch {
	case low < 0 || slices.Min(use) < 0:
		return "a rate or a use is negative"
	case high == 0:
		return "no traffic"
	case high < fitSpread*low:
		return fmt.Sprintf("the rate only moves from %s to %s per second; its highest must be %g times its lowest", Digits(low, 4), Digits(high, 4), fitSpread)
	}
	return ""
}

// add fits a resource beside the CPU, or notes why it is left out.
func (f *Fitted) add(name string, limit float64, x, y []float64) {
	if !(limit > 0) {
		f.note("%s is left out: its limit is unknown", name)
		return
	}
	if why := unusable(x, y); why != "" {
		f.note("%s is left out: %s", name, why)
		return
	}
	r := fitResource(name, limit, x, y)
	switch {
	case r.Line.Idle >= r.Limit:
		f.note("%s is left out: it is above its ceiling without a request, %s of %s", name, Digits(r.Line.Idle, 4), Digits(r.Limit, 4))
	case r.Line.SlopeLow > 0:
		f.Resources = append(f.Resources, r)
	default:
		f.note("%s is left out: it does not grow with the rate", name)
	}
}

// doubt notes what speaks against the line of a resource.
func (f *Fitted) doubt(r Resource) {
	if math.Abs(r.Line.CurvatureT) > bent {
		f.note("%s over rate is bent (t %.1f): the line holds near the measured rates only", r.Name, r.Line.CurvatureT)
	}
	if n := r.Line.Outliers; n > f.N/mostOutliers {
		f.note("%s: %d of %d windows lie far from the line, too many to leave them out", r.Name, n, f.N)
	} else if n > 0 {
		f.note("%s: %d of %d windows lie far from the line and are left out of it", r.Name, n, f.N)
	}
}

func (f *Fitted) note(format string, args ...any) {
	f.Notes = append(f.Notes, fmt.Sprintf(format, args...))
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

// fitResource fits the line of one resource and draws its intervals.
func fitResource(name string, limit float64, x, y []float64) Resource {
	r := Resource{Name: name, Limit: limit}
	slope, near := theilSen(x, y)
	r.Line.TheilSen, r.Line.Outliers = slope, len(x)-len(near)
	if r.Line.Outliers <= len(x)/mostOutliers {
		x, y = at(x, near), at(y, near)
	}
	r.Line.Idle, r.Line.Slope = stat.LinearRegression(x, y, nil, false)
	residual := make([]float64, len(x))
	for i := range x {
		residual[i] = y[i] - r.Line.Idle - r.Line.Slope*x[i]
	}
	if floats.Norm(residual, 2) < 1e-12*floats.Norm(y, 2) {
		clear(residual) // only what the computer's numbers leave over
	}
	bend := bendWeights(x)
	mean, level := stat.Mean(x, nil), stat.Mean(y, nil)
	var slopes, rates, bends []float64
	for _, s := range redraw(x, residual, bend) {
		slope := r.Line.Slope + s.slope
		slopes, bends = append(slopes, slope), append(bends, s.bend)
		rates = append(rates, rateAt(limit, level+s.level-slope*mean, slope))
	}
	r.PerSecond = rateAt(limit, r.Line.Idle, r.Line.Slope)
	r.Low, r.High = middle95(rates)
	r.Line.SlopeLow, r.Line.SlopeHigh = middle95(slopes)
	if curve, spread := floats.Dot(bend, residual), stat.StdDev(bends, nil); spread > 1e-12*math.Abs(curve) {
		r.Line.CurvatureT = curve / spread
	}
	return r
}

// middle95 returns the quantiles of 2.5 and 97.5 %. It reorders v.
func middle95(v []float64) (low, high float64) {
	return quantile(v, 0.025), quantile(v, 0.975)
}

// quantile returns the least value that a share p of v does not exceed. It
// reorders v: sorting all of it was most of the time of a fit.
func quantile(v []float64, p float64) float64 {
	return Nth(v, max(0, int(math.Ceil(p*float64(len(v))))-1))
}

// at picks the values at the given places.
func at(v []float64, places []int) []float64 {
	out := make([]float64, len(places))
	for i, p := range places {
		out[i] = v[p]
	}
	return out
}

// rateAt is the rate at which a line reaches the limit: 0 when it is above it
// without a request, the highest number when it never comes there.
func rateAt(limit, idle, slope float64) float64 {
	if idle >= limit {
		return 0
	}
	if rate := (limit - idle) / slope; rate >= 0 && rate < math.MaxFloat64 {
		return rate
	}
	return math.MaxFloat64
}

// theilSen is the median slope over pairs, at most 20,000 of them (Sen, JASA 63,
// 1968), and the places, in order, of the points within 4 robust deviations from
// its line.
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
	slope = quantile(slopes, 0.5)
	rest := make([]float64, n)
	for i := range x {
		rest[i] = y[i] - slope*x[i]
	}
	middle := quantile(slices.Clone(rest), 0.5)
	for i, v := range rest {
		rest[i] = math.Abs(v - middle)
	}
	// noise grows with the rate in many services: what is far for all windows may
	// be near for those of the same third
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(x[a], x[b]) })
	overall := deviation(rest)
	for third := range 3 {
		places := order[third*n/3 : (third+1)*n/3]
		far := 4*max(overall, deviation(at(rest, places))) + 1e-12*math.Abs(middle)
		for _, p := range places {
			if rest[p] <= far {
				near = append(near, p)
			}
		}
	}
	slices.Sort(near)
	return slope, near
}

// deviation is the standard deviation of normal values whose distances from their
// middle are given, by the median.
func deviation(distances []float64) float64 {
	return 1.4826 * quantile(slices.Clone(distances), 0.5)
}

// bendWeights returns the weights by which the values over x make the factor of a
// quadratic term that is orthogonal to the line; all 0 when x has two values.
func bendWeights(x []float64) []float64 {
	mean, dev := stat.MeanStdDev(x, nil)
	q, z := make([]float64, len(x)), make([]float64, len(x))
	for i, v := range x {
		z[i] = (v - mean) / dev
		q[i] = z[i] * z[i]
	}
	a, b := stat.LinearRegression(z, q, nil, false)
	for i := range q {
		q[i] -= a + b*z[i]
	}
	square := floats.Dot(q, q)
	if square < 1e-12*float64(len(x)) {
		return make([]float64, len(x))
	}
	floats.Scale(1/square, q)
	return q
}

// Distance says in words how far the second resource is behind the bottleneck.
func (f Fitted) Distance() string {
	if f.Second < 0 {
		return ""
	}
	a, b := f.Resources[f.Bottleneck], f.Resources[f.Second]
	return strings.TrimSpace(fmt.Sprintf("%s is next at %s per second, %.0f %% above %s", b.Name, Digits(b.PerSecond, 4), 100*(b.PerSecond/a.PerSecond-1), a.Name))
}
