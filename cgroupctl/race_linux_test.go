package cgroupctl

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestLiveKilledRunsConverge kills apply and the entry of a process at random
// points. The next apply must bring everything into place: no folder leaks and
// no process is in a slice without its limits, or in one controller only.
func TestLiveKilledRunsConverge(t *testing.T) {
	tree, text := live(t, liveOnline)
	body := strings.ReplaceAll(text, "\n", ";")
	rng := rand.New(rand.NewPCG(7, 7))
	n := rounds(200, 10)
	// How long a run takes here, so that the kills fall inside of it.
	span := 30 * time.Millisecond
	killed, runs := 0, 0
	for ; killed < n && runs < 8*n; runs++ {
		i := runs
		if i%2 == 0 {
			if _, err := tree.Remove(context.Background(), nil, RemoveOptions{Kill: true}); err != nil {
				t.Fatalf("round %d: %v", i, err)
			}
		}
		args := []string{body}
		mode := "apply"
		if i%2 == 1 {
			mode, args = "enter", append(args, "web")
		}
		begin := time.Now()
		c := helperCommand(mode, args...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(rng.Int64N(int64(span))), func() { _ = c.Process.Kill() })
		err := c.Wait()
		timer.Stop()
		if s, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
			killed++
		} else if err != nil {
			t.Fatalf("round %d: %s: %v", i, mode, err)
		} else if mode == "apply" {
			span = max(span, time.Since(begin)+span/8)
		}
		if _, err := tree.Apply(context.Background(), ApplyOptions{}); err != nil {
			t.Fatalf("round %d: apply after the kill: %v", i, err)
		}
		if d, err := tree.Drift(); err != nil || len(d) != 0 {
			t.Fatalf("round %d: %v, %v", i, d, err)
		}
		names, err := tree.children()
		if slices.Sort(names); err != nil || !slices.Equal(names, []string{"batch", "offline", "web"}) {
			t.Fatalf("round %d: folders %v, %v", i, names, err)
		}
	}
	if killed < n {
		t.Errorf("only %d of %d runs were killed before they ended, want %d", killed, runs, n)
	}
	t.Logf("%d of %d runs killed", killed, runs)
}

// Two at once wait for each other: one makes the writes, the other finds none.
func TestLiveConcurrentAppliesDoNotCross(t *testing.T) {
	tree, text := live(t, liveOnline)
	if _, err := tree.Remove(context.Background(), nil, RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	type result struct {
		n   int
		err error
	}
	results := make(chan result)
	for range 4 {
		go func() {
			own, err := liveTree(text)
			if err != nil {
				results <- result{0, err}
				return
			}
			done, err := own.Apply(context.Background(), ApplyOptions{})
			if err != nil {
				results <- result{0, err}
				return
			}
			results <- result{len(done.Changes), nil}
		}()
	}
	writers := 0
	for range 4 {
		r := <-results
		if r.err != nil {
			t.Error(r.err)
		}
		if r.n > 0 {
			writers++
		}
	}
	if writers != 1 {
		t.Errorf("%d of 4 applies wrote, want 1", writers)
	}
}

func TestLiveOfflineControllerSteersAndLetsGo(t *testing.T) {
	tree, text := live(t, liveOnline+`windows: [{name: all, from: "00:00", to: "24:00", rule: throttled}]`+"\n")
	cpu, _ := tree.host.hierarchy("cpu")
	ctx, cancel := context.WithCancel(context.Background())
	events := make(chan Event, 1000)
	ended := make(chan error, 1)
	go func() { ended <- tree.RunOffline(ctx, func(e Event) { events <- e }) }()
	first := <-events
	if first.Err != nil || first.LimitCores == 0 {
		t.Errorf("first decision %+v", first)
	}
	// A second controller, and an apply, leave it alone.
	other, err := liveTree(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.RunOffline(ctx, func(Event) {}); err == nil || !strings.Contains(err.Error(), "is steered already") {
		t.Errorf("a second controller: %v", err)
	}
	if p, err := other.Plan(); err != nil || len(p.Changes) != 0 {
		t.Errorf("plan while it is steered: %v, %v", p, err)
	}
	status, err := other.OfflineStatus()
	if err != nil || status.Controller != "running" || status.Rule != Throttled || !status.AdmitsJobs {
		t.Errorf("status %+v, %v", status, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	milli, limited := quotaMilliCPU(tree.host.FS, cpu, tree.folder(cpu, "offline"))
	want := int64(1000 * (float64(tree.host.Machine.MilliCPU)/1000*0.65 - tree.reserveCores()))
	if !limited || milli != want {
		t.Errorf("after the end the limit is %dm, want the window's %dm", milli, want)
	}
	if s, err := other.OfflineStatus(); err != nil || s.Controller != "none" {
		t.Errorf("status after the end %+v, %v", s, err)
	}
	if _, err := tree.leaseText(); errors.Is(err, errNoAttr) {
		t.Error(err)
	}
}

// The youngest job is the one whose top process began last, with all below it.
func TestLiveYoungestJobIsKilled(t *testing.T) {
	tree, _ := live(t, liveOnline)
	old := spawnIn(t, tree, "offline", "wait")
	token := fmt.Sprintf("young-%d", time.Now().UnixNano())
	// A later start by the clock of the process table, which ticks in 10 ms.
	p, err := old.process()
	if err != nil {
		t.Fatal(err)
	}
	var young running
	for start := p.start; start <= p.start; {
		young = spawnIn(t, tree, "offline", "wait", token)
		q, err := young.process()
		if err != nil {
			t.Fatal(err)
		}
		start = q.start
	}
	if err := tree.steer("offline", Decision{Freeze: true}); err != nil {
		t.Fatal(err)
	}
	killed, err := tree.killYoungest("offline")
	if err != nil || !slices.Contains(killed, young.pid) || slices.Contains(killed, old.pid) {
		t.Fatalf("killed %v, %v; want %d and not %d", killed, err, young.pid, old.pid)
	}
	for {
		if p, err := young.process(); err != nil || p.gone() {
			break
		}
	}
	if p, err := old.process(); err != nil || p.gone() {
		t.Errorf("the older job is gone: %v", err)
	}
}
