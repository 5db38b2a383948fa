//go:build unix

package naming

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

func tryLock(f *os.File) error {
	for {
		switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return errLocked
		default:
			return err
		}
	}
}

// unlock releases the lock of every process that shares the open file.
func unlock(f *os.File) { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }

// alive reports whether a process runs or is stopped. One that is dead and not
// yet waited for by its parent can still be signalled, so /proc is asked too.
func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	if err != nil && !errors.Is(err, syscall.EPERM) {
		return false
	}
	state, known := processState(pid)
	return !known || state != 'Z' && state != 'X'
}

// processState returns the state letter of a process from /proc, which only
// Linux has.
func processState(pid int) (state byte, known bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	at := strings.LastIndex(string(stat), ") ") // the name before it may hold anything
	if at < 0 || at+2 >= len(stat) {
		return 0, false
	}
	return stat[at+2], true
}

// processStopped reports whether a process got SIGSTOP or is being traced, and
// whether that can be known.
func processStopped(pid int) (stopped, known bool) {
	state, known := processState(pid)
	return state == 'T' || state == 't', known
}

// detach gives the watchdog a session of its own, so that neither the
// terminal nor a kill of the process group reaches it, and the lock as file 3.
func detach(cmd *exec.Cmd, lock *os.File) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	tellDeath(cmd.SysProcAttr)
	cmd.ExtraFiles = []*os.File{lock}
}

// inheritLock returns the lock that the owner handed over as file 3.
func inheritLock(path string) (*os.File, error) {
	f := os.NewFile(3, path)
	var want, got os.FileInfo
	want, err := os.Stat(path)
	if err == nil && f != nil {
		got, err = f.Stat()
	}
	if err != nil || f == nil || !os.SameFile(want, got) {
		return nil, fmt.Errorf("file 3 is not the lock %q of the owner", path)
	}
	syscall.CloseOnExec(3)
	return f, nil
}

// hurry asks the kernel to run this process before all others when it has work:
// a watchdog sleeps, and when it wakes, weights are wrong. Only root may; others
// stay as they are. On Linux a priority belongs to a thread, and those started
// later take it from the one that starts them.
func hurry() {
	threads, _ := os.ReadDir("/proc/self/task")
	for _, thread := range threads {
		if id, err := strconv.Atoi(thread.Name()); err == nil {
			_ = syscall.Setpriority(syscall.PRIO_PROCESS, id, highest)
		}
	}
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, highest)
}

// highest is the nice value that goes before all others (getpriority(2)).
const highest = -20

// ignoreBrokenPipe lets a write to an owner that died return an error.
func ignoreBrokenPipe() { signal.Ignore(syscall.SIGPIPE) }

// syncDir makes a rename or removal in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// awaitLock has nothing to wait for: the lock came with the process.
func awaitLock(context.Context, *serviceLock) {}
