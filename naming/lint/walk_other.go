//go:build !linux

package lint

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A directory is known by its path.
type directory string

// A handle is an open file.
type handle struct{ f *os.File }

// openRoot names a directory below root, or root itself.
func openRoot(root, p string) (directory, error) {
	return directory(filepath.Join(root, filepath.FromSlash(p))), nil
}

func (d directory) folder(n *named) (directory, error) {
	return directory(filepath.Join(string(d), n.text)), nil
}

func (d directory) open(n *named) (handle, error) {
	f, err := os.Open(filepath.Join(string(d), n.text))
	return handle{f}, err
}

func (d directory) close() {}

func (d directory) stat() (stamp, error) {
	info, err := os.Lstat(string(d))
	if err != nil {
		return stamp{}, err
	}
	return newStamp(info), nil
}

func (f handle) close() { f.f.Close() }

// read fills b unless the file ends before.
func (f handle) read(b []byte) (int, error) {
	n, err := io.ReadFull(f.f, b)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return n, err
}

func (f handle) stat() (stamp, error) {
	info, err := f.f.Stat()
	if err != nil {
		return stamp{}, err
	}
	return newStamp(info), nil
}

// newStamp knows no time of the last change of attributes here.
func newStamp(info fs.FileInfo) stamp {
	s := stamp{size: info.Size(), modified: info.ModTime().UnixNano(), mode: uint32(info.Mode().Perm())}
	s.changed = s.modified
	switch {
	case info.Mode().IsRegular():
		s.mode |= modeRegular
	case info.IsDir():
		s.size = 0
	}
	return s
}

// ownDescriptors does something on Linux only.
func ownDescriptors() {}

func (w *walker) list(d directory, l *listing) error {
	list, err := os.ReadDir(string(d))
	for k, e := range list {
		i := item{name: w.name(l, k, []byte(e.Name())), kind: special, folder: e.IsDir()}
		switch {
		case e.Type().IsRegular():
			i.kind = regular
		case e.Type()&fs.ModeSymlink != 0:
			i.kind = symlink
		}
		l.items = append(l.items, i)
	}
	return err
}

// readFile reads a file below root again.
func readFile(root, name string, limit int64) ([]byte, error) {
	f, err := os.Open(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

func readlink(root, name string) string {
	s, err := os.Readlink(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		return ""
	}
	return s
}

// statBelow says what a path below d is; the path ends in a NUL.
func (d directory) statBelow(p []byte, s *stamp) error {
	info, err := os.Lstat(filepath.Join(string(d), filepath.FromSlash(string(p[:len(p)-1]))))
	if err == nil {
		*s = newStamp(info)
	}
	return err
}
