package lint

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// errNesting says that a directory lies deeper than maxFolders.
var errNesting = errors.New("more than 200 directories deep")

const openFolder = syscall.O_RDONLY | syscall.O_DIRECTORY | syscall.O_CLOEXEC | syscall.O_NOFOLLOW

// level reads the entries of one directory and returns its subdirectories.
func (w *walker) level(root string, p pending) []pending {
	fd, err := openRetry(unix.AT_FDCWD, filepath.Join(root, p.path), openFolder&^flagIf(p.path == "", syscall.O_NOFOLLOW))
	if err != nil {
		w.c.fail(p.path, err)
		return nil
	}
	defer syscall.Close(fd)
	return w.entries(fd, p)
}

func flagIf(yes bool, flag int) int {
	if yes {
		return flag
	}
	return 0
}

// folder reads a directory and everything below it, depth first.
func (w *walker) folder(ctx context.Context, root string, p pending) {
	fd, err := openRetry(unix.AT_FDCWD, filepath.Join(root, p.path), openFolder)
	if err != nil {
		w.c.fail(p.path, err)
		return
	}
	defer syscall.Close(fd)
	w.below(ctx, fd, p, 0)
}

func (w *walker) below(ctx context.Context, fd int, p pending, depth int) {
	subs := w.entries(fd, p)
	for _, s := range subs {
		if ctx.Err() != nil {
			return
		}
		if depth == maxFolders {
			w.c.fail(s.path, errNesting)
			continue
		}
		c, err := openRetry(fd, path.Base(s.path), openFolder)
		if err != nil {
			w.c.fail(s.path, err)
			continue
		}
		w.below(ctx, c, s, depth+1)
		syscall.Close(c)
	}
}

func openRetry(at int, name string, flags int) (int, error) {
	for {
		fd, err := syscall.Openat(at, name, flags, 0)
		if err != syscall.EINTR {
			return fd, err
		}
	}
}

func readRetry(fd int, b []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, b)
		if err != syscall.EINTR {
			return n, err
		}
	}
}

// entries reads one directory with getdents64: files are read at once, relative
// to the open directory and without asking for their size; subdirectories are returned.
func (w *walker) entries(fd int, p pending) []pending {
	var subs []pending
	w.batch = w.batch[:0]
	var total int64
	record := w.stamps.folder(p.path)
	for {
		n, err := syscall.ReadDirent(fd, w.names)
		if err != nil || n <= 0 {
			if err != nil {
				w.c.fail(p.path, err)
			}
			break
		}
		for b := w.names[:n]; len(b) > 0; {
			d := (*syscall.Dirent)(unsafe.Pointer(&b[0]))
			nameBytes := b[unsafe.Offsetof(d.Name):d.Reclen]
			b = b[d.Reclen:]
			nameBytes = nameBytes[:bytes.IndexByte(nameBytes, 0)]
			if string(nameBytes) == "." || string(nameBytes) == ".." {
				continue
			}
			name := w.intern(nameBytes)
			kind := d.Type
			if kind == syscall.DT_UNKNOWN {
				kind = statKind(fd, name)
			}
			if w.ignore.ignored(p.path, name, kind == syscall.DT_DIR) {
				continue
			}
			switch kind {
			case syscall.DT_DIR:
				if skipFolder(name) {
					continue
				}
				subs = append(subs, pending{path.Join(p.path, name), w.c.addFolder(p.id, name), true})
				record.sub(name)
			case syscall.DT_REG:
				e, size := w.file(fd, p, name, record)
				w.batch = append(w.batch, e)
				total += size
			case syscall.DT_LNK:
				w.batch = append(w.batch, entry{name: name, dir: p.id, content: -1, kind: symlink})
				record.link(name)
			default:
				w.batch = append(w.batch, entry{name: name, dir: p.id, content: -1, kind: special})
				record.link(name)
			}
		}
	}
	w.stamps.done(p.path, record)
	w.c.addEntries(p.id, w.batch, total)
	return subs
}

func statKind(fd int, name string) uint8 {
	var st unix.Stat_t
	if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return syscall.DT_REG // opening it will say what is wrong
	}
	return uint8(st.Mode >> 12 & 15)
}

// file reads one regular file. A read that returns less than was asked for is
// the end of a regular file, which saves one system call for each.
func (w *walker) file(fd int, p pending, name string, record *folderStamp) (entry, int64) {
	e := entry{name: name, dir: p.id, content: -1}
	failed := func(err error) (entry, int64) {
		w.c.fail(path.Join(p.path, name), err)
		e.kind = unreadable
		return e, 0
	}
	if w.opt.statOnly {
		var st unix.Stat_t
		if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return failed(err)
		}
		record.file(name, &st)
		return e, 0
	}
	f, err := openRetry(fd, name, syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_NOFOLLOW|syscall.O_NONBLOCK)
	if err != nil {
		return failed(err)
	}
	defer syscall.Close(f)
	if !w.opt.MD5Only || record != nil {
		var st unix.Stat_t
		if err := unix.Fstat(f, &st); err != nil {
			return failed(err)
		}
		if st.Mode&syscall.S_IFMT != syscall.S_IFREG {
			e.kind = special
			return e, 0
		}
		e.mode = uint16(st.Mode & 0o7777)
		record.file(name, &st)
	}
	n, err := readRetry(f, w.buffer)
	if err != nil {
		return failed(err)
	}
	if n < len(w.buffer) {
		e.content = w.take(p.path, name, w.buffer[:n])
		return e, int64(n)
	}
	id, size, large, err := w.takeLarge(p.path, name, w.buffer[:n], func(b []byte) (int, error) { return readRetry(f, b) })
	if err != nil {
		return failed(err)
	}
	e.content, e.large = id, large
	return e, size
}

// readFile reads a file below root again, without following a link in its last part.
func readFile(root, name string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(filepath.Join(root, name), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
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
