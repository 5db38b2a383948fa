package stress

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"time"

	"github.com/wxops/wxops/capacity"
)

// runLogSchema names the format of a run log: JSON lines, the first a header
// with the Config, then one line per input of the controller with the decision
// it led to. Lines of other kinds (writes, notes) may stand between them.
const runLogSchema = "wxops/runlog/v1"

// The kinds of run-log lines that the controller owns.
const (
	kindHeader  = "header"
	kindStep    = "step"
	kindWatch   = "watch"
	kindCommand = "command"
)

// maxRunLogLine is the longest line of a run log in bytes.
const maxRunLogLine = 1 << 20

// ErrReplay is wrapped by the errors of Replay that say that a decision of the
// log is not the one the controller makes.
var ErrReplay = errors.New("the decision differs")

type runLogLine struct {
	Kind     string    `json:"kind"`
	Schema   string    `json:"schema,omitempty"`
	Config   *Config   `json:"config,omitempty"`
	Command  Command   `json:"command,omitempty"`
	Sample   *Sample   `json:"sample,omitempty"`
	Decision *Decision `json:"decision,omitempty"`
}

// A Recorder is a Controller that writes every input and decision to a run
// log. A write error changes no decision; Err returns the first one, and what is
// not recorded must not be done.
type Recorder struct {
	*Controller
	w   io.Writer
	err error
}

// NewRecorder returns a controller that records to w. Each line is written
// with one call of w.Write, so that lines of others may stand between them.
func NewRecorder(cfg Config, w io.Writer) *Recorder {
	r := &Recorder{Controller: NewController(cfg), w: w}
	r.write(runLogLine{Kind: kindHeader, Schema: runLogSchema, Config: &cfg})
	return r
}

// Err returns the first error of writing the log.
func (r *Recorder) Err() error { return r.err }

// Step is Controller.Step, recorded.
func (r *Recorder) Step(s Sample) Decision {
	d := r.Controller.Step(s)
	r.write(runLogLine{Kind: kindStep, Sample: &s, Decision: &d})
	return d
}

// Watch is Controller.Watch, recorded.
func (r *Recorder) Watch(s Sample) (Decision, bool) {
	d, act := r.Controller.Watch(s)
	line := runLogLine{Kind: kindWatch, Sample: &s}
	if act {
		line.Decision = &d
	}
	r.write(line)
	return d, act
}

// Command is Controller.Command, recorded.
func (r *Recorder) Command(cmd Command) Decision {
	d := r.Controller.Command(cmd)
	r.write(runLogLine{Kind: kindCommand, Command: cmd, Decision: &d})
	return d
}

func (r *Recorder) write(line runLogLine) {
	b, err := json.Marshal(line)
	if err == nil {
		_, err = r.w.Write(append(b, '\n'))
	}
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("record the decision: %w", err)
	}
}

// A Replayed says what a replay found.
type Replayed struct {
	Decisions int      // recomputed and equal
	Last      Decision // the last of them
	Other     int      // lines that are no input of the controller
}

// Replay reads a run log, gives each recorded sample to a new controller and
// compares each decision with the recorded one, bit for bit. An error that
// wraps ErrReplay names the first line that differs.
func Replay(r io.Reader) (Replayed, error) {
	var out Replayed
	var c *Controller
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 0, 1<<16), maxRunLogLine)
	for n := 1; in.Scan(); n++ {
		if len(bytes.TrimSpace(in.Bytes())) == 0 {
			continue
		}
		var line runLogLine
		if err := json.Unmarshal(in.Bytes(), &line); err != nil {
			return out, fmt.Errorf("run log line %d: %w", n, err)
		}
		if c == nil {
			if line.Kind != kindHeader {
				if line.Kind == kindStep || line.Kind == kindWatch || line.Kind == kindCommand {
					return out, fmt.Errorf("run log line %d: a %s before the header", n, line.Kind)
				}
				out.Other++ // of the weights, which are written to the same file
				continue
			}
			if line.Config == nil {
				return out, fmt.Errorf("run log line %d: the header has no configuration", n)
			}
			if line.Schema != runLogSchema {
				return out, fmt.Errorf("run log line %d: schema is %q, this wxops reads %q", n, line.Schema, runLogSchema)
			}
			if err := line.Config.Check(); err != nil {
				return out, fmt.Errorf("run log line %d: %w", n, err)
			}
			c = NewController(*line.Config)
			continue
		}
		d, act, err := replayLine(c, line)
		switch {
		case err != nil:
			return out, fmt.Errorf("run log line %d: %w", n, err)
		case !act && line.Decision == nil:
			if line.Kind != kindWatch {
				out.Other++
			}
			continue
		}
		got, err := json.Marshal(d)
		if err != nil {
			return out, fmt.Errorf("run log line %d: %w", n, err)
		}
		want := []byte("none")
		if line.Decision != nil {
			if want, err = json.Marshal(line.Decision); err != nil {
				return out, fmt.Errorf("run log line %d: %w", n, err)
			}
		}
		if !act {
			got = []byte("none")
		}
		if !bytes.Equal(got, want) {
			return out, fmt.Errorf("run log line %d: %w: recorded %s, recomputed %s", n, ErrReplay, want, got)
		}
		out.Decisions++
		out.Last = d
	}
	if err := in.Err(); err != nil {
		return out, fmt.Errorf("read run log: %w", err)
	}
	if c == nil {
		return out, errors.New("the run log has no header of a controller")
	}
	return out, nil
}

