package capacity

import (
	"cmp"
	"math"
	"slices"
)

// A covering is the search for the cheapest mix. The types are looked at from the
// dearest price per capacity to the best; a label is a choice of how many of
// those looked at so far, and one that has no more capacity at no lower price
// than another is dropped, so that few are left. A label is also dropped when it
// would cost more than the best mix so far though the rest came in fractions.
type covering struct {
	types  []offer // best price per capacity first
	need   float64
	labels []label // those that were kept; the first has nothing
	best   label   // the latest choice of the best mix so far
	price  float64 // of that mix, +Inf without one
	number int     // of its machines
	fill   []int   // of each type, what completes best
	steps  *int    // that are left
}

// An offer is a type with the number of it that can be of use.
type offer struct {
	price, capacity float64
	most            int
	place           int // in the catalogue
}

type label struct {
	capacity, price float64
	machines        int
	parent          int // index of the label without the latest choice
	kind, count     int // the latest choice
}

// searchSteps bounds the work of Choose, looks at a type for a label, to a few
// seconds; catalogues of 300 types without a most need some millions.
const searchSteps = 500_000_000

// cheapest returns the cheapest mix of a catalogue, nil when all of it does not
// carry the need. It is proven unless the steps ran out, which it counts down.
func cheapest(machines []Machine, need float64, steps *int) (mix *Mix, proven bool) {
	least := math.Inf(1)
	for _, m := range machines {
		least = min(least, m.PerSecond)
	}
	need = max(need, 1e-3*least) // a demand of 0 needs a machine too
	c := covering{types: offers(machines, need), need: need, price: math.Inf(1), steps: steps}
	proven = c.search()
	if math.IsInf(c.price, 1) {
		return nil, proven
	}
	mix = &Mix{Counts: make([]int, len(machines))}
	for k, n := range c.fill {
		mix.Counts[c.types[k].place] += n
	}
	for l := c.best; l.count > 0; l = c.labels[l.parent] {
		mix.Counts[c.types[l.kind].place] += l.count
	}
	for i, n := range mix.Counts {
		mix.Price += float64(n) * machines[i].Price
		mix.PerSecond += float64(n) * machines[i].PerSecond
	}
	return mix, proven
}

// offers sorts the types by price per capacity, the larger one first of equals,
// and says how many of each can be of use: as many as the need asks for, as can
// be had, and fewer than those that can be exchanged for other types.
func offers(machines []Machine, need float64) []offer {
	var types []offer
	for i, m := range machines {
		o := offer{m.Price, m.PerSecond, max(1, ceil(need/m.PerSecond)), i}
		if m.Most != 0 {
			o.most = min(o.most, max(m.Most, 0))
		}
		types = append(types, o)
	}
	slices.SortStableFunc(types, func(a, b offer) int {
		if c := cmp.Compare(a.price*b.capacity, b.price*a.capacity); c != 0 && math.Abs(a.price*b.capacity-b.price*a.capacity) > alike*a.price*b.capacity {
			return c
		}
		return cmp.Compare(b.capacity, a.capacity)
	})
	for i := range types {
		for j := range types {
			if i != j && machines[types[j].place].Most == 0 {
				types[i].most = min(types[i].most, exchangeable(types[i], types[j], i > j)-1)
			}
		}
	}
	return types
}

// exchangeable returns the least number of machines a for which as many b or
// fewer have no less capacity at no higher price; later says that a comes behind
// b, so that of two equal ones just one is left. Up to 64 b are tried.
func exchangeable(a, b offer, later bool) int {
	for q := 1; q <= 64; q++ {
		m := int(float64(q) * b.capacity / a.capacity * (1 + alike))
		if m < q || m == 0 {
			continue
		}
		dearer := float64(m)*a.price - float64(q)*b.price
		if same := math.Abs(dearer) <= alike*float64(m)*a.price; dearer > 0 && !same || same && (m > q || later) {
			return m
		}
	}
	return math.MaxInt
}

