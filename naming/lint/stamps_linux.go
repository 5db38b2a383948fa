package lint

import (
	"time"

	"golang.org/x/sys/unix"
)

func (f *folderStamp) file(name string, st *unix.Stat_t) {
	if f == nil {
		return
	}
	mtime, ctime := time.Unix(st.Mtim.Unix()), time.Unix(st.Ctim.Unix())
	newest := ctime
	if mtime.After(ctime) {
		newest = mtime
	}
	f.add(name, newest, st.Size, mtime.UnixNano(), ctime.UnixNano(), int64(st.Ino), int64(st.Mode))
}
