package cgroupctl

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wxops/wxops/internal/vmtest"
)

// Tests named TestClock measure shares of CPU. They run only in a guest whose
// clock counts instructions, and on a quiet machine by bench/slice/bars.sh; elsewhere
// they return at once.

func onClock() bool { return os.Getenv("WXOPS_CLOCK") == "1" }

// TestGuestsOnTheClock boots them.
func TestGuestsOnTheClock(t *testing.T) {
	if os.Getenv("WXOPS_GUEST") != "" {
		return
	}
	bin := guestBinary(t)
	for _, c := range []struct{ layout, tests string }{{"v2", "^TestClock"}, {"hybrid", "^TestClockLimits"}} {
		t.Run(c.layout, func(t *testing.T) {
			t.Parallel() // one core each, and what they measure is not the host's time
			boot(t, vmtest.Guest{
				Binary: bin, Layout: c.layout, Deterministic: true, Env: []string{"WXOPS_CLOCK=1"},
				Args: []string{"-test.v", "-test.run=" + c.tests, "-test.timeout=7m"},
			})
		})
	}
}

func cpuOf(t *testing.T, tree *Tree, slice string) time.Duration {
	t.Helper()
	h, ok := tree.host.hierarchy("cpuacct")
	if !ok {
		h, _ = tree.host.hierarchy("cpu")
	}
	used, ok := cpuUsed(tree.host.FS, h, tree.folder(h, slice))
	if !ok {
		t.Fatalf("no CPU use of slice %s", slice)
	}
	return used
}

// share returns the cores that a slice uses over a time.
func share(t *testing.T, tree *Tree, slice string, over time.Duration) float64 {
	t.Helper()
	at, used := time.Now(), cpuOf(t, tree, slice)
	<-time.After(over - time.Since(at))
	return (cpuOf(t, tree, slice) - used).Seconds() / time.Since(at).Seconds()
}

func TestClockLimitsAreExact(t *testing.T) {
	if !onClock() {
		return
	}
	tree, text := live(t, "online: [{name: web, shape: 500m256M, ceiling: 1.0}]\n")
	spawnIn(t, tree, "web", "spin", "1")
	for _, limit := range []float64{0.25, 0.5, 0.8} {
		next, err := liveTree(strings.Replace(text, "ceiling: 1.0", fmt.Sprintf("ceiling: %g", limit/0.5), 1))
		if err != nil {
			t.Fatal(err)
		}
		apply(t, next)
		<-time.After(300 * time.Millisecond) // three periods under the new limit
		got := share(t, tree, "web", 5*time.Second)
		t.Logf("limit %.2f cores: used %.4f over 5 s, error %.2f %%", limit, got, 100*(got/limit-1))
		if err := got/limit - 1; err > 0.005 || err < -0.005 {
			t.Errorf("limit %.2f cores: used %.4f, error %.2f %% is above 0.5 %%", limit, got, 100*err)
		}
	}
}

// On the host only one side can be held: other work takes CPU away, but a slice
// never has more than its limit. A limit of all cores cannot bind: then what the
// rest of the machine and its host took is missing, and is told.
func TestLiveLimitsAreNeverPassed(t *testing.T) {
	tree, text := live(t, "online: [{name: web, shape: 2C256M, mode: shared, ceiling: 1.0}]\n")
	spawnIn(t, tree, "web", "spin", "3")
	for _, limit := range []float64{0.5, 1, 2} {
		next, err := liveTree(strings.Replace(text, "ceiling: 1.0", fmt.Sprintf("ceiling: %g", limit/2), 1))
		if err != nil {
			t.Fatal(err)
		}
		apply(t, next)
		<-time.After(300 * time.Millisecond)
		over := time.Duration(rounds(5, 1)) * time.Second
		idle := idleTime(t, tree)
		got := share(t, tree, "web", over)
		rest := float64(runtime.NumCPU()) - got - (idleTime(t, tree)-idle).Seconds()/over.Seconds()
		room := min(limit, float64(runtime.NumCPU())-rest)
		t.Logf("limit %.1f cores: used %.4f over %s, error %.2f %%; all else took %.4f, so that %.4f could be had, error %.2f %%",
			limit, got, over, 100*(got/limit-1), rest, room, 100*(got/room-1))
		// A period that is cut by the end of the measurement may count in full.
		if most := limit * (1.01 + 0.1/over.Seconds()); got > most {
			t.Errorf("limit %.1f cores: used %.4f, at most %.4f", limit, got, most)
		}
	}
}

