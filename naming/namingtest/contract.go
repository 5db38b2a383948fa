// Package namingtest holds what every registry must do, as tests, and the real
// servers they run against.
//
//	func TestContract(t *testing.T) {
//		namingtest.Contract(t, func(t *testing.T) naming.Registry { ... })
//	}
package namingtest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/wxops/wxops/naming"
)

// Service is the service that a registry under Contract must have, with the
// instances a, b and c of weight 100 each.
const Service = "checkout"

// Contract runs the contract of naming.Registry against fresh registries.
func Contract(t *testing.T, open func(t *testing.T) naming.Registry) {
	t.Run("lists instances", func(t *testing.T) { contractList(t, open(t)) })
	t.Run("sets weights by compare-and-swap", func(t *testing.T) { contractSwap(t, open(t)) })
	t.Run("writes nothing on a conflict", func(t *testing.T) { contractConflict(t, open(t)) })
	t.Run("refuses what it cannot hold", func(t *testing.T) { contractRefuse(t, open(t)) })
	t.Run("watches", func(t *testing.T) { contractWatch(t, open(t)) })
	t.Run("has statistics or says that it has none", func(t *testing.T) { contractStats(t, open(t)) })
	t.Run("lets one of several writers win", func(t *testing.T) { contractRace(t, open(t)) })
	t.Run("carries a shift", func(t *testing.T) { contractShift(t, open(t)) })
	t.Run("keeps what somebody else sets during a shift", func(t *testing.T) { contractForeign(t, open(t)) })
	t.Run("sets, drains and undrains", func(t *testing.T) { contractDrain(t, open(t)) })
}

// Weights returns the weights of Service in order.
func Weights(t testing.TB, reg naming.Registry) []naming.Weight {
	t.Helper()
	all, err := reg.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	of, _, err := naming.Find(all, Service, "")
	if err != nil {
		t.Fatal(err)
	}
	var out []naming.Weight
	for _, in := range of {
		out = append(out, in.Weight)
	}
	return out
}

func expect(t testing.TB, reg naming.Registry, a, b, c naming.Weight) {
	t.Helper()
	if got := Weights(t, reg); len(got) != 3 || got[0] != a || got[1] != b || got[2] != c {
		t.Fatalf("weights are %v, want [%d %d %d]", got, a, b, c)
	}
}

func contractList(t *testing.T, reg naming.Registry) {
	all, err := reg.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	of, i, err := naming.Find(all, Service, "b")
	if err != nil || len(of) != 3 || i != 1 {
		t.Fatalf("Find = %v, %d, %v; want three instances with b second", of, i, err)
	}
	for k, name := range []string{"a", "b", "c"} {
		if in := of[k]; in.Name != name || in.Address == "" || in.Weight != 100 || !in.Health.OK() {
			t.Errorf("instance %d is %+v; want %s, healthy, weight 100, with an address", k, in, name)
		}
	}
	if reg.Address() == "" || reg.MaxWeight() < 256 {
		t.Errorf("address %q, largest weight %d", reg.Address(), reg.MaxWeight())
	}
}

func contractSwap(t *testing.T, reg naming.Registry) {
	back, err := reg.SetWeights(t.Context(), Service, []naming.Change{{Instance: "a", From: 100, To: 150}, {Instance: "c", From: 100, To: 0}, {Instance: "a", From: 150, To: 200}})
	if err != nil {
		t.Fatal(err)
	}
	if len(back) != 2 || back["a"] != 200 || back["c"] != 0 {
		t.Errorf("read back %v, want a: 200, c: 0", back)
	}
	expect(t, reg, 200, 100, 0)
	if _, err := reg.SetWeights(t.Context(), Service, []naming.Change{{Instance: "a", From: 200, To: 200}}); err != nil {
		t.Errorf("writing the same value back: %v", err)
	}
}

func contractConflict(t *testing.T, reg naming.Registry) {
	_, err := reg.SetWeights(t.Context(), Service, []naming.Change{{Instance: "a", From: 100, To: 7}, {Instance: "b", From: 99, To: 8}})
	var conflict *naming.ConflictError
	if !errors.As(err, &conflict) || !errors.Is(err, naming.ErrConflict) {
		t.Fatalf("error %v, want a conflict", err)
	}
	if conflict.Instance != Service+"/b" || conflict.Want != 99 || conflict.Found != 100 || conflict.Written {
		t.Errorf("conflict %+v", conflict)
	}
	expect(t, reg, 100, 100, 100)
}

