package cgroupctl

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// kernel is the FS of the running machine.
type kernel struct{}

func (kernel) ReadFile(path string) ([]byte, error) {
	// Control files report a size of 0 or 4096, and most are a line or two. One
	// read into a page on the stack is a third of the cost of os.ReadFile's growing
	// buffer, and leaves a walk of the process table without garbage to collect.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var page [4096]byte
	b := page[:0]
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := unix.Read(fd, b[len(b):cap(b)])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "read", Path: path, Err: err}
		}
		if n == 0 {
			return bytes.Clone(b), nil
		}
		b = b[:len(b)+n]
	}
}

func (kernel) WriteFile(path, data string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	for {
		_, err = unix.Write(fd, []byte(data))
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return &os.PathError{Op: "write", Path: path, Err: err}
	}
	return nil
}

func (kernel) Mkdir(path string) error { return os.Mkdir(path, 0o755) }

func (kernel) Rmdir(path string) error {
	if err := unix.Rmdir(path); err != nil {
		return &os.PathError{Op: "rmdir", Path: path, Err: err}
	}
	return nil
}

func (kernel) Folders(path string) ([]string, error) {
	d, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.ReadDir(-1)
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func (kernel) Magic(path string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	return int64(st.Type), nil //nolint:unconvert // 32 bits wide on some platforms
}

func (kernel) Attr(path, name string) (string, error) {
	b := make([]byte, 4096)
	n, err := unix.Getxattr(path, name, b)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return "", errNoAttr
	}
	if err != nil {
		return "", &os.PathError{Op: "getxattr", Path: path, Err: err}
	}
	return string(b[:n]), nil
}

func (kernel) SetAttr(path, name, value string) error {
	if err := unix.Setxattr(path, name, []byte(value), 0); err != nil {
		return &os.PathError{Op: "setxattr " + name, Path: path, Err: err}
	}
	return nil
}

func (kernel) RemoveAttr(path, name string) error {
	if err := unix.Removexattr(path, name); err != nil && !errors.Is(err, unix.ENODATA) {
		return &os.PathError{Op: "removexattr " + name, Path: path, Err: err}
	}
	return nil
}

func (kernel) Lock(path string, wait time.Duration) (func(), error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	deadline := time.Now().Add(wait)
	for {
		err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { unix.Close(fd) }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) || time.Now().After(deadline) {
			unix.Close(fd)
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, fmt.Errorf("%s is locked by another wxops", path)
			}
			return nil, &os.PathError{Op: "flock", Path: path, Err: err}
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (kernel) Kill(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }

// urgent gives the threads of this process the first right to a core until the
// end of what it does; without the privilege to, it changes nothing. All of them,
// because a goroutine waits for whichever thread hands it on. A nice value would
// not do: each wait for a fork under way would end with one for a time slice.
func urgent() (end func()) {
	before, err := unix.SchedGetAttr(0, 0)
	if err != nil || schedule(&unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}) != nil {
		return func() {}
	}
	return func() { _ = schedule(before) }
}

// schedule sets the policy of every thread of this process.
func schedule(a *unix.SchedAttr) error {
	threads, err := kernel{}.Folders("/proc/self/task")
	for _, t := range threads {
		tid, e := strconv.Atoi(t)
		if e == nil {
			e = unix.SchedSetAttr(tid, a, 0)
		}
		if e != nil && !errors.Is(e, unix.ESRCH) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// Detect returns the control groups and the size of the running machine.
func Detect() (*Host, error) {
	h, err := detect(kernel{})
	if err != nil {
		return nil, err
	}
	h.self = os.Getpid()
	if h.Systemd && h.Layout == V2 && !h.delegated {
		h.units = &bus{}
	}
	return h, nil
}
