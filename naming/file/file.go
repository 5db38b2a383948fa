// Package file is a registry in one YAML file, for fleets whose router reads a
// file, for tests and for the demo.
//
//	services:
//	  checkout:
//	    layer: logic
//	    instances:
//	      a: {address: 127.0.0.1:8001, weight: 100}
//	      b: {address: 127.0.0.1:8002, weight: 100, health: up}
//
// Unknown keys are refused. A change of weights replaces only the digits: order,
// layout and comments stay. Writers exclude each other by a lock on NAME.lock
// beside the file, and replace the file by rename, so that readers never see
// half of it. The format is described in docs/formats.md.
package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/wxops/wxops/naming"
)

// pollEvery is how often Watch looks at the file: ten times within the shortest
// window of a stress test, at the cost of one stat.
const pollEvery = 100 * time.Millisecond

// tolerate is how long Watch accepts that the file is unreadable, as it is
// while an editor saves it.
const tolerate = 5 * time.Second

// A Registry is a names file. It keeps nothing open.
type Registry struct{ path string }

var _ naming.Registry = (*Registry)(nil)

// ErrSyntax says that a file holds no names as docs/formats.md has them.
var ErrSyntax = errors.New("not a names file")

// Open returns the registry in the file at path after reading it once.
func Open(path string) (*Registry, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open names file: %w", err)
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real // one file, one lock, whatever it is called
	}
	r := &Registry{abs}
	if _, err := r.read(); err != nil {
		return nil, err
	}
	return r, nil
}

// Address returns "file:" and the absolute path.
func (r *Registry) Address() string { return "file:" + r.path }

// MaxWeight returns 65535.
func (r *Registry) MaxWeight() naming.Weight { return MaxWeight }

// Close does nothing.
func (r *Registry) Close() error { return nil }

func (r *Registry) read() (*names, error) {
	text, err := os.ReadFile(r.path)
	if err != nil {
		return nil, fmt.Errorf("read names file: %w", classify(err))
	}
	n, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("read names file %q: %w: %w", r.path, ErrSyntax, err)
	}
	return n, nil
}

func classify(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: %w", naming.ErrDenied, err)
	}
	return fmt.Errorf("%w: %w", naming.ErrUnreachable, err)
}

// List returns the instances in the order of the file, by service.
func (r *Registry) List(context.Context) ([]naming.Instance, error) {
	n, err := r.read()
	if err != nil {
		return nil, err
	}
	return n.instances, nil
}

// SetWeights replaces the file once for all changes, so readers see all or none.
func (r *Registry) SetWeights(ctx context.Context, service string, changes []naming.Change) (map[string]naming.Weight, error) {
	lock, err := naming.LockFile(ctx, r.path+".lock")
	if err != nil {
		return nil, fmt.Errorf("set weights: %w", classify(err))
	}
	defer lock.Unlock()
	if err := ctx.Err(); err != nil { // the last moment at which nothing is written
		return nil, fmt.Errorf("set weights: %w", err)
	}
	n, err := r.read()
	if err != nil {
		return nil, fmt.Errorf("set weights: %w", err)
	}
	of, _, err := naming.Find(n.instances, service, "")
	if err != nil {
		return nil, fmt.Errorf("set weights: %w", err)
	}
	if err := naming.CheckBefore(service, changes, weightsOf(of), MaxWeight); err != nil {
		return nil, fmt.Errorf("set weights: %w", err)
	}
	to := make(map[string]naming.Weight, len(changes))
	for _, c := range changes {
		to[service+"/"+c.Instance] = c.To
	}
	text, err := n.set(to)
	if err != nil {
		return nil, fmt.Errorf("set weights in %q: %w", r.path, err)
	}
	if !bytes.Equal(text, n.text) {
		err = r.replace(text, lock)
	} else {
		err = r.writable()
	}
	if err != nil {
		return nil, fmt.Errorf("set weights: %w", err)
	}
	if n, err = r.read(); err != nil {
		return nil, fmt.Errorf("read weights back: %w", err)
	}
	of, _, err = naming.Find(n.instances, service, "")
	if err != nil {
		return nil, fmt.Errorf("read weights back: %w", err)
	}
	back := weightsOf(of)
	for name := range back {
		if _, changed := to[service+"/"+name]; !changed {
			delete(back, name)
		}
	}
	return back, naming.CheckAfter(service, changes, back)
}

func (r *Registry) replace(text []byte, lock *naming.FileLock) error {
	info, err := os.Stat(r.path)
	if err == nil {
		err = naming.WriteDurable(r.path, text, info.Mode().Perm(), lock.Held)
	}
	if err != nil {
		return classify(err)
	}
	return nil
}

// writable proves without a change that the file can be replaced.
func (r *Registry) writable() error {
	f, err := os.CreateTemp(filepath.Dir(r.path), ".new-*")
	if err != nil {
		return classify(err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func weightsOf(of []naming.Instance) map[string]naming.Weight {
	out := make(map[string]naming.Weight, len(of))
	for _, in := range of {
		out[in.Name] = in.Weight
	}
	return out
}

// Watch looks at the file ten times a second, and reads it when it was replaced.
func (r *Registry) Watch(ctx context.Context, notify func([]naming.Instance)) error {
	var before os.FileInfo
	var known []naming.Instance
	list := func(context.Context) ([]naming.Instance, error) {
		info, err := os.Stat(r.path)
		if err != nil {
			return nil, classify(err)
		}
		if before != nil && os.SameFile(before, info) && info.ModTime().Equal(before.ModTime()) && info.Size() == before.Size() {
			return known, nil
		}
		n, err := r.read()
		if err != nil {
			return nil, err
		}
		before, known = info, n.instances
		return known, nil
	}
	return naming.Poll(ctx, pollEvery, tolerate, list, notify)
}

// Stats returns ErrNoStats.
func (r *Registry) Stats(context.Context, string) ([]naming.Stats, error) {
	return nil, naming.ErrNoStats
}
