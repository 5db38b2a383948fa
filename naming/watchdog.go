package naming

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// The owner and its watchdog talk in lines. The owner says "beat N" and, when
// it has restored, "done". The watchdog says "ready", "ack N" and, when it
// takes over, "lost REASON". The end of the owner's stream is its death; where the
// kernel tells of it earlier, that counts.

// A watchdog is the owner's view of the process that restores in its place.
type watchdog struct {
	leaseLeft
	in   *os.File // to the watchdog
	stop chan struct{}
	done chan struct{} // closed when the process has been waited for
}

// startTimeout bounds the start of the watchdog: a cold binary on a busy disk.
const startTimeout = 10 * time.Second

func startWatchdog(ctx context.Context, cmd *exec.Cmd, lock *os.File, ttl time.Duration, lose func(error)) (_ *watchdog, err error) {
	toDog, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the watchdog: %w", err)
	}
	out, fromDog, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the watchdog: %w", err), toDog.Close(), in.Close())
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = toDog, fromDog, nil
	cmd.Dir = os.TempDir() // do not pin the folder it was started in
	detach(cmd, lock)
	d := &watchdog{in: in, stop: make(chan struct{}), done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The death of this thread is what the watchdog is told of, so nobody
		// else may end it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // its outcome is seen in what it said
		}
		close(d.done)
	}()
	err = <-started
	toDog.Close()
	fromDog.Close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the watchdog: %w", err), in.Close(), out.Close())
	}
	lines := bufio.NewScanner(out)
	first := make(chan string, 1)
	go func() {
		defer out.Close()
		lines.Scan()
		first <- lines.Text()
		d.listen(lines, ttl, lose)
	}()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	select {
	case line := <-first:
		if line != "ready" {
			d.abandon()
			return nil, fmt.Errorf("start the watchdog: it said %q instead of ready", line)
		}
	case <-ctx.Done():
		d.abandon()
		return nil, fmt.Errorf("start the watchdog: %w", ctx.Err())
	}
	d.extend(time.Now().Add(ttl))
	go d.beat(ttl)
	return d, nil
}

// beat sends signs of life. Each carries the time at which it was sent, so that
// the lease is counted from then and never ends later here than at the watchdog.
func (d *watchdog) beat(ttl time.Duration) {
	tick := time.NewTicker(beatEvery(ttl))
	defer tick.Stop()
	for {
		if _, err := fmt.Fprintf(d.in, "beat %d\n", time.Since(epoch).Nanoseconds()); err != nil {
			return // listen sees the end too
		}
		select {
		case <-d.stop:
			return
		case <-tick.C:
		}
	}
}

// epoch makes monotonic instants printable.
var epoch = time.Now()

// listen extends the lease with every answer and reports its loss.
func (d *watchdog) listen(lines *bufio.Scanner, ttl time.Duration, lose func(error)) {
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "ack":
			if sent, err := strconv.ParseInt(rest, 10, 64); err == nil {
				d.extend(epoch.Add(time.Duration(sent)).Add(ttl))
			}
		case "lost":
			lose(errors.New(rest))
			return
		}
	}
	select {
	case <-d.stop: // dismissed
	default:
		lose(errors.New("the watchdog process died"))
	}
}

// quiet ends the signs of life and reports whether they had not ended before.
func (d *watchdog) quiet() bool {
	select {
	case <-d.stop:
		return false
	default:
		close(d.stop)
		return true
	}
}

// dismiss tells the watchdog that all is restored and waits for its end.
func (d *watchdog) dismiss() {
	if d == nil {
		return
	}
	if d.quiet() {
		_ = d.in.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)) // it may be stopped, its pipe full
		_, _ = io.WriteString(d.in, "done\n")
	}
	d.in.Close()
	select {
	case <-d.done:
	case <-time.After(time.Second): // it finds no journal and ends by itself
	}
}

// abandon closes the stream without a word, which the watchdog takes as death.
func (d *watchdog) abandon() {
	if d != nil {
		d.quiet()
		d.in.Close()
	}
}

// takeoverLimit is how long a watchdog tries to reach a registry that is down.
// After that the journal stays for the next test or for "wxops stress restore".
const takeoverLimit = 10 * time.Minute

