package capacity

import (
	"math"
	"strconv"
)

// Digits writes v with n significant digits, at least 1, as a person reads a
// quantity: without an exponent between 0.0001 and 10^15, and without zeros
// behind the last digit that counts.
func Digits(v float64, n int) string {
	if size := math.Abs(v); size != 0 && size < 1e-4 || size >= 1e15 || math.IsNaN(v) {
		return strconv.FormatFloat(v, 'g', n, 64)
	}
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'e', n-1, 64), 64)
	if err != nil {
		rounded = v // no number that was just formatted fails to parse
	}
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}
