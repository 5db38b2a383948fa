//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/wxops/wxops/forecast"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/realpart"
)

const installPrometheus = "apt-get install prometheus"

// hourlyRate is the rate per second at which a service of the test is asked in
// the hour that ends at the given one of Unix time.
func hourlyRate(service string, hour int64) float64 {
	base := map[string]float64{"checkout": 40, "search": 15}[service]
	return base + float64(hour*7919%11) + math.Floor(base/2*(1+math.Sin(2*math.Pi*float64(hour%24)/24)))
}

// requestsUntil writes one sample a minute of the counters of two services,
// from start until end, in OpenMetrics text. Each grows by its hourly rate, and
// that of search begins again at zero at reset.
func requestsUntil(w io.Writer, start, end, reset time.Time) {
	fmt.Fprintln(w, "# TYPE requests counter")
	for _, service := range []string{"checkout", "search"} {
		var count float64
		for t := start; !t.After(end); t = t.Add(time.Minute) {
			if service == "search" && t.Equal(reset) {
				count = 0
			}
			fmt.Fprintf(w, "requests_total{service=%q} %g %d\n", service, count, t.Unix())
			count += 60 * hourlyRate(service, t.Unix()/3600+1)
		}
	}
	fmt.Fprintln(w, "# EOF")
}

