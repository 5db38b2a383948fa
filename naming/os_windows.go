package naming

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/windows"
)

// The lock covers one byte far behind the text, because a lock on Windows
// keeps others from reading what it covers.
const lockOffset = 1 << 30

func tryLock(f *os.File) error {
	at := windows.Overlapped{Offset: lockOffset}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return errLocked
	}
	return err
}

func unlock(f *os.File) {
	_ = windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, &windows.Overlapped{Offset: lockOffset})
}

func alive(pid int) bool {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return errors.Is(err, windows.ERROR_ACCESS_DENIED)
	}
	defer windows.CloseHandle(h)
	var code uint32
	const stillActive = 259
	return windows.GetExitCodeProcess(h, &code) == nil && code == stillActive
}

// processStopped cannot be known on Windows.
func processStopped(int) (stopped, known bool) { return false, false }

// detach keeps the console's signals from the watchdog. Windows hands no lock
// over: the watchdog takes it when the death of the owner has released it.
func detach(cmd *exec.Cmd, _ *os.File) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP | windows.DETACHED_PROCESS}
	tellDeath(cmd.SysProcAttr)
}

func inheritLock(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDWR, 0o600) }

func ignoreBrokenPipe() {}

// hurry asks Windows to run this process before ordinary ones.
func hurry() { _ = windows.SetPriorityClass(windows.CurrentProcess(), windows.HIGH_PRIORITY_CLASS) }

// syncDir does nothing: Windows has no way to sync a folder.
func syncDir(string) error { return nil }

// awaitLock takes the lock that the owner's death has released. A suspended
// owner keeps it; then the restore goes ahead without.
func awaitLock(ctx context.Context, l *serviceLock) {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	for tryLock(l.f) != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}
