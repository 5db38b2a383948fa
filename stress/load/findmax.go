package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/wxops/wxops/capacity"
)

// A Search finds the highest rate at which a service keeps an objective.
type Search struct {
	Objective capacity.Objective
	Limit     time.Duration // of the whole search; 60 s
	MaxRate   float64       // requests per second that are never exceeded; 0: none

	// OnStep is called when something was learnt, with a sentence about it.
	OnStep func(at time.Duration, text string)
}

// The steps of a search in numbers. One in full takes 22 s before the windows.
const (
	probeRequests = 50
	probeTime     = time.Second
	climbStep     = 500 * time.Millisecond
	climbGrowth   = 1.6
	firstShare    = 0.3                   // of the rate that one request at a time would make
	aloneShare    = 1.0 / 12              // of the limit, to measure requests that do not wait
	floodShare    = 8.0 / 60              // of the limit, at 600 requests per second; more for slower services
	readTime      = 50 * time.Millisecond // of the windows
	quantiles     = 2000                  // kept of the response times of requests that do not wait
)

// search is a Search while it runs.
type search struct {
	Search
	o         Options
	begin     time.Time
	limits    []limit
	rehearsal rehearsal
	idle      float64 // requests under way at saturation when nobody waits

	seeker    *seeker
	generator *Generator
	ready     chan struct{} // the generator is set
	over      bool
	window    *hdrhistogram.Histogram
	point     capacity.Point
	bad       float64
	readings  float64
	points    []capacity.Point
	missed    float64 // requests that missed the objective or failed
	due       int64   // of all generators
	fault     string  // the generator was the limit
	hopeless  string  // why no rate can keep the objective, empty if one may
}

// ErrMissed says that even requests that do not wait for one another miss the
// objective of a search, so that no rate keeps it.
var ErrMissed = errors.New("the objective is missed at any rate")

// NothingSent is the error of a search in which no request could leave.
type NothingSent struct{ Cause error }

func (e *NothingSent) Error() string { return "nothing could be sent: " + e.Cause.Error() }

// Unwrap returns the cause.
func (e *NothingSent) Unwrap() error { return e.Cause }

// FindMax finds the highest rate that keeps the objective, until it is known
// or the limit is over. The options give target, pool and arrivals; Stages,
// Every and OnInterval are set by the search. Regular arrivals have another
// capacity than random ones.
//
// It climbs until the service falls behind, measures requests that do not wait
// and the throughput of a service that is always busy, expects from both where
// the objective ends, and then stays around there: see [seeker]. The curve is
// complete with [NothingSent] and [ErrMissed], too; with any other error the
// search did not take place.
func FindMax(ctx context.Context, o Options, s Search) (capacity.Curve, error) {
	if s.Limit <= 0 {
		s.Limit = time.Minute
	}
	run := &search{Search: s, o: o, begin: time.Now(), window: newHistogram()}
	for _, t := range s.Objective.Terms {
		switch {
		case t.Quantile < 1:
			run.limits = append(run.limits, limit{1 - t.Quantile, t.Bound})
		case t.Metric == "errors":
			run.limits = append(run.limits, limit{t.Bound, 0})
		}
	}
	// A term on the response time comes first: it is the one that always binds.
	slices.SortStableFunc(run.limits, func(a, b limit) int { return cmp.Compare(b.bound, a.bound) })
	service, err := run.probe(ctx)
	if err == nil && ctx.Err() == nil {
		err = run.search(ctx, service)
	}
	if err != nil && run.hopeless == "" {
		return capacity.Curve{}, err
	}
	return run.curve(ctx.Err() != nil), err
}

// search does what comes after the probe, in which a request took service
// seconds.
func (s *search) search(ctx context.Context, service float64) error {
	if err := s.climb(ctx, max(10, firstShare/service)); err != nil {
		return err
	}
	s.idle = max(1, s.rehearsal.saturation*service)
	s.say("climbed to %.0f/s; a request alone takes %.3g ms", s.rehearsal.saturation, 1e3*service)
	if s.fault != "" || ctx.Err() != nil {
		return nil
	}
	if err := s.rehearse(ctx); err != nil || s.fault != "" || ctx.Err() != nil {
		return err
	}
	if !s.possible() {
		s.hopeless = fmt.Sprintf("requests that do not wait for one another miss %s already, so no rate keeps it", s.Objective)
		return ErrMissed
	}
	return s.stay(ctx)
}

