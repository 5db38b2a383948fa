//go:build unix

package naming_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wxops/wxops/internal/realpart"
	"github.com/wxops/wxops/naming"
	"github.com/wxops/wxops/naming/file"
	"github.com/wxops/wxops/naming/haproxy"
	"github.com/wxops/wxops/naming/namingtest"
)

// The test binary is also the process that is killed and its watchdog.
const (
	roleKey  = "WXOPS_NAMING_ROLE"
	stateKey = "WXOPS_NAMING_STATE"
)

func TestMain(m *testing.M) {
	switch os.Getenv(roleKey) {
	case "watchdog":
		if err := naming.Watchdog(context.Background(), os.Args[1], os.Stdin, os.Stdout, open); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	case "owner":
		os.Exit(owner(os.Args[1], os.Getenv(stateKey)))
	}
	// Lanes wait most of the time: they do not need a processor each.
	if err := flag.Set("test.parallel", fmt.Sprint(lanes)); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func open(ctx context.Context, address string) (naming.Registry, error) {
	scheme, rest, _ := strings.Cut(address, ":")
	if scheme == "file" {
		return file.Open(rest)
	}
	network, at, _ := strings.Cut(rest, ":")
	return haproxy.Open(ctx, haproxy.Config{Network: network, Address: at})
}

func options(state string) naming.Options {
	return naming.Options{StateDir: state, Watchdog: func(journal string) *exec.Cmd {
		cmd := exec.Command(os.Args[0], journal)
		cmd.Env = append(os.Environ(), roleKey+"=watchdog")
		return cmd
	}}
}

// owner changes shares as fast as it can until it is told or forced to end.
func owner(address, state string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	crash := make(chan os.Signal, 1)
	signal.Notify(crash, syscall.SIGUSR1)
	full := make(chan os.Signal, 1)
	signal.Notify(full, syscall.SIGUSR2)
	signal.Ignore(syscall.SIGXFSZ)
	if os.Getenv("WXOPS_NAMING_FULL") != "" {
		fillDisk()
	}
	reg, err := open(ctx, address)
	if err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	s, err := naming.Begin(ctx, reg, namingtest.Service, "a", options(state))
	if err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	if _, err = s.SetShare(ctx, 0.5); err == nil { // from here on a death leaves something to restore
		fmt.Println("began")
	}
	for rng := rand.New(rand.NewSource(int64(os.Getpid()))); err == nil; {
		select {
		case <-crash:
			panic("a broken invariant")
		case <-full:
			fillDisk()
		default:
		}
		_, err = s.SetShare(ctx, 0.35+0.4*rng.Float64())
	}
	_, failed := s.Restore(context.WithoutCancel(ctx))
	fmt.Printf("ended: %v; restore: %v\n", err, failed)
	if failed != nil {
		return 1
	}
	return 0
}

// fillDisk lets no file grow any more, as a full disk does.
func fillDisk() {
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 0, Max: 0}); err != nil {
		panic(err)
	}
}

// A child is a running owner.
type child struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func startOwner(t *testing.T, address, state string, env ...string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(os.Args[0], address)}
	c.cmd.Env = append(append(os.Environ(), roleKey+"=owner", stateKey+"="+state), env...)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.cmd.Process.Kill() })
	c.lines = bufio.NewScanner(out)
	return c
}

// next returns the next line that the owner says.
func (c *child) next() string {
	c.lines.Scan()
	return c.lines.Text()
}

// wait reads what is left and waits for the end.
func (c *child) wait() string {
	var said []string
	for c.lines.Scan() {
		said = append(said, c.lines.Text())
	}
	_ = c.cmd.Wait() // it was killed
	return strings.Join(said, "\n")
}

// lanes is how many lanes there are at once.
const lanes = 6

// A lane is a registry of its own that owners are killed on, one after another.
type lane struct {
	reg   naming.Registry
	proxy *namingtest.HAProxy // nil for a file
	state string
	base  []naming.Weight
}

