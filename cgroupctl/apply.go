package cgroupctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// ApplyOptions say what to do about limits below use. The zero value refuses
// them.
type ApplyOptions struct {
	Force   bool          // write them anyway: EBUSY on v1, the kernel may kill on v2
	Reclaim time.Duration // press memory out first, for at most this long
}

// lockWait is how long a run waits for another one: an apply of 100 slices takes
// 50 ms, so a lock held for longer is not an apply that will soon be over.
const lockWait = 5 * time.Second

// lock keeps other runs away. The folder above is held as well, so that the
// parent's making and removal cannot cross another run's.
func (t *Tree) lock() (unlock func(), err error) {
	h := t.host.Hierarchies[0]
	above, err := t.host.FS.Lock(h.Path, lockWait)
	if err != nil {
		return nil, t.denied("wait for another run", h.Path, err)
	}
	own, err := t.host.FS.Lock(t.folder(h, ""), lockWait)
	if errors.Is(err, fs.ErrNotExist) {
		return above, nil
	}
	if err != nil {
		above()
		return nil, t.denied("wait for another run", t.folder(h, ""), err)
	}
	return func() { own(); above() }, nil
}

// Apply makes the machine what the file says, by the changes that Plan returns
// and no others, each read back. It returns the plan as far as it was carried
// out. A run that dies anywhere leaves what the next one completes.
func (t *Tree) Apply(ctx context.Context, o ApplyOptions) (*Plan, error) {
	unlock, err := t.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	plan, err := t.Plan()
	if err != nil {
		return nil, err
	}
	if len(plan.BelowUse) > 0 && !o.Force {
		b := plan.BelowUse[0]
		if o.Reclaim == 0 {
			return nil, refuse("%s uses %d MiB, more than the limit of %d MiB; nothing was written", b.Path, b.UsageBytes>>20, b.LimitBytes>>20).
				hint("--reclaim=10s presses memory out first; --force may kill on cgroup v2")
		}
		for _, b := range plan.BelowUse {
			if err := t.reclaim(ctx, b, o.Reclaim); err != nil {
				return nil, err
			}
		}
	}
	done := &Plan{Changes: []Change{}, Warnings: plan.Warnings, BelowUse: plan.BelowUse}
	for _, c := range plan.Changes {
		if err := ctx.Err(); err != nil {
			return done, err
		}
		switch skipped, err := t.carryOut(c); {
		case err != nil:
			e := t.denied(fmt.Sprintf("%s %s", c.Op, c.Path), c.Path, err)
			if e.Hint == "" {
				e = e.hint("%d of %d changes were made; wxops slice apply -f FILE makes the rest once the cause is gone", len(done.Changes), len(plan.Changes))
			}
			return done, e
		case skipped:
			done.Warnings = append(done.Warnings, fmt.Sprintf("%s: this kernel has no such file; left out", c.Path))
		default:
			done.Changes = append(done.Changes, c)
		}
	}
	return done, nil
}

// carryOut performs one change and reads it back, because the kernel clamps
// some values without a word. skipped means that the kernel lacks the file.
func (t *Tree) carryOut(c Change) (skipped bool, err error) {
	f := t.host.FS
	switch c.Op {
	case OpMkdir:
		return false, f.Mkdir(c.Path)
	case OpMark:
		return false, f.SetAttr(c.Path, c.Attr, c.New)
	case OpUnmark:
		return false, f.RemoveAttr(c.Path, c.Attr)
	case OpStart:
		return false, t.host.units.Slice(path.Base(c.Path), c.New)
	case OpSet:
		if c.Attr == descriptionProperty {
			return false, t.host.units.Set(path.Base(c.Path), []property{{descriptionProperty, c.New}})
		}
	}
	err = t.write(c.Path, c.New)
	if err != nil {
		if c.optional && errors.Is(err, fs.ErrNotExist) {
			return true, nil
		}
		return false, fmt.Errorf("write %q: %w", c.New, err)
	}
	got, err := read(f, c.Path)
	if err != nil {
		skipped = c.Op == OpSet && c.optional && errors.Is(err, fs.ErrNotExist)
		if skipped {
			err = nil // systemd knows the property, this kernel not the file
		}
		return skipped, err
	}
	file := path.Base(c.Path)
	if file == "cgroup.subtree_control" {
		for _, w := range strings.Fields(c.New) {
			if !slices.Contains(strings.Fields(got), strings.TrimPrefix(w, "+")) {
				return false, fmt.Errorf("wrote %q, reads %q", c.New, got)
			}
		}
		return false, nil
	}
	if !same(file, got, c.New) {
		return false, fmt.Errorf("wrote %q, reads %q", c.New, got)
	}
	return false, nil
}

// reclaim presses memory out of a group until it is below the limit.
func (t *Tree) reclaim(ctx context.Context, b BelowUse, wait time.Duration) error {
	memory, _ := t.host.hierarchy("memory")
	f := t.host.FS
	deadline := t.now().Add(wait)
	for {
		used, err := memoryUsed(f, memory, b.Path)
		if err != nil {
			return t.denied("read the memory use of "+b.Path, b.Path, err)
		}
		if used <= b.LimitBytes {
			return nil
		}
		if t.now().After(deadline) {
			return refuse("%s still uses %d MiB after %s of reclaim, more than the limit of %d MiB; no limit was written", b.Path, used>>20, wait, b.LimitBytes>>20).
				hint("make the service smaller, or the shape larger")
		}
		if memory.Version == 2 {
			// In steps, so that the group is not held in one long reclaim. It fails
			// with EAGAIN when less could be freed: then the next round tries again.
			step := min(used-b.LimitBytes, 64<<20)
			if err := f.WriteFile(path.Join(b.Path, "memory.reclaim"), itoa(step)); errors.Is(err, fs.ErrNotExist) {
				return refuse("this kernel has no memory.reclaim").hint("it came with Linux 5.19; stop the service, or use --force")
			}
		} else if err := f.WriteFile(path.Join(b.Path, "memory.limit_in_bytes"), itoa(b.LimitBytes)); err == nil {
			return nil // v1 reclaims by itself, and fails rather than kills
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
