package lint

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/wxops/wxops/naming/lint/format"
)

// Limits of sources that are held in memory. An archive that goes beyond them,
// whatever its header says, is refused.
const (
	maxEntries = 1_000_000
	maxBytes   = 1 << 30
	maxKept    = 128 << 20 // bytes of contents; what is beyond is compared by bytes only
)

// A builder makes a tree of files that are handed to it one by one.
type builder struct {
	c       *collector
	opt     *Options
	a       analyzer
	ignore  *ignoreRules
	folders map[string]int32
	total   int64
	held    int64            // bytes of the contents kept
	byName  map[string]int32 // entries, for hard links
}

func newBuilder(opt *Options) *builder {
	t := &tree{kept: map[int32][]byte{}, md5s: map[int32][16]byte{}}
	t.read = func(t *tree, e int32) ([]byte, error) {
		return nil, fmt.Errorf("%q is over --max-parse and was not kept", t.path(e))
	}
	b := &builder{c: &collector{t: t, index: map[contentKey]int32{}}, opt: opt, ignore: newIgnore(opt.Ignore), folders: map[string]int32{}, byName: map[string]int32{}}
	b.a.opt = opt
	b.folders[""] = b.c.addFolder(-1, "")
	return b
}

func (b *builder) folder(dir string) int32 {
	if dir == "." || dir == "/" {
		dir = ""
	}
	if id, ok := b.folders[dir]; ok {
		return id
	}
	id := b.c.addFolder(b.folder(path.Dir(dir)), path.Base(dir))
	b.folders[dir] = id
	return id
}

// clean returns a path below the root, or false for one that leads out of it
// or into a directory that is never read.
func (b *builder) clean(name string) (string, bool) {
	if strings.Contains(name, "\x00") || slices.Contains(strings.Split(name, "/"), "..") {
		return "", false
	}
	p := strings.TrimPrefix(path.Clean("/"+name), "/")
	dir := ""
	for part := range strings.SplitSeq(path.Dir(p), "/") {
		if skipFolder(part) || part != "." && b.ignore.ignored(dir, part, true) {
			return "", false
		}
		dir = path.Join(dir, part)
	}
	return p, p != "" && !b.ignore.ignored(path.Dir(p), path.Base(p), false)
}

// add puts one file into the tree; data may be nil for links and the like.
func (b *builder) add(name string, kind entryKind, mode uint16, data []byte) error {
	return b.read(name, kind, mode, bytes.NewReader(data))
}

// read puts one file into the tree and takes what r gives for its content,
// whatever was said about its length. Up to MaxParse it is kept and analyzed,
// beyond that only hashed.
func (b *builder) read(name string, kind entryKind, mode uint16, r io.Reader) error {
	p, ok := b.clean(name)
	if !ok {
		return nil
	}
	if len(b.c.t.entries) >= maxEntries {
		return fmt.Errorf("more than %d files", maxEntries)
	}
	e := entry{name: path.Base(p), dir: b.folder(path.Dir(p)), content: -1, mode: mode, kind: kind}
	size := int64(0)
	if kind == regular {
		var err error
		if e.content, size, e.large, err = b.content(p, r); err != nil {
			return err
		}
	}
	b.byName[p] = int32(len(b.c.t.entries))
	b.c.addEntry(e, size)
	return nil
}

// content reads one file to its end and returns the id of its content.
func (b *builder) content(p string, r io.Reader) (id int32, size int64, large bool, err error) {
	room := maxBytes - b.total
	data, err := io.ReadAll(io.LimitReader(r, min(b.opt.MaxParse, room)+1))
	b.total += int64(len(data))
	if err != nil {
		return -1, 0, false, err
	}
	size, large = int64(len(data)), int64(len(data)) > b.opt.MaxParse
	s := sumOf(data)
	var digest [16]byte
	if large || b.held+size > maxKept {
		large = true
		var h maphash.Hash
		h.SetSeed(seedA)
		m := md5.New()
		both := io.MultiWriter(&h, m)
		_, _ = both.Write(data) // hashes take everything
		n, err := io.Copy(both, io.LimitReader(r, maxBytes-b.total+1))
		b.total += n
		if err != nil {
			return -1, 0, false, err
		}
		size += n
		s = sum{h.Sum64(), size}
		m.Sum(digest[:0])
	}
	if b.total > maxBytes {
		return -1, 0, false, errTooMuch
	}
	syntax := format.Text
	if !b.opt.MD5Only && !large {
		syntax = format.Detect(p, data)
	}
	id, isNew := b.c.contentID(s, syntax)
	switch {
	case !isNew:
	case large:
		b.c.t.md5s[id] = digest
	default:
		b.held += size
		b.c.t.kept[id] = data
		if !b.opt.MD5Only {
			b.a.name = path.Base(p)
			b.c.setFacts(id, b.a.analyze(syntax, data))
		}
	}
	return id, size, large, nil
}

