package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
	"github.com/wxops/wxops/stress/load"
)

// kindLoad is written by stress load and stress replay.
var kindLoad = doc.Kind{Name: "load", Version: 1, Title: "Result of one load test", Data: load.Document{}}

// loadForeign are the flags of k6, vegeta, wrk, wrk2, hey, ab, h2load, ghz and Locust
// that are named otherwise here.
var loadForeign = func() map[string]string {
	hints := map[string]string{}
	for hint, flags := range map[string]string{
		"-c N: N connections, each of which waits for its answer; with -r RATE requests fall due by the clock": "vus u users clients concurrency",
		"-r RATE, as -r 500/s":                   "rps R qps spawn-rate",
		"-n N: end after N requests":             "iterations i",
		"-d TIME, as -d 30s; a body is -b @FILE": "D run-time time timelimit",
		"--stages TIME@RATE, as 30s@50,1m@200, for rates; -T FILE for other requests": "s stage script",
		"-b TEXT or -b @FILE": "p data data-file",
		"--http2; --streams N requests in flight on a connection": "h2 h2c max-concurrent-streams",
		"leave it out: percentiles are always printed":            "latency L",
		"leave it out: as many threads send as the rate needs":    "threads cpus",
	} {
		for flag := range strings.FieldsSeq(flags) {
			hints[flag] = hint
		}
	}
	return hints
}()

var loadArrivals = []string{"constant", "poisson"}

// loadFlags are the flags that every command that sends requests shares.
type loadFlags struct {
	rate, ramp, stages, arrivals string
	duration, method, body       string
	protoset                     string
	requests                     int64
	connections, max, streams    int
	headers, thresholds          []string
	timeout, warmup, every       time.Duration
	insecure, http2, plain       bool
	seed                         uint64
	tag                          string
	portable                     bool
	workers                      int
	findMax                      bool
	slo                          string
	maxRate                      float64
	targets, hlog                string
	production                   bool
}

// add adds the flags that say how requests are sent. Without those of addSchedule
// the loop is closed; without those of addWatching an interval is a second.
func (f *loadFlags) add(cmd *cobra.Command) {
	f.rate, f.arrivals, f.seed, f.every = "max", "constant", 1, time.Second
	fl := cmd.Flags()
	fl.StringVarP(&f.duration, "duration", "d", "", "`TIME` for which requests fall due (default 10s)")
	fl.IntVarP(&f.connections, "connections", "c", 50, "connections opened before the start")
	fl.IntVar(&f.max, "max-connections", 0, "connections to which the pool may grow when requests wait (default 4 x -c with a rate, -c below 16)")
	fl.Float64Var(&f.maxRate, "max-rate", 0, "requests per second that are never exceeded")
	fl.StringArrayVarP(&f.headers, "header", "H", nil, "request `HEADER` as 'Name: value'; repeatable")
	fl.StringVar(&f.tag, "tag", "", "header `NAME=VALUE` that marks every request as a test")
	cli.Duration(fl, &f.timeout, "timeout", "t", 10*time.Second, "time for one request")
	fl.BoolVarP(&f.insecure, "insecure", "k", false, "accept any TLS certificate")
	fl.BoolVar(&f.http2, "http2", false, "HTTP/2; on http:// with prior knowledge")
	fl.IntVar(&f.streams, "streams", 100, "requests in flight on a connection of HTTP/2 and gRPC")
	fl.StringVar(&f.protoset, "protoset", "", "`FILE` that describes a gRPC service (default ask the server)")
	fl.BoolVar(&f.portable, "portable", false, "use the portable engine")
	fl.IntVar(&f.workers, "workers", 0, "threads that send (default as many as the rate needs)")
	fl.StringVarP(&f.duration, "z", "z", "", "alias of --duration")
	for _, hidden := range []string{"z", "portable", "workers"} {
		cobra.CheckErr(fl.MarkHidden(hidden))
	}
}

