package haproxy_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/wxops/wxops/internal/realpart"
	"github.com/wxops/wxops/naming"
	"github.com/wxops/wxops/naming/haproxy"
	"github.com/wxops/wxops/naming/namingtest"
)

const install = "apt-get install haproxy"

func start(t *testing.T, c namingtest.Config, names ...string) (*namingtest.HAProxy, []*namingtest.Backend) {
	t.Helper()
	c.Binary = realpart.Binary(t, "haproxy", install)
	var backends []*namingtest.Backend
	for _, name := range names {
		backends = append(backends, namingtest.StartBackend(t, name, nil))
	}
	return namingtest.StartHAProxy(t, c, backends...), backends
}

func open(t *testing.T, c haproxy.Config) *haproxy.Registry {
	t.Helper()
	reg, err := haproxy.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return reg
}

func TestContract(t *testing.T) {
	namingtest.Contract(t, func(t *testing.T) naming.Registry {
		h, _ := start(t, namingtest.Config{Weights: []int{100, 100, 100}}, "a", "b", "c")
		return open(t, haproxy.Config{Network: "unix", Address: h.Socket})
	})
}

func TestContractOverTCP(t *testing.T) {
	namingtest.Contract(t, func(t *testing.T) naming.Registry {
		h, _ := start(t, namingtest.Config{Weights: []int{100, 100, 100}}, "a", "b", "c")
		return open(t, haproxy.Config{Network: "tcp", Address: h.API})
	})
}

// say sends one command to the runtime API, as an operator does by hand.
func say(t *testing.T, h *namingtest.HAProxy, command string) string {
	t.Helper()
	conn, err := net.Dial("unix", h.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, command+"\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(answer))
}

// HAProxy before 2.4 cannot be installed here, so its answers are played.
func TestOldReleasesAndStrangersAreRefused(t *testing.T) {
	for answer, want := range map[string]string{
		"Name: HAProxy\nVersion: 2.2.29-2+deb11u6\nRelease_date: 2023/02/14\n\n": "it is 2.2.29-2+deb11u6, 2.4 or later is needed",
		"Name: HAProxy\nVersion: 1.8.30\n\n":                                     "it is 1.8.30, 2.4 or later is needed",
		"Name: HAProxy\nVersion: dev\n\n":                                        `version "dev" is not of the form`,
		"HTTP/1.1 400 Bad Request\r\n\r\n":                                       "is not HAProxy's answer to show info",
	} {
		reg, err := haproxy.Open(t.Context(), haproxy.Config{Network: "unix", Address: namingtest.Answering(t, answer)})
		if !errors.Is(err, naming.ErrVersion) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want ErrVersion with %q", answer, reg, err, want)
		}
	}
	_, err := haproxy.Open(t.Context(), haproxy.Config{Network: "unix", Address: namingtest.Answering(t, "")})
	if !errors.Is(err, naming.ErrUnreachable) {
		t.Errorf("a server that says nothing: %v, want ErrUnreachable", err)
	}
	for _, c := range []haproxy.Config{{Network: "udp", Address: "x"}, {Network: "tcp", Address: "no port"}} {
		if _, err := haproxy.Open(t.Context(), c); err == nil {
			t.Errorf("%+v was opened", c)
		}
	}
}

func TestASocketThatMayNotWriteIsToldBeforeTheTest(t *testing.T) {
	h, _ := start(t, namingtest.Config{Level: "operator", Weights: []int{100, 100}}, "a", "b")
	reg := open(t, haproxy.Config{Network: "unix", Address: h.Socket})
	state := t.TempDir()
	_, err := naming.Begin(t.Context(), reg, "checkout", "a", naming.Options{StateDir: state})
	if !errors.Is(err, naming.ErrDenied) || !strings.Contains(err.Error(), `needs "level admin"`) {
		t.Errorf("Begin: %v, want ErrDenied", err)
	}
	if left, err := naming.RestoreAll(t.Context(), state, nil); err != nil || len(left) != 0 {
		t.Errorf("left over: %+v, %v", left, err)
	}
}