// errTooMuch ends the reading of an archive, whatever its headers say.
var errTooMuch = fmt.Errorf("more than %d MiB of files", maxBytes>>20)

// link puts a second name of an earlier file of an archive into the tree. One
// that leads to nothing is a symbolic link as far as the rules go.
func (b *builder) link(name, target string) error {
	p, ok := b.clean(name)
	to, toOK := b.clean(target)
	first, known := b.byName[to]
	if !ok || !toOK || !known {
		return b.add(name, symlink, 0, nil)
	}
	e := b.c.t.entries[first]
	e.name, e.dir = path.Base(p), b.folder(path.Dir(p))
	b.byName[p] = int32(len(b.c.t.entries))
	b.c.addEntry(e, 0)
	return nil
}

// addSum puts a file into the tree of which only the MD5 is known.
func (b *builder) addSum(name string, digest []byte) error {
	p, ok := b.clean(name)
	if !ok {
		return fmt.Errorf("path %q leads out of the tree", name)
	}
	s := sum{binary.BigEndian.Uint64(digest), int64(binary.BigEndian.Uint64(digest[8:]))}
	id, isNew := b.c.contentID(s, format.Text)
	if isNew {
		b.c.t.sums = append(b.c.t.sums, [16]byte(digest))
	}
	b.c.addEntry(entry{name: path.Base(p), dir: b.folder(path.Dir(p)), content: id}, 0)
	return nil
}

// archiveSource is a tar, a compressed tar, a zip, a layer of an OCI image, or
// the output of kubectl get configmaps -A -o json.
type archiveSource struct {
	name string
	r    io.Reader
}

// Stream is what r gives: tar, tar.gz (so also a layer of an OCI image), zip, or
// a JSON list of ConfigMaps, told apart by their first bytes. Entries that lead
// out of the archive are left out, sizes are counted and not believed.
func Stream(name string, r io.Reader) Source { return archiveSource{name, r} }

func (s archiveSource) load(ctx context.Context, opt *Options) (*tree, error) {
	b := newBuilder(opt)
	r := bufio.NewReaderSize(s.r, 64<<10)
	head, _ := r.Peek(512)
	var err error
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		var z *gzip.Reader
		if z, err = gzip.NewReader(r); err == nil {
			err = b.tar(ctx, s.name, z)
		}
	case bytes.HasPrefix(head, []byte("PK\x03\x04")) || bytes.HasPrefix(head, []byte("PK\x05\x06")):
		err = b.zip(ctx, s.name, s.r, r)
	case len(bytes.TrimSpace(head)) > 0 && bytes.TrimSpace(head)[0] == '{':
		if len(opt.layouts) == 0 {
			l, layoutErr := parseLayout("{env}/{service}/{file...}")
			if layoutErr != nil {
				return nil, layoutErr
			}
			opt.layouts = []layout{l}
			opt.Layouts = []string{"{env}/{service}/{file...}"}
		}
		err = b.configMaps(r)
	case len(head) >= 262 && string(head[257:262]) == "ustar":
		err = b.tar(ctx, s.name, r)
	default:
		err = errors.New("neither tar, tar.gz, zip nor a JSON list of ConfigMaps")
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.name, err)
	}
	return b.c.finish(), nil
}

// broken notes what of an archive could not be read. What was read before stays.
func (b *builder) broken(name string, err error) error {
	if errors.Is(err, errTooMuch) || len(b.c.t.entries) == 0 {
		return fmt.Errorf("%q: %w", name, err)
	}
	b.c.fail(name, err)
	return nil
}

