package naming

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// DefaultTTL is how long a lease lasts without a sign of life. With the time of
// a restore it stays below the 3 s after which base weights hold, and it is far
// above the pauses of a loaded machine.
const DefaultTTL = 2 * time.Second

// shareTolerance is the error a plan may have, relative to the wanted share: a
// tenth of the finest step of a stress test (5 %). Less would change more
// weights than needed.
const shareTolerance = 0.005

// Options say how a Shift is kept safe.
type Options struct {
	// StateDir is the folder of locks, journals and run logs. Required; tests
	// that share it exclude each other.
	StateDir string

	// TTL is the length of the lease, DefaultTTL if 0.
	TTL time.Duration

	// Watchdog returns the command that runs [Watchdog] with this journal, in
	// another process. Begin sets its streams and starts it in a session of
	// its own. Without it the weights are restored by Restore alone and, if
	// the process dies, by the next Begin or RestoreAll.
	Watchdog func(journal string) *exec.Cmd

	// Now is the wall clock that dates journals, locks and run logs, time.Now
	// if nil. Nothing is decided by it, so it may step: leases and limits are
	// counted by the monotonic clock.
	Now func() time.Time
}

// A Shift is a temporary change of the weights of one service. Its methods are
// safe for concurrent use.
type Shift struct {
	reg      Registry
	service  string
	lock     *serviceLock
	log      *runLog
	replayed *Report
	dog      *watchdog // nil without one

	base     []Instance // as found, in the order of the registry
	baseW    []Weight
	tested   int
	lost     chan struct{}
	lostOnce sync.Once
	lostErr  error

	mu       sync.Mutex // the rest; held during writes
	weights  []Weight   // in force as far as we know
	unsure   bool       // a write failed on the way: weights must be read again
	journal  *journal
	report   Report
	restored bool
}

// Begin prepares a temporary change of the share of one instance: it takes the
// lock of the service, replays a journal that a dead test left, checks that the
// service is fit for it, records the base weights on disk, starts the watchdog
// and proves that weights can be written by writing the same values back.
//
// Fit means: the instance is listed, healthy and has a weight, it has a peer,
// and every peer with a weight is healthy. Errors wrap ErrBusy, ErrUnknown,
// ErrUnsuitable, or what the registry or the disk said; nothing is changed then.
func Begin(ctx context.Context, reg Registry, service, instance string, o Options) (*Shift, error) {
	s, err := begin(ctx, reg, service, instance, o)
	if err != nil {
		return nil, fmt.Errorf("begin a weight change of %s/%s: %w", service, instance, err)
	}
	return s, nil
}

func begin(ctx context.Context, reg Registry, service, instance string, o Options) (_ *Shift, err error) {
	if o.StateDir == "" {
		return nil, errors.New("no state folder")
	}
	if o.TTL == 0 {
		o.TTL = DefaultTTL
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	// Unknown names and unfit services are refused before anything is written.
	if _, _, err := fit(ctx, reg, service, instance); err != nil {
		return nil, err
	}
	stateDir, err := filepath.Abs(o.StateDir)
	if err != nil {
		return nil, err
	}
	key := stateKey(reg.Address(), service)
	s := &Shift{reg: reg, service: service, lost: make(chan struct{})}
	s.mu.Lock() // a watchdog that is lost meanwhile restores afterwards
	defer s.mu.Unlock()
	if s.lock, err = lockService(ctx, lockPath(stateDir, key), service, o.Now()); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.abandon()
		}
	}()
	if s.replayed, err = replayLeftover(ctx, reg, journalPath(stateDir, key), s.lock.holder.Token); err != nil {
		return nil, err
	}
	if s.base, s.tested, err = fit(ctx, reg, service, instance); err != nil {
		return nil, err
	}
	now := o.Now()
	s.journal = &journal{
		Schema: journalSchema, Registry: reg.Address(), Service: service, Instance: instance,
		Token: s.lock.holder.Token, PID: os.Getpid(), Started: now.UTC().Truncate(time.Second), TTLSeconds: o.TTL.Seconds(),
		RunLog: runLogPath(stateDir, service, s.lock.holder.Token, now), path: journalPath(stateDir, key),
	}
	if r, ok := reg.(Restarter); ok {
		if s.journal.Process, _, err = r.Process(ctx); err != nil {
			return nil, err
		}
	}
	var same []Change
	for _, in := range s.base {
		s.baseW = append(s.baseW, in.Weight)
		same = append(same, Change{in.Name, in.Weight, in.Weight})
		s.journal.Weights = append(s.journal.Weights, journalWeight{Instance: in.Name, Base: in.Weight, Ours: []Weight{}})
	}
	s.weights = slices.Clone(s.baseW)
	if s.log, err = openRunLog(s.journal.RunLog, s.lock.holder.Token, "owner", o.Now); err != nil {
		return nil, err
	}
	if err = s.log.add("begin", s.journal); err != nil {
		return nil, err
	}
	if err = s.journal.write(); err != nil {
		return nil, err
	}
	if o.Watchdog != nil {
		if s.dog, err = startWatchdog(ctx, o.Watchdog(s.journal.path), s.lock.f, o.TTL, s.lose); err != nil {
			return nil, err
		}
	}
	if err = s.write(ctx, same, "pre-flight: the same values"); err != nil {
		return nil, fmt.Errorf("weights cannot be written: %w", err)
	}
	return s, nil
}