// search looks at all types and reports whether it came to the end.
func (c *covering) search() bool {
	c.labels = []label{{}}
	c.complete(c.labels[0], len(c.types))
	for k, t := range c.types { // a first mix that is not bad: the best type, and another for the rest
		n := min(c.types[0].most, int(c.need/c.types[0].capacity))
		rest := ceil((c.need - float64(n)*c.types[0].capacity) / t.capacity)
		if k > 0 && rest <= t.most {
			c.complete(label{float64(rest) * t.capacity, float64(rest) * t.price, rest, 0, k, rest}, k)
		}
	}
	front := []int{0}
	for k := len(c.types) - 1; k > 0; k-- {
		var next []label
		for _, at := range front {
			next = c.extend(next, at, k)
		}
		front = c.keep(front, next, k)
		if *c.steps < 0 {
			return false
		}
	}
	return true
}

// extend appends to next the labels with some of type k more than the label at
// has, and completes each.
func (c *covering) extend(next []label, at, k int) []label {
	l, t := c.labels[at], c.types[k]
	for n := 1; n <= t.most && *c.steps >= 0; n++ {
		more := label{l.capacity + float64(n)*t.capacity, l.price + float64(n)*t.price, l.machines + n, at, k, n}
		c.complete(more, k)
		if more.capacity >= c.need*(1-alike) {
			break
		}
		// more of a type that is dearer than what is left only cost more, unless
		// what is left is too little
		bound := c.bound(more, k)
		if bound > c.price*(1+alike) && !math.IsInf(bound, 1) {
			break
		}
		next = append(next, more)
	}
	return next
}

// keep returns the front of the labels at the places and the new ones: those that
// may lead to the best mix with the types before k, without those for which
// another has as much at no higher price. New ones of the front are stored.
func (c *covering) keep(places []int, next []label, k int) []int {
	type candidate struct {
		label
		at int // -1: not stored
	}
	var all []candidate
	for _, at := range places {
		all = append(all, candidate{c.labels[at], at})
	}
	for _, l := range next {
		all = append(all, candidate{l, -1})
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.capacity, a.capacity), cmp.Compare(a.price, b.price), cmp.Compare(a.machines, b.machines))
	})
	var front []int
	least, fewest := math.Inf(1), math.MaxInt
	for _, l := range all {
		if !cheaper(l.price, l.machines, least, fewest) || c.bound(l.label, k) > c.price*(1+alike) {
			continue
		}
		least, fewest = l.price, l.machines
		if l.at < 0 {
			l.at = len(c.labels)
			c.labels = append(c.labels, l.label)
		}
		front = append(front, l.at)
	}
	return front
}

// bound returns the price of a label with the rest of the need in fractions of
// the types before k, +Inf when they are too few.
func (c *covering) bound(l label, k int) float64 {
	price, rest := l.price, c.need*(1-alike)-l.capacity
	for _, t := range c.types[:k] {
		if rest <= 0 {
			break
		}
		*c.steps--
		n := min(rest/t.capacity, float64(t.most))
		price += n * t.price
		rest -= n * t.capacity
	}
	if rest > alike*c.need {
		return math.Inf(1)
	}
	return price
}

// complete fills a label up with whole machines of the types before k, the best
// ones first, and remembers the mix if it is the best so far. With one type left
// no other completion is cheaper.
func (c *covering) complete(l label, k int) {
	price, number, rest := l.price, l.machines, c.need*(1-alike)-l.capacity
	last := 0
	for ; last < k && rest > 0; last++ {
		*c.steps--
		t := c.types[last]
		n := min(ceil(rest/t.capacity), t.most)
		price += float64(n) * t.price
		number += n
		rest -= float64(n) * t.capacity
	}
	if rest > 0 || !cheaper(price, number, c.price, c.number) {
		return
	}
	c.best, c.price, c.number, c.fill = l, price, number, make([]int, last)
	rest = c.need*(1-alike) - l.capacity
	for i := range c.fill {
		c.fill[i] = min(ceil(rest/c.types[i].capacity), c.types[i].most)
		rest -= float64(c.fill[i]) * c.types[i].capacity
	}
}