func (b *builder) tar(ctx context.Context, archive string, r io.Reader) error {
	t := tar.NewReader(r)
	for ctx.Err() == nil {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return b.broken(archive, err)
		}
		if strings.HasPrefix(path.Base(h.Name), ".wh.") {
			continue // a layer's mark for a file that a lower layer had
		}
		switch h.Typeflag {
		case tar.TypeReg:
			if err := b.read(h.Name, regular, uint16(h.Mode&0o7777), t); err != nil {
				return b.broken(h.Name, err)
			}
		case tar.TypeLink:
			err = b.link(h.Name, h.Linkname)
		case tar.TypeSymlink:
			err = b.add(h.Name, symlink, 0, nil)
		case tar.TypeDir, tar.TypeXGlobalHeader:
		default:
			err = b.add(h.Name, special, 0, nil)
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// zip reads a zip, from the file itself where r is one that can be read
// anywhere: the list of a zip's files is at its end.
func (b *builder) zip(ctx context.Context, archive string, file, r io.Reader) error {
	var at io.ReaderAt
	size := int64(-1)
	if f, ok := file.(interface {
		io.ReaderAt
		io.Seeker
	}); ok {
		if end, err := f.Seek(0, io.SeekEnd); err == nil {
			at, size = f, end
		}
	}
	if size < 0 {
		whole, err := io.ReadAll(io.LimitReader(r, maxKept+1))
		if err != nil || len(whole) > maxKept {
			return cmp.Or(err, fmt.Errorf("more than %d MiB; give the file itself", maxKept>>20))
		}
		at, size = bytes.NewReader(whole), int64(len(whole))
	}
	z, err := zip.NewReader(at, size)
	if err != nil {
		return err
	}
	for _, f := range z.File {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case f.FileInfo().IsDir():
			continue
		case !f.Mode().IsRegular():
			if err := b.add(f.Name, symlink, 0, nil); err != nil {
				return err
			}
			continue
		}
		o, err := f.Open()
		if err == nil {
			err = b.read(f.Name, regular, uint16(f.Mode().Perm()), o)
			o.Close()
		}
		if err != nil {
			if errors.Is(err, errTooMuch) {
				return b.broken(archive, err)
			}
			b.c.fail(f.Name, err) // the others are where the list says
		}
	}
	return nil
}

// configMaps reads what kubectl prints: namespaces are environments, a
// ConfigMap is a service and its keys are files.
func (b *builder) configMaps(r io.Reader) error {
	whole, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err != nil || len(whole) > maxBytes {
		return cmp.Or(err, fmt.Errorf("more than %d MiB", maxBytes>>20))
	}
	var p format.Parser
	d, err := p.Parse(format.JSON, whole)
	if err != nil {
		return err
	}
	items := []*format.Node{d.Root}
	if list := d.Root.Child("items"); list != nil {
		items = items[:0]
		for c := list.First; c != nil; c = c.Next {
			items = append(items, c)
		}
	}
	found := false
	for _, item := range items {
		kind, meta := item.Child("kind"), item.Child("metadata")
		if kind == nil || kind.Value != "ConfigMap" || meta == nil || meta.Child("name") == nil {
			continue
		}
		found = true
		namespace := "default"
		if n := meta.Child("namespace"); n != nil {
			namespace = n.Value
		}
		data := item.Child("data")
		if data == nil {
			continue
		}
		for c := data.First; c != nil; c = c.Next {
			if err := b.add(path.Join(namespace, meta.Child("name").Value, c.Key), regular, 0, []byte(c.Value)); err != nil {
				return err
			}
		}
	}
	if !found {
		return errors.New("no ConfigMap in it; give the output of: kubectl get cm -A -o json")
	}
	return nil
}

// manifestSource merges the manifests of many hosts.
type manifestSource struct {
	open func(func(string, io.Reader) error) error
}

// Manifests are what lint-config manifest wrote on each host: open calls its
// argument with every file of them and its name; one that cannot be read is
// named in the report and the others are compared. Only MD5 rules can be applied.
func Manifests(open func(each func(name string, r io.Reader) error) error) Source {
	return manifestSource{open}
}

func (s manifestSource) load(_ context.Context, opt *Options) (*tree, error) {
	l, err := parseLayout("{service}/{version}/{env}/{instance}/{file...}")
	if err != nil {
		return nil, err
	}
	opt.layouts, opt.Layouts = []layout{l}, []string{l.text}
	b := newBuilder(opt)
	err = s.open(func(name string, r io.Reader) error {
		if err := b.manifest(r); err != nil {
			b.c.fail(name, err)
		}
		return nil
	})
	if err == nil && len(b.c.t.entries) == 0 && len(b.c.t.failed) > 0 {
		err = fmt.Errorf("read %q: %w", b.c.t.failed[0].path, b.c.t.failed[0].err)
	}
	if err != nil {
		return nil, err
	}
	return b.c.finish(), nil
}

// manifest reads md5sum lines up to each line of metadata, which names the
// host they belong to.
func (b *builder) manifest(r io.Reader) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 64<<10), 1<<20)
	type line struct {
		sum  [16]byte
		name string
	}
	var pending []line
	for n := 1; sc.Scan(); n++ {
		text := sc.Text()
		if meta, ok := strings.CutPrefix(text, manifestMark); ok {
			at := [4]string{"-", "-", "-", "-"}
			for f := range strings.FieldsSeq(meta) {
				k, v, _ := strings.Cut(f, "=")
				if i := slices.Index([]string{"service", "version", "env", "host"}, k); i >= 0 && v != "" {
					at[i] = strings.ReplaceAll(v, "/", "-")
				}
			}
			for _, l := range pending {
				if err := b.addSum(path.Join(at[0], at[1], at[2], at[3], l.name), l.sum[:]); err != nil {
					return err
				}
			}
			pending = pending[:0]
			continue
		}
		if text == "" || text[0] == '#' {
			continue
		}
		escaped := text[0] == '\\'
		text = strings.TrimPrefix(text, "\\")
		sum, err := hex.DecodeString(text[:min(len(text), 32)])
		if err != nil || len(text) < 35 || text[32:34] != "  " && text[32:34] != " *" {
			return fmt.Errorf("line %d is no line of md5sum: %q", n, shorten(text, 60))
		}
		name := text[34:]
		if escaped {
			name = unescapeName.Replace(name)
		}
		pending = append(pending, line{[16]byte(sum), name})
	}
	if err := sc.Err(); err != nil {
		return err
	}
	if len(pending) > 0 {
		return fmt.Errorf("%s without metadata after them; write manifests with: wxops lint-config manifest", counted(len(pending), "line", "lines"))
	}
	return nil
}