func (s *search) say(format string, args ...any) {
	if s.OnStep != nil {
		s.OnStep(time.Since(s.begin), fmt.Sprintf(format, args...))
	}
}

// rest is the time left, short of what the end of a run takes.
func (s *search) rest() time.Duration {
	return s.Limit - time.Since(s.begin) - min(2500*time.Millisecond, s.Limit/10)
}

// closed runs a closed loop on so many connections and calls each with its intervals.
func (s *search) closed(ctx context.Context, connections int, d, every time.Duration, each func(Interval)) (*Result, error) {
	o := s.o
	o.Stages, o.Connections, o.MaxConnections, o.Workers, o.Streams = nil, connections, connections, 1, 1
	o.Requests, o.Duration, o.Warmup, o.Every, o.OnInterval = 0, d, 0, every, each
	g, err := Start(ctx, o)
	if err != nil {
		return nil, err
	}
	r := g.Wait()
	s.count(r)
	return r, nil
}

// count adds the requests of a generator that has ended.
func (s *search) count(r *Result) {
	s.due += r.Due()
	s.missed += float64(r.Due()) * r.ErrorRatio()
	if bound := s.limits[0].bound; bound > 0 {
		s.missed += slower(r.Response(), bound)
	}
}

// probe measures roughly what a request takes when it is alone.
func (s *search) probe(ctx context.Context) (seconds float64, err error) {
	o := s.o
	o.Stages, o.Connections, o.MaxConnections, o.Workers = nil, 1, 1, 1
	o.Requests, o.Duration, o.Warmup, o.OnInterval, o.Streams = probeRequests, probeTime, 0, nil, 1
	g, err := Start(ctx, o)
	if IsDNS(err) && ctx.Err() == nil {
		s.due = o.Requests
		return 0, s.unsent(err)
	}
	if err != nil {
		return 0, err
	}
	r := g.Wait()
	s.count(r)
	switch {
	case r.Answers() > 0:
		return r.Service().Mean() / 1e9, nil
	case ctx.Err() != nil:
		return 0, nil
	case r.Sent() == 0:
		return 0, s.unsent(r.LastError)
	}
	s.hopeless = fmt.Sprintf("none of the first %d requests was answered within %s (%s)", r.Due(), s.o.Timeout, r.failures())
	return 0, ErrMissed
}

// unsent ends a search in which no request could leave because of err.
func (s *search) unsent(err error) error {
	s.missed = float64(s.due)
	unsent := &NothingSent{err}
	s.hopeless = unsent.Error()
	return unsent
}

// climb raises the rate step by step until the service falls behind or misses
// the objective; the highest throughput is a first idea of its saturation.
func (s *search) climb(ctx context.Context, rate float64) error {
	term, _ := s.Objective.Latency()
	best := 0.0
	var g *Generator
	ready := make(chan struct{})
	o := s.o
	if s.MaxRate > 0 {
		rate = min(rate, s.MaxRate)
	}
	o.Stages, o.Requests, o.Every = Constant(rate, s.Limit/4), 0, climbStep
	if o.MaxConnections == 0 {
		o.MaxConnections = max(1024, 4*o.Connections)
	}
	o.OnInterval = func(i Interval) {
		<-ready
		good := i.Throughput - float64(i.Bad)/i.Length.Seconds()
		best = max(best, good)
		behind := i.Throughput < 0.8*rate && i.Throughput*climbStep.Seconds() > 20
		slow := i.P50 > 2*term.Bound
		refused := float64(i.Bad+i.Failed) > 10+0.05*i.Throughput*climbStep.Seconds()
		if behind || slow || refused || s.MaxRate > 0 && rate >= s.MaxRate {
			g.Stop()
			return
		}
		rate *= climbGrowth
		if s.MaxRate > 0 {
			rate = min(rate, s.MaxRate)
		}
		g.SetRate(rate)
	}
	g, err := Start(ctx, o)
	if err != nil {
		return err
	}
	close(ready)
	r := g.Wait()
	s.count(r)
	s.rehearsal.saturation = best
	s.fault = r.atLimit()
	return nil
}

