package demo

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wxops/wxops/internal/realpart"
)

func TestMain(m *testing.M) {
	ServeProcess()
	os.Exit(m.Run())
}

func TestHAProxyDealsRequestsByWeight(t *testing.T) {
	realpart.Binary(t, "haproxy", "apt-get install haproxy")
	law := Law{Workers: 8, Service: 5 * time.Millisecond, CV: 1, Queue: 500}
	from := time.Now()
	var targets []Target
	var instances []*Process
	for i, name := range []string{"a", "b", "c"} {
		p, err := StartProcess(name, law, time.Second, uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		instances = append(instances, p)
		targets = append(targets, Target{Name: name, Addr: p.Addr(), Weight: 10 * (i + 1)})
	}
	proxy, err := StartHAProxy(t.Context(), t.TempDir(), "checkout", targets)
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	users := Users{URL: proxy.URL(), Rate: 400, Seed: 5}
	if r := users.Run(t.Context(), 600); len(r.Visits) != 600 || r.Unsent != 0 {
		t.Fatalf("%d visits, %d unsent, want 600 and 0", len(r.Visits), r.Unsent)
	}
	for i, p := range instances {
		tally, err := p.Tally(from, time.Now(), time.Second)
		if want := 100 * (i + 1); err != nil || tally.Requests < want-3 || tally.Requests > want+3 {
			t.Errorf("%s got %d requests, want %d ± 3 (%v)", p.Name(), tally.Requests, want, err)
		}
	}
	if err := proxy.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, v := range users.Run(t.Context(), 20).Visits {
		if v.Status != http.StatusOK {
			t.Errorf("visit %+v after the restart", v)
		}
	}
}

func TestBrokenHAProxyConfigurationIsReported(t *testing.T) {
	realpart.Binary(t, "haproxy", "apt-get install haproxy")
	_, err := StartHAProxy(t.Context(), t.TempDir(), "checkout", nil, "nonsense")
	if err == nil || !strings.Contains(err.Error(), "unknown keyword 'nonsense'") {
		t.Errorf("got %v, want the complaint of haproxy", err)
	}
}