const manifestMark = "# wxops-manifest/v1 "

var (
	unescapeName = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r")
	escapeName   = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`)
)

// WriteManifest writes one line for each regular file below dir that
// md5sum -c --strict verifies, sorted, and the metadata last.
func WriteManifest(ctx context.Context, w io.Writer, dir, service, version, env, host string) error {
	for _, v := range []string{service, version, env, host} {
		if strings.ContainsAny(v, " \t\n=") {
			return fmt.Errorf("%q: a blank or = cannot stand in the metadata of a manifest", v)
		}
	}
	o := Options{MD5Only: true}
	if err := o.prepare(); err != nil {
		return err
	}
	t, err := dirSource{root: dir}.load(ctx, &o)
	if err != nil {
		return err
	}
	if len(t.failed) > 0 {
		return fmt.Errorf("read %q: %w", t.failed[0].path, t.failed[0].err)
	}
	l := &linter{t: t, root: dir}
	type line struct{ name, text string }
	lines := []line{}
	for e := range t.entries {
		if t.entries[e].kind != regular {
			continue
		}
		h, err := l.fullMD5(int32(e))
		if err != nil {
			return err
		}
		name := t.path(int32(e))
		text := h + "  " + name
		if escaped := escapeName.Replace(name); escaped != name {
			text = `\` + h + "  " + escaped
		}
		lines = append(lines, line{name, text})
	}
	slices.SortFunc(lines, func(a, b line) int { return cmp.Compare(a.name, b.name) })
	out := bufio.NewWriter(w)
	for _, l := range lines {
		fmt.Fprintln(out, l.text)
	}
	fmt.Fprintf(out, "%sservice=%s version=%s env=%s host=%s files=%d\n", manifestMark, service, version, env, host, len(lines))
	return out.Flush()
}