// capped says that the highest rate allowed is all that can be learnt about.
func (s *search) capped() bool { return s.MaxRate > 0 && s.rehearsal.saturation > 0.85*s.MaxRate }

// rehearse measures requests that do not wait, with few of them at a time, and
// the throughput of a service in which all that works is busy.
func (s *search) rehearse(ctx context.Context) error {
	if s.capped() {
		return nil // a closed loop might go beyond
	}
	limits := float64(s.Limit)
	few := max(1, int(s.idle/4))
	alone := newHistogram()
	last := newHistogram()
	answers := 0.0
	paused := false
	every := min(max(readTime, time.Duration(16*float64(time.Second)*s.idle/s.rehearsal.saturation/float64(few))), time.Second)
	r, err := s.closed(ctx, few, time.Duration(aloneShare*limits), every, func(i Interval) {
		// What the machine did while it paused is no service time; the requests
		// that were caught are answered in the interval after it.
		n := float64(i.Response.TotalCount())
		still := n < 0.2*answers && answers >= 5
		if !still && !paused {
			alone.Merge(last)
			last.Reset()
			last.Merge(i.Response)
			answers = max(n, 0.8*answers)
		} else {
			last.Reset()
		}
		paused = still
	})
	if err != nil {
		return err
	}
	alone.Merge(last)
	if alone.TotalCount() == 0 {
		alone = r.Service()
	}
	s.rehearsal.poisson = s.o.Poisson
	s.rehearsal.alone = equalSteps(alone, quantiles)
	s.rehearsal.samples = float64(alone.TotalCount())
	s.idle = max(1, s.rehearsal.saturation*alone.Mean()/1e9)

	slower := min(max(math.Sqrt(600/s.rehearsal.saturation), 0.8), 1.7)
	var rates []float64
	connections := min(int(2*s.idle)+4, s.mostConnections())
	r, err = s.closed(ctx, connections, time.Duration(slower*floodShare*limits), max(100*time.Millisecond, every), func(i Interval) {
		rates = append(rates, i.Throughput-float64(i.Bad)/i.Length.Seconds())
	})
	if err != nil {
		return err
	}
	s.rehearsal.saturate(rates, max(100*time.Millisecond, every).Seconds())
	s.idle = max(1, s.rehearsal.saturation*alone.Mean()/1e9)
	s.fault = r.atLimit()
	s.say("%.0f requests alone took %.3g ms on average; all busy it answers %.0f/s", s.rehearsal.samples, alone.Mean()/1e6, s.rehearsal.saturation)
	return nil
}

// mostConnections is how many the machine and the user allow.
func (s *search) mostConnections() int {
	most := 4096
	if s.o.MaxConnections > 0 {
		most = max(s.o.Connections, s.o.MaxConnections)
	}
	if d := descriptors(); d > 0 {
		most = min(most, d-2*reserve)
	}
	return max(1, most)
}

// equalSteps returns n values at equal steps of probability, in seconds.
func equalSteps(h *hdrhistogram.Histogram, n int) []float64 {
	out := make([]float64, 0, n)
	total, seen := float64(h.TotalCount()), 0.0
	for _, b := range h.Distribution() {
		seen += float64(b.Count)
		for len(out) < n && (float64(len(out))+0.5)*total <= seen*float64(n) {
			out = append(out, float64(b.From+b.To)/2e9)
		}
	}
	return out
}

// possible says whether the objective is met at all.
func (s *search) possible() bool {
	for _, l := range s.limits {
		slow := 0
		for _, v := range s.rehearsal.alone {
			if l.bound > 0 && v > l.bound {
				slow++
			}
		}
		// A busy machine delays a few; whether these are the service's own, the
		// windows will tell.
		if float64(slow) > max(0.1, 2*l.share)*float64(len(s.rehearsal.alone)) {
			return false
		}
	}
	return true
}

