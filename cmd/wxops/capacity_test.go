package main

import (
	"math"
	"testing"
)

// What the parsers of the capacity commands accept can be used.
func FuzzParseMetrics(f *testing.F) {
	f.Add([]byte("t,rate,cores\n1,10,0.5\n2,,1\n"))
	f.Add([]byte("\xef\xbb\xbfrate,cores,memory_bytes\n1e3,2,x\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		rows, _, err := parseMetrics(b)
		if err != nil {
			return
		}
		for _, m := range rows {
			if math.IsInf(m.Rate, 0) || math.IsInf(m.Cores, 0) {
				t.Fatalf("infinite window %+v", m)
			}
		}
	})
}

func FuzzParseCatalogue(f *testing.F) {
	f.Add([]byte("types: [{name: a, price_per_hour: 1, capacity_per_second: 2}]"))
	f.Add([]byte("types:\n  - name: a\n    most: -1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseCatalogue(b)
		if err == nil && len(c.Types) == 0 {
			t.Fatal("an empty catalogue was accepted")
		}
	})
}