func contractRefuse(t *testing.T, reg naming.Registry) {
	for _, c := range []struct {
		service string
		change  naming.Change
		want    error
	}{
		{Service, naming.Change{Instance: "a", From: 100, To: -1}, nil},
		{Service, naming.Change{Instance: "a", From: 100, To: reg.MaxWeight() + 1}, nil},
		{Service, naming.Change{Instance: "nobody", From: 100, To: 1}, naming.ErrUnknown},
		{"nothing", naming.Change{Instance: "a", From: 100, To: 1}, naming.ErrUnknown},
		{Service + "/a weight 1; set server x", naming.Change{Instance: "a", From: 100, To: 1}, nil},
		{Service, naming.Change{Instance: "a weight 1\n", From: 100, To: 1}, nil},
	} {
		_, err := reg.SetWeights(t.Context(), c.service, []naming.Change{c.change})
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("SetWeights(%q, %+v): %v, want an error %v", c.service, c.change, err, c.want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := reg.SetWeights(ended, Service, []naming.Change{{Instance: "a", From: 100, To: 1}}); err == nil {
		t.Error("a context that had ended before the first write was not respected")
	}
	expect(t, reg, 100, 100, 100)
}

func contractWatch(t *testing.T, reg naming.Registry) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	seen := 0
	err := reg.Watch(ctx, func(all []naming.Instance) {
		seen++
		of, i, err := naming.Find(all, Service, "a")
		if err != nil {
			t.Errorf("list %d: %v", seen, err)
			cancel()
			return
		}
		switch of[i].Weight {
		case 100:
			if _, err := reg.SetWeights(ctx, Service, []naming.Change{{Instance: "a", From: 100, To: 120}}); err != nil {
				t.Error(err)
				cancel()
			}
		case 120:
			cancel()
		}
	})
	if err != nil || seen < 2 || context.Cause(ctx) == context.DeadlineExceeded {
		t.Errorf("Watch told %d times and returned %v; want the list, then the change", seen, err)
	}
}

func contractStats(t *testing.T, reg naming.Registry) {
	stats, err := reg.Stats(t.Context(), Service)
	if errors.Is(err, naming.ErrNoStats) {
		return
	}
	if err != nil || len(stats) != 3 {
		t.Fatalf("Stats = %v, %v; want three", stats, err)
	}
	for _, s := range stats {
		if s.Service != Service || s.Instance == "" || s.InFlight < 0 || s.Backlog < 0 || s.Sessions < 0 {
			t.Errorf("statistics %+v lack a value that every registry has", s)
		}
	}
	if _, err := reg.Stats(t.Context(), "nothing"); !errors.Is(err, naming.ErrUnknown) {
		t.Errorf("statistics of an unknown service: %v, want ErrUnknown", err)
	}
}

// contractRace lets two writers step the same weight: each step must be made
// by exactly one of them where the registry promises that.
func contractRace(t *testing.T, reg naming.Registry) {
	done := make(chan int)
	for range 2 {
		go func() {
			won := 0
			for w := naming.Weight(100); w < 120; w++ {
				if _, err := reg.SetWeights(t.Context(), Service, []naming.Change{{Instance: "a", From: w, To: w + 1}}); err == nil {
					won++
				}
			}
			done <- won
		}()
	}
	won := <-done + <-done
	// Without compare-and-swap in the server (HAProxy) both may win a step that
	// fell into the same millisecond; the weight is right all the same.
	if w := Weights(t, reg)[0]; w < 101 || w > 120 || won < int(w-100) {
		t.Errorf("weight is %d after %d steps", w, won)
	}
}

func contractShift(t *testing.T, reg naming.Registry) {
	o := naming.Options{StateDir: t.TempDir()}
	s, err := naming.Begin(t.Context(), reg, Service, "b", o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := naming.Begin(t.Context(), reg, Service, "a", o); !errors.Is(err, naming.ErrBusy) {
		t.Errorf("a second test on the service: %v, want ErrBusy", err)
	}
	for _, share := range []float64{0.4, 0.5, 0.62, 0.3} {
		got, err := s.SetShare(t.Context(), share)
		if err != nil {
			t.Fatal(err)
		}
		if got < share*0.99 || got > share*1.01 {
			t.Errorf("share %.4f was asked for, weights %v give %.4f", share, Weights(t, reg), got)
		}
	}
	rep, err := s.Restore(t.Context())
	if err != nil || !rep.Clean() {
		t.Fatalf("Restore = %+v, %v", rep, err)
	}
	expect(t, reg, 100, 100, 100)
	if left, err := naming.RestoreAll(t.Context(), o.StateDir, nil); err != nil || len(left) != 0 {
		t.Errorf("after a restore there is left over: %+v, %v", left, err)
	}
}

// contractForeign lets somebody else change the weight of a peer, and then that
// of the tested instance, in mid-test: the test is told, and neither is undone.
func contractForeign(t *testing.T, reg naming.Registry) {
	for _, instance := range []string{"c", "a"} {
		s, err := naming.Begin(t.Context(), reg, Service, "a", naming.Options{StateDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.SetShare(t.Context(), 0.5); err != nil {
			t.Fatal(err)
		}
		of, err := s.Look(t.Context(), reg)
		if err != nil || len(of) != 3 {
			t.Fatalf("Look = %v, %v before anybody else came", of, err)
		}
		k := slices.IndexFunc(of, func(in naming.Instance) bool { return in.Name == instance })
		const theirs = 77 // no weight of this test
		if _, err := reg.SetWeights(t.Context(), Service, []naming.Change{{Instance: instance, From: of[k].Weight, To: theirs}}); err != nil {
			t.Fatal(err)
		}
		var conflict *naming.ConflictError
		if _, err := s.Look(t.Context(), reg); !errors.As(err, &conflict) || conflict.Instance != Service+"/"+instance || conflict.Found != theirs {
			t.Errorf("Look after somebody set %s to %d: %v", instance, theirs, err)
		}
		if instance == "a" { // a peer is only compared when it is to be written
			if _, err := s.SetShare(t.Context(), 0.6); !errors.Is(err, naming.ErrConflict) {
				t.Errorf("SetShare after somebody set %s to %d: %v", instance, theirs, err)
			}
		}
		rep, err := s.Restore(t.Context())
		if err != nil || len(rep.Left) != 1 || rep.Left[0].Instance != instance || rep.Left[0].Found != theirs || rep.Left[0].Base != 100 {
			t.Errorf("Restore = %+v, %v; want %s left alone at %d", rep, err, instance, theirs)
		}
		want := []naming.Weight{100, 100, 100}
		want[k] = theirs
		expect(t, reg, want[0], want[1], want[2])
		if _, err := naming.SetWeight(t.Context(), t.TempDir(), reg, Service, instance, 100); err != nil {
			t.Fatal(err)
		}
	}
}

func contractDrain(t *testing.T, reg naming.Registry) {
	ctx, state := t.Context(), t.TempDir()
	step := func(what string, want naming.Change, do func() (naming.Change, error)) {
		t.Helper()
		if got, err := do(); err != nil || got != want {
			t.Fatalf("%s: %+v, %v; want %+v", what, got, err, want)
		}
	}
	refuse := func(what string, want error, do func() (naming.Change, error)) {
		t.Helper()
		if got, err := do(); !errors.Is(err, want) {
			t.Fatalf("%s: %+v, %v; want %v", what, got, err, want)
		}
	}
	drain := func(instance string, force bool) func() (naming.Change, error) {
		return func() (naming.Change, error) { return naming.Drain(ctx, state, reg, Service, instance, force) }
	}
	undrain := func(instance string) func() (naming.Change, error) {
		return func() (naming.Change, error) { return naming.Undrain(ctx, state, reg, Service, instance) }
	}
	set := func(instance string, to naming.Weight) func() (naming.Change, error) {
		return func() (naming.Change, error) { return naming.SetWeight(ctx, state, reg, Service, instance, to) }
	}
	step("set a", naming.Change{Instance: "a", From: 100, To: 60}, set("a", 60))
	refuse("set a stranger", naming.ErrUnknown, set("nobody", 60))
	if _, err := set("a", reg.MaxWeight()+1)(); err == nil {
		t.Fatal("a weight above the largest was taken")
	}
	refuse("undrain what is not drained", naming.ErrUnsuitable, undrain("a"))
	step("drain a", naming.Change{Instance: "a", From: 60, To: 0}, drain("a", false))
	step("drain a again", naming.Change{Instance: "a", From: 0, To: 0}, drain("a", false))
	step("drain b", naming.Change{Instance: "b", From: 100, To: 0}, drain("b", false))
	refuse("drain the last", naming.ErrUnsuitable, drain("c", false))
	step("drain the last by force", naming.Change{Instance: "c", From: 100, To: 0}, drain("c", true))
	expect(t, reg, 0, 0, 0)
	step("undrain c", naming.Change{Instance: "c", From: 0, To: 100}, undrain("c"))
	step("undrain a", naming.Change{Instance: "a", From: 0, To: 60}, undrain("a"))
	step("somebody sets b", naming.Change{Instance: "b", From: 0, To: 7}, set("b", 7))
	refuse("undrain b", naming.ErrConflict, undrain("b"))
	expect(t, reg, 60, 7, 100)
	s, err := naming.Begin(ctx, reg, Service, "a", naming.Options{StateDir: state})
	if err != nil {
		t.Fatal(err)
	}
	refuse("set during a test", naming.ErrBusy, set("a", 1))
	if _, err := s.Restore(ctx); err != nil {
		t.Fatal(err)
	}
}