// replayLeftover restores what a dead test left, if it left anything.
func replayLeftover(ctx context.Context, reg Registry, path string, token uint64) (*Report, error) {
	j, err := readJournal(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	rep, err := replay(ctx, reg, j, token)
	if err != nil {
		return nil, fmt.Errorf("undo a change that was left over: %w", err)
	}
	return &rep, nil
}

// fit returns the instances of the service, or why it is not fit for a change.
func fit(ctx context.Context, reg Registry, service, instance string) ([]Instance, int, error) {
	of, i, err := find(ctx, reg, service, instance)
	if err == nil {
		err = Fit(of, i)
	}
	if err != nil {
		return nil, -1, err
	}
	return of, i, nil
}

// Fit says why the share of instance i of a service cannot be changed, if it
// cannot: it must be healthy and have a weight and a peer, and every peer with a
// weight must be healthy. Errors wrap ErrUnsuitable.
func Fit(of []Instance, i int) error {
	if in := of[i]; in.Weight == 0 {
		return fmt.Errorf("%s has weight 0, so it takes no requests: %w", in.ID(), ErrUnsuitable)
	} else if !in.Health.OK() {
		return fmt.Errorf("%s is %s: %w", in.ID(), in.Condition(), ErrUnsuitable)
	}
	peers := 0
	for j, in := range of {
		if j == i || in.Weight == 0 {
			continue
		}
		if !in.Health.OK() {
			return fmt.Errorf("the peer %s is %s: %w", in.ID(), in.Condition(), ErrUnsuitable)
		}
		peers++
	}
	if peers == 0 {
		return fmt.Errorf("%s is the only instance of %s that takes requests, so its share cannot change: %w", of[i].ID(), of[i].Service, ErrUnsuitable)
	}
	return nil
}

// Base returns the instances of the service as they were before the first write.
func (s *Shift) Base() []Instance { return slices.Clone(s.base) }

// BaseShare returns the share of requests that the instance had by its weight.
func (s *Shift) BaseShare() float64 { return share(s.baseW, s.tested) }

// MaxShare returns the largest share that the registry's weights can express.
func (s *Shift) MaxShare() float64 {
	_, peers := wanted(s.baseW, s.tested, 0.5)
	return float64(s.reg.MaxWeight()) / float64(int(s.reg.MaxWeight())+peers)
}

// Replayed returns what Begin undid of an earlier test that died, or nil.
func (s *Shift) Replayed() *Report { return s.replayed }

// Journal returns the path of the restore point.
func (s *Shift) Journal() string { return s.journal.path }

// RunLog returns the path of the append-only log.
func (s *Shift) RunLog() string { return s.journal.RunLog }

// Log appends an event to the run log. fields is a struct or map whose keys
// differ from time, token, by and event.
func (s *Shift) Log(event string, fields any) error { return s.log.add(event, fields) }

// Weights returns the weights in force, in the order of Base, and the share of
// the instance that follows from them.
func (s *Shift) Weights() (weights []Weight, instanceShare float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.weights), share(s.weights, s.tested)
}

// Lease returns how long the lease lasts without a further sign of life: at most
// the TTL, 0 when it is lost. Without a watchdog there is none and it is the TTL.
func (s *Shift) Lease() time.Duration {
	select {
	case <-s.lost:
		return 0
	default:
	}
	if s.dog == nil {
		return time.Duration(s.journal.TTLSeconds * float64(time.Second))
	}
	return s.dog.left()
}

// Lost is closed when the lease is lost: the process was stopped for longer than
// the TTL, or the watchdog died. Nothing but Restore may follow; it is begun at
// once, without being asked for.
func (s *Shift) Lost() <-chan struct{} { return s.lost }

