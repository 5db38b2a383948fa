package naming

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Report says what a restore did to each weight of a journal.
type Report struct {
	Registry string   `json:"registry"`
	Service  string   `json:"service"`
	Restored []Change `json:"restored"`     // written back by this restore
	Already  []string `json:"already_base"` // instances whose weight was its base
	Left     []Left   `json:"left_alone"`   // not ours to change
}

// Clean reports whether every weight is at its base.
func (r Report) Clean() bool { return len(r.Left) == 0 }

// A Left is a weight that a restore did not touch, and why.
type Left struct {
	Instance string `json:"instance"`
	Base     Weight `json:"base"`
	Found    Weight `json:"found"`
	Reason   string `json:"reason"`
}

// callTimeout bounds one call to a registry during writes and restores: a
// thousand times what a local one needs, and shorter than a lease.
const callTimeout = time.Second

// Pauses between two attempts to reach a registry that is gone: a fiftieth of
// the time for which it has been gone, so that a restore comes at most 2 % of an
// outage after its end, and a long outage costs four attempts a second.
const (
	firstPause   = 5 * time.Millisecond
	longestPause = 250 * time.Millisecond
)

func pauseAfter(gone time.Duration) time.Duration {
	return max(firstPause, min(gone/50, longestPause))
}

// restore brings every weight of j back to its base, and tries again until ctx
// ends while the registry cannot be reached. A weight that is neither the base
// nor one of ours is left alone, as is an instance that is no longer listed. One
// that we had written over is ours again if the registry has restarted: it came
// with a saved state.
// It returns nil only after a list in which nothing was left to do.
//
// The weights in force are nearly always those written last, so those are
// written back first, by compare-and-swap and without a list: when a test has
// died, every exchange with the registry is one more wait for a busy machine.
func restore(ctx context.Context, reg Registry, j *journal, log *runLog) (Report, error) {
	var presumed []Change
	for _, w := range j.Weights {
		if last(w) != w.Base {
			presumed = append(presumed, Change{w.Instance, last(w), w.Base})
		}
	}
	return restoreListed(ctx, reg, j, log, writeBack(ctx, reg, j, presumed, log))
}

// restoreListed is restore by what the registry lists. restored are the changes
// made already.
func restoreListed(ctx context.Context, reg Registry, j *journal, log *runLog, restored []Change) (Report, error) {
	rep := Report{Registry: j.Registry, Service: j.Service}
	for begun := time.Now(); ; {
		todo, err := outstanding(ctx, reg, j, &rep)
		if err == nil && len(todo) == 0 {
			for _, c := range restored {
				rep.Already = slices.DeleteFunc(rep.Already, func(name string) bool { return name == c.Instance })
			}
			rep.Restored = restored
			return rep, nil
		}
		if err == nil {
			if done := writeBack(ctx, reg, j, todo, log); len(done) > 0 {
				restored = append(restored, done...)
				continue // look again at once
			}
		}
		select {
		case <-ctx.Done():
			if err == nil {
				err = ctx.Err()
			}
			return rep, fmt.Errorf("restore %s: %w", j.Service, err)
		case <-time.After(pauseAfter(time.Since(begun))):
		}
	}
}

// outstanding sorts the instances of j into rep.Already, rep.Left and the
// changes still to be made, which it returns.
func outstanding(ctx context.Context, reg Registry, j *journal, rep *Report) (todo []Change, err error) {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	all, err := reg.List(call)
	if err != nil {
		return nil, err
	}
	now, _, err := Find(all, j.Service, "")
	if err != nil {
		now = nil // the service is gone, so are its instances
	}
	rep.Already, rep.Left = []string{}, []Left{}
	for _, w := range j.Weights {
		at := slices.IndexFunc(now, func(in Instance) bool { return in.Name == w.Instance })
		if at < 0 {
			rep.Left = append(rep.Left, Left{w.Instance, w.Base, 0, "no longer in the registry"})
			continue
		}
		found := now[at].Weight
		ours := slices.Contains(w.Ours, found)
		if !ours && slices.Contains(w.Earlier, found) {
			if ours, err = j.restarted(call, reg); err != nil {
				return nil, err
			}
		}
		switch {
		case found == w.Base:
			rep.Already = append(rep.Already, w.Instance)
		case ours:
			todo = append(todo, Change{w.Instance, found, w.Base})
		default:
			rep.Left = append(rep.Left, Left{w.Instance, w.Base, found, fmt.Sprintf("changed by somebody else: the last weight written here was %d", last(w))})
		}
	}
	return todo, nil
}