// addSchedule adds the flags that say what is sent and when, unless a log does.
func (f *loadFlags) addSchedule(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVarP(&f.rate, "rate", "r", "max", "requests per second, a `RATE` as 5000, 5k, 50/s, 10/ms, or max for a closed loop")
	fl.StringVar(&f.ramp, "ramp", "", "rate that grows, as `FROM:TO:TIME`, such as 0:5000:60s")
	fl.StringVar(&f.stages, "stages", "", "rates one after the other, `TIME@RATE` as in 30s@50,1m@200 or 10s@0..50")
	fl.StringVar(&f.arrivals, "arrivals", "constant", "how requests fall due at a rate: constant|poisson")
	cli.Complete(cmd, "arrivals", loadArrivals)
	fl.Uint64Var(&f.seed, "seed", 1, "seed of random arrivals")
	fl.Int64VarP(&f.requests, "requests", "n", 0, "end after so many requests")
	cli.Duration(fl, &f.warmup, "warmup", "", 0, "time before the start that is not counted")
	fl.StringVarP(&f.method, "method", "m", "", "request `METHOD` (default GET, with a body POST)")
	fl.StringVarP(&f.body, "body", "b", "", "`TEXT` of the request body, or @FILE")
	fl.StringVarP(&f.targets, "targets", "T", "", "`FILE` of requests in a format of vegeta, instead of the URL's path")
	fl.StringVarP(&f.rate, "q", "q", "max", "alias of --rate")
	cobra.CheckErr(fl.MarkHidden("q"))
}

// addWatching adds the flags that say how one run is watched.
func (f *loadFlags) addWatching(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringArrayVar(&f.thresholds, "threshold", nil, "`OBJECTIVE` that must hold, as 'p99<200ms' or 'errors<0.1%'; repeatable")
	fl.BoolVar(&f.production, "production", false, "the URL is in production: needs --tag, --threshold, --max-rate")
	cli.Duration(fl, &f.every, "every", "", time.Second, "length of an interval of the time line")
	fl.BoolVar(&f.plain, "plain", false, "one line per interval on standard error, no live screen")
	fl.StringVar(&f.hlog, "hlog", "", "write the histogram of each interval to this .hlog `FILE`")
}

