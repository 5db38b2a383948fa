package capacity

import "slices"

// Nth returns the value that would be at index k if v was sorted, and changes the
// order of v (Hoare's Find, Communications of the ACM 4, 1961). O(n) on average.
func Nth(v []float64, k int) float64 {
	low, high := 0, len(v)-1
	for low < high {
		five := [...]float64{v[low], v[(low+k)/2], v[k], v[(k+high)/2], v[high]}
		slices.Sort(five[:])
		pivot := five[2]
		i, j := low, high
		for i <= j {
			for v[i] < pivot {
				i++
			}
			for v[j] > pivot {
				j--
			}
			if i <= j {
				v[i], v[j] = v[j], v[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			high = j
		case k >= i:
			low = i
		default:
			return v[k]
		}
	}
	return v[k]
}