// How requests are dealt out decides how evenly they come to an instance.
func TestBalanceIsReadFromHAProxy(t *testing.T) {
	for balance, want := range map[string]string{"roundrobin": "roundrobin", "leastconn": "leastconn", "random": "", "uri": "uri"} {
		h, _ := start(t, namingtest.Config{Balance: balance, Weights: []int{100, 100}}, "a", "b")
		reg := open(t, haproxy.Config{Network: "unix", Address: h.Socket})
		if got, err := reg.Balance(t.Context(), "checkout"); got != want || err != nil {
			t.Errorf("balance %s: %q, %v; want %q", balance, got, err, want)
		}
		var unknown *naming.UnknownError
		if _, err := reg.Balance(t.Context(), "chekout"); !errors.As(err, &unknown) {
			t.Errorf("balance of a backend that is not there: %v", err)
		}
	}
	h, _ := start(t, namingtest.Config{Level: "user", Weights: []int{100, 100}}, "a", "b")
	reg := open(t, haproxy.Config{Network: "unix", Address: h.Socket})
	if got, err := reg.Balance(t.Context(), "checkout"); got != "" || err != nil {
		t.Errorf("on a socket of level user: %q, %v; want none", got, err)
	}
}

func TestStaticBalanceIsUnsuitable(t *testing.T) {
	h, _ := start(t, namingtest.Config{Balance: "static-rr", Weights: []int{100, 100}}, "a", "b")
	reg := open(t, haproxy.Config{Network: "unix", Address: h.Socket})
	if _, err := reg.SetWeights(t.Context(), "checkout", []naming.Change{{Instance: "a", From: 100, To: 150}}); !errors.Is(err, naming.ErrUnsuitable) {
		t.Errorf("SetWeights: %v, want ErrUnsuitable", err)
	}
}

