package main

import (
	"strings"
	"testing"
	"time"

	"github.com/wxops/wxops/cgroupctl"
)

// Rates are what was used since the look before, over the time between; a slice
// that was not there before has none.
func TestSliceWatchTurnsUseIntoRates(t *testing.T) {
	at := time.Unix(1000, 0)
	pressure := 0.125
	looks := [][]cgroupctl.Usage{
		{
			{Name: "web", Kind: "online", Present: true, CPUSeconds: 10, Periods: 100, ThrottledPeriods: 5},
			{Name: "offline", Kind: "offline"},
		},
		{
			{Name: "web", Kind: "online", Present: true, Processes: 3, CPUSeconds: 13, LimitCores: 2, Periods: 120, ThrottledPeriods: 8, MemoryBytes: 3 << 20, MemoryLimitBytes: 64 << 20, CPUPressureRatio: &pressure},
			{Name: "offline", Kind: "offline", Present: true, CPUSeconds: 7, Frozen: true},
		},
	}
	w := sliceWatch{now: func() time.Time { return at }}
	for i, want := range [][2]string{
		{"web online - none - - 0.0 MiB none 0 present", "offline offline - none - - 0.0 MiB none 0 absent"},
		{"web online 1.50 cores 2.00 cores 15.0 % 12.5 % 3.0 MiB 64.0 MiB 3 present", "offline offline - none - - 0.0 MiB none 0 frozen"},
	} {
		w.read = func() ([]cgroupctl.Usage, error) { return looks[i], nil }
		rows, err := w.rows()
		if err != nil || len(rows) != 2 {
			t.Fatalf("look %d: %d rows, %v", i, len(rows), err)
		}
		for j, row := range rows {
			var got []string
			for _, c := range row {
				got = append(got, c.Text)
			}
			if len(row) != len(topColumns) || strings.Join(got, " ") != want[j] {
				t.Errorf("look %d: %d cells %q, want %q", i, len(row), got, want[j])
			}
		}
		at = at.Add(2 * time.Second)
	}
}
