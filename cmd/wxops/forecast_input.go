package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/forecast"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
)

// seriesInput are the flags that say how series are read.
type seriesInput struct {
	counter    bool
	zone       string
	step       time.Duration
	prometheus string
	query      string
	headers    []string
	since      time.Duration
	given      func(flag string) bool
}

func (f *seriesInput) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.counter, "counter", false, "values count up: take their rate per second")
	flags.StringVar(&f.zone, "zone", "UTC", "time `ZONE` of stamps that name none, and in which days begin")
	cli.Duration(flags, &f.step, "step", "", 0, "length of a step (default the commonest, 1h for --prometheus)")
	flags.StringVar(&f.prometheus, "prometheus", "", "read from the server at this `URL`")
	flags.StringVar(&f.query, "query", "", "`PROMQL` expression for --prometheus")
	flags.StringArrayVar(&f.headers, "header", nil, "send `NAME: VALUE` to --prometheus, as 'X-Scope-OrgID: shop'; repeatable")
	cli.Duration(flags, &f.since, "since", "", 28*24*time.Hour, "history to ask --prometheus for")
	f.given = flags.Changed
}

// location is the zone of times that name none.
func (f *seriesInput) location() (*time.Location, error) {
	zone, err := time.LoadLocation(f.zone)
	if err != nil {
		return nil, cli.Usagef("--zone %q is not a zone", f.zone).WithHint("--zone Asia/Shanghai")
	}
	return zone, nil
}

// zoneOfDays is the zone that the user named, nil where none was.
func (f *seriesInput) zoneOfDays() (*time.Location, error) {
	if !f.given("zone") {
		return nil, nil
	}
	return f.location()
}

// read returns the series of the files, of standard input or of a server.
func (f *seriesInput) read(ctx context.Context, s *cli.IO, args []string) ([]forecast.Series, []forecast.Warning, []doc.Input, error) {
	zone, err := f.location()
	if err != nil {
		return nil, nil, nil, err
	}
	switch {
	case f.step < 0:
		return nil, nil, nil, cli.Usagef("--step %s is negative", cli.FormatDuration(f.step)).WithHint("--step 1h")
	case f.prometheus == "" && f.query != "":
		return nil, nil, nil, cli.Usagef("--query needs --prometheus").WithHint("--prometheus http://127.0.0.1:9090")
	case f.prometheus == "" && len(f.headers) > 0:
		return nil, nil, nil, cli.Usagef("--header needs --prometheus").WithHint("--prometheus http://127.0.0.1:9090")
	case f.prometheus == "" && f.given("since"):
		return nil, nil, nil, cli.Usagef("--since needs --prometheus: a file is read as a whole").WithHint("leave --since out")
	}
	in := forecast.NewInput(forecast.ReadOptions{Counter: f.counter, Zone: zone, Step: f.step})
	var inputs []doc.Input
	switch {
	case f.prometheus != "":
		if f.query == "" {
			return nil, nil, nil, cli.Usagef("--prometheus needs --query").WithHint("--query 'sum(rate(http_requests_total[5m])) by (service)'")
		}
		if len(args) > 0 {
			return nil, nil, nil, cli.Usagef("either files or --prometheus, not both")
		}
		input, err := f.fetch(ctx, s, in)
		if err != nil {
			return nil, nil, nil, err
		}
		inputs = append(inputs, input)
	case len(args) == 0:
		return nil, nil, nil, cli.Usagef("no file given").WithHint("wxops forecast metrics.csv, or - for standard input")
	}
	for _, path := range args {
		sum, err := addFile(ctx, s, in, path)
		if err != nil {
			return nil, nil, nil, err
		}
		inputs = append(inputs, doc.Input{Name: path, SHA256: sum})
	}
	series, warnings, err := in.Series()
	if err != nil {
		return nil, warnings, nil, f.nothing(err, warnings)
	}
	return series, warnings, inputs, nil
}

// nothing is the error of an input without a series, or without one that can be
// used: then the last warning says why.
func (f *seriesInput) nothing(err error, warnings []forecast.Warning) *cli.Error {
	e := cli.Usagef("nothing to forecast").WithCause(err)
	for _, w := range warnings {
		if w.Kind == "series" {
			e = e.WithCause(errors.New(w.String()))
		}
	}
	if f.prometheus != "" {
		return e.WithHint("try the query in the server's own page; it needs a value in the last %s (--since)", cli.FormatDuration(f.since))
	}
	return e.WithHint("give a CSV with the columns series,t,value")
}

// knownForms are the next thing to try where the form of a file is not known.
const knownForms = "known are CSV (long, wide, Grafana), Prometheus, VictoriaMetrics and CloudWatch JSON, sadf -j; also gzip, zstd, bzip2"

// addFile reads one file, or standard input, and returns its SHA-256.
func addFile(ctx context.Context, s *cli.IO, in *forecast.Input, path string) (sum string, err error) {
	r, total := s.In, int64(0)
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return "", cli.Unreadable(path, err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err == nil && info.IsDir() {
			return "", cli.Unreadable(path, syscall.EISDIR).WithHint("name the files in it")
		}
		if err == nil && info.Mode().IsRegular() {
			total = info.Size()
		}
		r = f
	}
	progress := cli.NewProgress(s, "read MiB")
	defer progress.Done()
	hash := sha256.New()
	watched := &watchedReader{ctx: ctx, r: io.TeeReader(r, hash), total: total, progress: progress}
	err = in.Add(path, watched)
	if err == nil {
		_, err = io.Copy(io.Discard, watched)
	}
	var system *fs.PathError
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err == nil:
		return hex.EncodeToString(hash.Sum(nil)), nil
	case errors.As(err, &system):
		return "", cli.Unreadable(path, err)
	case errors.Is(err, forecast.ErrAnswer):
		return "", cli.Usagef("cannot read %q", path).WithCause(errors.Unwrap(err)).WithHint("ask /api/v1/query_range with start, end and step, or use wxops forecast --prometheus URL --query Q")
	}
	return "", cli.Usagef("cannot read %q", path).WithCause(errors.Unwrap(err)).WithHint(knownForms)
}

// A watchedReader tells how far it is, and ends when the context does.
type watchedReader struct {
	ctx         context.Context
	r           io.Reader
	done, total int64 // bytes; total 0: not known
	progress    *cli.Progress
}

func (w *watchedReader) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.r.Read(p)
	w.done += int64(n)
	w.progress.Update(int(w.done>>20), int(w.total>>20))
	return n, err
}
