package file

import (
	"testing"

	"github.com/wxops/wxops/naming"
)

// FuzzParse holds that what is accepted can be changed, and that the change
// touches the weights alone.
func FuzzParse(f *testing.F) {
	f.Add([]byte("services:\n  s:\n    layer: logic\n    instances:\n      a: {address: h:1, weight: 100} # ü\n      b: {address: h:2, weight: 7, health: down}\n"))
	f.Add([]byte("services: {s: {instances: {\"ü\": {weight: 0, address: x}}}}"))
	f.Add([]byte("services:\n  s: &x\n    instances: *x\n"))
	f.Add([]byte("---\nservices: {}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := parse(b)
		if err != nil {
			return
		}
		to := map[string]naming.Weight{}
		for _, in := range n.instances {
			to[in.ID()] = in.Weight/2 + 1
		}
		text, err := n.set(to)
		if err != nil {
			return // a layout in which digits cannot be replaced is refused
		}
		again, err := parse(text)
		if err != nil || len(again.instances) != len(n.instances) {
			t.Fatalf("changed file: %v\n%s", err, text)
		}
	})
}
