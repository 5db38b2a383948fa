package stress

import "math"

// A line is a weighted least-squares fit of y on three regressors with
// Gaussian priors on the coefficients.
type line struct {
	coef [3]float64
	cov  [3][3]float64
	log  float64 // of the evidence, up to a constant
}

// regress solves the normal equations. A coefficient whose precision is
// infinite is its prior mean.
func regress(x [][3]float64, y, weight []float64, mean, precision [3]float64) line {
	var a [3][3]float64
	var b [3]float64
	var l line
	for i := range 3 {
		a[i][i] = 1
		if !math.IsInf(precision[i], 1) {
			a[i][i] = precision[i]
			l.log += math.Log(precision[i]) / 2
		}
	}
	for r := range x {
		left := y[r]
		for i := range 3 {
			left -= mean[i] * x[r][i]
		}
		for i := range 3 {
			if math.IsInf(precision[i], 1) {
				continue
			}
			for j := range 3 {
				if !math.IsInf(precision[j], 1) {
					a[i][j] += weight[r] * x[r][i] * x[r][j]
				}
			}
			b[i] += weight[r] * x[r][i] * left
		}
	}
	inv, det := invert(a)
	l.cov = inv
	l.log -= math.Log(det) / 2
	for i := range 3 {
		for j := range 3 {
			l.coef[i] += inv[i][j] * b[j]
		}
		if math.IsInf(precision[i], 1) {
			l.coef[i], l.cov[i][i] = 0, 0
		} else {
			l.log -= precision[i] * l.coef[i] * l.coef[i] / 2
		}
		l.coef[i] += mean[i]
	}
	for r := range x {
		d := y[r] - l.coef[0]*x[r][0] - l.coef[1]*x[r][1] - l.coef[2]*x[r][2]
		l.log -= weight[r] * d * d / 2
	}
	return l
}

// invert returns the inverse and the determinant of a symmetric positive
// definite matrix.
func invert(a [3][3]float64) (out [3][3]float64, det float64) {
	c := func(i, j int) float64 {
		i1, i2, j1, j2 := (i+1)%3, (i+2)%3, (j+1)%3, (j+2)%3
		return a[i1][j1]*a[i2][j2] - a[i1][j2]*a[i2][j1]
	}
	det = a[0][0]*c(0, 0) + a[0][1]*c(0, 1) + a[0][2]*c(0, 2)
	for i := range 3 {
		for j := range 3 {
			out[i][j] = c(j, i) / det
		}
	}
	return out, det
}

// normalCDF is the distribution function of the standard normal distribution.
func normalCDF(z float64) float64 { return math.Erfc(-z/math.Sqrt2) / 2 }
