package capacity

import (
	"errors"
	"fmt"
	"math"
)

// ErrRange is wrapped by every refusal of a number that makes no sense.
var ErrRange = errors.New("out of range")

func positive(name string, v float64) error {
	if !(v > 0) || math.IsInf(v, 0) {
		return fmt.Errorf("%w: %s is %g, not a positive number", ErrRange, name, v)
	}
	return nil
}

// Readings are the three meanings of "capacity = peak / empirical CPU ceiling".
type Readings struct {
	PeakUtilization float64 // cores busy at the peak / cores there are
	LoadRatio       float64 // peak utilization / ceiling: above 1 the ceiling is passed
	RequiredCores   float64 // cores busy at the peak / ceiling
	SupplyPerSecond float64 // peak rate * ceiling / peak utilization
}

// Formula returns all three readings. cores is what the service has, peakCores
// what it keeps busy at its peak of peakRate requests per second, ceiling the
// utilization in (0, 1] that it shall not pass.
func Formula(cores, peakCores, peakRate, ceiling float64) (Readings, error) {
	for _, v := range []struct {
		name  string
		value float64
	}{{"cores", cores}, {"peak cores", peakCores}, {"peak rate", peakRate}, {"ceiling", ceiling}} {
		if err := positive(v.name, v.value); err != nil {
			return Readings{}, err
		}
	}
	if ceiling > 1 {
		return Readings{}, fmt.Errorf("%w: ceiling %g is outside (0, 1]", ErrRange, ceiling)
	}
	if peakCores > cores {
		return Readings{}, fmt.Errorf("%w: %g cores busy of %g that are there", ErrRange, peakCores, cores)
	}
	u := peakCores / cores
	return Readings{u, u / ceiling, peakCores / ceiling, peakRate * ceiling / u}, nil
}
