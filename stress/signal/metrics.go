package signal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/wxops/wxops/stress"
)

// MetricsOptions say what to read from a Prometheus text endpoint.
type MetricsOptions struct {
	URL string

	// Bound is the response time of the objective in seconds: SlowRatio is
	// the share above it. 0: no SlowRatio.
	Bound float64

	// Names of the metrics. Latency "" is found by convention; without
	// QueueWait and Backlog these are not measured.
	Latency   string // histogram or summary
	QueueWait string // histogram or summary, in seconds unless its name says otherwise
	Backlog   string // gauge, in requests

	// Instant makes the backlog that of the gauge at the end of the window
	// instead of the mean over it, as guards want it.
	Instant bool

	// Now is the clock, time.Now if nil; it must be monotonic.
	Now func() time.Time
}

// maxScrape bounds the answer of an endpoint; the largest seen in the field
// are a few MB.
const maxScrape = 64 << 20

// ErrUnchanged is returned when an endpoint that showed traffic repeats its
// last answer byte for byte: it is cached, and nothing is known of the window.
var ErrUnchanged = errors.New("the endpoint repeats its last answer")

// A MetricError says that a metric is not there or cannot be used.
type MetricError struct {
	URL, Metric string // Metric is empty when none was found by convention
	Reason      string
	Nearest     []string // names that are there, most alike first
	Flag        string   // the option that names a metric: --latency-metric
}

func (e *MetricError) Error() string {
	text := e.URL + ": "
	if e.Metric != "" {
		text += fmt.Sprintf("metric %q: ", e.Metric)
	}
	text += e.Reason
	if len(e.Nearest) > 0 {
		text += "; nearest names: " + strings.Join(e.Nearest, ", ")
	}
	return text
}

// Metrics is a source that reads a Prometheus text endpoint.
type Metrics struct {
	o       MetricsOptions
	client  *http.Client
	path    string // of the endpoint: its own requests are not counted
	names   struct{ latency, requests, wait, backlog, inFlight, cpu, cpuLimit string }
	summary bool // latency is a summary
	at      time.Time
	body    []byte
	traffic bool // a window had requests
	before  counters
}

var _ stress.Source = (*Metrics)(nil)

// ErrURL is wrapped by the error of an address that no endpoint can have.
var ErrURL = errors.New("is not an http or https URL, as in http://127.0.0.1:9100/metrics")

// OpenMetrics finds the metrics at the endpoint. An error about a metric is a
// *MetricError.
func OpenMetrics(ctx context.Context, o MetricsOptions) (*Metrics, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("metrics: %q %w", o.URL, ErrURL)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	m := &Metrics{
		o: o, path: u.Path,
		client: &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1, TLSHandshakeTimeout: 5 * time.Second}},
	}
	families, _, err := m.scrape(ctx)
	if err == nil {
		err = m.resolve(families)
	}
	if err != nil {
		_ = m.Close()
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return m, nil
}

// Name implements stress.Source.
func (m *Metrics) Name() string { return "metrics" }

// LatencyName returns the name of the metric that response times are from.
func (m *Metrics) LatencyName() string { return m.names.latency }

// Close implements stress.Source.
func (m *Metrics) Close() error {
	m.client.CloseIdleConnections()
	return nil
}

// Read implements stress.Source.
func (m *Metrics) Read(ctx context.Context) (stress.Reading, error) {
	families, at, err := m.scrape(ctx)
	if err != nil {
		return stress.Reading{}, err
	}
	now := m.collect(families)
	r := stress.Reading{At: at, Sample: plausible(m.sample(now, at)), Inside: m.names.wait+m.names.backlog != "", Excess: math.NaN()}
	m.before, m.at = now, at
	m.traffic = m.traffic || r.Sample.Offered > 0
	return r, nil
}

// scrape fetches and parses the endpoint; at is halfway between the request
// and the first byte of the answer.
func (m *Metrics) scrape(ctx context.Context) (families map[string]*dto.MetricFamily, at time.Time, err error) {
	sent := m.o.Now()
	first := sent
	trace := &httptrace.ClientTrace{
		WroteRequest:         func(httptrace.WroteRequestInfo) { sent = m.o.Now() },
		GotFirstResponseByte: func() { first = m.o.Now() },
	}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodGet, m.o.URL, nil)
	if err != nil {
		return nil, at, err
	}
	req.Header.Set("Accept", "text/plain;version=0.0.4;q=1,*/*;q=0.1")
	req.Header.Set("User-Agent", "wxops")
	resp, err := m.client.Do(req)
	if err != nil {
		return nil, at, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxScrape+1))
	switch {
	case err != nil:
		return nil, at, fmt.Errorf("GET %s: %w", m.o.URL, err)
	case resp.StatusCode != http.StatusOK:
		return nil, at, fmt.Errorf("GET %s: %s", m.o.URL, resp.Status)
	case len(body) > maxScrape:
		return nil, at, fmt.Errorf("GET %s: the answer is longer than %d MiB", m.o.URL, maxScrape>>20)
	case m.traffic && bytes.Equal(body, m.body):
		return nil, at, fmt.Errorf("GET %s: %w", m.o.URL, ErrUnchanged)
	}
	m.body = body
	families, err = parse(body)
	if err != nil {
		return nil, at, fmt.Errorf("GET %s: %w", m.o.URL, err)
	}
	return families, sent.Add(first.Sub(sent) / 2), nil
}