// serve is an online service in one process: requests arrive at random moments
// at 30 per second, each takes 8 ms of CPU. That is long because the guest's clock
// gives an instruction 8 ns: a switch between two processes costs 0.3 ms there.
// It prints the median and the 99th
// percentile of response times of each phase it is asked for on standard input.
func serve() {
	runtime.LockOSThread()
	in := bufio.NewReader(os.Stdin)
	fmt.Println("ready")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		seconds, _ := strconv.Atoi(strings.TrimSpace(line))
		rng := rand.New(rand.NewPCG(3, 4)) // the same arrivals in each phase
		begin := time.Now()
		var took []time.Duration
		for due := time.Duration(0); due < time.Duration(seconds)*time.Second; due += time.Duration(rng.ExpFloat64() * 33e6) {
			if early := due - time.Since(begin); early > 0 {
				ts := unix.NsecToTimespec(int64(early))
				_ = unix.Nanosleep(&ts, nil)
			}
			for end := threadTime() + 8*time.Millisecond; threadTime() < end; {
			}
			took = append(took, time.Since(begin)-due)
		}
		slices.Sort(took)
		fmt.Println(took[len(took)/2].Nanoseconds(), took[len(took)*99/100].Nanoseconds())
	}
}

func threadTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano())
}

// service runs serve in a slice and returns how to ask it for a phase.
func service(t *testing.T, tree *Tree, slice string) func(seconds int) (p50, p99 time.Duration) {
	t.Helper()
	c := helperCommand("serve")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	pipe, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(pipe)
	c.SysProcAttr.Setsid = true
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	if _, err := out.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if _, err := tree.Attach(context.Background(), slice, []int{c.Process.Pid}); err != nil {
		t.Fatal(err)
	}
	return func(seconds int) (time.Duration, time.Duration) {
		fmt.Fprintln(in, seconds)
		var a, b int64
		if _, err := fmt.Fscan(out, &a, &b); err != nil {
			t.Fatal(err)
		}
		return time.Duration(a), time.Duration(b)
	}
}

// idleTime is what all cores have been idle, from /proc/stat.
func idleTime(t *testing.T, tree *Tree) time.Duration {
	t.Helper()
	text, err := read(tree.host.FS, "/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	var name string
	var user, nice, system, idle, wait int64
	if _, err := fmt.Sscan(text, &name, &user, &nice, &system, &idle, &wait); err != nil {
		t.Fatal(err)
	}
	return time.Duration(idle+wait) * 10 * time.Millisecond
}

// soakSpec has the same work at equal weight as a control. A group's weight is
// divided among the cores on which it runs: work on all of them is the equal of a
// service on one when it has as many times the weight.
func soakSpec() string {
	return fmt.Sprintf(`online:
  - {name: web, shape: 900m64M, mode: shared}
  - {name: rival, shape: %dm64M, mode: shared}
offline: {name: offline, memory: 64M}
`, 900*runtime.NumCPU())
}

// A soak is what each kind of phase of TestClockOfflineSoaksWithoutHarm showed:
// alone, beside offline work, and beside the same work at equal weight.
type soak struct {
	p50, p99 [3][]float64 // nanoseconds
	used     []float64    // of what all others left idle, by offline work
}

// slower returns by how much the median phase of a kind is slower than alone.
func slower(phases [3][]float64, kind int) float64 {
	return median(phases[kind]) / median(phases[0])
}

// harmless reports whether offline work left the service alone. The aim on a
// real machine is 1.05 and 1.10. Here each request that takes the core from
// offline work pays 0.3 ms of the guest's slow instructions more, which alone is
// 0.03 to 0.07; the rest is room for the host's influence.
func (s soak) harmless() bool { return slower(s.p50, 1) <= 1.15 && slower(s.p99, 1) <= 1.20 }

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}

