package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
	"github.com/wxops/wxops/naming"
)

// kindWeights is what names weight, drain and restore print.
var kindWeights = doc.Kind{Name: "weights", Version: 1, Title: "Weights that a command has set or put back", Data: weightsDocument{}}

// weightsDocument is the data of wxops/weights/v1.
type weightsDocument struct {
	Weights []weightRecord `json:"weights" doc:"one per instance, and one per service or journal that could not be looked at"`
}

type weightRecord struct {
	Registry string `json:"registry" doc:"canonical address of the registry; empty if a journal could not be read"`
	Service  string `json:"service"`
	Instance string `json:"instance" doc:"service/instance; empty if the record is about all of the service"`
	Outcome  string `json:"outcome" doc:"set, same, restored, at-base, left-alone, running or failed"`
	Before   *int   `json:"weight_before" doc:"weight found; null if none was read"`
	After    *int   `json:"weight_after" doc:"weight read back, or found where nothing was written; null if none was read"`
	Base     *int   `json:"weight_base" doc:"weight before the test that is undone; null without one"`
	Reason   string `json:"reason" doc:"why it was left alone or failed, else empty"`
}

// The outcomes of a weightRecord.
const (
	weightSet      = "set"        // written and read back
	weightSame     = "same"       // it was so already
	weightRestored = "restored"   // put back to its base
	weightAtBase   = "at-base"    // nothing was to be restored
	weightLeft     = "left-alone" // somebody else had changed it
	weightRunning  = "running"    // its test is still running
	weightFailed   = "failed"     // the journal or its registry could not be read
)

func toInt(w naming.Weight) *int { n := int(w); return &n }

// line says a record in words, "" for one that standard error has told of.
func (r weightRecord) line() string {
	switch r.Outcome {
	case weightSet:
		return fmt.Sprintf("%s: weight %d -> %d", r.Instance, *r.Before, *r.After)
	case weightSame:
		return fmt.Sprintf("%s: weight is %d already", r.Instance, *r.After)
	case weightRestored:
		return fmt.Sprintf("%s: weight %d -> %d, restored", r.Instance, *r.Before, *r.After)
	case weightAtBase:
		return fmt.Sprintf("%s: at its base weight", r.Instance)
	case weightLeft:
		return fmt.Sprintf("%s: weight %d left alone, its base was %d: %s", r.Instance, *r.After, *r.Base, r.Reason)
	case weightRunning:
		return fmt.Sprintf("%s: its test is running (%s), left alone", r.Service, r.Reason)
	}
	return ""
}

// printWeights prints records as lines or as one document.
func printWeights(s *cli.IO, output cli.Output, records []weightRecord) error {
	if output.Format == "table" {
		for _, r := range records {
			if line := r.line(); line != "" {
				if _, err := fmt.Fprintln(s.Out, line); err != nil {
					return err
				}
			}
		}
		return nil
	}
	document, err := doc.Marshal(kindWeights, toolVersion(), time.Now(), nil, nil, weightsDocument{Weights: records})
	if err != nil {
		return err
	}
	return output.Print(s.Out, document, nil)
}

// kindNamesEvent is a line of names watch.
var kindNamesEvent = doc.Kind{Name: "names-event", Version: 1, Title: "One change that names watch has seen", Data: nameEvent{}}

// nameEvent is the data of wxops/names-event/v1.
type nameEvent struct {
	Registry string     `json:"registry" doc:"canonical address of the registry"`
	Service  string     `json:"service"`
	Instance string     `json:"instance" doc:"service/instance"`
	Event    string     `json:"event" doc:"listed (as the watch began, or new), changed or gone"`
	Before   *nameState `json:"before" doc:"null unless it was listed before"`
	Now      *nameState `json:"now" doc:"null if it is no longer listed"`
}

type nameState struct {
	Weight  int    `json:"weight" doc:"relative share of requests"`
	Health  string `json:"health" doc:"no check, up, down, drain or maint"`
	Address string `json:"address" doc:"host:port, or the path of a socket"`
}

func stateOf(in naming.Instance) *nameState {
	return &nameState{Weight: int(in.Weight), Health: string(in.Health), Address: in.Address}
}

// The events of a nameEvent.
const (
	eventListed  = "listed"
	eventChanged = "changed"
	eventGone    = "gone"
)

// nameEvents returns what differs between known and all in weight, health or
// address, and brings known up to date. It looks at one service, or at all if
// service is empty.
func nameEvents(known map[string]naming.Instance, all []naming.Instance, service string) []nameEvent {
	var out []nameEvent
	listed := map[string]bool{}
	for _, in := range all {
		if service != "" && in.Service != service {
			continue
		}
		id := in.ID()
		listed[id] = true
		before, ok := known[id]
		known[id] = in
		e := nameEvent{Service: in.Service, Instance: id, Event: eventListed, Now: stateOf(in)}
		if ok {
			if e.Event, e.Before = eventChanged, stateOf(before); *e.Before == *e.Now {
				continue
			}
		}
		out = append(out, e)
	}
	for _, id := range slices.Sorted(maps.Keys(known)) {
		if !listed[id] {
			out = append(out, nameEvent{Service: known[id].Service, Instance: id, Event: eventGone, Before: stateOf(known[id])})
			delete(known, id)
		}
	}
	return out
}

// lines says an event in words.
func (e nameEvent) lines() (out []string) {
	switch e.Event {
	case eventListed:
		return []string{fmt.Sprintf("%s: weight %d, %s, at %s", e.Instance, e.Now.Weight, e.Now.Health, e.Now.Address)}
	case eventGone:
		return []string{e.Instance + ": no longer listed"}
	}
	if e.Before.Weight != e.Now.Weight {
		out = append(out, fmt.Sprintf("%s: weight %d -> %d", e.Instance, e.Before.Weight, e.Now.Weight))
	}
	if e.Before.Health != e.Now.Health {
		out = append(out, fmt.Sprintf("%s: %s -> %s", e.Instance, e.Before.Health, e.Now.Health))
	}
	if e.Before.Address != e.Now.Address {
		out = append(out, fmt.Sprintf("%s: at %s -> %s", e.Instance, e.Before.Address, e.Now.Address))
	}
	return out
}

// print writes an event as lines, or as a document on one line.
func (e nameEvent) print(s *cli.IO, output cli.Output, registry string) error {
	if output.Format == "table" {
		for _, line := range e.lines() {
			if _, err := fmt.Fprintln(s.Out, line); err != nil {
				return err
			}
		}
		return nil
	}
	e.Registry = registry
	document, err := doc.Marshal(kindNamesEvent, toolVersion(), time.Now(), nil, nil, e)
	if err != nil {
		return err
	}
	var line bytes.Buffer
	if err := json.Compact(&line, document); err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.Out, line.String())
	return err
}