func parse(body []byte) (map[string]*dto.MetricFamily, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("not in the Prometheus text format: %w", err)
	}
	return families, nil
}

// resolve decides which metrics are read.
func (m *Metrics) resolve(families map[string]*dto.MetricFamily) error {
	ofType := func(types ...dto.MetricType) []string {
		var names []string
		for name, f := range families {
			if slices.Contains(types, f.GetType()) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	distributions := ofType(dto.MetricType_HISTOGRAM, dto.MetricType_SUMMARY)
	gauges := ofType(dto.MetricType_GAUGE, dto.MetricType_UNTYPED)
	numbers := ofType(dto.MetricType_GAUGE, dto.MetricType_UNTYPED, dto.MetricType_COUNTER)
	refuse := func(metric, flag, reason string, names []string) error {
		like := metric
		if like == "" {
			like = "http_request_duration_seconds"
		}
		return &MetricError{URL: m.o.URL, Metric: metric, Flag: flag, Reason: reason, Nearest: nearest(like, names)}
	}
	given := func(metric, flag, kind string, names []string) error {
		if metric == "" || slices.Contains(names, metric) {
			return nil
		}
		if f, ok := families[metric]; ok {
			return refuse(metric, flag, fmt.Sprintf("is a %s, not a %s", strings.ToLower(f.GetType().String()), kind), names)
		}
		return refuse(metric, flag, "no such "+kind, names)
	}
	const latencyFlag = "--latency-metric"
	if err := errors.Join(
		given(m.o.Latency, latencyFlag, "histogram or summary", distributions),
		given(m.o.QueueWait, "--queue-wait-metric", "histogram or summary", distributions),
		given(m.o.Backlog, "--backlog-metric", "gauge", gauges),
	); err != nil {
		return err
	}
	m.names.latency = m.o.Latency
	if m.names.latency == "" {
		found := conventional(distributions, latencyNames)
		switch len(found) {
		case 0:
			return refuse("", latencyFlag, "no latency histogram with a conventional name", distributions)
		case 1:
			m.names.latency = found[0]
		default:
			return &MetricError{URL: m.o.URL, Flag: latencyFlag, Reason: "several latency histograms", Nearest: found}
		}
	}
	if err := m.usable(families[m.names.latency]); err != nil {
		return err
	}
	first := func(names, conventions []string) string {
		if found := conventional(names, conventions); len(found) == 1 {
			return found[0]
		}
		return ""
	}
	m.names.wait, m.names.backlog = m.o.QueueWait, m.o.Backlog
	m.names.requests = first(numbers, requestNames)
	m.names.inFlight = first(gauges, inFlightNames)
	m.names.cpu = first(numbers, cpuNames)
	m.names.cpuLimit = first(gauges, cpuLimitNames)
	return nil
}

// usable checks that the latency metric can answer for the objective.
func (m *Metrics) usable(f *dto.MetricFamily) error {
	m.summary = f.GetType() == dto.MetricType_SUMMARY
	refuse := func(format string, args ...any) error {
		return &MetricError{URL: m.o.URL, Metric: f.GetName(), Flag: "--latency-metric", Reason: fmt.Sprintf(format, args...)}
	}
	highest, unit := math.Inf(-1), unitOf(f.GetName())
	quantiles := 0
	for _, s := range f.GetMetric() {
		quantiles += len(s.GetSummary().GetQuantile())
		for _, b := range s.GetHistogram().GetBucket() {
			if v := b.GetUpperBound(); !math.IsInf(v, 1) {
				highest = max(highest, v*unit)
			}
		}
	}
	switch {
	case m.summary && quantiles == 0:
		return refuse("a summary without quantiles; have the service write a histogram (Spring Boot: management.metrics.distribution.percentiles-histogram)")
	case !m.summary && math.IsInf(highest, -1):
		return refuse("a histogram without finite buckets")
	case !m.summary && m.o.Bound > highest:
		return refuse("its highest bucket ends at %g s, below the %g s of the objective", highest, m.o.Bound)
	}
	return nil
}

// counters are the values of one scrape.
type counters struct {
	latency   map[string]distribution // by labels
	wait      map[string]distribution
	requests  map[string]count
	quantiles map[float64]float64 // of a summary: the highest among its series, seconds
	cpu       float64             // seconds; NaN without
	cpuLimit  float64
	backlog   float64
	inFlight  float64
}

type distribution struct {
	outcome    outcome
	count, sum float64             // sum in seconds
	buckets    map[float64]float64 // cumulative by upper bound in seconds
}

type count struct {
	outcome outcome
	labeled bool // has a status label
	value   float64
}

func (m *Metrics) collect(families map[string]*dto.MetricFamily) counters {
	c := counters{
		latency: map[string]distribution{}, wait: map[string]distribution{}, requests: map[string]count{},
		quantiles: map[float64]float64{},
	}
	unit := unitOf(m.names.latency)
	for _, s := range m.series(families, m.names.latency) {
		d := distributionOf(s, unit)
		d.outcome, _ = outcomeOf(s)
		c.latency[key(s)] = d
		for _, q := range s.GetSummary().GetQuantile() {
			if v := q.GetValue() * unit; d.outcome == served && !math.IsNaN(v) {
				c.quantiles[q.GetQuantile()] = max(c.quantiles[q.GetQuantile()], v)
			}
		}
	}
	for _, s := range m.series(families, m.names.wait) {
		c.wait[key(s)] = distributionOf(s, unitOf(m.names.wait))
	}
	for _, s := range m.series(families, m.names.requests) {
		o, labeled := outcomeOf(s)
		c.requests[key(s)] = count{outcome: o, labeled: labeled, value: number(s)}
	}
	c.backlog = sum(m.series(families, m.names.backlog))
	c.inFlight = sum(m.series(families, m.names.inFlight))
	c.cpu = sum(m.series(families, m.names.cpu)) * unitOf(m.names.cpu)
	c.cpuLimit = sum(m.series(families, m.names.cpuLimit))
	return c
}

// series returns the series of a metric without those of the endpoint itself.
func (m *Metrics) series(families map[string]*dto.MetricFamily, name string) []*dto.Metric {
	f := families[name]
	if f == nil {
		return nil
	}
	return slices.DeleteFunc(f.GetMetric(), func(s *dto.Metric) bool {
		return slices.ContainsFunc(s.GetLabel(), func(l *dto.LabelPair) bool {
			return m.path != "" && m.path != "/" && l.GetValue() == m.path && slices.Contains(pathLabels, l.GetName())
		})
	})
}

func distributionOf(s *dto.Metric, unit float64) distribution {
	if h := s.GetHistogram(); h != nil {
		d := distribution{count: float64(h.GetSampleCount()), sum: h.GetSampleSum() * unit, buckets: map[float64]float64{}}
		for _, b := range h.GetBucket() {
			if bound := b.GetUpperBound() * unit; !math.IsNaN(bound) {
				d.buckets[bound] = float64(b.GetCumulativeCount())
			}
		}
		return d
	}
	return distribution{count: float64(s.GetSummary().GetSampleCount()), sum: s.GetSummary().GetSampleSum() * unit}
}

func outcomeOf(s *dto.Metric) (o outcome, labeled bool) {
	for _, l := range s.GetLabel() {
		if slices.Contains(statusLabels, l.GetName()) {
			return classify(l.GetName(), l.GetValue()), true
		}
	}
	return served, false
}

func key(s *dto.Metric) string {
	var b strings.Builder
	for _, l := range s.GetLabel() {
		fmt.Fprintf(&b, "%q=%q,", l.GetName(), l.GetValue())
	}
	return b.String()
}

func number(s *dto.Metric) float64 {
	switch {
	case s.Counter != nil:
		return s.Counter.GetValue()
	case s.Gauge != nil:
		return s.Gauge.GetValue()
	}
	return s.GetUntyped().GetValue()
}

// sum adds up series; NaN without any.
func sum(series []*dto.Metric) float64 {
	if len(series) == 0 {
		return math.NaN()
	}
	var total float64
	for _, s := range series {
		total += number(s)
	}
	return total
}

// sample turns two scrapes into a window.
func (m *Metrics) sample(now counters, at time.Time) stress.Sample {
	s := stress.Unmeasured()
	s.Backlog, s.InFlight, s.CPULimit = now.backlog, now.inFlight, now.cpuLimit
	if m.at.IsZero() {
		return s
	}
	s.Window = at.Sub(m.at)
	seconds := s.Window.Seconds()
	if seconds <= 0 {
		return s
	}
	done, responses, histogram := difference(m.before.latency, now.latency)
	byCounter, labeled := differenceCounts(m.before.requests, now.requests)
	if labeled {
		for _, o := range []outcome{failed, refused} {
			done[o] = max(done[o], byCounter[o])
		}
	}
	total := done[served] + done[failed] + done[refused]
	s.Throughput = done[served] / seconds
	s.Offered = total / seconds
	s.Offered = max(0, s.Offered+m.growth(now)/seconds)
	if total > 0 {
		s.ErrorRatio = (done[failed] + done[refused]) / total
		s.Rejects = done[refused] / total
	}
	if done[served] > 0 {
		s.Mean = responses / done[served]
	}
	switch {
	case m.summary && done[served] > 0:
		s.P50, s.P99 = quantileOf(now.quantiles, 0.5), quantileOf(now.quantiles, 0.99)
	case histogram.total() > 0:
		s.P50, s.P99 = histogram.quantile(0.5), histogram.quantile(0.99)
		s.Buckets = histogram
		if m.o.Bound > 0 {
			s.SlowRatio = histogram.above(m.o.Bound)
		}
	}
	if waited, waits, _ := difference(m.before.wait, now.wait); waited[served] > 0 {
		s.QueueWait = waits / waited[served]
	}
	if !m.o.Instant || math.IsNaN(now.backlog) {
		s.Backlog = backlogOf(m.before.backlog, now.backlog, s.Throughput*s.QueueWait)
	}
	if cpu := now.cpu - m.before.cpu; cpu >= 0 {
		s.CPU = cpu / seconds
	} else if now.cpu >= 0 {
		s.CPU = now.cpu / seconds // restarted
	}
	return s
}

// growth returns by how many requests the instance holds more than at the last
// taking: those arrived and are not counted as done. Some services count
// waiting requests as in flight and some do not, so that gauge says something
// only while nobody waits.
func (m *Metrics) growth(now counters) float64 {
	backlog, inFlight := now.backlog-m.before.backlog, now.inFlight-m.before.inFlight
	if math.IsNaN(backlog) {
		backlog = 0
	}
	if math.IsNaN(inFlight) || now.backlog > 0 || m.before.backlog > 0 {
		inFlight = 0
	}
	return backlog + inFlight
}

// plausible takes out of a sample what cannot be: data from outside may be
// negative or infinite where we divide by it or subtract it.
func plausible(s stress.Sample) stress.Sample {
	for _, v := range []*float64{
		&s.Offered, &s.Throughput, &s.Mean, &s.P50, &s.P99, &s.SlowRatio, &s.QueueWait, &s.Backlog, &s.InFlight,
		&s.CPU, &s.CPULimit, &s.ErrorRatio, &s.Rejects, &s.Share, &s.Total,
	} {
		if *v < 0 || math.IsInf(*v, 0) {
			*v = math.NaN()
		}
	}
	return s
}

// backlogOf returns the mean backlog of a window: the mean of the gauge at
// both ends, or throughput times mean wait (Little's law) if that is higher.
func backlogOf(before, now, little float64) float64 {
	gauge := (before + now) / 2
	switch {
	case math.IsNaN(gauge):
		return little
	case math.IsNaN(little):
		return gauge
	}
	return max(gauge, little)
}

// difference returns what happened between two takings: requests by outcome,
// and sum and histogram of those that were served. A counter that went down
// was reset: all of its value is new.
func difference(before, now map[string]distribution) (done [3]float64, sum float64, h histogram) {
	counts := map[float64]float64{}
	for k, d := range now {
		old := before[k]
		if d.count < old.count || d.outcome != old.outcome {
			old = distribution{}
		}
		done[d.outcome] += d.count - old.count
		if d.outcome != served {
			continue
		}
		sum += d.sum - old.sum
		var below float64
		for _, bound := range slices.Sorted(maps.Keys(d.buckets)) {
			cumulative := d.buckets[bound] - old.buckets[bound]
			counts[bound] += max(0, cumulative-below)
			below = max(below, cumulative)
		}
		counts[math.Inf(1)] += max(0, d.count-old.count-below)
	}
	return done, sum, fromCounts(counts)
}

func differenceCounts(before, now map[string]count) (done [3]float64, labeled bool) {
	for k, c := range now {
		old := before[k].value
		if c.value < old {
			old = 0
		}
		done[c.outcome] += c.value - old
		labeled = labeled || c.labeled
	}
	return done, labeled
}

// quantileOf returns the quantile that a summary has nearest above q, or its
// highest.
func quantileOf(quantiles map[float64]float64, q float64) float64 {
	best := math.NaN()
	for _, have := range slices.Sorted(maps.Keys(quantiles)) {
		best = quantiles[have]
		if have >= q {
			break
		}
	}
	return best
}
