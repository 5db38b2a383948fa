package stress

import (
	"time"

	"github.com/wxops/wxops/capacity"
)

// A Snapshot is all that a screen or a log line shows of a running test. It is
// a value: a reader may keep it, and reading it never slows the test.
type Snapshot struct {
	Instance  string // service/instance
	Objective capacity.Objective
	Elapsed   time.Duration
	Limit     time.Duration // --max-seconds
	Phase     Phase
	Holding   bool // the user asked to hold the rate

	Last    Sample   // latest window
	History []Sample // windows of the last 60 s, oldest first
	Points  []capacity.Point

	Decision  Decision
	Sentences []Sentence // latest decisions, oldest first, at most 20

	WeightBase, Weight       float64 // of the instance under test
	TargetRate, AchievedRate float64 // requests per second at the instance
	BacklogSlope             float64 // requests per second

	Guards  []GuardState
	Signals []SignalState

	Requests   int64   // of the instance since the first weight change
	Violations float64 // of these, those that missed the objective or failed

	RestorePoint string        // path of the journal
	Lease        time.Duration // time left until the watchdog restores by itself
	Verdict      capacity.Verdict
}

// A Sentence is one decision as a person reads it.
type Sentence struct {
	At   time.Duration
	Text string
}

// A GuardState is one guard against its limit.
type GuardState struct {
	Name         string  // "error budget"
	Value, Limit float64 // in Unit
	Unit         string  // "s", "req", "%", ...
	Fired        bool    // it acts; p99 above its limit for one window does not
}

// A SignalState is one source of samples.
type SignalState struct {
	Name  string // "metrics", "registry", "sockets", "process"
	Age   time.Duration
	Stale bool
	Fired bool // this signal's backlog is the one in force
}
