package demo

import (
	"math"
	"testing"
	"time"

	"github.com/wxops/wxops/naming"
)

func TestFleetFollowsItsNamesFile(t *testing.T) {
	s := Choose(0, false)
	f, err := StartFleet(t.Context(), t.TempDir(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if report, err := f.Close(); err != nil || len(report.Visits) == 0 {
			t.Errorf("close: %v, %d visits", err, len(report.Visits))
		}
	}()
	all, err := f.Registry.List(t.Context())
	if err != nil || len(all) != 3 || all[0].ID() != f.Instances[0].Name() {
		t.Fatalf("registry lists %+v, %v", all, err)
	}
	if _, err := f.Registry.SetWeights(t.Context(), s.Name, []naming.Change{
		{Instance: "a", From: baseWeight, To: 200}, {Instance: "b", From: baseWeight, To: 50}, {Instance: "c", From: baseWeight, To: 150},
	}); err != nil {
		t.Fatal(err)
	}
	// Some time after the change 400 requests in a row are split 200, 50, 150.
	want := []int64{200, 50, 150}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(30 * time.Second)
	for before := f.router.Sent(); ; {
		<-tick.C
		now := f.router.Sent()
		var total int64
		got := make([]int64, 3)
		for i, in := range f.Instances {
			got[i] = now[in.Name()] - before[in.Name()]
			total += got[i]
		}
		if total < 400 {
			continue
		}
		split := true
		for i := range got {
			share := float64(got[i]) / float64(total)
			split = split && math.Abs(share-float64(want[i])/400) < 0.01
		}
		if split {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("requests are split %v, want %v", got, want)
		}
		before = now
	}
}

func TestServicesOfSeedsAreUsable(t *testing.T) {
	seen := map[int]bool{}
	for seed := range uint64(200) {
		s := Choose(seed, seed%2 == 1)
		seen[s.Law.Workers] = true
		saturation := float64(s.Law.Workers) / s.Law.Service.Seconds()
		if saturation < 270 || saturation > 430 || s.Rate > 700 || s.Law.Queue < 4 {
			t.Errorf("seed %d: %+v", seed, s)
		}
		if alone := s.Law.Service.Seconds() * (1 + 3.6*s.Law.CV); s.Bound.Seconds() < 1.3*alone {
			t.Errorf("seed %d: objective %v, 99 %% quantile without a queue about %.3f s", seed, s.Bound, alone)
		}
	}
	if len(seen) < 10 {
		t.Errorf("%d different numbers of workers", len(seen))
	}
}