// atBase returns nil when every weight is at its base.
func (l *lane) atBase(t *testing.T) error {
	all, err := l.reg.List(t.Context())
	if err != nil {
		return err
	}
	for k, in := range all {
		if in.Weight != l.base[k] {
			return fmt.Errorf("weight of %s is %d, base %d", in.ID(), in.Weight, l.base[k])
		}
	}
	return nil
}

const names = `services:
  checkout:
    instances:
      a: {address: 127.0.0.1:1, weight: 1}
      b: {address: 127.0.0.1:2, weight: 1}
      c: {address: 127.0.0.1:3, weight: 2}
`

func newLane(t *testing.T, proxied bool) *lane {
	l := &lane{state: t.TempDir()}
	if proxied {
		l.proxy = namingtest.StartHAProxy(t, namingtest.Config{Binary: realpart.Binary(t, "haproxy", "apt-get install haproxy"), Weights: []int{1, 1, 2}},
			namingtest.StartBackend(t, "a", nil), namingtest.StartBackend(t, "b", nil), namingtest.StartBackend(t, "c", nil))
	}
	address := ""
	if proxied {
		address = "haproxy:unix:" + l.proxy.Socket
	} else {
		path := filepath.Join(t.TempDir(), "names.yaml")
		if err := os.WriteFile(path, []byte(names), 0o600); err != nil {
			t.Fatal(err)
		}
		address = "file:" + path
	}
	var err error
	if l.reg, err = open(t.Context(), address); err != nil {
		t.Fatal(err)
	}
	l.base = namingtest.Weights(t, l.reg)
	return l
}

// A death is a way for the owner to end.
type death struct {
	name    string
	proxied bool // needs HAProxy
	atOnce  bool // the watchdog acts as soon as it is told
	kill    func(t *testing.T, l *lane, c *child)

	// down is a death beside a HAProxy that is gone for that long. Its times
	// count from the last instant at which HAProxy did not answer.
	down time.Duration
}

func send(sig syscall.Signal) func(*testing.T, *lane, *child) {
	return func(t *testing.T, _ *lane, c *child) {
		if err := c.cmd.Process.Signal(sig); err != nil {
			t.Error(err)
		}
	}
}

// killProxied ends HAProxy, then the owner, and starts HAProxy again.
func killProxied(down time.Duration, keep bool) death {
	d := death{name: "SIGKILL while HAProxy restarts", proxied: true, atOnce: true, down: down}
	if keep {
		d.name += " and keeps weights"
	}
	d.kill = func(t *testing.T, l *lane, c *child) {
		if keep {
			send(syscall.SIGSTOP)(t, l, c) // what is saved are the weights written last
			namingtest.Eventually(t, 10*time.Second, "a stopped owner", func() error {
				state, err := exec.Command("ps", "-o", "state=", "-p", fmt.Sprint(c.cmd.Process.Pid)).Output()
				if err == nil && !strings.HasPrefix(string(state), "T") {
					err = fmt.Errorf("state %q", state)
				}
				return err
			})
			l.proxy.SaveWeights()
		}
		l.proxy.Stop()
		send(syscall.SIGKILL)(t, l, c)
		<-time.After(down)
	}
	return d
}

var deaths = []death{
	{name: "SIGKILL", atOnce: true, kill: send(syscall.SIGKILL)},
	{name: "SIGINT", kill: send(syscall.SIGINT)},
	{name: "SIGSTOP", kill: send(syscall.SIGSTOP)},
	{name: "SIGTERM", kill: send(syscall.SIGTERM)},
	{name: "SIGHUP", kill: send(syscall.SIGHUP)},
	{name: "panic", atOnce: true, kill: send(syscall.SIGUSR1)},
	{name: "kill of the process group", atOnce: true, kill: func(t *testing.T, l *lane, c *child) {
		if err := syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}},
	{name: "disk full", proxied: true, kill: send(syscall.SIGUSR2)},
	{name: "HAProxy restart", proxied: true, kill: func(t *testing.T, l *lane, _ *child) { l.proxy.Stop(); l.proxy.Start() }},
	killProxied(time.Millisecond, false),
	killProxied(time.Second, true),
}