func newStressLoad(s *cli.IO) *cobra.Command {
	var f loadFlags
	var out cli.Output
	cmd := &cobra.Command{
		Use:   "load URL",
		Short: "Send requests at a rate and tell how long users would wait",
		Long: `load sends requests to URL. With a rate the loop is open: requests fall due by
the clock, whatever the server does, and response times count from the instant
at which a request was due. Without a rate the loop is closed: every connection
waits for its answer; it finds the highest throughput, and its percentiles are
not what users would see.

Exit codes: 0 sent, and every threshold is kept; 1 a threshold is missed, or
with --find-max the objective at any rate; 3 nothing could be sent; 4 the
generator itself was the limit. The document is printed in each case. csv
is the time line, a row for each interval of --every; ndjson the same while it
runs, then the document on one line.`,
		Example: `  wxops stress load http://127.0.0.1:8080/ -r 5000 -d 30s
  wxops stress load http://127.0.0.1:8080/pay -r 200/s -d 1m -b @order.json \
      -H 'Content-Type: application/json' --threshold 'p99<200ms'
  wxops stress load http://127.0.0.1:8080/ -c 64 -d 5s -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.Check(); err != nil {
				return err
			}
			o, terms, err := f.options(cmd.Context(), s, args[0])
			if err != nil {
				return err
			}
			if f.findMax {
				return findMax(cmd.Context(), s, &out, o, &f)
			}
			return runLoad(cmd.Context(), s, &out, o, terms, &f)
		},
	}
	f.add(cmd)
	f.addSchedule(cmd)
	f.addWatching(cmd)
	cli.Foreign(cmd, loadForeign)
	fl := cmd.Flags()
	fl.BoolVar(&f.findMax, "find-max", false, "find the highest rate that keeps --slo; -d is the longest time for it (default 60s)")
	fl.StringVar(&f.slo, "slo", "", "`OBJECTIVE` of --find-max, as 'p99<50ms,errors<0.1%'")
	out.AddFileFlag(cmd)
	out.AddFlag(cmd, "table", "json", "yaml", "csv", "ndjson")
	return cmd
}

// options turns flags into options of a run.
func (f *loadFlags) options(ctx context.Context, s *cli.IO, rawURL string) (load.Options, []capacity.Term, error) {
	o := load.Options{
		Connections: f.connections, MaxConnections: f.max, Streams: f.streams, Timeout: f.timeout, Warmup: f.warmup,
		Requests: f.requests, Every: f.every, Seed: f.seed, Portable: f.portable, Workers: f.workers,
	}
	u, err := parseURL(s, rawURL)
	if err != nil {
		return o, nil, err
	}
	for _, n := range []struct {
		name string
		v    int64
	}{{"--connections", int64(f.connections)}, {"--max-connections", int64(f.max)}, {"--requests", f.requests}, {"--streams", int64(f.streams)}, {"--timeout", int64(f.timeout)}, {"--warmup", int64(f.warmup)}} {
		if n.v < 0 {
			return o, nil, cli.Usagef("%s %d is negative", n.name, n.v)
		}
	}
	if f.every < 10*time.Millisecond {
		return o, nil, cli.Usagef("--every %s is below 10ms", f.every)
	}
	if f.http2 {
		o.Protocol = load.HTTP2
	}
	o.TLS = f.tlsConfig()
	if err := f.schedule(&o); err != nil {
		return o, nil, err
	}
	t := load.Target{URL: u, Method: strings.ToUpper(f.method)}
	if t.Body, err = readBody(f.body); err != nil {
		return o, nil, err
	}
	if t.Method == "" && f.body != "" {
		t.Method = "POST"
	}
	if t.Header, err = f.header(); err != nil {
		return o, nil, err
	}
	if strings.HasPrefix(u.Scheme, "grpc") {
		o.Protocol = load.GRPC
		ask, cancel := context.WithTimeout(ctx, f.timeout)
		defer cancel()
		if t.Body, err = load.GRPCBody(ask, u, t.Body, f.protoset, o.TLS); errors.Is(err, load.ErrMethod) {
			return o, nil, cli.Usagef("%s", err).WithHint("grpc://host:port/pkg.Service/Method -b '{...}'")
		} else if err != nil {
			return o, nil, cli.Failf("the method could not be looked up at %s", t.Origin()).WithCause(err).WithHint("is the service running? --protoset FILE describes it without asking")
		}
	}
	o.Targets = []load.Target{t}
	if f.targets != "" {
		if o.Targets, err = readTargets(f.targets, t); err != nil {
			return o, nil, err
		}
	}
	terms, err := parseThresholds(f.thresholds)
	if err != nil {
		return o, nil, err
	}
	return o, terms, f.checkProduction(o, terms)
}

// checkProduction refuses a run against production that could do harm unseen.
func (f *loadFlags) checkProduction(o load.Options, terms []capacity.Term) error {
	peak := 0.0
	for _, x := range o.Stages {
		peak = max(peak, x.From, x.To)
	}
	if f.maxRate > 0 && peak > f.maxRate {
		return cli.Usagef("the rate reaches %s/s, --max-rate is %s/s", perSecond(peak), perSecond(f.maxRate))
	}
	if !f.production {
		return nil
	}
	var missing []string
	if f.tag == "" {
		missing = append(missing, "a tag (--tag X-Stress-Run=ID)")
	}
	if len(terms) == 0 {
		missing = append(missing, "a guard (--threshold 'p99<200ms')")
	}
	if f.maxRate <= 0 || len(o.Stages) == 0 && !f.findMax {
		missing = append(missing, "a rate (-r) and its ceiling (--max-rate)")
	}
	if len(missing) > 0 {
		return cli.Usagef("--production needs %s", strings.Join(missing, ", "))
	}
	return nil
}

func readTargets(path string, base load.Target) ([]load.Target, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, cli.Unreadable(path, err)
	}
	defer file.Close()
	targets, err := load.ReadTargets(file, base.URL, filepath.Dir(path))
	if err != nil {
		return nil, cli.Usagef("cannot use targets %q", path).WithCause(err)
	}
	for i := range targets {
		if targets[i].Header == nil {
			targets[i].Header = map[string][]string{}
		}
		for k, v := range base.Header {
			targets[i].Header[k] = v
		}
	}
	return targets, nil
}

// schedule reads rate, ramp, stages and duration.
func (f *loadFlags) schedule(o *load.Options) error {
	if f.duration != "" {
		d, err := cli.ParseDuration(f.duration)
		switch {
		case err != nil && strings.TrimLeft(f.duration, "0123456789") == "":
			return cli.Usagef("--duration %q has no unit", f.duration).WithHint("-d %ss", f.duration)
		case err != nil:
			return cli.Usagef("--duration %q is no duration", f.duration).WithHint("did you mean --body? -b '%s' sends it, -d 10s is a time", f.duration)
		case d <= 0:
			return cli.Usagef("--duration %s is not positive", d)
		}
		o.Duration = d
	}
	if err := cli.OneOf("--arrivals", f.arrivals, loadArrivals); err != nil {
		return err
	}
	o.Poisson = f.arrivals == "poisson"
	if f.ramp != "" && f.stages != "" {
		return cli.Usagef("--ramp and --stages exclude each other")
	}
	var err error
	switch {
	case f.ramp != "":
		o.Stages, err = load.ParseRamp(f.ramp)
	case f.stages != "":
		o.Stages, err = load.ParseStages(f.stages)
	default:
		var rate float64
		if rate, err = load.ParseRate(f.rate); err == nil && rate > 0 {
			d := o.Duration
			if d == 0 {
				d = 10 * time.Second
				if o.Requests > 0 {
					d = 1000 * time.Hour // the number of requests ends the run
				}
			}
			o.Stages = load.Constant(rate, d)
		}
	}
	if err != nil {
		return cli.Usagef("--%s", err).WithHint("wxops stress load --help") // "rate", "ramp" and "stages" are flags
	}
	if o.Duration > 0 && (f.ramp != "" || f.stages != "") {
		_, d := load.Total(o.Stages)
		if o.Duration < d {
			return cli.Usagef("--duration %s is shorter than the stages, which last %s", o.Duration, d)
		}
		if rest := o.Duration - d; rest > 0 {
			last := o.Stages[len(o.Stages)-1].To
			o.Stages = append(o.Stages, load.Stage{From: last, To: last, For: rest})
		}
	}
	return nil
}

// parseURL reads the URL under test; without a scheme http is assumed.
func parseURL(s *cli.IO, raw string) (*url.URL, error) {
	text := raw
	if !strings.Contains(raw, "://") {
		text = "http://" + raw
		fmt.Fprintf(s.Err, "no scheme in %q, assuming %s\n", raw, text)
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, cli.Usagef("URL %q cannot be read", raw).WithCause(err)
	}
	switch u.Scheme {
	case "http", "https", "grpc", "grpcs":
	default:
		return nil, cli.Usagef("URL %q: scheme %q is not one of http, https, grpc, grpcs", raw, u.Scheme)
	}
	if u.Hostname() == "" {
		return nil, cli.Usagef("URL %q has no host", raw)
	}
	return u, nil
}

func readBody(spec string) ([]byte, error) {
	name, file := strings.CutPrefix(spec, "@")
	if !file {
		return []byte(spec), nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, cli.Unreadable(name, err).WithHint("-b @FILE sends a file, -b TEXT the text itself")
	}
	return b, nil
}

func (f *loadFlags) header() (map[string][]string, error) {
	h := map[string][]string{}
	for _, line := range f.headers {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, cli.Usagef("header %q is not of the form 'Name: value'", line)
		}
		h[name] = append(h[name], strings.TrimSpace(value))
	}
	if f.tag != "" {
		name, value, ok := strings.Cut(f.tag, "=")
		if !ok || name == "" || value == "" {
			return nil, cli.Usagef("--tag %q is not of the form Name=value", f.tag).WithHint("--tag X-Stress-Run=%s", time.Now().Format("20060102-150405"))
		}
		h[name] = []string{value}
	}
	return h, nil
}

func parseThresholds(specs []string) ([]capacity.Term, error) {
	var terms []capacity.Term
	for _, spec := range specs {
		o, err := capacity.ParseObjective(spec)
		if err != nil {
			return nil, cli.Usagef("--threshold: %s", err).WithHint("--threshold 'p99<200ms'")
		}
		terms = append(terms, o.Terms...)
	}
	return terms, nil
}

// runLoad runs the test, prints its document and says how it ended.
func runLoad(ctx context.Context, s *cli.IO, out *cli.Output, o load.Options, terms []capacity.Term, f *loadFlags) error {
	var warnings []string
	if len(o.Stages) == 0 && o.Recording == nil {
		warnings = append(warnings, "closed loop: every connection waits for its answer, so these percentiles are not what users would see; give a rate with -r")
		if out.Format != "json" && out.Format != "ndjson" && !s.Quiet() {
			fmt.Fprintln(s.Err, "closed loop: these percentiles are not what users would see; give a rate with -r")
		}
	}
	show := showLoad(s, &o, terms, f.plain)
	guard := &production{terms: terms}
	closeLog, err := f.watchers(s, out, &o, guard)
	if err != nil {
		return err
	}
	g, err := load.Start(ctx, o)
	if load.IsDNS(err) && ctx.Err() == nil {
		d := load.Unresolved(o, err).Report(terms)
		d.Tag = f.tag
		if err := printLoad(s.Out, out, warnings, &d); err != nil {
			return err
		}
	}
	if err != nil {
		return startError(err, o)
	}
	guard.guard(g.Stop)
	end := show(g)
	r := g.Wait()
	end()
	if err := closeLog(); err != nil {
		return cli.Failf("the histogram log is not complete").WithCause(err)
	}
	d := r.Report(terms)
	d.Tag = f.tag
	d.Connections.Prewarmed, d.Connections.Max = g.Pool()
	if o.Poisson {
		d.Arrivals = "poisson"
	}
	var unread error // of a log
	if o.Recording != nil {
		if unread = checkLog(&d, o.Recording); unread != nil && d.Requests == 0 {
			return unread
		}
	}
	interrupted := ctx.Err() != nil
	if interrupted && d.Verdict != load.VerdictClientLimited {
		d.Verdict, d.Reason = load.VerdictInterrupted, "ended by the user"
	}
	if missed := guard.reason(); missed != "" {
		d.Verdict, d.Reason = load.VerdictGuard, "the guard "+missed+" ended the run"
	}
	if err := printLoad(s.Out, out, warnings, &d); err != nil {
		return err
	}
	switch {
	case interrupted:
		return context.Canceled
	case unread != nil:
		return unread
	case d.Verdict == load.VerdictGuard:
		return cli.Exit(cli.ExitGuarded)
	case d.Verdict == load.VerdictNothingSent:
		return nothingSent(r.LastError, o)
	case d.Verdict == load.VerdictClientLimited:
		return cli.Exit(cli.ExitGuarded)
	case len(d.Missed()) > 0:
		return cli.Exit(cli.ExitNo)
	}
	return nil
}

// startError says why a run did not start.
func startError(err error, o load.Options) error {
	switch {
	case load.IsDNS(err):
		return nothingSent(err, o)
	case errors.Is(err, load.ErrDescriptors):
		return cli.Failf("nothing was sent").WithCause(err).WithHint("ulimit -n %d, or a smaller --connections", 2*o.Connections)
	case errors.Is(err, context.Canceled):
		return err
	case o.Recording != nil:
		if _, failed := o.Recording.Read(); failed != nil {
			return logError(err)
		}
	}
	return cli.Usagef("%s", err)
}

func nothingSent(cause error, o load.Options) error {
	hint := "is the service running?"
	if load.IsDNS(cause) {
		hint = "check the name of the host"
	}
	return cli.Failf("nothing could be sent to %s", o.Targets[0].Origin()).WithCause(cause).WithHint("%s", hint)
}

func printLoad(w io.Writer, out *cli.Output, warnings []string, d *load.Document) error {
	b, err := doc.Marshal(kindLoad, toolVersion(), time.Now(), nil, warnings, *d)
	if err != nil {
		return err
	}
	return out.Print(w, b, func() *cli.Table {
		if out.Format == "csv" {
			return loadCSV(d)
		}
		return loadTable(d)
	})
}

// tlsConfig is nil for the defaults.
func (f *loadFlags) tlsConfig() *tls.Config {
	if !f.insecure {
		return nil
	}
	return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
}
