package capacity

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
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

// searchNodes bounds the work of Choose to a few seconds.
const searchNodes = 20_000_000

// Choose returns the cheapest whole-number mix of machines whose capacity is at
// least required, in requests per second. Among equal prices the one with fewer
// machines wins. It branches on the count of each type, best price per capacity
// first, and cuts where even fractions of the rest would cost more than the
// second best so far.
func Choose(machines []Machine, required float64) (Choice, error) {
	if !(required >= 0) || math.IsInf(required, 0) {
		return Choice{}, fmt.Errorf("%w: demand %g is outside [0, inf)", ErrRange, required)
	}
	if len(machines) == 0 {
		return Choice{}, fmt.Errorf("%w: an empty catalogue", ErrRange)
	}
	for _, m := range machines {
		if err := positive("price of "+m.Name, m.Price); err != nil {
			return Choice{}, err
		}
		if err := positive("capacity of "+m.Name, m.PerSecond); err != nil {
			return Choice{}, err
		}
		if m.Most < 0 {
			return Choice{}, fmt.Errorf("%w: most of %s is %d", ErrRange, m.Name, m.Most)
		}
		if m.Most == 0 && required/m.PerSecond > maxInstances {
			return Choice{}, fmt.Errorf("%w: more than %d of %s", ErrRange, maxInstances, m.Name)
		}
	}
	s := search{machines: machines, required: required, left: searchNodes}
	for i := range machines {
		s.order = append(s.order, i)
	}
	sort.SliceStable(s.order, func(a, b int) bool {
		x, y := machines[s.order[a]], machines[s.order[b]]
		return x.Price*y.PerSecond < y.Price*x.PerSecond
	})
	s.counts = make([]int, len(machines))
	s.branch(0, required, 0)
	if len(s.found) == 0 {
		return Choice{}, ErrNotEnough
	}
	c := Choice{Best: s.found[0], Proven: s.left > 0}
	if len(s.found) > 1 {
		c.Second = &s.found[1]
	}
	for i, m := range machines {
		n := max(1, ceil(required/m.PerSecond))
		if m.Most > 0 && n > m.Most {
			continue
		}
		if price := float64(n) * m.Price; c.Single == nil || price < c.Single.Price {
			mix := Mix{make([]int, len(machines)), price, float64(n) * m.PerSecond}
			mix.Counts[i] = n
			c.Single = &mix
		}
	}
	return c, nil
}

type search struct {
	machines []Machine
	required float64
	order    []int
	counts   []int
	found    []Mix // at most two, cheapest first
	left     int
}

// branch tries every count of the type order[k] that may still be among the two
// cheapest, most first.
func (s *search) branch(k int, need, price float64) {
	if s.left--; s.left < 0 {
		return
	}
	if need <= 1e-9 && s.any() {
		s.keep(price)
		return
	}
	if k == len(s.order) {
		return
	}
	m := s.machines[s.order[k]]
	bound := price + max(need, 0)*m.Price/m.PerSecond
	if len(s.found) == 2 && bound >= s.found[1].Price*(1-1e-12) {
		return
	}
	most := max(1, ceil(need/m.PerSecond))
	if m.Most > 0 {
		most = min(most, m.Most)
	}
	for n := most; n >= 0; n-- {
		if k+1 < len(s.order) && len(s.found) == 2 {
			// what n leaves costs at least the price ratio of the next type, so
			// that fewer of this one only cost more
			next := s.machines[s.order[k+1]]
			rest := max(need-float64(n)*m.PerSecond, 0)
			if price+float64(n)*m.Price+rest*next.Price/next.PerSecond >= s.found[1].Price*(1-1e-12) && rest > 0 {
				break
			}
		}
		s.counts[s.order[k]] = n
		s.branch(k+1, need-float64(n)*m.PerSecond, price+float64(n)*m.Price)
	}
	s.counts[s.order[k]] = 0
}

func (s *search) any() bool { return slices.Max(s.counts) > 0 }

func (s *search) keep(price float64) {
	mix := Mix{Counts: slices.Clone(s.counts), Price: price}
	for i, n := range mix.Counts {
		mix.PerSecond += float64(n) * s.machines[i].PerSecond
	}
	for i, n := range mix.Counts { // a mix that can spare a machine is no choice
		if n > 0 && mix.PerSecond-s.machines[i].PerSecond >= s.required-1e-9 && mix.PerSecond > s.machines[i].PerSecond {
			return
		}
	}
	s.found = append(s.found, mix)
	sort.SliceStable(s.found, func(a, b int) bool { return s.found[a].Price < s.found[b].Price })
	s.found = s.found[:min(2, len(s.found))]
}
