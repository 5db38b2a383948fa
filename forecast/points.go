package forecast

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// points are the observations of one series as they came.
type points struct {
	stamps  []byte // see put
	last    int64  // stamp, nanoseconds since 1970 or the index
	gap     int64  // from the stamp before
	value   []float64
	clock   bool // stamps are times
	index   bool // stamps are indexes
	bad     rows // that cannot be read
	twice   hits // stamps that clocks show twice
	skipped hits // stamps that clocks never show
	unit    string
	units   int    // values that have the unit
	plain   int    // values other than 0 that have none
	grouped string // the first value written as 1,234.5
	taken   float64
}

// hits count what was met, and keep the stamp of the first.
type hits struct {
	n     int
	first int64
}

func (h *hits) add(at int64) {
	if h.n == 0 {
		h.first = at
	}
	h.n++
}

// rows count rows that cannot be read, and keep what is wrong with the first.
type rows struct {
	n     int
	first string
}

func (r rows) String() string {
	are := "are"
	if r.n == 1 {
		are = "is"
	}
	return fmt.Sprintf("%s cannot be read and %s left out, the first has %s", count(r.n, "row"), are, r.first)
}

// put keeps an observation. Of stamps only the changes of their gaps are kept,
// as variable-length integers (as in Gorilla, Pelkonen et al., VLDB 2015, section
// 4.1.1): a byte a point where they are evenly spaced, instead of eight.
func (p *points) put(s stamp, v float64) {
	if s.clock {
		p.clock = true
	} else {
		p.index = true
	}
	if s.skipped {
		p.skipped.add(s.at)
	}
	if s.again != 0 {
		s.at = p.whichOf(s.at, s.again)
		p.twice.add(s.at)
	}
	gap := s.at - p.last
	p.stamps = binary.AppendVarint(p.stamps, gap-p.gap)
	p.last, p.gap = s.at, gap
	p.value = append(p.value, v)
}

// whichOf tells the first from the second hour of a clock that was put back: the
// stamps of a series go on by the gap that they have, or else in the direction.
func (p *points) whichOf(first, second int64) int64 {
	switch {
	case len(p.value) == 0:
		return first
	case len(p.value) > 1 && p.last+p.gap == second:
		return second
	}
	falling := len(p.value) > 1 && p.gap < 0
	if p.last < first || p.last <= second && falling {
		return first
	}
	return second
}

// at returns the stamps, in the memory of buffer where that is enough.
func (p *points) at(buffer []int64) []int64 {
	out := slices.Grow(buffer[:0], len(p.value))
	last, gap := int64(0), int64(0)
	for b := p.stamps; len(b) > 0; {
		change, n := binary.Varint(b)
		b = b[n:]
		gap += change
		last += gap
		out = append(out, last)
	}
	return out
}
