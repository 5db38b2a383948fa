package haproxy_test

import (
	"testing"

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
