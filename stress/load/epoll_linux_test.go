package load

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// When the engine of one worker cannot start, the run ends with the reason, and
// the other workers with it.
func TestStartLeavesNoWorkerBehind(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	few := before
	few.Cur = 256
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	var taken []int
	free := func() {
		for _, fd := range taken {
			_ = unix.Close(fd)
		}
		taken = nil
	}
	t.Cleanup(func() {
		free()
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	})
	for {
		fd, err := unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			break
		}
		taken = append(taken, fd)
	}
	// One descriptor is left: enough for one engine of two.
	_ = unix.Close(taken[len(taken)-1])
	taken = taken[:len(taken)-1]
	running := threads.Load()
	_, err := Start(t.Context(), Options{Targets: []Target{{URL: mustURL(t, server.URL)}}, Workers: 2, Connections: 2, Stages: Constant(10, time.Second)})
	free()
	if err == nil || !strings.Contains(err.Error(), "start the engine") {
		t.Fatalf("%v; want an engine that could not start", err)
	}
	if n := threads.Load(); n != running {
		t.Errorf("%d workers are left", n-running)
	}
}