// An agent that answers with a share of the weight sets weights as a person
// does: the test is told, and what the agent set stays.
func TestAnAgentThatSetsWeightsEndsTheTest(t *testing.T) {
	agent := namingtest.Agent(t)
	h, _ := start(t, namingtest.Config{Server: "agent-check agent-inter 20ms agent-addr 127.0.0.1 agent-port " + agent.Port, Weights: []int{100, 100}}, "a", "b")
	reg := open(t, haproxy.Config{Network: "unix", Address: h.Socket})
	namingtest.Eventually(t, 10*time.Second, "the agent is seen", func() error {
		all, err := reg.List(t.Context())
		if err == nil && !strings.Contains(all[0].Detail, "an agent may change the weight") {
			err = fmt.Errorf("detail %q", all[0].Detail)
		}
		return err
	})
	s, err := naming.Begin(t.Context(), reg, "checkout", "a", naming.Options{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.SetShare(t.Context(), 0.6); err != nil {
		t.Fatal(err)
	}
	agent.Say("30%")
	namingtest.Eventually(t, 10*time.Second, "the test is told", func() error {
		if _, err := s.Look(t.Context(), reg); !errors.Is(err, naming.ErrConflict) {
			return fmt.Errorf("Look: %v", err)
		}
		if w := namingtest.Weights(t, reg); w[0] != 30 || w[1] != 30 {
			return fmt.Errorf("weights %v", w)
		}
		return nil
	})
	rep, err := s.Restore(t.Context())
	if err != nil || len(rep.Left) != 2 {
		t.Errorf("Restore = %+v, %v; want both left alone", rep, err)
	}
	if w := namingtest.Weights(t, reg); w[0] != 30 || w[1] != 30 {
		t.Errorf("weights %v after the restore", w)
	}
}

// While slow start holds a server back, its weight is the one that was set.
func TestSlowStartDoesNotHideTheWeight(t *testing.T) {
	h, _ := start(t, namingtest.Config{Server: "slowstart 60s", Weights: []int{100, 100}}, "a", "b")
	reg := open(t, haproxy.Config{Network: "unix", Address: h.Socket})
	if in, err := reg.List(t.Context()); err != nil || in[0].Weight != 100 {
		t.Fatal(in, err)
	}
	say(t, h, "disable server checkout/a")
	all, err := reg.List(t.Context())
	if err != nil || all[0].Health != naming.Maintenance {
		t.Fatalf("%+v, %v", all, err)
	}
	if _, err := naming.Begin(t.Context(), reg, "checkout", "b", naming.Options{StateDir: t.TempDir()}); !errors.Is(err, naming.ErrUnsuitable) {
		t.Errorf("Begin beside a peer in maintenance: %v", err)
	}
	say(t, h, "enable server checkout/a")
	s, err := naming.Begin(t.Context(), reg, "checkout", "a", naming.Options{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.SetShare(t.Context(), 0.6)
	if err != nil || got < 0.597 || got > 0.603 {
		t.Errorf("SetShare = %v, %v", got, err)
	}
	if rep, err := s.Restore(t.Context()); err != nil || !rep.Clean() || len(rep.Restored) == 0 {
		t.Errorf("Restore = %+v, %v", rep, err)
	}
}

// The names of backends in the address choose among those that there are; locks
// do not depend on them.
func TestOnlyTheChosenBackendsAreListed(t *testing.T) {
	h, _ := start(t, namingtest.Config{Weights: []int{100, 100}, Extra: "backend search\n  server x 127.0.0.1:1 weight 5\n  server y 127.0.0.1:2 weight 5\nbackend admin\n  server z 127.0.0.1:3\n"}, "a", "b")
	services := func(backends ...string) (out []string) {
		reg := open(t, haproxy.Config{Network: "unix", Address: h.Socket, Backends: backends, Layer: naming.Logic})
		all, err := reg.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range all {
			if out = append(out, in.ID()); in.Layer != naming.Logic {
				t.Errorf("%s: layer %q", in.ID(), in.Layer)
			}
		}
		if reg.Address() != "haproxy:unix:"+h.Socket {
			t.Errorf("address %q", reg.Address())
		}
		return out
	}
	for want, backends := range map[string][]string{
		"[admin/z checkout/a checkout/b search/x search/y]": nil,
		"[checkout/a checkout/b search/x search/y]":         {"search", "checkout"},
		"[search/x search/y]":                               {"search"},
		"[]":                                                {"nothing"},
	} {
		if got := fmt.Sprint(services(backends...)); got != want {
			t.Errorf("backends %v: %s, want %s", backends, got, want)
		}
	}
	// A test on one backend leaves the other alone and free for a second test.
	reg, state := open(t, haproxy.Config{Network: "unix", Address: h.Socket, Backends: []string{"search", "checkout"}}), t.TempDir()
	one, err := naming.Begin(t.Context(), reg, "checkout", "a", naming.Options{StateDir: state})
	if err != nil {
		t.Fatal(err)
	}
	two, err := naming.Begin(t.Context(), reg, "search", "x", naming.Options{StateDir: state})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*naming.Shift{one, two} {
		if _, err := s.SetShare(t.Context(), 0.7); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []*naming.Shift{one, two} {
		if rep, err := s.Restore(t.Context()); err != nil || !rep.Clean() {
			t.Errorf("Restore = %+v, %v", rep, err)
		}
	}
}

// A server that is deleted in mid-test ends it; the others are restored.
func TestAServerThatGoesInMidTestIsReported(t *testing.T) {
	h, backends := start(t, namingtest.Config{Weights: []int{100, 100}}, "a", "b")
	say(t, h, "add server checkout/c "+backends[1].Address+" weight 100")
	say(t, h, "enable server checkout/c")
	reg := open(t, haproxy.Config{Network: "unix", Address: h.Socket})
	s, err := naming.Begin(t.Context(), reg, "checkout", "a", naming.Options{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.SetShare(t.Context(), 0.8); err != nil {
		t.Fatal(err)
	}
	say(t, h, "disable server checkout/c")
	if answer := say(t, h, "del server checkout/c"); !strings.Contains(answer, "deleted") {
		t.Fatalf("del server: %s", answer)
	}
	if _, err := s.Look(t.Context(), reg); !errors.Is(err, naming.ErrUnknown) {
		t.Errorf("Look: %v, want ErrUnknown", err)
	}
	rep, err := s.Restore(t.Context())
	if err != nil || len(rep.Left) != 1 || rep.Left[0].Instance != "c" || rep.Left[0].Reason != "no longer in the registry" {
		t.Errorf("Restore = %+v, %v; want c left", rep, err)
	}
	if w := namingtest.Weights(t, reg); len(w) != 2 || w[0] != 100 || w[1] != 100 {
		t.Errorf("weights %v", w)
	}
}

// HAProxy restarts in mid-test with a state that was saved before the latest
// write. What the test had written over is a leftover of its own then; set by
// somebody without a restart it is theirs.
func TestAnOlderSavedStateIsUndoneAndAnOperatorsWeightIsNot(t *testing.T) {
	for _, restarts := range []bool{true, false} {
		h, _ := start(t, namingtest.Config{Weights: []int{100, 100}}, "a", "b")
		reg := open(t, haproxy.Config{Network: "unix", Address: h.Socket})
		dir := t.TempDir()
		s, err := naming.Begin(t.Context(), reg, "checkout", "a", naming.Options{StateDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		share := func(v float64) naming.Weight {
			if _, err := s.SetShare(t.Context(), v); err != nil {
				t.Fatal(err)
			}
			return namingtest.Weights(t, reg)[0]
		}
		earlier := share(0.55)
		h.SaveWeights()
		if share(0.6); share(0.65) == earlier {
			t.Fatal("the weight did not move")
		}
		if restarts {
			h.Stop()
			h.Start()
		} else {
			say(t, h, fmt.Sprintf("set server checkout/a weight %d", earlier))
		}
		if w := namingtest.Weights(t, reg); w[0] != earlier {
			t.Fatalf("restart %v: weights %v, want %d", restarts, w, earlier)
		}
		if _, err := s.SetShare(t.Context(), 0.7); !errors.Is(err, naming.ErrConflict) {
			t.Errorf("restart %v: SetShare: %v, want ErrConflict", restarts, err)
		}
		rep, err := s.Restore(t.Context())
		if err != nil || rep.Clean() != restarts {
			t.Errorf("restart %v: Restore = %+v, %v", restarts, rep, err)
		}
		want := earlier
		if restarts {
			want = 100
		}
		if w := namingtest.Weights(t, reg); w[0] != want || w[1] != 100 {
			t.Errorf("restart %v: weights %v, want %d and 100", restarts, w, want)
		}
	}
}

// The split of real requests follows the weights within 2 %.
func TestRequestsFollowTheWeights(t *testing.T) {
	h, backends := start(t, namingtest.Config{}, "a", "b", "c") // weight 1 each
	reg := open(t, haproxy.Config{Network: "tcp", Address: h.API, Backends: []string{"checkout"}})
	s, err := naming.Begin(t.Context(), reg, "checkout", "a", naming.Options{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []float64{0.4, 0.55, 1. / 3} {
		if _, err := s.SetShare(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		before := backends[0].Requests.Load()
		const n = 2000
		h.Get(n)
		got := float64(backends[0].Requests.Load()-before) / n
		t.Logf("share %.4f wanted, %.4f of %d requests served", want, got, n)
		if got < want-0.02 || got > want+0.02 {
			t.Errorf("a served %.4f of the requests, want %.4f", got, want)
		}
	}
	if rep, err := s.Restore(t.Context()); err != nil || !rep.Clean() {
		t.Errorf("Restore = %+v, %v", rep, err)
	}
	if w := namingtest.Weights(t, reg); w[0] != 1 || w[1] != 1 || w[2] != 1 {
		t.Errorf("weights after the restore: %v", w)
	}
}

// A server that is disabled in the configuration keeps a flag that says so when
// it has been enabled.
func TestServerEnabledAfterTheStartIsHealthy(t *testing.T) {
	h, _ := start(t, namingtest.Config{Server: "disabled"}, "a", "b")
	conn, err := net.Dial("unix", h.Socket)
	if err == nil {
		_, err = io.WriteString(conn, "enable server checkout/a\n")
	}
	if err == nil {
		_, err = io.ReadAll(conn)
	}
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	reg, err := haproxy.Open(t.Context(), haproxy.Config{Network: "unix", Address: h.Socket})
	if err != nil {
		t.Fatal(err)
	}
	all, err := reg.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if all[0].Health != naming.Unchecked || all[1].Health != naming.Maintenance {
		t.Errorf("the enabled server is %s, the disabled one %s", all[0].Health, all[1].Health)
	}
}
