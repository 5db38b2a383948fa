//go:build !linux

package lint

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// level reads the entries of one directory and returns its subdirectories.
func (w *walker) level(root string, p pending) []pending {
	list, err := os.ReadDir(filepath.Join(root, filepath.FromSlash(p.path)))
	if err != nil {
		w.c.fail(p.path, err)
	}
	var subs []pending
	w.batch = w.batch[:0]
	var total int64
	record := w.stamps.folder(p.path)
	for _, d := range list {
		name := d.Name()
		if w.ignore.ignored(p.path, name, d.IsDir()) {
			continue
		}
		switch {
		case d.IsDir():
			if !skipFolder(name) {
				subs = append(subs, pending{path.Join(p.path, name), w.c.addFolder(p.id, name), true})
				record.sub(name)
			}
		case d.Type().IsRegular():
			e, size := w.file(root, p, d, record)
			w.batch = append(w.batch, e)
			total += size
		default:
			kind := special
			if d.Type()&fs.ModeSymlink != 0 {
				kind = symlink
			}
			w.batch = append(w.batch, entry{name: name, dir: p.id, content: -1, kind: kind})
			record.link(name)
		}
	}
	w.stamps.done(p.path, record)
	w.c.addEntries(p.id, w.batch, total)
	return subs
}

// folder reads a directory and everything below it, depth first.
func (w *walker) folder(ctx context.Context, root string, p pending) {
	for _, s := range w.level(root, p) {
		if ctx.Err() != nil {
			return
		}
		w.folder(ctx, root, s)
	}
}

func (w *walker) file(root string, p pending, d fs.DirEntry, record *folderStamp) (entry, int64) {
	e := entry{name: d.Name(), dir: p.id, content: -1}
	failed := func(err error) (entry, int64) {
		w.c.fail(path.Join(p.path, d.Name()), err)
		e.kind = unreadable
		return e, 0
	}
	f, err := os.Open(filepath.Join(root, filepath.FromSlash(p.path), d.Name()))
	if err != nil {
		return failed(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return failed(err)
	}
	if !info.Mode().IsRegular() {
		e.kind = special
		return e, 0
	}
	e.mode = uint16(info.Mode().Perm())
	record.file(d.Name(), info.Size(), info.ModTime())
	if w.opt.statOnly {
		return e, 0
	}
	next := func(b []byte) (int, error) {
		n, err := io.ReadFull(f, b)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = nil
		}
		return n, err
	}
	n, err := next(w.buffer)
	if err != nil {
		return failed(err)
	}
	if n < len(w.buffer) {
		e.content = w.take(p.path, e.name, w.buffer[:n])
		return e, int64(n)
	}
	id, size, large, err := w.takeLarge(p.path, e.name, w.buffer[:n], next)
	if err != nil {
		return failed(err)
	}
	e.content, e.large = id, large
	return e, size
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