func replayLine(c *Controller, line runLogLine) (d Decision, act bool, err error) {
	switch line.Kind {
	case kindStep, kindWatch:
		if line.Sample == nil {
			return d, false, fmt.Errorf("a %s without a sample", line.Kind)
		}
		if line.Kind == kindStep {
			return c.Step(*line.Sample), true, nil
		}
		d, act = c.Watch(*line.Sample)
		return d, act, nil
	case kindCommand:
		return c.Command(line.Command), true, nil
	}
	line.Decision = nil
	return d, false, nil
}

// number is a float64 in JSON: NaN is null, infinities are the strings "+Inf"
// and "-Inf"; all other values come back exactly.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	switch f := float64(n); {
	case math.IsNaN(f):
		return []byte("null"), nil
	case math.IsInf(f, 1):
		return []byte(`"+Inf"`), nil
	case math.IsInf(f, -1):
		return []byte(`"-Inf"`), nil
	default:
		return json.Marshal(f)
	}
}

func (n *number) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case "null":
		*n = number(math.NaN())
	case `"+Inf"`:
		*n = number(math.Inf(1))
	case `"-Inf"`:
		*n = number(math.Inf(-1))
	default:
		var f float64
		if err := json.Unmarshal(b, &f); err != nil {
			return err
		}
		*n = number(f)
	}
	return nil
}

type sampleJSON struct {
	End        int64       `json:"end_nanoseconds"`
	Window     int64       `json:"window_nanoseconds"`
	Age        int64       `json:"age_nanoseconds,omitempty"`
	Frozen     int64       `json:"frozen_nanoseconds,omitempty"`
	Inferred   bool        `json:"inferred,omitempty"`
	Offered    *number     `json:"offered_per_second,omitempty"`
	Throughput *number     `json:"throughput_per_second,omitempty"`
	Mean       *number     `json:"mean_seconds,omitempty"`
	P50        *number     `json:"p50_seconds,omitempty"`
	P99        *number     `json:"p99_seconds,omitempty"`
	SlowRatio  *number     `json:"slow_ratio,omitempty"`
	QueueWait  *number     `json:"queue_wait_seconds,omitempty"`
	Backlog    *number     `json:"backlog,omitempty"`
	InFlight   *number     `json:"in_flight,omitempty"`
	CPU        *number     `json:"cpu_cores,omitempty"`
	CPULimit   *number     `json:"cpu_limit_cores,omitempty"`
	ErrorRatio *number     `json:"error_ratio,omitempty"`
	Rejects    *number     `json:"reject_ratio,omitempty"`
	Slots      float64     `json:"slots,omitempty"`
	Meant      *number     `json:"meant_per_second,omitempty"`
	Share      *number     `json:"share_ratio,omitempty"`
	Total      *number     `json:"total_per_second,omitempty"`
	Buckets    [][2]number `json:"buckets,omitempty"`
	Looks      [][4]number `json:"looks,omitempty"`
}

