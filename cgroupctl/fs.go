package cgroupctl

import (
	"errors"
	"io/fs"
	"strings"
	"time"
)

// Magic numbers of the file systems that carry control groups, statfs(2).
const (
	magicV1 = 0x27e0eb
	magicV2 = 0x63677270
)

// errNoAttr is what FS.Attr returns where the attribute is not set.
var errNoAttr = errors.New("no such attribute")

// An FS is the part of the kernel's file interface that slices need. The real
// one is [Detect]'s; tests bring trees that fail on request.
type FS interface {
	ReadFile(path string) ([]byte, error)
	// WriteFile hands data to an existing control file in one write.
	WriteFile(path, data string) error
	Mkdir(path string) error
	Rmdir(path string) error
	Folders(path string) ([]string, error) // names of the folders in path
	Magic(path string) (int64, error)      // of the file system path lies on
	Attr(path, name string) (string, error)
	SetAttr(path, name, value string) error
	RemoveAttr(path, name string) error
	// Lock holds path for this process until unlock, or fails after wait.
	Lock(path string, wait time.Duration) (unlock func(), err error)
	Kill(pid int) error
}

func exists(f FS, path string) (bool, error) {
	_, err := f.Magic(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// read returns the content of a control file without the space around it.
func read(f FS, path string) (string, error) {
	b, err := f.ReadFile(path)
	return strings.TrimSpace(string(b)), err
}
