package stress

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wxops/wxops/capacity"
)

func TestSampleComesBackExactlyFromTheRunLog(t *testing.T) {
	nan := math.NaN()
	s := Sample{
		End: 3*time.Second + 1, Window: time.Second, Age: 7, Frozen: 9, Offered: 1.0 / 3, Throughput: 1e-300, Mean: nan, P50: math.Copysign(0, -1),
		P99: math.Nextafter(0.05, 1), SlowRatio: nan, QueueWait: 0, Backlog: nan, InFlight: nan, CPU: 2.5, CPULimit: 4, ErrorRatio: 0, Rejects: nan,
		Share: 0.1, Total: 1e6, Buckets: []Bucket{{0.005, 3}, {math.Inf(1), 1}},
		Looks: Looks{{1, 20, 0.4, 13}, {2, 9, 0.18, 11}},
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "mean_seconds") || strings.Contains(string(b), "NaN") {
		t.Errorf("an unmeasured quantity is in %s", b)
	}
	var got Sample
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Looks, s.Looks) {
		t.Errorf("looks %v, want %v", got.Looks, s.Looks)
	}
	if !math.IsNaN(got.Mean) || !math.Signbit(got.P50) {
		t.Errorf("mean %v, p50 %v", got.Mean, got.P50)
	}
	again, err := json.Marshal(got)
	if err != nil || !bytes.Equal(b, again) {
		t.Errorf("got %s, want %s (%v)", again, b, err)
	}
}

func TestConfigComesBackFromTheRunLog(t *testing.T) {
	o, err := capacity.ParseObjective("p99.9<55ms,errors<0.1%")
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Objective: o, MaxRate: 2, MaxDuration: 3, ErrorBudget: 0.04, Window: 5, Lag: 6, Balance: BalanceTurn}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var got Config
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	got.Objective.Terms[1].Quantile, c.Objective.Terms[1].Quantile = 0, 0 // NaN of the error term
	if !reflect.DeepEqual(got, c) {
		t.Errorf("got %+v, want %+v", got, c)
	}
}

func TestReplayRefusesAChangedDecision(t *testing.T) {
	o, err := capacity.ParseObjective("p99<100ms")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	r := NewRecorder(Config{Objective: o}, &log)
	nan := math.NaN()
	for i := range 8 {
		s := Sample{
			End: time.Duration(i+1) * time.Second, Window: time.Second, Offered: 100, Throughput: 100, Mean: 0.01, P50: 0.007, P99: 0.046,
			SlowRatio: 0, QueueWait: nan, Backlog: 0, InFlight: nan, CPU: 1, CPULimit: 4, Share: nan, Total: nan, ErrorRatio: 0, Rejects: nan,
		}
		r.Step(s)
		r.Watch(s)
	}
	r.Command(CommandHold)
	log.WriteString(`{"kind":"note","text":"weight written"}` + "\n")
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	got, err := Replay(bytes.NewReader(log.Bytes()))
	if err != nil || got.Decisions != 9 || got.Other != 1 {
		t.Fatalf("replayed %+v, %v", got, err)
	}
	changed := strings.Replace(log.String(), `"target_per_second":1`, `"target_per_second":2`, 1)
	if changed == log.String() {
		t.Fatalf("no decision to change in %s", log.String())
	}
	if _, err := Replay(strings.NewReader(changed)); !errors.Is(err, ErrReplay) {
		t.Errorf("a changed decision gave %v", err)
	}
}