// MarshalJSON writes the sample for the run log: quantities that were not
// measured are left out, all others come back exactly.
func (s Sample) MarshalJSON() ([]byte, error) {
	j := sampleJSON{End: int64(s.End), Window: int64(s.Window), Age: int64(s.Age), Frozen: int64(s.Frozen), Inferred: s.Inferred, Slots: s.Slots}
	to := reflect.ValueOf(&j).Elem()
	from := reflect.ValueOf(s)
	for i := range to.NumField() {
		f := to.Field(i)
		if f.Type() != reflect.TypeFor[*number]() {
			continue
		}
		if v := from.FieldByName(to.Type().Field(i).Name).Float(); !math.IsNaN(v) {
			n := number(v)
			f.Set(reflect.ValueOf(&n))
		}
	}
	for _, b := range s.Buckets {
		j.Buckets = append(j.Buckets, [2]number{number(b.Bound), number(b.Count)})
	}
	for _, l := range s.Looks {
		j.Looks = append(j.Looks, [4]number{number(l.InFlight), number(l.Count), number(l.Seconds), number(l.Answered)})
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON wrote; a quantity that is left out is NaN.
func (s *Sample) UnmarshalJSON(b []byte) error {
	var j sampleJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*s = Sample{End: time.Duration(j.End), Window: time.Duration(j.Window), Age: time.Duration(j.Age), Frozen: time.Duration(j.Frozen), Inferred: j.Inferred, Slots: j.Slots}
	from := reflect.ValueOf(j)
	to := reflect.ValueOf(s).Elem()
	for i := range from.NumField() {
		n, ok := from.Field(i).Interface().(*number)
		if !ok {
			continue
		}
		v := math.NaN()
		if n != nil {
			v = float64(*n)
		}
		to.FieldByName(from.Type().Field(i).Name).SetFloat(v)
	}
	for _, p := range j.Buckets {
		s.Buckets = append(s.Buckets, Bucket{Bound: float64(p[0]), Count: float64(p[1])})
	}
	for _, l := range j.Looks {
		s.Looks = append(s.Looks, Look{InFlight: float64(l[0]), Count: float64(l[1]), Seconds: float64(l[2]), Answered: float64(l[3])})
	}
	return nil
}

type decisionJSON struct {
	At         int64            `json:"at_nanoseconds"`
	Phase      Phase            `json:"phase"`
	Target     number           `json:"target_per_second"`
	Reason     string           `json:"reason"`
	PerSecond  number           `json:"capacity_per_second"`
	Low        number           `json:"low_per_second"`
	High       number           `json:"high_per_second"`
	LimitedBy  string           `json:"limited_by"`
	CPUCeiling number           `json:"cpu_ceiling_ratio"`
	Model      capacity.Model   `json:"model"`
	Verdict    capacity.Verdict `json:"verdict,omitempty"`
}

// MarshalJSON writes the decision for the run log; every value comes back exactly.
func (d Decision) MarshalJSON() ([]byte, error) {
	e := d.Estimate
	return json.Marshal(decisionJSON{
		int64(d.At), d.Phase, number(d.Target), d.Reason, number(e.PerSecond),
		number(e.Low), number(e.High), e.LimitedBy, number(e.CPUCeiling), e.Model, d.Verdict,
	})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (d *Decision) UnmarshalJSON(b []byte) error {
	var j decisionJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*d = Decision{
		At: time.Duration(j.At), Phase: j.Phase, Target: float64(j.Target), Reason: j.Reason, Verdict: j.Verdict,
		Estimate: Estimate{
			PerSecond: float64(j.PerSecond), Low: float64(j.Low), High: float64(j.High),
			LimitedBy: j.LimitedBy, CPUCeiling: float64(j.CPUCeiling), Model: j.Model,
		},
	}
	return nil
}

type configJSON struct {
	Objective   string  `json:"objective"`
	MaxRate     float64 `json:"max_per_second,omitempty"`
	MaxDuration int64   `json:"max_nanoseconds,omitempty"`
	ErrorBudget float64 `json:"error_budget_ratio,omitempty"`
	Window      int64   `json:"window_nanoseconds,omitempty"`
	Lag         int64   `json:"lag_nanoseconds,omitempty"`
	Balance     Balance `json:"balance,omitempty"`
}

// MarshalJSON writes the configuration for the run log.
func (c Config) MarshalJSON() ([]byte, error) {
	return json.Marshal(configJSON{
		c.Objective.String(), c.MaxRate, int64(c.MaxDuration), c.ErrorBudget,
		int64(c.Window), int64(c.Lag), c.Balance,
	})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (c *Config) UnmarshalJSON(b []byte) error {
	var j configJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	o, err := capacity.ParseObjective(j.Objective)
	if err != nil {
		return err
	}
	*c = Config{
		o, j.MaxRate, time.Duration(j.MaxDuration), j.ErrorBudget,
		time.Duration(j.Window), time.Duration(j.Lag), j.Balance,
	}
	return nil
}