// stay drives the windows of the seeker.
func (s *search) stay(ctx context.Context) error {
	ceiling := math.Inf(1)
	if s.MaxRate > 0 {
		ceiling = s.MaxRate
	}
	expected := seekEstimate{at: math.Log(1.3 * s.rehearsal.saturation), deviation: 0.2, slope: 25}
	if !s.capped() {
		expected = s.rehearsal.expect(s.limits[0])
		s.say("a queue like that keeps %s up to %.0f/s", s.Objective, math.Exp(expected.at))
	}
	s.seeker = newSeeker(s.limits, expected, max(s.rehearsal.saturation, math.Exp(expected.at)), s.idle, ceiling)
	s.ready = make(chan struct{})
	o := s.o
	rest := s.rest()
	o.Stages, o.Requests, o.Every, o.OnInterval = Constant(s.seeker.rate, rest), 0, readTime, s.read
	// Twice as many connections as the service has workers keep all of them busy
	// while requests wait. What waits beyond waits here, as long as it would
	// there: a service with a thread for each connection slows down under many.
	o.Connections = min(max(o.Connections, int(2*s.idle)), s.mostConnections())
	if o.MaxConnections == 0 {
		o.MaxConnections = min(4*o.Connections, s.mostConnections())
	}
	var err error
	if s.generator, err = Start(ctx, o); err != nil {
		return err
	}
	close(s.ready)
	limit := time.AfterFunc(rest, s.generator.Stop) // what still waits then is not waited for
	defer limit.Stop()
	r := s.generator.Wait()
	s.count(r)
	if s.fault == "" {
		s.fault = r.diagnoseSearch(s.seeker.bound())
	}
	return nil
}

// read takes an interval of the generator.
func (s *search) read(i Interval) {
	<-s.ready
	if s.over {
		return
	}
	x := s.reading(i)
	s.gather(i, x)
	before := s.seeker.rate
	if s.seeker.read(x) {
		s.close()
		b := s.seeker.best
		s.say("%s; the objective ends at %.0f/s ± %.1f %%", pointText(s.points[len(s.points)-1]), math.Exp(b.at), 196*b.deviation)
	}
	if s.seeker.phase != seekMeasuring || s.seeker.now.seconds == 0 {
		s.readings, s.bad, s.point = 0, 0, capacity.Point{}
		s.window.Reset()
	}
	if s.seeker.done() {
		s.over = true
		s.generator.Stop()
		return
	}
	if s.seeker.rate != before {
		s.generator.SetRate(s.seeker.rate)
	}
}

func pointText(p capacity.Point) string {
	if p.P99 == nil {
		return fmt.Sprintf("%.0f/s", p.Offered)
	}
	return fmt.Sprintf("%.0f/s: p99 %.3g ms", p.Offered, 1e3**p.P99)
}

// reading counts what missed the terms of the objective. A request that failed
// or was refused misses every one of them.
func (s *search) reading(i Interval) reading {
	seconds := i.Length.Seconds()
	failed := float64(i.Failed)
	r := reading{
		seconds: seconds, replied: math.Round(i.Throughput * seconds), missed: make([]float64, len(s.limits)),
		open: float64(i.InFlight) + i.Waiting,
		late: i.LagP99 > max(0.005, 0.25*s.seeker.bound()),
	}
	r.ended = r.replied + failed
	for k, l := range s.limits {
		r.missed[k] = failed + float64(i.Bad)
		if l.bound > 0 && i.Max > l.bound {
			r.missed[k] = min(r.ended, r.missed[k]+slower(i.Response, l.bound))
		}
	}
	return r
}

// slower is how many values of a histogram of nanoseconds are above a bound in
// seconds.
func slower(h *hdrhistogram.Histogram, bound float64) float64 {
	n := int64(0)
	for _, b := range h.Distribution() {
		if b.Count > 0 && float64(b.To)/1e9 > bound {
			n += b.Count
		}
	}
	return float64(n)
}

// gather adds an interval to the point of the curve.
func (s *search) gather(i Interval, r reading) {
	s.readings++
	s.window.Merge(i.Response)
	s.point.Seconds += r.seconds
	s.point.Offered += i.Offered * r.seconds
	s.point.Throughput += r.replied
	s.bad += float64(i.Bad + i.Failed)
	backlog := max(0, r.open-s.idle)
	if s.point.Backlog == nil {
		s.point.Backlog = new(float64)
	}
	*s.point.Backlog += (backlog - *s.point.Backlog) / s.readings
}

