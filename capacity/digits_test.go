package capacity

import (
	"math"
	"strconv"
	"testing"
)

func TestDigitsWritesQuantitiesWithoutExponents(t *testing.T) {
	for _, c := range []struct {
		v    float64
		n    int
		want string
	}{
		{11640.4, 4, "11640"},
		{11645, 3, "11600"},
		{275.1082063224481, 6, "275.108"},
		{12000, 10, "12000"},
		{0.404, 2, "0.4"},
		{0.00123456, 3, "0.00123"},
		{-999.96, 4, "-1000"},
		{0, 4, "0"},
		{12e9, 4, "12000000000"},
		{1.234567e-7, 3, "1.23e-07"},
		{2e15, 3, "2e+15"},
		{math.Inf(1), 3, "+Inf"},
		{math.NaN(), 3, "NaN"},
	} {
		if got := Digits(c.v, c.n); got != c.want {
			t.Errorf("Digits(%v, %d) = %s, want %s", c.v, c.n, got, c.want)
		}
	}
}

// Whatever the value, what is written is within half of the last digit of it.
func FuzzDigits(f *testing.F) {
	f.Add(275.108, 4)
	f.Add(9.9999e14, 2)
	f.Fuzz(func(t *testing.T, v float64, n int) {
		if n < 1 || n > 15 || math.IsNaN(v) || math.IsInf(v, 0) {
			return
		}
		got, err := strconv.ParseFloat(Digits(v, n), 64)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(got-v) > 0.5001*math.Pow10(1-n)*math.Abs(v) {
			t.Errorf("Digits(%v, %d) = %v", v, n, got)
		}
	})
}