// startPrometheus starts the server on the blocks in dir, on a port that is
// free, and returns its URL as soon as it is ready. It ends with the test.
func startPrometheus(t *testing.T, dir string) *url.URL {
	t.Helper()
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, []byte("global: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(realpart.Binary(t, "prometheus", installPrometheus), "--config.file="+config,
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--storage.tsdb.retention.time=10y", "--web.listen-address=127.0.0.1:0")
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		kill := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		<-ended
		_ = cmd.Wait() // its exit code says nothing about wxops
		kill.Stop()
	})
	ready := make(chan string, 1)
	var said strings.Builder
	go func() {
		defer close(ended)
		defer close(ready)
		listening := regexp.MustCompile(`msg="Listening on".* address=(\S+)`)
		address := ""
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				address = m[1]
			}
			if address == "" || !strings.Contains(lines.Text(), "ready to receive web requests") {
				fmt.Fprintln(&said, lines.Text())
				continue
			}
			ready <- "http://" + address
			_, _ = io.Copy(io.Discard, log) // until it ends
			return
		}
	}()
	var address string
	select {
	case address = <-ready:
	case <-time.After(time.Minute):
		t.Fatal("prometheus is not ready after a minute")
	}
	if address == "" {
		t.Fatalf("prometheus ended before it was ready:\n%s", said.String())
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// A real Prometheus, with blocks that promtool made, is asked in pieces; what
// comes back is what was written. A server that is busy once is asked again.
func TestForecastReadsARealPrometheus(t *testing.T) {
	promtool := realpart.Binary(t, "promtool", installPrometheus)
	dir := t.TempDir()
	now := time.Now().UTC().Truncate(time.Hour)
	start, reset := now.Add(-9*24*time.Hour), now.Add(-50*time.Hour)
	text := filepath.Join(dir, "requests.om")
	f, err := os.Create(text)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	requestsUntil(w, start, now.Add(2*time.Hour), reset) // the hour may end during the test
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(promtool, "tsdb", "create-blocks-from", "openmetrics", text, filepath.Join(dir, "data")).CombinedOutput(); err != nil {
		t.Fatalf("promtool: %v: %s", err, out)
	}
	server := startPrometheus(t, dir)

	proxy := httputil.NewSingleHostReverseProxy(server)
	var asked atomic.Int64
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			http.Error(w, "overloaded", http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)

	const rates = "sum by (service) (rate(requests_total[10m]))"
	t.Run("minutes, in pieces", func(t *testing.T) {
		// Eight days are 11,521 points, and the server refuses more than 11,000.
		flags := seriesInput{prometheus: front.URL, query: rates, step: time.Minute, since: 8 * 24 * time.Hour}
		in := forecast.NewInput(forecast.ReadOptions{Step: time.Minute})
		if _, err := flags.fetch(t.Context(), &cli.IO{Out: io.Discard, Err: io.Discard}, in); err != nil {
			t.Fatal(err)
		}
		series, warnings, err := in.Series()
		if err != nil || len(warnings) > 0 || len(series) != 2 {
			t.Fatalf("%d series, warnings %v, error %v", len(series), warnings, err)
		}
		if n := asked.Load(); n != 3 {
			t.Errorf("the server was asked %d times, want 3: one refused, two pieces", n)
		}
		for k, service := range []string{"checkout", "search"} {
			s := series[k]
			if want := fmt.Sprintf("{service=%q}", service); s.Name != want || len(s.Values) != 8*24*60+1 || s.Step != time.Minute {
				t.Fatalf("series %q of %d values a %v, want %q", s.Name, len(s.Values), s.Step, want)
			}
			compared := 0
			for i, v := range s.Values {
				at := s.Start.Add(time.Duration(i) * s.Step)
				// The ten minutes before lie in one hour and not around the reset.
				if m := at.Minute(); m > 0 && m < 10 || !at.Before(reset) && at.Before(reset.Add(11*time.Minute)) {
					continue
				}
				compared++
				if want := hourlyRate(service, (at.Unix()-1)/3600+1); math.Abs(v-want) > 1e-9*want {
					t.Fatalf("%s at %v is %v, want %v", s.Name, at, v, want)
				}
			}
			if compared < 9000 {
				t.Errorf("%s: only %d values were compared", s.Name, compared)
			}
		}
	})

	t.Run("command", func(t *testing.T) {
		flags := []string{"--horizon", "30", "-o", "json"}
		from := forecastData{}
		readOutput(t, &from, append([]string{"forecast", "--prometheus", front.URL + "/", "--query", rates, "--since", "168h"}, flags...)...)
		if len(from.Series) != 2 || from.Series[0].Start == nil || from.Series[0].History != 169 {
			t.Fatalf("forecast of %+v", from.Series)
		}
		// A file with the rates as they were written has the same forecast.
		var rows strings.Builder
		rows.WriteString("series,t,value\n")
		for k, service := range []string{"checkout", "search"} {
			for i := range 169 {
				at := from.Series[k].Start.Add(time.Duration(i-169) * time.Hour)
				value := hourlyRate(service, at.Unix()/3600)
				if service == "search" && at.Equal(reset) {
					value *= 540.0 / 600 // the increase of the minute before the reset is lost
				}
				fmt.Fprintf(&rows, "\"{service=\"\"%s\"\"}\",%s,%g\n", service, at.Format(time.RFC3339), value)
			}
		}
		file := filepath.Join(dir, "rates.csv")
		if err := os.WriteFile(file, []byte(rows.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		want := forecastData{}
		readOutput(t, &want, append([]string{"forecast", file}, flags...)...)
		for k := range want.Series {
			a, b := from.Series[k], want.Series[k]
			for h := range b.Mean {
				if math.Abs(a.Mean[h]-b.Mean[h]) > 1e-6*b.Mean[h] || math.Abs(a.Peak[h]-b.Peak[h]) > 1e-6*b.Peak[h] {
					t.Fatalf("%s step %d: %v with peak %v, of the file %v with %v", a.Name, h+1, a.Mean[h], a.Peak[h], b.Mean[h], b.Peak[h])
				}
			}
			if a.Name != b.Name || !reflect.DeepEqual(a.Models, b.Models) || !a.Start.Equal(*b.Start) {
				t.Errorf("%+v differs from that of the file, %+v", a, b)
			}
		}
	})

	t.Run("refusals", func(t *testing.T) {
		expectSaid(t, dir, 2, []string{"nothing to forecast"}, "forecast", "--prometheus", front.URL, "--query", rates, "--step", "500h", "--since", "1000h")
		expectSaid(t, dir, 2, []string{"the server refuses the query", "parse error", "hint:"}, "forecast", "--prometheus", front.URL, "--query", "sum(")
		expectSaid(t, dir, 2, []string{"nothing to forecast"}, "forecast", "--prometheus", front.URL, "--query", "no_such_metric")
		expectSaid(t, dir, 3, []string{"404"}, "forecast", "--prometheus", front.URL+"/elsewhere", "--query", rates)
	})
}

// A password and a token are sent and are in no message and no document,
// whether the server answers, refuses, is not there, or the URL is none.
func TestForecastHidesCredentials(t *testing.T) {
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		known := user == "planner" && password == "hunter2" && r.URL.Query().Get("token") == "s3cret"
		if !known && r.Header.Get("Authorization") != "Bearer s3cret" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		if r.FormValue("query") == "odd" {
			fmt.Fprint(w, "odd") // no JSON
			return
		}
		start, err := strconv.ParseInt(r.FormValue("start"), 10, 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":"1"},"values":[`)
		for i := range int64(30) {
			fmt.Fprintf(w, `[%d,"%d"],`, start+3600*i, i%5)
		}
		fmt.Fprintf(w, `[%d,"1"]]}]}}`, start+3600*30)
	}))
	t.Cleanup(front.Close)
	server, err := url.Parse(front.URL)
	if err != nil {
		t.Fatal(err)
	}
	closed := httptest.NewServer(nil)
	closed.Close()
	gone, err := url.Parse(closed.URL)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		url, query string
		code       int
		said       string
		header     string
	}{
		"answered":     {"http://planner:hunter2@" + server.Host + "/?token=s3cret", "up", 0, "http://planner:xxxxx@" + server.Host + "/?token=xxxxx up", ""},
		"a bearer":     {"http://" + server.Host, "up", 0, "http://" + server.Host + " up", "Authorization: Bearer s3cret"},
		"no header":    {"http://" + server.Host, "up", 2, "--header is not NAME: VALUE", "Bearer s3cret"},
		"no JSON":      {"http://planner:hunter2@" + server.Host + "/?token=s3cret", "odd", 2, "no usable answer", ""},
		"unauthorized": {"http://planner:hunter2@" + server.Host + "/?apikey=s3cret", "up", 3, "401", ""},
		"gone":         {"http://planner:hunter2@" + gone.Host + "/?token=s3cret", "up", 3, "refused", ""},
		"no URL":       {"htp://planner:hunter2@h:x/?token=s3cret", "up", 2, "not an http URL", ""},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"forecast", "--prometheus", c.url, "--query", c.query, "-o", "json"}
			if c.header != "" {
				args = append(args, "--header", c.header)
			}
			cmd := exec.Command("wxops", args...)
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != c.code {
				t.Fatalf("exit %v, want %d: %s", err, c.code, out)
			}
			if !strings.Contains(string(out), c.said) {
				t.Errorf("%q is not in: %s", c.said, out)
			}
			for _, secret := range []string{"hunter2", "s3cret"} {
				if strings.Contains(string(out), secret) {
					t.Errorf("%s is in: %s", secret, out)
				}
			}
		})
	}
}

// readOutput runs wxops, which must end with 0, and takes the data of the
// document that it prints.
func readOutput(t *testing.T, data any, args ...string) {
	t.Helper()
	cmd := exec.Command("wxops", args...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("wxops %s: %v\n%s", strings.Join(args, " "), err, complaint.String())
	}
	if err := json.Unmarshal(b, &struct{ Data any }{data}); err != nil {
		t.Fatalf("wxops %s: %v", strings.Join(args, " "), err)
	}
}