// close completes a point of the curve.
func (s *search) close() {
	p := s.point
	errors := s.bad / max(1, p.Offered)
	p.Offered /= p.Seconds
	p.Throughput /= p.Seconds
	p.P50, p.P99 = known(quantile(s.window, 50)), known(quantile(s.window, 99))
	p.ErrorRatio = &errors
	s.points = append(s.points, p)
}

// maxWidth is the widest interval, over the capacity, that still is an answer.
const maxWidth = 0.25

// leastWindows is how many an answer needs.
const leastWindows = 6

// curve is the document of the search.
func (s *search) curve(interrupted bool) capacity.Curve {
	c := capacity.Curve{
		Mode: "load", SLO: s.Objective.String(), Points: s.points,
		Model: capacity.Model{Kind: "none", Parameters: map[string]float64{}},
		Test:  capacity.Test{Seconds: time.Since(s.begin).Seconds(), Requests: s.due},
	}
	if c.Points == nil {
		c.Points = []capacity.Point{}
	}
	term, _ := s.Objective.Latency()
	held := 0.0
	for _, p := range c.Points {
		c.Test.PeakPerSecond = max(c.Test.PeakPerSecond, p.Offered)
		if p.P99 != nil && term.Met(*p.P99) && *p.ErrorRatio <= s.Objective.ErrorRatio() {
			held = max(held, p.Throughput)
		}
	}
	if s.due > 0 {
		c.Test.ViolationRatio = min(1, s.missed/float64(s.due))
	}
	slices.SortStableFunc(c.Points, func(a, b capacity.Point) int { return cmp.Compare(a.Offered, b.Offered) })
	c.Capacity.LimitedBy = "unknown"
	c.Capacity.Low = &held
	windows, b := 0, seekEstimate{}
	if s.seeker != nil {
		windows, b = len(s.seeker.stays), s.seeker.best
		c.Model = capacity.Model{Kind: "logit", Parameters: map[string]float64{
			"saturation_per_second": s.rehearsal.saturation, "service_seconds": s.idle / s.rehearsal.saturation, "slope_ratio": b.slope,
		}}
	}
	at, reach := math.Exp(b.at), math.Exp(1.96*math.Hypot(b.deviation, seekModel))
	switch {
	case interrupted:
		c.Verdict, c.Reason = capacity.VerdictInterrupted, "ended by the user"
	case s.fault != "":
		c.Verdict, c.Reason = capacity.VerdictClientLimited, s.fault
	case s.hopeless != "":
		c.Verdict, c.Reason = capacity.VerdictNoKnee, s.hopeless
	case s.MaxRate > 0 && at > 0.98*s.MaxRate:
		c.Verdict, c.Reason = capacity.VerdictNoKnee, fmt.Sprintf("%s holds at the highest rate allowed, %.0f/s", c.SLO, s.MaxRate)
	case windows < leastWindows || reach-1/reach > maxWidth:
		c.Verdict, c.Reason = capacity.VerdictNoKnee, fmt.Sprintf("after %d windows the answer lies between %.0f and %.0f/s; search for longer or on a calmer machine", windows, at/reach, at*reach)
	default:
		c.Verdict, c.Reason = capacity.VerdictOK, fmt.Sprintf("%d windows on both sides of it agree", windows)
		low, high := at/reach, at*reach
		c.Capacity.Found, c.Capacity.PerSecond, c.Capacity.Low, c.Capacity.High = true, &at, &low, &high
		if at < 0.75*s.rehearsal.saturation && !s.capped() {
			c.Capacity.LimitedBy = "objective"
		}
	}
	return c
}

// maxSearchLag is the share of the bound of the objective that the generator's
// own lateness may reach at its 90 % quantile. A search judges windows against
// the bound, so lateness that is small beside the bound does not bend it.
const maxSearchLag = 0.1

// diagnoseSearch is diagnose for a run that goes to the limit of the server on
// purpose: that requests wait for a connection there is no fault of ours.
func (r *Result) diagnoseSearch(bound float64) string {
	if lag := quantile(r.total.lag, 90); lag > maxSearchLag*bound {
		return fmt.Sprintf("requests left late: the p90 of the send lag is %.3g ms, the objective bounds %.3g ms", 1e3*lag, 1e3*bound)
	}
	return r.atLimit()
}
