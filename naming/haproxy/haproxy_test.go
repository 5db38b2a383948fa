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