// Watchdog is the body of the process that Options.Watchdog starts: it restores
// the weights of the journal when in ends, when no sign of life comes for the
// length of the lease, or when ctx ends, and returns nil when nothing is left to
// do. in and out are the standard streams that Begin has set.
//
// It has its own session and connection and shares the lock of the service, so
// no other test starts before it is done.
func Watchdog(ctx context.Context, path string, in io.Reader, out io.Writer, open Opener) error {
	ignoreBrokenPipe()
	j, err := readJournal(path)
	if err != nil {
		return err
	}
	f, err := inheritLock(lockPathOf(path))
	if err != nil {
		return err
	}
	lock := &serviceLock{f: f, holder: readHolder(f)}
	reg, err := open(ctx, j.Registry)
	if err != nil {
		return err
	}
	defer reg.Close()
	log, err := openRunLog(j.RunLog, j.Token, "watchdog", time.Now)
	if err != nil {
		log = nil // a full disk must not stop a restore
	}
	defer log.close()
	// A rehearsal: a watchdog that cannot see the weights is none, and what it
	// will need is in memory from here on, whatever the disk is busy with.
	if _, err := outstanding(ctx, reg, j, &Report{}); err != nil {
		return err
	}
	hurry()
	died := deathTold()
	if _, err := io.WriteString(out, "ready\n"); err != nil {
		return err
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(in); s.Scan(); {
			lines <- s.Text()
		}
	}()
	reason, finished := await(ctx, lines, died, out, time.Duration(j.TTLSeconds*float64(time.Second)))
	if finished {
		return nil
	}
	fmt.Fprintf(out, "lost %s\n", reason)
	ctx = context.WithoutCancel(ctx)
	last, err := takeOver(ctx, reg, path, lock, log, reason)
	if err != nil || last == nil {
		return err
	}
	// An owner that was stopped between its check and its write may still make
	// that one write when it goes on. It undoes it by itself, unless it is
	// killed first: its end is waited for, and then the weights are looked at
	// once more, if no other test has begun meanwhile.
	for range lines {
	}
	return afterEnd(ctx, reg, last, log)
}

const ownerDied = "the owner died"

// await answers signs of life until there is a reason to take over.
func await(ctx context.Context, lines <-chan string, died <-chan os.Signal, out io.Writer, ttl time.Duration) (reason string, finished bool) {
	lease := time.NewTimer(ttl)
	defer lease.Stop()
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return ownerDied, false
			}
			word, rest, _ := strings.Cut(line, " ")
			switch word {
			case "done":
				return "", true
			case "beat":
				lease.Reset(ttl)
				fmt.Fprintf(out, "ack %s\n", rest) // a dead owner is seen by the end of lines
			}
		case <-died:
			return ownerDied, false
		case <-lease.C:
			return fmt.Sprintf("no sign of life for %v", ttl), false
		case <-ctx.Done():
			return "the watchdog was told to end", false
		}
	}
}

// takeOver restores from the journal as it is now, watches for late writes of
// the owner, removes the journal and releases the lock, also for the owner. It
// returns the journal, or nil where there was nothing to do.
func takeOver(ctx context.Context, reg Registry, path string, lock *serviceLock, log *runLog, reason string) (*journal, error) {
	defer lock.f.Close()
	awaitLock(ctx, lock)
	j, err := readJournal(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && j.Token != lock.holder.Token {
		return nil, nil // the owner had restored, or another test has begun
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, takeoverLimit)
	defer cancel()
	start := time.Now()
	rep, err := restore(ctx, reg, j, log)
	if err != nil {
		return nil, err
	}
	took := time.Since(start)
	lock.setState(stateRestoring)
	again, err := watch(ctx, reg, j, log, lock)
	if err != nil {
		return nil, err
	}
	_ = log.add("restore", struct {
		Report
		Reason string   `json:"reason"`
		Took   float64  `json:"took_seconds"`
		Again  []Change `json:"late_writes_undone"`
	}{rep, reason, took.Seconds(), again})
	if !lock.mine() {
		return nil, nil // the owner had woken up and finished, and another test has begun
	}
	if err := j.remove(); err != nil {
		return nil, err
	}
	lock.release()
	return j, nil
}

// afterEnd undoes a last write of an owner that was killed after it was stopped.
func afterEnd(ctx context.Context, reg Registry, j *journal, log *runLog) error {
	f, err := os.OpenFile(lockPathOf(j.path), os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	lock := &serviceLock{f: f, holder: readHolder(f)}
	defer f.Close()
	if lock.holder.Token != j.Token || tryLock(f) != nil {
		return nil // the weights belong to a later test
	}
	defer lock.release()
	ctx, cancel := context.WithTimeout(ctx, replayLimit)
	defer cancel()
	_, err = restoreListed(ctx, reg, j, log, nil)
	return err
}
