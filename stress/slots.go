package stress

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// What a limit of concurrent requests does: a balancer that lets an instance
// have so many requests at once (slots) gives those beyond to its peers. The
// queue inside stays short, no rate of arrivals makes it slow, and what it
// serves grows towards what its workers do while every slot is taken.

// limited reports whether requests can be waiting for a slot elsewhere.
func (m model) limited() bool { return m.slots > 0 }

// room returns how many requests can wait in the instance behind busy workers.
func (m model) room() float64 { return math.Max(0, m.slots-m.k) }

// full returns the throughput with every slot taken, per second.
func (m model) full() float64 {
	if !m.limited() || m.slots >= m.k {
		return m.saturation()
	}
	return m.slots / (m.alone + m.slope*m.slots)
}

// spilled returns, for a rate at which requests are meant for the instance, how
// many it serves per second and their mean wait in seconds. It is M/M/k with
// room for as many more, where the room counts in units of the variability,
// (ca2+cs2)/2: a diffusion between two barriers, as in Whitt, AT&T Bell
// Laboratories Technical Journal 63, 1984.
func (m model) spilled(meant float64) (served, wait float64) {
	k := math.Min(m.k, m.slots)
	ca2 := m.arrivalSCV(meant)
	variability := (ca2 + m.cs2) / 2
	room := m.room() / variability
	rho := meant / m.full()
	if b := m.busy(meant); b < k && meant < m.full() {
		rho = b / k
	}
	below := 1/erlangB(k/m.peakedness(ca2), rho*k/m.peakedness(ca2)) - 1 // chance of a free worker over that of just none
	states, waiting := room+1, room*(room+1)/2
	if d := rho - 1; math.Abs(d) > 1e-3 {
		r := math.Pow(rho, room+1)
		states = (r - 1) / d
		waiting = ((room+1)*r*d - rho*(r-1)) / (d * d)
	}
	refused := math.Pow(rho, room) / (below + states)
	served = math.Min(meant*(1-refused), m.full())
	return served, waiting / (below + states) * variability / served
}

// slowShare returns the share of requests that take longer than bound seconds
// while every slot is taken: each waits until as many have left as there is room
// for, a time that is taken as gamma distributed.
func (m model) slowShare(bound float64) float64 {
	room := m.room()
	miss := 0.0
	for _, a := range m.service {
		left := bound - a.value*m.saturated()
		switch {
		case left <= 0:
			miss += a.p
		case room > 0:
			shape := room / math.Max(0.05, m.cs2)
			miss += a.p * mathext.GammaIncRegComp(shape, left*shape*m.saturation()/room)
		}
	}
	return miss
}