// lose marks the lease as lost and, as the safe action never waits for anybody,
// begins to restore.
func (s *Shift) lose(reason error) {
	s.lostOnce.Do(func() {
		s.lostErr = fmt.Errorf("%w: %w", ErrLeaseLost, reason)
		close(s.lost)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), restoreLimit)
			defer cancel()
			_, _ = s.Restore(ctx) // the caller gets the same report from its own call
		}()
	})
}

// holdsLease returns nil while this process may write. It is asked before and
// after every write, because the process may be stopped between any two
// instructions.
func (s *Shift) holdsLease() error {
	select {
	case <-s.lost:
		return s.lostErr
	default:
	}
	if s.dog != nil && s.dog.left() <= 0 {
		s.lose(errors.New("no sign of life reached the watchdog in time"))
		return s.lostErr
	}
	if !s.lock.mine() {
		s.lose(fmt.Errorf("another test has taken the service over (fencing token %d is no longer the latest)", s.lock.holder.Token))
		return s.lostErr
	}
	return nil
}

// SetShare gives the instance a share of the requests of its service, in (0,
// MaxShare], and returns the share that the integer weights give. The weight of
// the instance, those of its peers or all of them change; see planWeights and
// [ladder]. The plan is journaled before the first write.
//
// An error that wraps ErrConflict says that somebody else changed a weight, or
// that the registry restarted with its own; one that wraps ErrLeaseLost that the
// weights are being restored. In both cases the test is over. After any other
// error the call may be repeated.
func (s *Shift) SetShare(ctx context.Context, wantedShare float64) (actual float64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.restored {
		select {
		case <-s.lost: // which restored them
			return 0, fmt.Errorf("set share: %w", s.lostErr)
		default:
			return 0, errors.New("set share: the weights were restored already")
		}
	}
	if err := s.holdsLease(); err != nil {
		return 0, fmt.Errorf("set share: %w", err)
	}
	if actual, err = s.setShare(ctx, wantedShare); err == nil {
		err = s.holdsLease() // stopped between the check and the write
	} else if lost := s.holdsLease(); lost != nil {
		err = fmt.Errorf("%w; %w", lost, err) // what failed is a consequence
	}
	if err != nil {
		return 0, fmt.Errorf("set share: %w", err)
	}
	return actual, nil
}

// setShare is SetShare under s.mu and with a lease.
func (s *Shift) setShare(ctx context.Context, wantedShare float64) (float64, error) {
	if s.unsure {
		if err := s.resync(ctx); err != nil {
			return 0, err
		}
	}
	to, err := planWeights(s.weights, s.baseW, s.tested, wantedShare, s.reg.MaxWeight(), shareTolerance*wantedShare)
	if err != nil {
		return 0, err
	}
	if slices.Equal(to, s.weights) {
		return share(s.weights, s.tested), nil
	}
	names := make([]string, len(s.base))
	for k, in := range s.base {
		names[k] = in.Name
	}
	steps := ladder(names, s.weights, to, s.tested)
	before := s.journal.Weights
	s.journal.Weights = slices.Clone(before)
	for k := range s.base {
		ours := []Weight{s.weights[k]}
		for _, c := range steps {
			if c.Instance == names[k] {
				ours = append(ours, c.To)
			}
		}
		s.journal.Weights[k] = before[k].replaced(ours)
	}
	if err := s.journal.write(); err != nil {
		s.journal.Weights = before
		return 0, fmt.Errorf("the weights stay: %w", err)
	}
	if err := cmp.Or(ctx.Err(), s.holdsLease()); err != nil { // nothing was sent
		return 0, err
	}
	if err := s.write(ctx, steps, fmt.Sprintf("share %.6f", wantedShare)); err != nil {
		s.unsure = true
		return 0, err
	}
	s.weights = to
	return share(to, s.tested), nil
}

// resync reads the weights after a write of which the outcome is unknown.
func (s *Shift) resync(ctx context.Context) error {
	now, _, err := find(ctx, s.reg, s.service, "")
	if err == nil {
		err = s.compare(now)
	}
	s.unsure = err != nil
	return err
}

// compare returns an error unless the weights listed are those in force as far
// as we know, and takes them over where we do not know. The caller holds s.mu.
func (s *Shift) compare(now []Instance) error {
	for k, w := range s.journal.Weights {
		at := slices.IndexFunc(now, func(in Instance) bool { return in.Name == w.Instance })
		if at < 0 {
			return fmt.Errorf("instance %s/%s: %w", s.service, w.Instance, ErrUnknown)
		}
		found := now[at].Weight
		ours := found == s.weights[k] || s.unsure && (found == w.Base || slices.Contains(w.Ours, found))
		if !ours {
			return &ConflictError{Instance: now[at].ID(), Want: s.weights[k], Found: found, Written: true}
		}
		s.weights[k] = found
	}
	return nil
}