func last(w journalWeight) Weight {
	if len(w.Ours) == 0 {
		return w.Base
	}
	return w.Ours[len(w.Ours)-1]
}

// writeBack makes the changes and returns those made: all or none. The order is
// that of one round of [Ladder], so that on the way back the tested instance is
// not overloaded either. There are no rounds in between: their weights would
// have to be journaled first, and a restore waits for no disk.
func writeBack(ctx context.Context, reg Registry, j *journal, todo []Change, log *runLog) []Change {
	if len(todo) == 0 {
		return nil
	}
	names, tested := make([]string, len(todo)), -1
	from, to := make([]Weight, len(todo)), make([]Weight, len(todo))
	for k, c := range todo {
		names[k], from[k], to[k] = c.Instance, c.From, c.To
		if c.Instance == j.Instance {
			tested = k
		}
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	back, err := reg.SetWeights(call, j.Service, ordered(names, from, to, tested))
	_ = log.add("write", writeEvent{todo, back, "restore", errorText(err)}) // a full disk must not stop a restore
	if err != nil {
		return nil
	}
	return todo
}

// A Leftover is the outcome for one journal found by RestoreAll.
type Leftover struct {
	Journal string
	Report  Report
	Err     error // *BusyError: its test is still running; else why it could not be restored
}

// RestoreAll replays every journal below stateDir whose test is no longer
// running, and removes those that were replayed. It is idempotent. open gets
// the address that the journal names.
func RestoreAll(ctx context.Context, stateDir string, open Opener) ([]Leftover, error) {
	files, err := os.ReadDir(filepath.Join(stateDir, "shifts"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	var out []Leftover
	for _, f := range files {
		if strings.HasPrefix(f.Name(), ".") || !strings.HasSuffix(f.Name(), ".json") {
			continue
		}
		path := filepath.Join(stateDir, "shifts", f.Name())
		rep, err := RestoreFile(ctx, path, open)
		if errors.Is(err, fs.ErrNotExist) {
			if _, e := os.Stat(path); errors.Is(e, fs.ErrNotExist) {
				continue // restored by somebody else meanwhile
			}
		}
		out = append(out, Leftover{path, rep, err})
	}
	return out, nil
}

// RestoreFile replays one journal and removes it. The error is a *BusyError
// while the test that wrote it is running.
func RestoreFile(ctx context.Context, path string, open Opener) (Report, error) {
	j, err := readJournal(path)
	if err != nil {
		return Report{}, err
	}
	rep := Report{Registry: j.Registry, Service: j.Service}
	lock, err := lockService(ctx, lockPathOf(path), j.Service, time.Now())
	if err != nil {
		return rep, err
	}
	defer lock.release()
	if j, err = readJournal(path); err != nil { // it may have been restored while we waited
		return rep, err
	}
	reg, err := open(ctx, j.Registry)
	if err != nil {
		return rep, err
	}
	defer reg.Close()
	return replay(ctx, reg, j, lock.holder.Token)
}

// replay restores a journal whose owner is dead. The caller holds the lock.
func replay(ctx context.Context, reg Registry, j *journal, token uint64) (Report, error) {
	log, err := openRunLog(j.RunLog, token, "replay", time.Now)
	if err != nil {
		log = nil // the log is gone or the disk is full; the weights matter more
	}
	defer log.close()
	ctx, cancel := context.WithTimeout(ctx, replayLimit)
	defer cancel()
	rep, err := restore(ctx, reg, j, log)
	if err != nil {
		return rep, err
	}
	_ = log.add("restore", rep)
	return rep, j.remove()
}

// replayLimit is how long a replay waits for a registry that is down.
const replayLimit = 5 * time.Second
