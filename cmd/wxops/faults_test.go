//go:build linux

package main

import (
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/wxops/wxops/internal/realpart"
	"github.com/wxops/wxops/stress/load"
)

// rawServer starts a server of a manner and returns its address.
func rawServer(t *testing.T, manner string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go serve(l, manner)
	return l.Addr().String()
}

// loaded runs a command and reads the load document that it must print.
func loaded(t *testing.T, cmd *exec.Cmd) (d load.Document, code int, stderr string) {
	t.Helper()
	code, stderr = printed(t, cmd, kindLoad, &d)
	sum := int64(0)
	for _, n := range d.Status {
		sum += n
	}
	for _, n := range d.Errors {
		sum += n
	}
	if sum != d.Requests || d.Requests == 0 {
		t.Errorf("%d requests fell due; status %v and errors %v are %d", d.Requests, d.Status, d.Errors, sum)
	}
	if d.Verdict == load.VerdictClientLimited && d.Reason == "" {
		t.Error("client-limited without a reason")
	}
	return d, code, stderr
}

// Every kind of error is counted under its name, every due request once, and
// nothing hangs past the timeout.
func TestEveryKindOfErrorIsCounted(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := free.Addr().String()
	free.Close()
	stranger := httptest.NewUnstartedServer(http.NotFoundHandler()) // nobody has signed its certificate
	stranger.Config.ErrorLog = log.New(io.Discard, "", 0)
	stranger.StartTLS()
	t.Cleanup(stranger.Close)
	const anyCode = -1
	for _, c := range []struct {
		kind, url string
		code      int
	}{
		{"timeout", rawServer(t, "stalls"), 0},
		{"timeout", rawServer(t, "endless"), anyCode}, // 10 GB are much to read
		{"refused", nobody, 3},
		{"closed", rawServer(t, "closes"), 0},
		{"malformed", rawServer(t, "garbage"), 0},
		{"body", rawServer(t, "half body"), 0},
		{"header", rawServer(t, "half head"), 0},
		{"header", rawServer(t, "long head"), 0},
		{"dns", "name.invalid", 3},
		{"tls", stranger.URL, 3},
	} {
		for _, engine := range []string{"--portable=false", "--portable"} {
			t.Run(c.kind+engine, func(t *testing.T) {
				t.Parallel()
				u := c.url
				if !strings.Contains(u, "://") {
					u = "http://" + u
				}
				begin := time.Now()
				d, code, said := loaded(t, exec.Command("wxops", "stress", "load", u+"/", engine, "-r", "50", "-d", "200ms", "-t", "2s", "-c", "10", "-o", "json"))
				if d.Errors[c.kind] != d.Requests || d.Requests != 10 || c.code != anyCode && code != c.code {
					t.Errorf("exit %d, %d requests, errors %v, status %v; want all of kind %s and exit %d\n%s", code, d.Requests, d.Errors, d.Status, c.kind, c.code, said)
				}
				if took := time.Since(begin); took > 20*time.Second {
					t.Errorf("it took %v with a timeout of 2 s", took)
				}
			})
		}
	}
}

// What was due and found no connection until the end is unsent.
func TestUnsentRequestsAreCounted(t *testing.T) {
	d, code, _ := loaded(t, exec.Command("wxops", "stress", "load", "http://"+rawServer(t, "is slow")+"/", "-r", "100", "-d", "500ms", "-t", "2s", "-c", "1", "-o", "json"))
	if d.Errors["unsent"] == 0 || d.Requests != 50 || code != 4 || d.Verdict != load.VerdictClientLimited {
		t.Errorf("exit %d, verdict %s, %d requests, errors %v", code, d.Verdict, d.Requests, d.Errors)
	}
}

// A server that cannot keep up, or that stalls, is what the run is to show: the
// result is valid although requests waited for a connection most of the time.
func TestAServerAtItsLimitIsValid(t *testing.T) {
	for _, c := range []struct {
		manner string
		engine string
	}{{"one by one", "--portable=false"}, {"one by one", "--portable"}, {"pauses", "--portable=false"}, {"pauses", "--portable"}} {
		t.Run(c.manner+c.engine, func(t *testing.T) {
			d, code, log := loaded(t, exec.Command("wxops", "stress", "load", "http://"+rawServer(t, c.manner)+"/", c.engine, "-r", "1000", "-d", "1500ms", "-t", "1s", "-c", "20", "-o", "json"))
			if d.Verdict != load.VerdictValid || code != 0 || d.Connections.Exhausted < 0.1 {
				t.Errorf("exit %d, verdict %s: %q, pool exhausted for %.2f of the time\n%s", code, d.Verdict, d.Reason, d.Connections.Exhausted, log)
			}
		})
	}
}