// Look lists the instances of the service by reg, a second connection to the
// same registry, and returns them. The error wraps ErrConflict when a weight is
// not the one last written here: somebody else has changed it, or the registry
// has restarted. While a write is under way weights are not compared.
func (s *Shift) Look(ctx context.Context, reg Registry) ([]Instance, error) {
	free := s.mu.TryLock() // a guard waits for nobody
	if free {
		defer s.mu.Unlock()
	}
	now, _, err := find(ctx, reg, s.service, "")
	if err == nil && free && !s.restored && !s.unsure {
		err = s.compare(now)
	}
	if err != nil {
		return nil, fmt.Errorf("look at the weights of %s: %w", s.service, err)
	}
	return now, nil
}

// write makes the changes and records them. It is not cut short by ctx: what
// has been sent cannot be called back, so its outcome is waited for.
func (s *Shift) write(ctx context.Context, changes []Change, reason string) error {
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	back, err := s.reg.SetWeights(call, s.service, changes)
	if e := s.log.add("write", writeEvent{changes, back, reason, errorText(err)}); err == nil {
		err = e // a write that cannot be audited ends the test
	}
	return err
}

// restoreLimit is how long Restore tries when its ctx has no deadline: a test
// that cannot undo itself hands over to the watchdog.
const restoreLimit = 10 * time.Second

// settle is how long the weights are watched after a restore that followed a
// write of unknown outcome: what the dead or timed-out writer had sent may
// still be on its way to the registry.
const settle = time.Second

// Restore brings every weight back to its base and ends the Shift. A weight that
// somebody else changed meanwhile is left alone and reported. It may be called
// at any time, several times and from several goroutines; all get one report.
//
// If the registry cannot be reached before ctx ends (at most 10 s), the error
// says so; then the watchdog goes on trying, and the journal stays.
func (s *Shift) Restore(ctx context.Context) (Report, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.restored {
		return s.report, nil
	}
	ctx, cancel := context.WithTimeout(ctx, restoreLimit)
	defer cancel()
	if tryLock(s.lock.f) != nil || !s.lock.mine() {
		// The watchdog restored while this process was stopped, and another
		// test runs by now: nothing here is ours any more.
		s.finish(Report{Registry: s.journal.Registry, Service: s.service, Restored: []Change{}, Already: []string{}, Left: []Left{}})
		return s.report, nil
	}
	rep, err := restore(ctx, s.reg, s.journal, s.log)
	if err == nil && s.unsure {
		_, err = watch(ctx, s.reg, s.journal, s.log, s.lock)
	}
	if err != nil {
		s.dog.abandon() // it takes over from here
		return rep, err
	}
	_ = s.log.add("restore", rep) // a full disk must not stop a restore
	if err := s.journal.remove(); err != nil {
		return rep, err
	}
	s.finish(rep)
	return s.report, nil
}

// finish lets go of everything. The caller holds s.mu.
func (s *Shift) finish(rep Report) {
	s.report, s.restored = rep, true
	s.dog.dismiss()
	s.lock.release()
	_ = s.log.close()
}

// abandon undoes a Begin that failed. Only the same values were written. The
// caller holds s.mu.
func (s *Shift) abandon() {
	s.restored = true
	if s.journal != nil {
		_ = s.journal.remove()
	}
	s.dog.dismiss()
	s.lock.release()
	_ = s.log.close()
}

// watch restores again whatever late writes of ours appear while it settles, as
// long as nobody has taken the lock over.
func watch(ctx context.Context, reg Registry, j *journal, log *runLog, lock *serviceLock) (again []Change, err error) {
	for end := time.Now().Add(settle); time.Now().Before(end) && lock.mine(); {
		rep, err := restoreListed(ctx, reg, j, log, nil)
		if err != nil {
			return again, err
		}
		again = append(again, rep.Restored...)
		select {
		case <-ctx.Done():
			return again, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return again, nil
}

// leaseLeft is a lease that ends at a monotonic instant; the zero value is over.
type leaseLeft struct {
	mu  sync.Mutex
	end time.Time
}

func (l *leaseLeft) left() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(0, time.Until(l.end))
}

// extend moves the end to at, never back.
func (l *leaseLeft) extend(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at.After(l.end) {
		l.end = at
	}
}

// beatsPerTTL is how many signs of life fit into a lease: one may be late by
// several of its fellows without harm.
const beatsPerTTL = 10

func beatEvery(ttl time.Duration) time.Duration {
	return time.Duration(math.Max(float64(ttl)/beatsPerTTL, float64(5*time.Millisecond)))
}
