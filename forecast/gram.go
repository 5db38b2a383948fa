package forecast

import (
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/lapack/lapack64"
)

// A gram holds the cross products of a series with its own lags for all
// prefixes that a backtest fits on, so that every autoregression on a subset of
// those lags costs one small Cholesky solve and never touches the rows again.
//
// Column 0 is the constant, column 1 the target (lag 0), column i+2 the i-th
// lag. Rows begin at the longest lag.
type gram struct {
	z     []float64 // the series, in the scale of the model
	lags  []int     // ascending, positive
	width int       // len(lags) + 2
	cuts  []int     // ascending prefix lengths
	sums  [][]float64
	rows  []float64 // weight of the rows under each prefix
}

// newGram returns the cross products of z for every prefix length in cuts.
// Row t has the weight decay^(len(z)-t); 1 weighs all rows alike.
// O(len(z) * lags^2).
func newGram(z []float64, lags, cuts []int, decay float64) *gram {
	g := &gram{z: z, lags: lags, width: len(lags) + 2, cuts: cuts}
	weighted := z
	weight := make([]float64, len(z))
	if decay == 1 {
		for i := range weight {
			weight[i] = 1
		}
	} else {
		w := 1.0
		for i := len(z) - 1; i >= 0; i-- {
			weight[i] = w
			w *= decay
		}
	}
	offset := append([]int{0}, lags...)
	total := make([]float64, g.width*g.width)
	rows := 0.0
	start := slices.Max(offset)
	left := make([]float64, len(z))
	for _, cut := range cuts {
		if cut > start {
			n := cut - start
			w := weight[start:cut]
			rows += floats.Sum(w)
			for i, a := range offset {
				row := z[start-a : cut-a]
				if decay != 1 {
					weighted = left[:n]
					floats.MulTo(weighted, row, w)
				} else {
					weighted = row
				}
				total[i+1] += floats.Sum(weighted)
				for j := i; j < len(offset); j++ {
					b := offset[j]
					total[(i+1)*g.width+j+1] += floats.Dot(weighted, z[start-b:cut-b])
				}
			}
			start = cut
		}
		total[0] = rows
		g.sums = append(g.sums, slices.Clone(total))
		g.rows = append(g.rows, rows)
	}
	return g
}

// ridge is the penalty on each coefficient, not on the constant, as a share of
// the mean variance of the columns: it keeps the solve stable and changes
// nothing else.
const ridge = 1e-5

// A linear is a fitted autoregression: z[t] = constant + sum coef[i]*z[t-lags[i]].
type linear struct {
	constant float64
	lags     []int
	coef     []float64
	ok       bool
}

// fit solves the least squares for the columns given as indexes into g.lags, on
// the prefix with index cut.
func (g *gram) fit(cut int, columns []int) linear {
	out := linear{lags: make([]int, len(columns)), coef: make([]float64, len(columns))}
	for i, c := range columns {
		out.lags[i] = g.lags[c]
	}
	sums, w, rows := g.sums[cut], g.width, g.rows[cut]
	if rows < 1 {
		return out
	}
	at := func(i, j int) float64 {
		if i > j {
			i, j = j, i
		}
		return sums[i*w+j] - sums[i]*sums[j]/rows // centred: the constant drops out
	}
	p := len(columns)
	a := make([]float64, p*p)
	trace := 0.0
	for i, c := range columns {
		for j := i; j < p; j++ {
			a[i*p+j] = at(c+2, columns[j]+2)
		}
		trace += a[i*p+i]
		out.coef[i] = at(c+2, 1)
	}
	penalty := trace/float64(p)*ridge + 1e-12
	for i := range p {
		a[i*p+i] += penalty
	}
	t, ok := lapack64.Potrf(blas64.Symmetric{N: p, Data: a, Stride: p, Uplo: blas.Upper})
	if !ok {
		return out
	}
	lapack64.Potrs(t, blas64.General{Rows: p, Cols: 1, Data: out.coef, Stride: 1})
	out.constant = sums[1] / rows
	for i, c := range columns {
		out.constant -= out.coef[i] * sums[c+2] / rows
	}
	out.ok = floats.Norm(out.coef, 1) < 1e3
	return out
}

// extend writes the forecasts that follow the history in buffer[:n] into
// buffer[n:n+steps], each from the ones before.
func (l linear) extend(buffer []float64, n, steps int, low, high float64) {
	for t := n; t < n+steps; t++ {
		s := l.constant
		for i, lag := range l.lags {
			s += l.coef[i] * buffer[t-lag]
		}
		buffer[t] = min(max(s, low), high)
	}
}
