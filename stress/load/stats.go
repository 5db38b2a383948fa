package load

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The histograms count nanoseconds, as every HDR tool expects, from a
// resolution of half a microsecond up to an hour with three digits: 200 kB each.
const (
	lowestNanos  = 1000
	highestNanos = int64(time.Hour)
	digits       = 3
)

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(lowestNanos, highestNanos, digits)
}

// newTargetHistogram is coarser: there may be many targets. 20 kB.
func newTargetHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(lowestNanos, highestNanos, 2)
}

func record(h *hdrhistogram.Histogram, v int64) {
	// The only error is a value out of range, and it is cut to the range.
	_ = h.RecordValue(min(max(v, 0), highestNanos))
}

// maxTargetHistograms bounds the memory that percentiles by target take; the
// targets behind have counts only.
const maxTargetHistograms = 64

// A targetStats counts the answers and failures of one target.
type targetStats struct {
	answers, failed int64
	response        *hdrhistogram.Histogram // nil beyond maxTargetHistograms
}

// A block is what one worker measured in one interval. Workers fill one and
// hand it to the collector, so that nothing is shared while requests run.
type block struct {
	worker                 int
	seq                    int64 // number of the interval, from 0
	response, service, lag *hdrhistogram.Histogram
	status                 [1000]int64 // by code; of gRPC by its code 0..16
	failed                 [failures]int64
	due, sent              int64
	bytes                  int64
	inFlight, open         int   // at the end of the interval
	exhausted              int64 // nanoseconds in which due requests waited for a connection
	busy, runDelay         int64 // nanoseconds of CPU used, and of waiting for a CPU
	targets                []targetStats
}

func newBlock(targets int) *block {
	b := &block{response: newHistogram(), service: newHistogram(), lag: newHistogram()}
	if targets > 1 {
		b.targets = make([]targetStats, targets)
		for i := range min(targets, maxTargetHistograms) {
			b.targets[i].response = newTargetHistogram()
		}
	}
	return b
}

// add merges o into b. Histograms have one geometry, so nothing is dropped.
func (b *block) add(o *block) {
	b.response.Merge(o.response)
	b.service.Merge(o.service)
	b.lag.Merge(o.lag)
	for i, n := range o.status {
		b.status[i] += n
	}
	for i, n := range o.failed {
		b.failed[i] += n
	}
	b.due += o.due
	b.sent += o.sent
	b.bytes += o.bytes
	b.inFlight += o.inFlight
	b.open += o.open
	b.exhausted += o.exhausted
	b.busy += o.busy
	b.runDelay += o.runDelay
	for i := range o.targets {
		t, f := &b.targets[i], &o.targets[i]
		t.answers += f.answers
		t.failed += f.failed
		if t.response != nil {
			t.response.Merge(f.response)
		}
	}
}

func (b *block) reset() {
	resp, serv, lag, targets := b.response, b.service, b.lag, b.targets
	resp.Reset()
	serv.Reset()
	lag.Reset()
	for i := range targets {
		t := &targets[i]
		t.answers, t.failed = 0, 0
		if t.response != nil {
			t.response.Reset()
		}
	}
	*b = block{response: resp, service: serv, lag: lag, targets: targets}
}

// answers is how many requests were answered, whatever the status.
func (b *block) answers() int64 {
	var n int64
	for _, k := range b.status {
		n += k
	}
	return n
}

// errors is how many requests failed without an answer.
func (b *block) errors() int64 {
	var n int64
	for _, k := range b.failed {
		n += k
	}
	return n
}