// A generator that was the limit never says that its result is valid.
func TestFaultMatrix(t *testing.T) {
	limited := func(t *testing.T, cmd *exec.Cmd, reason string) {
		t.Helper()
		d, code, log := loaded(t, cmd)
		t.Logf("exit %d: %s", code, d.Reason)
		if d.Verdict != load.VerdictClientLimited || code != 4 || !strings.Contains(d.Reason, reason) {
			t.Errorf("exit %d, verdict %s: %q; want client-limited because of %q\n%s", code, d.Verdict, d.Reason, reason, log)
		}
	}
	t.Run("one connection", func(t *testing.T) {
		limited(t, exec.Command("wxops", "stress", "load", "http://"+rawServer(t, "takes 10")+"/", "-r", "1000", "-d", "1s", "-t", "1s", "-c", "1", "-o", "json"), "")
	})
	t.Run("saturated", func(t *testing.T) {
		limited(t, exec.Command("wxops", "stress", "load", "http://"+rawServer(t, "answers")+"/", "-r", "2000000", "-d", "500ms", "-t", "500ms", "-o", "json"), "")
	})
	t.Run("descriptors before the start", func(t *testing.T) {
		cmd := exec.Command("sh", "-c", "ulimit -n 64 && exec wxops stress load http://"+rawServer(t, "answers")+"/ -r 100 -d 200ms -c 100 -o json")
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != 3 || !bytes.Contains(out, []byte("too few file descriptors")) {
			t.Errorf("%v: %s", err, out)
		}
	})
	t.Run("descriptors during the run", func(t *testing.T) {
		limited(t, exec.Command("sh", "-c", "ulimit -n 64 && exec wxops stress load http://"+rawServer(t, "is slow")+"/ -r 200 -d 500ms -t 1500ms -c 20 --max-connections 500 -o json"), "descriptors")
	})
	t.Run("a hog on the same processor", func(t *testing.T) {
		realpart.Binary(t, "taskset", "apt-get install util-linux")
		u := "http://" + rawServer(t, "answers") + "/"
		for range 6 {
			hog := exec.Command("taskset", "-c", "0", "sh", "-c", "while :; do :; done")
			if err := hog.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = hog.Process.Kill(); _ = hog.Wait() })
		}
		limited(t, exec.Command("taskset", "-c", "0", "wxops", "stress", "load", u, "-r", "3000", "-d", "1s", "-t", "2s", "-o", "json"), "")
	})
	t.Run("local ports", func(t *testing.T) {
		namespace(t)
		limited(t, exec.Command("unshare", "-n", "sh", "-c", `ip link set lo up && echo 50000 50040 >/proc/sys/net/ipv4/ip_local_port_range &&
			mkfifo "$0/in" && { rawserver 127.0.0.1:8099 'is slow' <"$0/in" >"$0/out" & } && exec 3>"$0/in" &&
			until grep -q listening "$0/out"; do :; done &&
			wxops stress load http://127.0.0.1:8099/ -r 200 -d 500ms -t 1500ms -c 20 --max-connections 500 -o json`, t.TempDir()), "local ports")
	})
	t.Run("a name server that is silent", func(t *testing.T) {
		namespace(t)
		begin := time.Now()
		d, code, log := loaded(t, exec.Command("unshare", "-n", "-m", "sh", "-c", `ip link set lo up && echo nameserver 127.0.0.1 >"$0/r" && mount --bind "$0/r" /etc/resolv.conf &&
			mkfifo "$0/in" && { rawserver 127.0.0.1:53 stalls <"$0/in" >"$0/out" & } && exec 3>"$0/in" &&
			until grep -q listening "$0/out"; do :; done &&
			wxops stress load http://shop.example/ -r 100 -d 200ms -t 700ms -o json`, t.TempDir()))
		if code != 3 || d.Errors["dns"] != 20 || time.Since(begin) < 700*time.Millisecond || time.Since(begin) > 15*time.Second {
			t.Errorf("exit %d after %v, errors %v\n%s", code, time.Since(begin), d.Errors, log)
		}
	})
}

// A name server that takes long to answer delays the start; no response time
// and no request is the worse for it.
func TestASlowNameServerDelaysTheStartOnly(t *testing.T) {
	namespace(t)
	begin := time.Now()
	d, _, log := loaded(t, exec.Command("unshare", "-n", "-m", "sh", "-c", `ip link set lo up && echo nameserver 127.0.0.1 >"$0/r" && mount --bind "$0/r" /etc/resolv.conf &&
		mkfifo "$0/in" "$0/in2" && { rawserver 127.0.0.1:53 'names slowly' <"$0/in" >"$0/out" & rawserver 127.0.0.1:8099 'takes 10' <"$0/in2" >"$0/out2" & } && exec 3>"$0/in" 4>"$0/in2" &&
		until grep -q listening "$0/out" && grep -q listening "$0/out2"; do :; done &&
		wxops stress load http://shop.example:8099/ -r 100 -d 400ms -o json`, t.TempDir()))
	if d.Status["204"] != 40 || *d.Response.P50 >= slowName.Seconds()/2 {
		t.Errorf("status %v, errors %v, median response %v s\n%s", d.Status, d.Errors, *d.Response.P50, log)
	}
	if took := time.Since(begin); took < slowName {
		t.Errorf("it took %v, the name server alone %v", took, slowName)
	}
}

// namespace needs the right to make namespaces of network and mounts.
func namespace(t *testing.T) {
	t.Helper()
	realpart.Binary(t, "ip", "apt-get install iproute2")
	realpart.Binary(t, "unshare", "apt-get install util-linux")
	if os.Geteuid() != 0 {
		realpart.Missing(t, "making a network namespace needs root", "sudo go test ./cmd/wxops")
	}
}
