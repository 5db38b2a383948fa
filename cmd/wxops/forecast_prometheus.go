package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/wxops/wxops/forecast"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
)

// Prometheus refuses answers of more than 11,000 points a series
// (prometheus.io/docs, HTTP API, "Range queries").
const pointsPerQuery = 10_000

// fetch asks a Prometheus server for the history, in pieces that it accepts, and
// returns the entry for the inputs of a document. Nothing that is printed or
// written holds what the URL has of passwords and tokens.
func (f *seriesInput) fetch(ctx context.Context, s *cli.IO, in *forecast.Input) (doc.Input, error) {
	base, err := url.Parse(f.prometheus)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return doc.Input{}, cli.Usagef("--prometheus is not an http URL").WithHint("--prometheus http://127.0.0.1:9090")
	}
	header, err := f.header()
	if err != nil {
		return doc.Input{}, err
	}
	step := f.step
	if step == 0 {
		step = time.Hour
	}
	if step < time.Second || f.since < step {
		return doc.Input{}, cli.Usagef("--since %s holds no step of %s; a step is at least 1s", cli.FormatDuration(f.since), cli.FormatDuration(step)).WithHint("--since 672h --step 1h")
	}
	end := time.Now().UTC().Truncate(step)
	start := end.Add(-f.since.Truncate(step))
	progress := cli.NewProgress(s, "query")
	defer progress.Done()
	hash := sha256.New()
	points := int(f.since/step) + 1
	for done := 0; done < points; {
		n := min(pointsPerQuery, points-done)
		from, to := start.Add(time.Duration(done)*step), start.Add(time.Duration(done+n-1)*step)
		query := url.Values{
			"query": {f.query}, "start": {stampSeconds(from)}, "end": {stampSeconds(to)},
			"step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)},
		}
		body, err := ask(ctx, base.JoinPath("api/v1/query_range"), header, query)
		if err != nil {
			return doc.Input{}, err
		}
		_, _ = hash.Write(body) // a hash never fails
		if err := in.Add(masked(base), bytes.NewReader(body)); err != nil {
			return doc.Input{}, cli.Usagef("the query has no usable answer").WithCause(err).WithHint("try the query in the server's own page")
		}
		done += n
		progress.Update(done, points)
	}
	return doc.Input{Name: masked(base) + " " + f.query, SHA256: hex.EncodeToString(hash.Sum(nil))}, nil
}

// header is what --header says. A message does not hold the value, which may be a
// token.
func (f *seriesInput) header() (http.Header, error) {
	out := http.Header{}
	for _, text := range f.headers {
		name, value, ok := strings.Cut(text, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, cli.Usagef("--header is not NAME: VALUE").WithHint("--header 'X-Scope-OrgID: shop', or WXOPS_HEADER='Authorization: Bearer TOKEN'")
		}
		out.Add(name, value)
	}
	return out, nil
}

// masked is a URL as it may be shown: without the password, and without the
// values of its query, which may be tokens.
func masked(u *url.URL) string {
	shown := *u
	if query := u.Query(); len(query) > 0 {
		for k := range query {
			query.Set(k, "xxxxx")
		}
		shown.RawQuery = query.Encode()
	}
	return shown.Redacted()
}

func stampSeconds(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

const (
	queryTries   = 4
	queryBackoff = 250 * time.Millisecond // doubled after each try
	queryBytes   = 1 << 30
)

// ask posts the form and returns the body; it tries again where the server was
// not there or busy.
func ask(ctx context.Context, address *url.URL, header http.Header, form url.Values) ([]byte, error) {
	client := http.Client{Timeout: 2 * time.Minute}
	var last error
	for try := range queryTries {
		if try > 0 {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(queryBackoff << try):
			}
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, address.String(), strings.NewReader(form.Encode()))
		if err != nil {
			return nil, cli.Usagef("cannot ask %q", masked(address)).WithCause(err)
		}
		maps.Copy(request.Header, header)
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		answer, err := client.Do(request)
		if err != nil {
			last = err
			var refused *url.Error // says the whole URL
			if errors.As(err, &refused) {
				last = refused.Err
			}
			continue
		}
		body, err := io.ReadAll(io.LimitReader(answer.Body, queryBytes))
		_ = answer.Body.Close() // all of it is read
		switch {
		case err != nil:
			last = err
		case answer.StatusCode == http.StatusBadRequest || answer.StatusCode == http.StatusUnprocessableEntity:
			return nil, cli.Usagef("the server refuses the query").WithCause(fmt.Errorf("%s: %.300s", answer.Status, body)).WithHint("try the query in the server's own page")
		case answer.StatusCode == http.StatusOK:
			return body, nil
		default:
			last = fmt.Errorf("%s: %.200s", answer.Status, body)
			if answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden {
				return nil, cli.Failf("%s lets nobody in without credentials", masked(address)).WithCause(last).WithHint("--prometheus https://USER:PASSWORD@HOST, or WXOPS_HEADER='Authorization: Bearer TOKEN'")
			}
			if answer.StatusCode < 500 && answer.StatusCode != http.StatusTooManyRequests {
				return nil, cli.Failf("cannot ask %s", masked(address)).WithCause(last)
			}
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, cli.Failf("cannot ask %s after %d tries", masked(address), queryTries).WithCause(last).WithHint("is the server up? try curl %s", masked(address))
}
