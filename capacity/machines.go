package capacity

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// A Machine is one entry of a catalogue, with what it carries of the service.
type Machine struct {
	Name      string
	Price     float64 // per hour, in any currency
	PerSecond float64 // capacity of one, the lower end of its interval
	Most      int     // most that can be had; 0: any number
}

// A Mix is a number of machines of each type, in the order of the catalogue.
type Mix struct {
	Counts    []int
	Price     float64 // per hour
	PerSecond float64 // capacity of all
}

// A Choice is the answer of Choose.
type Choice struct {
	Best   Mix
	Second *Mix // the next cheaper mix without a machine too many; nil: there is none
	Single *Mix // the cheapest fleet of one type; nil: no type reaches alone
	Proven bool // false: the search was cut off, Best may not be the cheapest
}

// ErrNotEnough says that the whole catalogue does not carry the demand.
var ErrNotEnough = errors.New("all machines together do not carry the demand")

// Required returns the capacity, in requests per second, that a fleet needs so that
// demand keeps it at target, and, when it stands in zones, at 0.85 after the loss
// of one: demand / target, and demand / 0.85 * zones / (zones - 1). zones below 2
// means that none is lost.
func Required(demand, target float64, zones int) float64 {
	required := demand / target
	if zones > 1 {
		required = max(required, demand/tight*float64(zones)/float64(zones-1))
	}
	return required
}

// Choose returns the cheapest whole-number mix of machines whose capacity is at
// least required, in requests per second. Among equal prices the one with fewer
// machines wins. In two zones or more each has the same machines: then the mix is
// the cheapest of those whose counts are multiples of zones. The error wraps
// ErrRange, or is ErrNotEnough.
//
// A second mix without a machine too many has less than the best one of some
// type, because all that has as much of every type has one too many; so it is the
// best of what is found with one machine less of each type.
func Choose(machines []Machine, required float64, zones int) (Choice, error) {
	if err := choosable(machines, required); err != nil {
		return Choice{}, err
	}
	if zones < 0 || zones > maxInstances {
		return Choice{}, fmt.Errorf("%w: %d zones", ErrRange, zones)
	}
	if zones > 1 {
		return chooseInZones(machines, required, zones)
	}
	steps := searchSteps
	best, proven := cheapest(machines, required, &steps)
	if best == nil {
		return Choice{}, ErrNotEnough
	}
	c := Choice{Best: *best, Proven: proven, Single: cheapestOfOneType(machines, required)}
	for i, n := range best.Counts {
		if n == 0 {
			continue
		}
		fewer := slices.Clone(machines)
		if fewer[i].Most = n - 1; n == 1 {
			fewer[i].Most = none
		}
		mix, proven := cheapest(fewer, required, &steps)
		c.Proven = c.Proven && proven
		if mix != nil && (c.Second == nil || mix.before(*c.Second)) {
			c.Second = mix
		}
	}
	return c, nil
}

// chooseInZones chooses sets of one machine in each zone.
func chooseInZones(machines []Machine, required float64, zones int) (Choice, error) {
	var sets []Machine
	var places []int // in the catalogue
	for i, m := range machines {
		set := Machine{m.Name, m.Price * float64(zones), m.PerSecond * float64(zones), m.Most / zones}
		if m.Most == 0 || set.Most > 0 {
			sets, places = append(sets, set), append(places, i)
		}
	}
	if len(sets) == 0 {
		return Choice{}, ErrNotEnough
	}
	c, err := Choose(sets, required, 0)
	for _, mix := range []*Mix{&c.Best, c.Second, c.Single} {
		if mix == nil {
			continue
		}
		counts := make([]int, len(machines))
		for i, n := range mix.Counts {
			counts[places[i]] = n * zones
		}
		mix.Counts = counts
	}
	return c, err
}

// none is the value of Machine.Most for a type that cannot be had.
const none = -1

func choosable(machines []Machine, required float64) error {
	if !(required >= 0) || math.IsInf(required, 0) {
		return fmt.Errorf("%w: demand %g is outside [0, inf)", ErrRange, required)
	}
	if len(machines) == 0 {
		return fmt.Errorf("%w: an empty catalogue", ErrRange)
	}
	for _, m := range machines {
		if err := positive("price of "+m.Name, m.Price); err != nil {
			return err
		}
		if err := positive("capacity of "+m.Name, m.PerSecond); err != nil {
			return err
		}
		if m.Most < 0 {
			return fmt.Errorf("%w: most of %s is %d", ErrRange, m.Name, m.Most)
		}
		if m.Most == 0 && required/m.PerSecond > maxInstances {
			return fmt.Errorf("%w: more than %d of %s", ErrRange, maxInstances, m.Name)
		}
	}
	return nil
}

func cheapestOfOneType(machines []Machine, required float64) *Mix {
	var best *Mix
	for i, m := range machines {
		n := max(1, ceil(required/m.PerSecond))
		if m.Most > 0 && n > m.Most {
			continue
		}
		mix := Mix{make([]int, len(machines)), float64(n) * m.Price, float64(n) * m.PerSecond}
		mix.Counts[i] = n
		if best == nil || mix.before(*best) {
			best = &mix
		}
	}
	return best
}

// alike is how far apart, as a ratio, two sums of the same numbers may be for
// the order of their terms.
const alike = 1e-12

// before reports whether m is cheaper, or as cheap with fewer machines.
func (m Mix) before(other Mix) bool {
	return cheaper(m.Price, m.machines(), other.Price, other.machines())
}

func (m Mix) machines() int {
	sum := 0
	for _, n := range m.Counts {
		sum += n
	}
	return sum
}

func cheaper(price float64, machines int, than float64, others int) bool {
	if math.Abs(price-than) <= alike*price {
		return machines < others
	}
	return price < than
}
