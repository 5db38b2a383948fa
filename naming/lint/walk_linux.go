package lint

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A directory is an open directory; everything in it is opened relative to it.
type directory int

// A handle is an open file.
type handle int

const (
	openFolder = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC | unix.O_NOFOLLOW
	openFile   = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NOFOLLOW | unix.O_NONBLOCK
)

// openRoot opens a directory below root, or root itself, which may be a link.
func openRoot(root, p string) (directory, error) {
	flags := openFolder
	if p == "" {
		flags &^= unix.O_NOFOLLOW
	}
	for {
		fd, err := unix.Open(filepath.Join(root, p), flags, 0)
		if err != unix.EINTR {
			return directory(fd), err
		}
	}
}

// ownDescriptors gives the calling goroutine a thread with a table of open files
// of its own, for the rest of its life: the kernel locks and counts every use of
// a table that threads share. Where it is forbidden, as in some containers, the
// table stays shared.
func ownDescriptors() {
	runtime.LockOSThread() // never unlocked, so that the thread ends with the goroutine
	_ = unix.Unshare(unix.CLONE_FILES)
}

// openAt opens a name without copying it: a NUL follows its text in memory.
func openAt(d directory, n *named, flags uintptr) (int, error) {
	for {
		fd, _, err := syscall.RawSyscall6(unix.SYS_OPENAT, uintptr(d), uintptr(unsafe.Pointer(unsafe.StringData(n.text))), flags, 0, 0, 0)
		switch err {
		case 0:
			return int(fd), nil
		case unix.EINTR:
			continue
		}
		return -1, err
	}
}

func (d directory) folder(n *named) (directory, error) {
	fd, err := openAt(d, n, openFolder)
	return directory(fd), err
}

func (d directory) open(n *named) (handle, error) {
	fd, err := openAt(d, n, openFile)
	return handle(fd), err
}

func (d directory) close() { handle(d).close() }

func (d directory) stat() (stamp, error) { return handle(d).stat() }

// close never waits for a disk, so the scheduler need not know of it.
func (f handle) close() { syscall.RawSyscall(unix.SYS_CLOSE, uintptr(f), 0, 0) }

func (f handle) read(b []byte) (int, error) {
	for {
		n, _, err := syscall.RawSyscall(unix.SYS_READ, uintptr(f), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch err {
		case 0:
			return int(n), nil
		case unix.EINTR:
			continue
		}
		return 0, err
	}
}

func (f handle) stat() (stamp, error) {
	var st unix.Stat_t
	err := unix.Fstat(int(f), &st)
	return newStamp(&st), err
}

func newStamp(st *unix.Stat_t) stamp {
	return stamp{size: st.Size, modified: st.Mtim.Nano(), changed: st.Ctim.Nano(), inode: st.Ino, device: uint64(st.Dev), mode: st.Mode}
}

// list reads the names in a directory with getdents64. Only an empty answer is
// the end: a local file system fills the buffer, but a signal, as the runtime
// sends them, ends an answer early.
func (w *walker) list(d directory, l *listing) error {
	for k := 0; ; {
		n, _, err := syscall.RawSyscall(unix.SYS_GETDENTS64, uintptr(d), uintptr(unsafe.Pointer(unsafe.SliceData(w.dents))), uintptr(len(w.dents)))
		switch {
		case err == unix.EINTR:
			continue
		case err != 0:
			return err
		case n == 0:
			return nil
		}
		for b := w.dents[:n]; len(b) > 0; {
			e := (*unix.Dirent)(unsafe.Pointer(&b[0]))
			text := b[unsafe.Offsetof(e.Name):e.Reclen]
			b = b[e.Reclen:]
			text = text[:bytes.IndexByte(text, 0)]
			if text[0] == '.' && (len(text) == 1 || len(text) == 2 && text[1] == '.') {
				continue
			}
			i := item{name: w.name(l, k, text), kind: special}
			k++
			kind := e.Type
			if kind == unix.DT_UNKNOWN {
				kind = statKind(d, i.name.text)
			}
			switch kind {
			case unix.DT_DIR:
				i.folder = true
			case unix.DT_REG:
				i.kind = regular
			case unix.DT_LNK:
				i.kind = symlink
			}
			l.items = append(l.items, i)
		}
	}
}

func statKind(d directory, name string) uint8 {
	var st unix.Stat_t
	if err := unix.Fstatat(int(d), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return unix.DT_REG // opening it will say what is wrong
	}
	return uint8(st.Mode >> 12 & 15)
}

// readFile reads a file below root again, without following a link in its last part.
func readFile(root, name string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(filepath.Join(root, name), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

func readlink(root, name string) string {
	s, err := os.Readlink(filepath.Join(root, name))
	if err != nil {
		return ""
	}
	return s
}

// statBelow says what a path below d is; the path ends in a NUL.
func (d directory) statBelow(p []byte, s *stamp) error {
	const mask = unix.STATX_TYPE | unix.STATX_MODE | unix.STATX_SIZE | unix.STATX_MTIME | unix.STATX_CTIME | unix.STATX_INO
	var st unix.Statx_t
	_, _, err := syscall.RawSyscall6(unix.SYS_STATX, uintptr(d), uintptr(unsafe.Pointer(unsafe.SliceData(p))), unix.AT_SYMLINK_NOFOLLOW, mask, uintptr(unsafe.Pointer(&st)), 0)
	if err != 0 {
		return err
	}
	*s = stamp{
		size: int64(st.Size), modified: st.Mtime.Sec*1e9 + int64(st.Mtime.Nsec), changed: st.Ctime.Sec*1e9 + int64(st.Ctime.Nsec),
		inode: st.Ino, device: unix.Mkdev(st.Dev_major, st.Dev_minor), mode: uint32(st.Mode),
	}
	return nil
}
