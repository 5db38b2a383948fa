package capacity

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// tight is the utilization that instances may reach while some are missing:
// short, rare and above the everyday target.
const tight = 0.85

// maxInstances bounds every answer; more is a mistake in the input.
const maxInstances = 10_000_000

// Errors of Size.
var (
	ErrNoKnee   = errors.New("the curve has no knee: its capacity was not found")
	ErrCapacity = errors.New("the capacity, or the lower end of its interval, is not above zero")
)

// Needs say what a fleet must withstand. The zero value of an optional field
// leaves its rule out.
type Needs struct {
	Demand         float64  // requests per second, not negative
	Target         float64  // everyday utilization, load / measured capacity, in (0, 1]
	Imbalance      float64  // load of the busiest instance / mean load, at least 1; 0 means 1
	Spares         int      // instances that may be missing at once
	Zones          int      // zones of which one may be lost; at least 2
	MaxUnavailable float64  // share of instances that a rolling update stops at a time, in (0, 1)
	Floor          int      // never fewer
	Asked          []string // rules that count with a number of 0 too: spares, rolling
}

// A Rule is one reason for a number of instances.
type Rule struct {
	Name      string // load, spares, zone, rolling or floor
	Instances int
	Why       string // the arithmetic
}

// A Sizing is the answer of Size: the largest of its rules.
type Sizing struct {
	Instances   int
	Binding     string // name of the first rule with that number
	Rules       []Rule
	PerSecond   float64 // capacity of one instance that was used
	Utilization float64 // demand / (instances * capacity)
}

// Size returns how many instances of capacity perSecond meet the needs. For a
// measured capacity give the lower end of its interval: see [Curve.Safe].
//
// With f = ceil(demand*imbalance / (0.85*capacity)) the rules are load
// ceil(demand*imbalance / (target*capacity)), spares f + k, zone
// Z * ceil(demand*imbalance / (0.85*capacity*(Z-1))), rolling ceil(f / (1-m)),
// and the floor.
func Size(perSecond float64, n Needs) (Sizing, error) {
	if !(perSecond > 0) || math.IsInf(perSecond, 0) {
		return Sizing{}, fmt.Errorf("%w: %g per second", ErrCapacity, perSecond)
	}
	if n.Imbalance == 0 {
		n.Imbalance = 1
	}
	switch {
	case !(n.Demand >= 0) || math.IsInf(n.Demand, 0):
		return Sizing{}, fmt.Errorf("%w: demand %g is outside [0, inf)", ErrRange, n.Demand)
	case !(n.Target > 0 && n.Target <= 1):
		return Sizing{}, fmt.Errorf("%w: target %g is outside (0, 1]", ErrRange, n.Target)
	case !(n.Imbalance >= 1) || math.IsInf(n.Imbalance, 0):
		return Sizing{}, fmt.Errorf("%w: imbalance %g is below 1", ErrRange, n.Imbalance)
	case n.Spares < 0 || n.Floor < 0:
		return Sizing{}, fmt.Errorf("%w: spares %d and floor %d must not be negative", ErrRange, n.Spares, n.Floor)
	case n.Zones < 0 || n.Zones == 1:
		return Sizing{}, fmt.Errorf("%w: of %d zones none can be lost", ErrRange, n.Zones)
	case !(n.MaxUnavailable >= 0 && n.MaxUnavailable < 1):
		return Sizing{}, fmt.Errorf("%w: max unavailable %g is outside [0, 1)", ErrRange, n.MaxUnavailable)
	case n.Demand*n.Imbalance/(min(n.Target, tight)*perSecond) > maxInstances || n.Spares > maxInstances || n.Floor > maxInstances || n.Zones > maxInstances:
		return Sizing{}, fmt.Errorf("%w: more than %d instances", ErrRange, maxInstances)
	}
	d := n.Demand * n.Imbalance
	f := ceil(d / (tight * perSecond))
	s := Sizing{PerSecond: perSecond}
	add := func(name string, instances int, format string, args ...any) {
		s.Rules = append(s.Rules, Rule{name, instances, fmt.Sprintf(format, args...)})
		if instances > s.Instances || s.Binding == "" {
			s.Instances, s.Binding = instances, name
		}
	}
	demand, each := Digits(n.Demand, 10), Digits(perSecond, 6)
	add("load", ceil(d/(n.Target*perSecond)), "ceil(%s x %g / (%g x %s))", demand, n.Imbalance, n.Target, each)
	if n.Spares > 0 || slices.Contains(n.Asked, "spares") {
		add("spares", f+n.Spares, "ceil(%s x %g / (%g x %s)) + %d", demand, n.Imbalance, tight, each, n.Spares)
	}
	if n.Zones > 0 {
		add("zone", n.Zones*ceil(d/(tight*perSecond*float64(n.Zones-1))), "%d x ceil(%s x %g / (%g x %s x %d))", n.Zones, demand, n.Imbalance, tight, each, n.Zones-1)
	}
	if n.MaxUnavailable > 0 || slices.Contains(n.Asked, "rolling") {
		add("rolling", ceil(float64(f)/(1-n.MaxUnavailable)), "ceil(%d / (1 - %g))", f, n.MaxUnavailable)
	}
	add("floor", n.Floor, "%d", n.Floor)
	if s.Instances > 0 {
		s.Utilization = n.Demand / (float64(s.Instances) * perSecond)
	}
	return s, nil
}

// ceil rounds up, and passes over what only the last bits of a division add.
func ceil(v float64) int {
	r := math.Round(v)
	if math.Abs(v-r) <= 1e-9*max(1, math.Abs(v)) {
		return int(r)
	}
	return int(math.Ceil(v))
}

// Safe returns the lower end of the interval of the capacity that a stress test
// found, the number to size with. The error wraps ErrNoKnee when none was found,
// or the test ended with another verdict than ok, whatever else the curve says:
// it may come from another program, which need not write a verdict. It wraps
// ErrCapacity when the lower end is unknown, not above zero, or above the
// capacity itself.
func (c Curve) Safe() (float64, error) {
	k := c.Capacity
	switch {
	case !k.Found || k.PerSecond == nil:
		return 0, ErrNoKnee
	case c.Verdict != VerdictOK && c.Verdict != "":
		return 0, fmt.Errorf("%w: the verdict of the test is %q, not %q", ErrNoKnee, c.Verdict, VerdictOK)
	case k.Low == nil:
		return 0, fmt.Errorf("%w: %g per second without the lower end of its interval", ErrCapacity, *k.PerSecond)
	case !(*k.PerSecond > 0 && *k.Low > 0 && *k.Low <= *k.PerSecond):
		return 0, fmt.Errorf("%w: %g per second with a lower end of %g", ErrCapacity, *k.PerSecond, *k.Low)
	}
	return *k.Low, nil
}
