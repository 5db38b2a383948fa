package naming

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// drainSchema names the format of a drain record; see docs/formats.md.
const drainSchema = "wxops/drain/v1"

// A drainRecord remembers the weights of drained instances, so that a drain can
// be undone days later. Unlike a journal it is not replayed by itself.
type drainRecord struct {
	Schema   string            `json:"schema"`
	Registry string            `json:"registry"`
	Service  string            `json:"service"`
	Base     map[string]Weight `json:"base"` // by instance
}

// SetWeight sets the weight of one instance for good, under the lock of its
// service and with an entry in a run log, and returns what was written. It
// refuses with a *BusyError while a test runs on the service.
func SetWeight(ctx context.Context, stateDir string, reg Registry, service, instance string, to Weight) (Change, error) {
	return setOne(ctx, stateDir, reg, service, instance, "weight", func(Instance, []Instance, *drainRecord) (Weight, error) { return to, nil })
}

// Drain takes an instance out by weight 0, which every registry has: it gets no
// new requests and finishes those it has. Its weight is remembered for Undrain.
// The last healthy instance with a weight is refused unless force is set.
func Drain(ctx context.Context, stateDir string, reg Registry, service, instance string, force bool) (Change, error) {
	return setOne(ctx, stateDir, reg, service, instance, "drain", func(in Instance, of []Instance, record *drainRecord) (Weight, error) {
		serves := func(p Instance) bool { return p.Name != in.Name && p.Weight > 0 && p.Health.OK() }
		if !force && !slices.ContainsFunc(of, serves) {
			return 0, fmt.Errorf("%s is the last healthy instance of %s that takes requests: %w", in.ID(), service, ErrUnsuitable)
		}
		if in.Weight > 0 {
			record.Base[in.Name] = in.Weight
		}
		return 0, nil
	})
}

// Undrain gives an instance the weight it had before Drain. It refuses where no
// drain was recorded, or where somebody has set a weight meanwhile.
func Undrain(ctx context.Context, stateDir string, reg Registry, service, instance string) (Change, error) {
	return setOne(ctx, stateDir, reg, service, instance, "undrain", func(in Instance, _ []Instance, record *drainRecord) (Weight, error) {
		base, ok := record.Base[in.Name]
		switch {
		case !ok:
			return 0, fmt.Errorf("no drain of %s is recorded in %q: %w", in.ID(), stateDir, ErrUnsuitable)
		case in.Weight != 0 && in.Weight != base:
			return 0, &ConflictError{Instance: in.ID(), Want: 0, Found: in.Weight}
		}
		delete(record.Base, in.Name)
		return base, nil
	})
}

// setOne makes one lasting write. choose may change the drain record, which is
// on disk before the weight is written.
func setOne(ctx context.Context, stateDir string, reg Registry, service, instance, event string, choose func(Instance, []Instance, *drainRecord) (Weight, error)) (Change, error) {
	wrap := func(err error) error { return fmt.Errorf("%s %s/%s: %w", event, service, instance, err) }
	stateDir, err := filepath.Abs(stateDir)
	if err != nil {
		return Change{}, wrap(err)
	}
	if _, _, err := find(ctx, reg, service, instance); err != nil { // before anything is written
		return Change{}, wrap(err)
	}
	key := stateKey(reg.Address(), service)
	lock, err := lockService(ctx, lockPath(stateDir, key), service, time.Now())
	if err != nil {
		return Change{}, wrap(err)
	}
	defer lock.release()
	if _, err := replayLeftover(ctx, reg, journalPath(stateDir, key), lock.holder.Token); err != nil {
		return Change{}, wrap(err)
	}
	of, i, err := find(ctx, reg, service, instance)
	if err != nil {
		return Change{}, wrap(err)
	}
	path := filepath.Join(stateDir, "drains", key+".json")
	record, err := readDrains(path, reg.Address(), service)
	if err != nil {
		return Change{}, wrap(err)
	}
	change := Change{Instance: instance, From: of[i].Weight}
	if change.To, err = choose(of[i], of, record); err != nil {
		return Change{}, wrap(err)
	}
	if change.To < 0 || change.To > reg.MaxWeight() {
		return Change{}, wrap(fmt.Errorf("weight %d is outside 0..%d", change.To, reg.MaxWeight()))
	}
	if event == "drain" { // remembered before the act
		if err := record.write(path); err != nil {
			return Change{}, wrap(err)
		}
	}
	log, err := openRunLog(runLogPath(stateDir, service, lock.holder.Token, time.Now()), lock.holder.Token, "owner", time.Now)
	if err != nil {
		return Change{}, wrap(err)
	}
	defer log.close()
	back, err := reg.SetWeights(ctx, service, []Change{change})
	if e := log.add("write", writeEvent{[]Change{change}, back, event, errorText(err)}); err == nil {
		err = e
	}
	if err == nil && event == "undrain" { // forgotten after the act
		err = record.write(path)
	}
	if err != nil {
		return Change{}, wrap(err)
	}
	return change, nil
}

func find(ctx context.Context, reg Registry, service, instance string) ([]Instance, int, error) {
	all, err := reg.List(ctx)
	if err != nil {
		return nil, -1, err
	}
	return Find(all, service, instance)
}

func readDrains(path, address, service string) (*drainRecord, error) {
	fresh := &drainRecord{Schema: drainSchema, Registry: address, Service: service, Base: map[string]Weight{}}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read drain record: %w", err)
	}
	r, err := parseDrains(b)
	if err != nil {
		return nil, fmt.Errorf("read drain record %q: %w", path, err)
	}
	return r, nil
}

func parseDrains(b []byte) (*drainRecord, error) {
	var r drainRecord
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, err
	}
	if r.Schema != drainSchema {
		return nil, fmt.Errorf("schema %q is not %q", r.Schema, drainSchema)
	}
	for name, w := range r.Base {
		if name == "" || w <= 0 {
			return nil, fmt.Errorf("instance %q had weight %d, which is no weight to go back to", name, w)
		}
	}
	if r.Base == nil {
		r.Base = map[string]Weight{}
	}
	return &r, nil
}

// write replaces the record; without instances it is removed.
func (r *drainRecord) write(path string) error {
	if len(r.Base) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove drain record: %w", err)
		}
		return nil
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = WriteDurable(path, append(b, '\n'), 0o600, nil)
	}
	if err != nil {
		return fmt.Errorf("write drain record: %w", err)
	}
	return nil
}
