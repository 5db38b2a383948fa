package stress

import (
	"math"
	"math/rand/v2"
	"testing"
)

// What is foretold of traffic that grows by 1 % a second, or not at all, against
// the rate that the counts were drawn from. A filter that learned the growth in
// a minute lagged by 2 to 3 %, and as much more arrived than was asked for.
func TestTrafficIsForetoldWhileItGrows(t *testing.T) {
	for _, growth := range []float64{0, 0.01, -0.01} {
		rng := rand.New(rand.NewPCG(5, 6))
		sum, square, n := 0.0, 0.0, 0.0
		for range 500 {
			var seen traffic
			rate := 900.0
			for second := range 20 {
				seen.add(rate+math.Sqrt(rate)*rng.NormFloat64(), 1)
				rate *= 1 + growth
				if second >= 8 {
					off := seen.rate/rate - 1
					sum, square, n = sum+off, square+off*off, n+1
				}
			}
		}
		bias, deviation := sum/n, math.Sqrt(square/n)
		if math.Abs(bias) > 0.02 || deviation > 0.026 {
			t.Errorf("growth %g: %+.2f %% off on average, %.2f %% in the root mean square", growth, 100*bias, 100*deviation)
		}
	}
}
