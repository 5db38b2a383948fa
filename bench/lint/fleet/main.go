//go:build linux

// Fleet makes the trees that bench/lint/run measures, and measures what reading
// one costs at least.
//
//	fleet make DIR SERVICES ENVS INSTANCES FILES BYTES  a clean fleet; BYTES 0: 2 to 4 KiB a file
//	fleet read DIR                                      list and read everything, compare nothing
//
// The reading is that of a plain program without waste: directories listed once,
// files opened relative to them, one reused buffer for each core, no stat.
package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	var err error
	switch {
	case len(os.Args) == 8 && os.Args[1] == "make":
		var n [5]int
		for i := range n {
			if n[i], err = strconv.Atoi(os.Args[3+i]); err != nil {
				break
			}
		}
		if err == nil {
			err = makeFleet(os.Args[2], n[0], n[1], n[2], n[3], n[4])
		}
	case len(os.Args) == 3 && os.Args[1] == "read":
		err = readAll(os.Args[2])
	default:
		err = fmt.Errorf("usage: fleet make DIR SERVICES ENVS INSTANCES FILES BYTES | fleet read DIR")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(2)
	}
}

// text is one file with about size bytes in the syntax of its name.
func text(rng *rand.Rand, ext string, size int) []byte {
	var b bytes.Buffer
	if ext == ".json" {
		b.WriteString("{\"s0\": {\"k\": 1}")
	}
	for i := 0; b.Len() < size; i++ {
		key, value := fmt.Sprintf("limit_%d_%d", i, rng.IntN(90)), rng.IntN(100_000)
		if i%8 == 0 {
			switch ext {
			case ".yaml":
				fmt.Fprintf(&b, "s%d:\n", i)
			case ".ini", ".toml":
				fmt.Fprintf(&b, "[s%d]\n", i)
			}
		}
		switch ext {
		case ".yaml":
			fmt.Fprintf(&b, "  %s: %d\n", key, value)
		case ".json":
			fmt.Fprintf(&b, ",\n\"%s\": %d", key, value)
		default:
			fmt.Fprintf(&b, "%s = %d\n", key, value)
		}
	}
	if ext == ".json" {
		b.WriteString("}\n")
	}
	return b.Bytes()
}

func makeFleet(root string, services, envs, instances, files, size int) error {
	rng := rand.New(rand.NewPCG(1, 1))
	names := []string{"app.yaml", "server.ini", "routes.json", "log.toml", "jvm.properties"}
	for s := range services {
		name := fmt.Sprintf("service%d", s)
		contents := make([][]byte, min(files, len(names)))
		for f := range contents {
			n := size
			if n == 0 {
				n = 2048 + rng.IntN(2048)
			}
			contents[f] = text(rng, filepath.Ext(names[f]), n)
		}
		for e := range envs {
			for i := range instances {
				dir := filepath.Join(root, name, []string{"prod", "test", "dev"}[e%3], fmt.Sprintf("%s-%d", name, i), "conf")
				if err := os.MkdirAll(dir, 0o755); err != nil {
					return err
				}
				for f, b := range contents {
					if err := os.WriteFile(filepath.Join(dir, names[f]), b, 0o644); err != nil {
						return err
					}
				}
			}
		}
		manifest := fmt.Sprintf("service: %s\nversion: 1.0.0\ntier: logic\ndata: none\nslice: 2C4G\ncloud: true\n", name)
		if err := os.WriteFile(filepath.Join(root, name, "service.yaml"), []byte(manifest), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// readAll reads the directories below root with one goroutine for each core.
func readAll(root string) error {
	list, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	var next, files, total atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			r := reader{names: make([]byte, 32<<10), buffer: make([]byte, 1<<20)}
			for {
				k := int(next.Add(1)) - 1
				if k >= len(list) {
					break
				}
				if fd, err := unix.Open(filepath.Join(root, list[k].Name()), unix.O_RDONLY|unix.O_DIRECTORY, 0); err == nil {
					r.folder(fd)
					unix.Close(fd)
				}
			}
			files.Add(r.files)
			total.Add(r.bytes)
		})
	}
	wg.Wait()
	fmt.Printf("%d files, %d MiB\n", files.Load(), total.Load()>>20)
	return nil
}

type reader struct {
	names, buffer []byte
	files, bytes  int64
}

func (r *reader) folder(fd int) {
	var files, subs []string
	for {
		n, err := unix.Getdents(fd, r.names)
		if err != nil || n <= 0 {
			break
		}
		for b := r.names[:n]; len(b) > 0; {
			d := (*unix.Dirent)(unsafe.Pointer(&b[0]))
			name := b[unsafe.Offsetof(d.Name):d.Reclen]
			name = name[:bytes.IndexByte(name, 0)]
			b = b[d.Reclen:]
			switch {
			case d.Type == unix.DT_REG:
				files = append(files, string(name))
			case d.Type == unix.DT_DIR && string(name) != "." && string(name) != "..":
				subs = append(subs, string(name))
			}
		}
	}
	for _, name := range files {
		f, err := unix.Openat(fd, name, unix.O_RDONLY, 0)
		if err != nil {
			continue
		}
		for {
			n, err := unix.Read(f, r.buffer)
			r.bytes += int64(max(n, 0))
			if err != nil || n < len(r.buffer) {
				break // the end of the file: less than was asked for
			}
		}
		unix.Close(f)
		r.files++
	}
	for _, name := range subs {
		if c, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY, 0); err == nil {
			r.folder(c)
			unix.Close(c)
		}
	}
}