// TestClockOfflineSoaksWithoutHarm runs an online service alone, beside offline
// work, and beside the same work at equal weight, in five rounds. The slowest of
// the requests of a phase differs by 20 % from phase to phase, alone too: where
// five rounds show harm, fifteen decide.
func TestClockOfflineSoaksWithoutHarm(t *testing.T) {
	if !onClock() {
		return
	}
	tree, _ := live(t, soakSpec())
	phase := service(t, tree, "web")
	// More threads than cores, where there are several: one that the service has
	// pushed away is not carried back at once, and its core would wait.
	threads := strconv.Itoa(2*runtime.NumCPU() - 1)
	seconds := 2 * min(runtime.NumCPU(), 2) // emulated seconds are dear
	stopped := func(slice string) (run func(bool)) {
		c := spawnIn(t, tree, slice, "spin", threads)
		run = func(on bool) {
			s := syscall.SIGSTOP
			if on {
				s = syscall.SIGCONT
			}
			if err := syscall.Kill(c.pid, s); err != nil {
				t.Fatal(err)
			}
		}
		run(false)
		return run
	}
	offline, rival := stopped("offline"), stopped("rival")
	var got soak
	measure := func() {
		for kind, run := range []func(bool){func(bool) {}, offline, rival} {
			run(true)
			off, idle := cpuOf(t, tree, "offline"), idleTime(t, tree)
			a, b := phase(seconds)
			if kind == 1 { // what all others left was used, or idle still
				used := (cpuOf(t, tree, "offline") - off).Seconds()
				got.used = append(got.used, used/(used+(idleTime(t, tree)-idle).Seconds()))
			}
			run(false)
			got.p50[kind] = append(got.p50[kind], float64(a))
			got.p99[kind] = append(got.p99[kind], float64(b))
		}
	}
	for range 5 {
		measure()
	}
	if !got.harmless() {
		for range 10 {
			measure()
		}
	}
	t.Logf("%d rounds: alone p50 %.2f ms, p99 %.2f ms; beside offline work p50 %.3f x, p99 %.3f x; at equal weight p99 %.2f x; %.1f %% of idle CPU soaked",
		len(got.used), median(got.p50[0])/1e6, median(got.p99[0])/1e6, slower(got.p50, 1), slower(got.p99, 1), slower(got.p99, 2), 100*median(got.used))
	if !got.harmless() {
		t.Errorf("offline work slows the service down: p50 %.3f x, p99 %.3f x", slower(got.p50, 1), slower(got.p99, 1))
	}
	if x := slower(got.p99, 2); x < 1.5 {
		t.Errorf("equal weight shows only %.2f x: the measurement would not see harm", x)
	}
	if x := median(got.used); x < 0.95 {
		t.Errorf("only %.1f %% of what was idle is used", 100*x)
	}
}

// TestClockOfflineYieldsWithinASecond starts online work under the controller
// and waits until offline work is below its target.
func TestClockOfflineYieldsWithinASecond(t *testing.T) {
	if !onClock() {
		return
	}
	tree, _ := live(t, "online: [{name: web, shape: 500m64M, ceiling: 1.0}]\noffline: {name: offline, memory: 64M}\n"+
		`windows: [{name: all, from: "00:00", to: "24:00", rule: throttled}]`+"\n")
	cores := runtime.NumCPU()
	spawnIn(t, tree, "offline", "spin", strconv.Itoa(cores))
	online := spawnIn(t, tree, "web", "spin", "1")
	if err := syscall.Kill(online.pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- tree.RunOffline(ctx, func(Event) {}) }()
	before := 0.0
	for i := 0; i < 24 && before < 0.55*float64(cores); i++ { // the limit rises to 0.6 of them
		before = share(t, tree, "offline", 500*time.Millisecond)
	}
	if before < 0.5*float64(cores) {
		t.Errorf("offline work got %.2f cores of an idle machine", before)
	}
	if err := syscall.Kill(online.pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	// The burst takes half a core; of one core 0.65 - 0.5 - 0.05 is left.
	target := float64(cores)*(0.65-0.05) - 0.5
	// A look of one period that cuts through two can see the work of both: two
	// together are looked at, every period.
	var last time.Duration
	for one := 0.0; time.Since(at) < 2500*time.Millisecond; {
		two := share(t, tree, "offline", period*time.Microsecond)
		if (one+two)/2 > target+0.03 {
			last = time.Since(at)
		}
		one = two
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	t.Logf("offline work had %.2f cores and was below its target %s after the burst began", before, last)
	if last > time.Second {
		t.Errorf("offline work was above its target until %s after the burst, want at most 1 s", last)
	}
}
