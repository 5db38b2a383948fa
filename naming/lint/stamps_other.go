//go:build !linux

package lint

import "time"

func (f *folderStamp) file(name string, size int64, modified time.Time) {
	if f != nil {
		f.add(name, modified, size, modified.UnixNano())
	}
}
