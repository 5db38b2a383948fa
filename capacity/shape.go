package capacity

import (
	"fmt"
	"strconv"
	"strings"
)

// A Shape is the fixed size of a slice: CPU in thousandths of a core and
// memory in bytes.
type Shape struct {
	MilliCPU    int64
	MemoryBytes int64
}

// Shapes is the catalogue: the sizes that machines are cut into by default.
var Shapes = []string{"500m512M", "1C1G", "1C2G", "2C2G", "2C4G", "4C4G", "4C8G", "8C16G"}

// ParseShape reads a shape as CPU then memory: "<n>C" or "<n>m" (cores or
// thousandths of one), then "<n>G" or "<n>M" (GiB or MiB), n a positive whole
// number: "2C4G", "500m512M". The error names the nearest catalogue shape.
func ParseShape(s string) (Shape, error) {
	refuse := func(why string) (Shape, error) {
		return Shape{}, fmt.Errorf("shape %q: %s; accepted is CPU then memory, as in %s", s, why, nearestShape(s))
	}
	i := strings.IndexAny(s, "Cm")
	if i < 0 {
		return refuse("no CPU part that ends in C or m")
	}
	cpu, err := strconv.ParseInt(s[:i], 10, 32)
	if err != nil || cpu <= 0 {
		return refuse(fmt.Sprintf("CPU %q is not a positive whole number", s[:i]))
	}
	if s[i] == 'C' {
		cpu *= 1000
	}
	rest := s[i+1:]
	if rest == "" || !strings.ContainsAny(rest[len(rest)-1:], "GM") {
		return refuse("no memory part that ends in G or M")
	}
	memory, err := strconv.ParseInt(rest[:len(rest)-1], 10, 32)
	if err != nil || memory <= 0 {
		return refuse(fmt.Sprintf("memory %q is not a positive whole number", rest[:len(rest)-1]))
	}
	memory <<= 20
	if rest[len(rest)-1] == 'G' {
		memory <<= 10
	}
	return Shape{MilliCPU: cpu, MemoryBytes: memory}, nil
}

// Cores returns the CPU of the shape in cores.
func (s Shape) Cores() float64 { return float64(s.MilliCPU) / 1000 }

// String writes the shape as ParseShape reads it, in the largest whole units.
func (s Shape) String() string {
	cpu := fmt.Sprintf("%dm", s.MilliCPU)
	if s.MilliCPU%1000 == 0 {
		cpu = fmt.Sprintf("%dC", s.MilliCPU/1000)
	}
	memory := fmt.Sprintf("%dM", s.MemoryBytes>>20)
	if s.MemoryBytes%(1<<30) == 0 {
		memory = fmt.Sprintf("%dG", s.MemoryBytes>>30)
	}
	return cpu + memory
}

// nearestShape returns the catalogue shape that shares the longest beginning
// with s, case aside; 2C4G when none shares any.
func nearestShape(s string) string {
	best, longest := "2C4G", 0
	for _, c := range Shapes {
		n := 0
		for n < len(c) && n < len(s) && strings.EqualFold(c[:n+1], s[:n+1]) {
			n++
		}
		if n > longest {
			best, longest = c, n
		}
	}
	return best
}
