package forecast

import (
	"bytes"
	"fmt"
	"math"
	"runtime"
	"testing"
	"time"
)

// longText is a long CSV of so many series of hours, one behind the other or one
// hour behind the other.
func longText(series, hours int, bySeries bool) []byte {
	var b bytes.Buffer
	b.WriteString("series,t,value\n")
	start := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	row := func(k, h int) {
		v := 100 * float64(1+k%50) * (1.5 + math.Sin(2*math.Pi*float64(h%24)/24) + 0.05*math.Sin(float64(h*h+k)))
		fmt.Fprintf(&b, "svc-%05d,%s,%.3f\n", k, start.Add(time.Duration(h)*time.Hour).Format(time.RFC3339), v)
	}
	for i := range series * hours {
		if bySeries {
			row(i/hours, i%hours)
		} else {
			row(i%series, i/series)
		}
	}
	return b.Bytes()
}

// BenchmarkRead reads and buckets a million rows; held-MiB is what is held at the
// end, the result with it.
func BenchmarkRead(b *testing.B) {
	for name, bySeries := range map[string]bool{"by-series": true, "by-time": false} {
		text := longText(1000, 1000, bySeries)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			var held runtime.MemStats
			for b.Loop() {
				in := NewInput(ReadOptions{})
				if err := in.Add("x", bytes.NewReader(text)); err != nil {
					b.Fatal(err)
				}
				runtime.ReadMemStats(&held)
				series, warnings, err := in.Series()
				if err != nil || len(series) != 1000 || len(warnings) > 0 {
					b.Fatalf("%d series, %d warnings, %v", len(series), len(warnings), err)
				}
			}
			b.ReportMetric(float64(held.HeapAlloc-uint64(len(text)))/(1<<20), "held-MiB")
		})
	}
}
