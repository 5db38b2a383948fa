package naming

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A FileLock is an advisory lock on a file that the kernel releases when its
// holder dies, and that is taken from a holder that is stopped: a process that
// got SIGSTOP between locking and unlocking must not keep its watchdog from
// restoring. A holder asks [FileLock.Held] just before it acts.
type FileLock struct {
	f    *os.File
	path string
}

var errLocked = errors.New("locked")

// A lock is taken from its holder after breakStopped if the process is seen to
// be stopped, and after breakSilent where no state can be seen. Both are long
// against the milliseconds that a lock is held, and fit into callTimeout.
const (
	breakStopped = 100 * time.Millisecond
	breakSilent  = 800 * time.Millisecond
)

// LockFile locks path, which is created if need be, and waits until ctx ends
// for another holder to release it.
func LockFile(ctx context.Context, path string) (*FileLock, error) {
	start := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock: %w", err)
		}
		err = tryLock(f)
		if err == nil {
			l := &FileLock{f, path}
			if l.Held() == nil {
				_, _ = f.WriteAt(fmt.Appendf(nil, "%-10d\n", os.Getpid()), 0) // for those who wait; a full disk is no reason to fail
				return l, nil
			}
			err = errLocked // the file was taken away between open and lock
		} else if errors.Is(err, errLocked) && deadHolder(f, time.Since(start)) && sameFile(f, path) {
			os.Remove(path)
			start = time.Now()
		}
		f.Close()
		if !errors.Is(err, errLocked) {
			return nil, fmt.Errorf("lock %q: %w", path, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("lock %q: held by another process: %w", path, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// deadHolder reports whether the holder of f, waited for this long, is one that
// will not go on by itself.
func deadHolder(f *os.File, waited time.Duration) bool {
	if waited < breakStopped {
		return false
	}
	b := make([]byte, 16)
	n, _ := f.ReadAt(b, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil {
		return waited > breakSilent
	}
	stopped, known := processStopped(pid)
	return stopped || !known && waited > breakSilent
}

func sameFile(f *os.File, path string) bool {
	ours, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(ours, there)
}

// Held returns an error when the lock was taken from this process, which must
// then not act.
func (l *FileLock) Held() error {
	if !sameFile(l.f, l.path) {
		return fmt.Errorf("lock %q: taken over, because this process was stopped", l.path)
	}
	return nil
}

// Unlock releases the lock.
func (l *FileLock) Unlock() error { return l.f.Close() }

// A serviceLock lets one weight change at a time happen to a service. It is
// shared with the watchdog, so it stays held while either of them lives, and
// the watchdog can release it for a holder that is stopped. Its file also
// carries the fencing token, which grows with every holder.
type serviceLock struct {
	f      *os.File
	holder holder
}

// A holder is what the lock file says about who has it.
type holder struct {
	Token   uint64    `json:"token"`
	PID     int       `json:"pid"`
	State   string    `json:"state"` // held, restoring or free
	Since   time.Time `json:"since"`
	Service string    `json:"service"`
}

const (
	stateHeld      = "held"
	stateRestoring = "restoring"
	stateFree      = "free"
)

// holderBytes is the fixed size of the lock file, so that one write replaces
// all of it and a reader never sees half of two.
const holderBytes = 512

// restoreWait is how long a new test waits for a watchdog that is just
// restoring after the death of its owner: its second of watching and a margin.
const restoreWait = 4 * time.Second

// A BusyError names the process that holds a service.
type BusyError struct {
	Service string
	PID     int
	Since   time.Time
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("service %q: %v: process %d since %s", e.Service, ErrBusy, e.PID, e.Since.Format(time.DateTime))
}

// Unwrap returns ErrBusy.
func (e *BusyError) Unwrap() error { return ErrBusy }

// lockService takes the lock of a service, or returns a *BusyError. A holder
// that is dead, or whose watchdog is restoring, is waited for. now is what the
// lock says about its beginning.
func lockService(ctx context.Context, path, service string, now time.Time) (*serviceLock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	for deadline := time.Now().Add(restoreWait); ; {
		err = tryLock(f)
		h := readHolder(f)
		if err == nil {
			l := &serviceLock{f, holder{Token: h.Token + 1, PID: os.Getpid(), State: stateHeld, Since: now.UTC().Truncate(time.Second), Service: service}}
			if err = l.write(); err != nil {
				f.Close()
				return nil, err
			}
			return l, nil
		}
		if !errors.Is(err, errLocked) {
			f.Close()
			return nil, fmt.Errorf("lock %q: %w", path, err)
		}
		if h.State == stateHeld && alive(h.PID) || time.Now().After(deadline) {
			f.Close()
			return nil, &BusyError{Service: service, PID: h.PID, Since: h.Since}
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func readHolder(f *os.File) holder {
	b := make([]byte, holderBytes)
	n, err := f.ReadAt(b, 0)
	var h holder
	if err != nil && !errors.Is(err, io.EOF) || json.Unmarshal(b[:n], &h) != nil {
		return holder{}
	}
	return h
}

func (l *serviceLock) write() error {
	b, err := json.Marshal(l.holder)
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if len(b) >= holderBytes {
		return fmt.Errorf("lock: the name of service %q is too long", l.holder.Service)
	}
	line := make([]byte, holderBytes)
	for i := range line {
		line[i] = ' '
	}
	copy(line, b)
	line[holderBytes-1] = '\n'
	if _, err := l.f.WriteAt(line, 0); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if err := l.f.Sync(); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	return nil
}

// mine reports whether nobody has taken the lock since.
func (l *serviceLock) mine() bool { return readHolder(l.f).Token == l.holder.Token }

// setState tells those who wait what is going on; it is best effort.
func (l *serviceLock) setState(state string) {
	l.holder.State = state
	_ = l.write() // a full disk must not stop a restore; the kernel's lock is what counts
}

// release gives the lock up for every process that shares it.
func (l *serviceLock) release() {
	if l.mine() {
		l.setState(stateFree)
		unlock(l.f)
	}
	l.f.Close()
}
