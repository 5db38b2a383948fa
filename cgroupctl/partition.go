package cgroupctl

import "github.com/wxops/wxops/capacity"

// A Cut is one way to divide a machine into slices.
type Cut struct {
	Counts          []Count `json:"counts"`
	LeftMilliCPU    int64   `json:"left_cpu_millicores"`
	LeftMemoryBytes int64   `json:"left_memory_bytes"`
}

// Count is a number of slices of one shape.
type Count struct {
	Shape string `json:"shape"`
	N     int64  `json:"count"`
}

// Partition is how a machine can be cut.
type Partition struct {
	MachineMilliCPU     int64 `json:"machine_cpu_millicores"`
	MachineMemoryBytes  int64 `json:"machine_memory_bytes"`
	AllocatableMilliCPU int64 `json:"allocatable_cpu_millicores"`
	AllocatableBytes    int64 `json:"allocatable_memory_bytes"`
	Seeds               Cut   `json:"seeds" doc:"the mix of 1C1G and 2C4G that leaves least"`
	Single              []Cut `json:"single" doc:"each shape of the catalogue alone"`
}

// seeds are the shapes that a machine is first cut into.
var seeds = []string{"1C1G", "2C4G"}

// Cuts says how many slices of which shapes fit a machine beside the reserve and
// what is left. Of all mixes of the seeds it takes the one that leaves the least
// share of CPU and memory together; of equal ones that with more large slices.
// O(machine / smallest shape).
func Cuts(m Machine, r Reserve) Partition {
	room := r.Allocatable(m)
	p := Partition{
		MachineMilliCPU: m.MilliCPU, MachineMemoryBytes: m.MemoryBytes,
		AllocatableMilliCPU: room.MilliCPU, AllocatableBytes: room.MemoryBytes,
	}
	for _, text := range capacity.Shapes {
		s := mustShape(text)
		n := fit(room, s)
		left := take(room, s, n)
		p.Single = append(p.Single, Cut{[]Count{{text, n}}, left.MilliCPU, left.MemoryBytes})
	}
	small, large := mustShape(seeds[0]), mustShape(seeds[1])
	best := -1.0
	for n := fit(room, large); n >= 0; n-- {
		rest := take(room, large, n)
		k := fit(rest, small)
		left := take(rest, small, k)
		share := float64(left.MilliCPU)/float64(max(room.MilliCPU, 1)) + float64(left.MemoryBytes)/float64(max(room.MemoryBytes, 1))
		if best < 0 || share < best {
			best = share
			p.Seeds = Cut{[]Count{{seeds[0], k}, {seeds[1], n}}, left.MilliCPU, left.MemoryBytes}
		}
	}
	return p
}

func fit(m Machine, s capacity.Shape) int64 {
	return max(0, min(m.MilliCPU/s.MilliCPU, m.MemoryBytes/s.MemoryBytes))
}

func take(m Machine, s capacity.Shape, n int64) Machine {
	return Machine{m.MilliCPU - n*s.MilliCPU, m.MemoryBytes - n*s.MemoryBytes}
}

func mustShape(s string) capacity.Shape {
	shape, err := capacity.ParseShape(s)
	if err != nil {
		panic(err) // the catalogue is ours
	}
	return shape
}