// written returns how long after start the watchdog of an owner had written the
// base weights, by its run log, and false where it had nothing to write. Unlike
// looks at the registry this does not wait for a turn of the test's process.
func (l *lane) written(t *testing.T, owner int, start time.Time) (time.Duration, bool) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(l.state, "runs", fmt.Sprintf("*-%d.jsonl", owner)))
	if err != nil || len(logs) != 1 {
		t.Fatalf("run logs of process %d: %v, %v", owner, logs, err)
	}
	b, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var e struct {
			Time             time.Time
			By, Event, Error string
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("run log: %v: %s", err, line)
		}
		if e.By == "watchdog" && e.Event == "write" && e.Error == "" {
			return e.Time.Sub(start), true
		}
	}
	return 0, false
}

// TestNothingIsLeftAfterAnyDeath kills owners at random instants: 50 by default,
// WXOPS_KILLS of them where it is set. Whatever the death, the base weights are
// back within 3 s and stay, and the next test begins without a hand. With
// WXOPS_KILLS, which is for a machine that does nothing else, the watchdog must
// also have written them within 100 ms of a SIGKILL.
func TestNothingIsLeftAfterAnyDeath(t *testing.T) {
	kills := 50
	alone := os.Getenv("WXOPS_KILLS") != ""
	if alone {
		var err error
		if kills, err = strconv.Atoi(os.Getenv("WXOPS_KILLS")); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	took, written := map[string][]time.Duration{}, map[string][]time.Duration{}
	t.Run("lanes", func(t *testing.T) {
		for k := range lanes {
			t.Run(fmt.Sprint("lane", k), func(t *testing.T) {
				t.Parallel()
				l := newLane(t, k%2 == 0)
				rng := rand.New(rand.NewSource(int64(k)))
				for n := k; n < kills; n += lanes {
					d := deaths[(n/lanes+k)%len(deaths)]
					if d.proxied && l.proxy == nil {
						d = deaths[rng.Intn(2)]
					}
					v, w := l.die(t, d, time.Duration(rng.Int63n(int64(300*time.Millisecond))))
					mu.Lock()
					took[d.name] = append(took[d.name], v)
					if w > 0 {
						written[d.name] = append(written[d.name], w)
					}
					mu.Unlock()
				}
			})
		}
	})
	total := 0
	for _, d := range deaths {
		v := took[d.name]
		if len(v) == 0 {
			continue
		}
		slices.Sort(v)
		total += len(v)
		t.Logf("%-32s %3d times: base weights seen after median %v, at most %v", d.name, len(v), v[len(v)/2].Round(time.Millisecond), v[len(v)-1].Round(time.Millisecond))
		if w := written[d.name]; len(w) > 0 {
			slices.Sort(w)
			t.Logf("%-32s %3d times: written by the watchdog after median %v, at most %v", d.name, len(w), w[len(w)/2].Round(100*time.Microsecond), w[len(w)-1].Round(100*time.Microsecond))
			if slowest := w[len(w)-1]; alone && d.atOnce && slowest > 100*time.Millisecond {
				t.Errorf("%s: the watchdog took %v, at most 100 ms are wanted", d.name, slowest)
			}
		}
	}
	t.Logf("%d kills", total)
}

// die ends an owner and returns when the base weights were seen, and when the
// watchdog had written them, 0 where it had not to.
func (l *lane) die(t *testing.T, d death, after time.Duration) (back, wrote time.Duration) {
	t.Helper()
	c := startOwner(t, l.reg.Address(), l.state)
	if line := c.next(); line != "began" {
		t.Fatalf("%s: the owner did not begin: %s", d.name, line)
	}
	<-time.After(after) // the random instant
	start := time.Now()
	d.kill(t, l, c)
	if d.down > 0 {
		start = l.proxy.Start()
	}
	if d.name == "SIGTERM" || d.name == "SIGINT" || d.name == "SIGHUP" || d.name == "disk full" || d.name == "HAProxy restart" {
		// These end by themselves.
		said := c.wait()
		if !strings.HasSuffix(said, "restore: <nil>") {
			t.Errorf("%s: the owner said %q", d.name, said)
		}
	}
	// The limit is 3 s from the death; the rest is for a machine under load.
	back = namingtest.Eventually(t, 20*time.Second, d.name+": base weights", func() error { return l.atBase(t) })
	if since := time.Since(start); since > 3*time.Second+slack {
		t.Errorf("%s: base weights after %v", d.name, since)
	} else {
		back = since
	}
	if d.name == "SIGSTOP" {
		send(syscall.SIGCONT)(t, l, c)
		if said := c.wait(); !strings.Contains(said, naming.ErrLeaseLost.Error()) {
			t.Errorf("SIGCONT: the owner said %q", said)
		}
		if err := l.atBase(t); err != nil {
			t.Errorf("after SIGCONT: %v", err)
		}
	}
	_ = c.cmd.Process.Kill()
	c.wait()
	// The next test begins without cleanup, and finds the base weights.
	s, err := naming.Begin(t.Context(), l.reg, namingtest.Service, "b", naming.Options{StateDir: l.state})
	if err != nil {
		t.Fatalf("%s: the next test does not begin: %v", d.name, err)
	}
	for k, in := range s.Base() {
		if in.Weight != l.base[k] {
			t.Errorf("%s: left over: %s has weight %d, base %d", d.name, in.ID(), in.Weight, l.base[k])
		}
	}
	if _, err := s.Restore(t.Context()); err != nil {
		t.Errorf("%s: %v", d.name, err)
	}
	if err := l.atBase(t); err != nil {
		t.Errorf("%s: %v", d.name, err)
	}
	if left, err := filepath.Glob(filepath.Join(l.state, "shifts", "*")); err != nil || len(left) > 0 {
		t.Errorf("%s: left over: %v %v", d.name, left, err)
	}
	wrote, _ = l.written(t, c.cmd.Process.Pid, start)
	return back, wrote
}

// slack is added to limits of time so that a test does not depend on a quiet
// machine; the times measured are logged.
const slack = 3 * time.Second

// TestWatchdogWritesAsSoonAsHAProxyIsBack lets a HAProxy that keeps weights be
// gone for 1.35 s while the owner dies: a watchdog that asks in ever longer
// pauses would leave the weights for a quarter of a second more.
func TestWatchdogWritesAsSoonAsHAProxyIsBack(t *testing.T) {
	l := newLane(t, true)
	var delays []time.Duration
	for range 2 {
		_, wrote := l.die(t, killProxied(1350*time.Millisecond, true), 0)
		if wrote == 0 {
			t.Fatal("the watchdog had nothing to write: HAProxy did not keep the weights")
		}
		delays = append(delays, wrote)
	}
	t.Logf("written %v after HAProxy was back", delays)
	// A fiftieth of the outage and a few milliseconds for the restore itself.
	if slices.Min(delays) > 60*time.Millisecond { // the machine may be busy with something else
		t.Errorf("written %v after HAProxy was back, at most 60 ms are wanted", delays)
	}
}

func TestFullDiskIsToldBeforeAnythingIsChanged(t *testing.T) {
	l := newLane(t, true)
	c := startOwner(t, l.reg.Address(), l.state, "WXOPS_NAMING_FULL=1")
	if said := c.wait(); !strings.Contains(said, syscall.EFBIG.Error()) {
		t.Errorf("the owner said %q, want the error of the disk", said)
	}
	if err := l.atBase(t); err != nil {
		t.Error(err)
	}
}

func TestDeathOfTheWatchdogEndsTheTest(t *testing.T) {
	l := newLane(t, false)
	var dog *exec.Cmd
	o := options(l.state)
	start := o.Watchdog
	o.Watchdog = func(journal string) *exec.Cmd { dog = start(journal); return dog }
	s, err := naming.Begin(t.Context(), l.reg, namingtest.Service, "a", o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.SetShare(t.Context(), 0.5); err != nil {
		t.Fatal(err)
	}
	if s.Lease() <= 0 {
		t.Error("the lease is over before the death of the watchdog")
	}
	if err := dog.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.Lost()
	if s.Lease() != 0 {
		t.Errorf("lease of %v after its loss", s.Lease())
	}
	namingtest.Eventually(t, 10*time.Second, "base weights without a call of Restore", func() error { return l.atBase(t) })
	if _, err := s.SetShare(t.Context(), 0.6); err == nil {
		t.Error("a share was set without a lease")
	}
	if rep, err := s.Restore(t.Context()); err != nil || !rep.Clean() {
		t.Errorf("Restore = %+v, %v", rep, err)
	}
	if _, err := s.SetShare(t.Context(), 0.6); !errors.Is(err, naming.ErrLeaseLost) {
		t.Errorf("a share after the lost lease has put everything back: %v, want %v", err, naming.ErrLeaseLost)
	}
	if err := l.atBase(t); err != nil {
		t.Error(err)
	}
}

// A watchdog that dies, or is given up, while the test only begins: what it
// loses waits for the beginning, and the next test can begin.
func TestDeathOfTheWatchdogAtTheBeginning(t *testing.T) {
	l := newLane(t, false)
	for _, program := range []string{"echo ready", "exec sleep 5"} {
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			s, err := naming.Begin(ctx, l.reg, namingtest.Service, "a", naming.Options{StateDir: l.state, Watchdog: func(string) *exec.Cmd {
				return exec.Command("sh", "-c", program)
			}})
			if err == nil {
				<-s.Lost()
				if rep, err := s.Restore(t.Context()); err != nil || !rep.Clean() {
					t.Errorf("Restore = %+v, %v", rep, err)
				}
			}
			cancel()
		}
	}
	s, err := naming.Begin(t.Context(), l.reg, namingtest.Service, "a", options(l.state))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Restore(t.Context()); err != nil {
		t.Error(err)
	}
	if err := l.atBase(t); err != nil {
		t.Error(err)
	}
}

func TestOwnerAndWatchdogKilledTogetherLeaveAJournal(t *testing.T) {
	l := newLane(t, false)
	c := startOwner(t, l.reg.Address(), l.state)
	if line := c.next(); line != "began" {
		t.Fatal(line)
	}
	namingtest.Eventually(t, 10*time.Second, "a changed weight", func() error {
		if l.atBase(t) == nil {
			return errors.New("still at base")
		}
		return nil
	})
	// The watchdog is the child of the owner; stopped first, it cannot act.
	dog := childOf(t, c.cmd.Process.Pid)
	for _, kill := range []struct {
		pid int
		sig syscall.Signal
	}{{dog, syscall.SIGSTOP}, {c.cmd.Process.Pid, syscall.SIGKILL}, {dog, syscall.SIGKILL}} {
		if err := syscall.Kill(kill.pid, kill.sig); err != nil {
			t.Fatal(err)
		}
	}
	c.wait()
	if l.atBase(t) == nil {
		t.Fatal("the weights are at their base without anybody to restore them")
	}
	left, err := naming.RestoreAll(t.Context(), l.state, open)
	if err != nil || len(left) != 1 || left[0].Err != nil || !left[0].Report.Clean() {
		t.Fatalf("RestoreAll = %+v, %v", left, err)
	}
	if err := l.atBase(t); err != nil {
		t.Error(err)
	}
	if left, err := naming.RestoreAll(t.Context(), l.state, open); err != nil || len(left) != 0 {
		t.Errorf("a second RestoreAll = %+v, %v; want nothing", left, err)
	}
}

// childOf returns the only child of a process.
func childOf(t *testing.T, pid int) int {
	t.Helper()
	out, err := exec.Command("ps", "-o", "pid=", "--ppid", fmt.Sprint(pid)).Output()
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	return child
}
