//go:build unix

package lint_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wxops/wxops/naming/lint"
)

// within runs the linter and fails where it takes longer than any of these
// inputs may: a hang must not take the whole test run with it.
func within(t *testing.T, s lint.Source, o lint.Options) (*lint.Report, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	type result struct {
		r   *lint.Report
		err error
	}
	done := make(chan result, 1)
	go func() {
		r, err := lint.Run(ctx, s, o)
		done <- result{r, err}
	}()
	select {
	case x := <-done:
		return x.r, x.err
	case <-time.After(time.Minute):
		t.Fatal("the linter hangs")
		return nil, nil
	}
}

const (
	one = "shop/prod/shop-1/"
	two = "shop/prod/shop-2/"
)

// pair gives three instances the same file and then changes the second.
func pair(t *testing.T, name, text string) string {
	t.Helper()
	root := t.TempDir()
	for i := range 3 {
		write(t, root, fmt.Sprintf("shop/prod/shop-%d/%s", i, name), text)
		write(t, root, fmt.Sprintf("shop/prod/shop-%d/ok.yaml", i), "a: 1\n")
	}
	return root
}

// Whatever lies in a tree: the linter ends, names it, and compares the rest.
func TestBadInputIsNamedAndTheRestCompared(t *testing.T) {
	deep := strings.Repeat("[", 200_000)
	var bomb strings.Builder
	bomb.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&bomb, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	bombKeys := "WX105 a 1\n" // each key is one that the others do not have
	for _, i := range []int{0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9} {
		bombKeys += fmt.Sprintf("WX105 a%d 1\n", i)
	}
	for _, c := range []struct {
		name   string
		change func(t *testing.T, root string)
		want   string
	}{
		{"pipe", func(t *testing.T, r string) { check(t, syscall.Mkfifo(filepath.Join(r, one+"x.yaml"), 0o644)) }, "WX505  1"},
		{"socket", func(t *testing.T, r string) {
			t.Chdir(filepath.Join(r, one)) // the path of a socket is short
			l, err := net.Listen("unix", "x.yaml")
			check(t, err)
			t.Cleanup(func() { l.Close() })
		}, "WX505  1"},
		{"loop of links", func(t *testing.T, r string) {
			check(t, os.Symlink("y.yaml", filepath.Join(r, one+"x.yaml")))
			check(t, os.Symlink("x.yaml", filepath.Join(r, one+"y.yaml")))
		}, "WX505  1\nWX505  1"},
		{"link to a directory above", func(t *testing.T, r string) { check(t, os.Symlink("..", filepath.Join(r, one+"x"))) }, "WX505  1"},
		{"link out of the tree", func(t *testing.T, r string) { check(t, os.Symlink("/etc/passwd", filepath.Join(r, one+"x.yaml"))) }, "WX505  1"},
		{"line of 1 MiB", func(t *testing.T, r string) { write(t, r, one+"ok.yaml", "a: "+strings.Repeat("x", 1<<20)+"\n") }, "WX101 a 1"},
		{"deep nesting", func(t *testing.T, r string) { write(t, r, one+"ok.yaml", deep) }, "WX509  1\nWX512  1"},
		{"deep nesting in JSON", func(t *testing.T, r string) {
			for i := range 3 {
				write(t, r, fmt.Sprintf("shop/prod/shop-%d/x.json", i), deep+"\n")
			}
		}, "WX512  3"},
		{"bomb of aliases", func(t *testing.T, r string) { write(t, r, one+"ok.yaml", bomb.String()) }, strings.TrimSpace(bombKeys)},
		{"no UTF-8 at all", func(t *testing.T, r string) { write(t, r, one+"ok.yaml", "a: \xff\xfe\xfd\n") }, "WX101 a 1\nWX508  1"},
		{"binary", func(t *testing.T, r string) { write(t, r, one+"ok.yaml", "a: \x00\x01\n") }, "WX101  1"},
		{"empty", func(t *testing.T, r string) { write(t, r, one+"ok.yaml", "") }, "WX105 a 1"},
		{"name with a newline", func(t *testing.T, r string) {
			for i := range 3 {
				write(t, r, fmt.Sprintf("shop/prod/shop-%d/a\nb.yaml", i), fmt.Sprint("v: ", max(i, 1), "\n"))
			}
		}, "WX101 v 1"},
		{"name that is no UTF-8", func(t *testing.T, r string) {
			for i := range 3 {
				write(t, r, fmt.Sprintf("shop/prod/shop-%d/a\xffb.yaml", i), fmt.Sprint("v: ", max(i, 1), "\n"))
			}
		}, "WX101 v 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := pair(t, "other.ini", "[a]\nb = 1\n")
			c.change(t, root)
			r, err := within(t, lint.Dir(root), lint.Options{})
			check(t, err)
			if got := brief(r); got != c.want {
				t.Errorf("found\n%s\nwant\n%s", got, c.want)
			}
			if r.Summary.Groups < 1 {
				t.Error("nothing else was compared")
			}
			// No report may be torn apart by what a file or its name holds.
			var text, sarif, junit bytes.Buffer
			check(t, r.WriteText(&text))
			check(t, r.WriteSARIF(&sarif, "wxops 1", ""))
			check(t, r.WriteJUnit(&junit, lint.Error))
			if want := len(r.Findings) + 2; strings.Count(text.String(), "\n") != want {
				t.Errorf("%d findings in %d lines:\n%s", len(r.Findings), want, text.String())
			}
			if !json.Valid(sarif.Bytes()) {
				t.Error("SARIF is no JSON")
			}
		})
	}
}

// Large files are compared by bytes, in parts: the memory does not grow with them.
func TestLargeFilesTakeNoMemory(t *testing.T) {
	root := pair(t, "big.yaml", "")
	const size = 256 << 20 // sparse
	for i := range 3 {
		f, err := os.OpenFile(filepath.Join(root, fmt.Sprintf("shop/prod/shop-%d/big.yaml", i)), os.O_WRONLY, 0)
		check(t, err)
		check(t, f.Truncate(size))
		if i == 1 {
			_, err = f.WriteAt([]byte("x"), size-1)
			check(t, err)
		}
		check(t, f.Close())
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := within(t, lint.Dir(root), lint.Options{})
	check(t, err)
	runtime.ReadMemStats(&after)
	if got := brief(r); got != "WX101  1" || !strings.Contains(r.Findings[0].Message, "MD5 is ") {
		t.Errorf("found %q", got)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
		t.Errorf("%d MiB allocated for files of 256 MiB", grown>>20)
	}
}

// A file that is written again and again while the tree is read gives one of
// its contents, or a finding, and no crash.
func TestFileThatChangesWhileItIsRead(t *testing.T) {
	root := pair(t, "x.yaml", strings.Repeat("k: v\n", 10))
	stop := make(chan struct{})
	writer := make(chan error, 1)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				writer <- nil
				return
			default:
			}
			if err := os.WriteFile(filepath.Join(root, one+"x.yaml"), bytes.Repeat([]byte("k: v\n"), 1+n%400_000), 0o644); err != nil {
				writer <- err
				return
			}
		}
	}()
	for range 10 {
		r, err := within(t, lint.Dir(root), lint.Options{})
		check(t, err)
		for _, f := range r.Findings {
			if strings.Contains(f.Message, "ok.yaml") {
				t.Errorf("what did not change is reported: %s", f.Message)
			}
		}
	}
	close(stop)
	check(t, <-writer)
}

// TestMain lets the test binary be the linter of an ordinary user.
func TestMain(m *testing.M) {
	if root := os.Getenv("LINT_AS_USER"); root != "" {
		r, err := lint.Run(context.Background(), lint.Dir(root), lint.Options{})
		if err != nil {
			fmt.Println("error", err)
			os.Exit(0)
		}
		fmt.Println(brief(r), r.Summary.Verdict)
		for _, err := range r.Unreadable {
			fmt.Println(err)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// What may not be read is named, findings about the rest are still there.
func TestUnreadableIsNamed(t *testing.T) {
	root := pair(t, "x.yaml", "a: 1\n")
	write(t, root, two+"ok.yaml", "a: 2\n")
	check(t, os.Chmod(filepath.Join(root, one+"x.yaml"), 0))
	write(t, root, "shop/prod/shop-0/closed/y.yaml", "a: 1\n")
	check(t, os.Chmod(filepath.Join(root, "shop/prod/shop-0/closed"), 0))
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(root, "shop/prod/shop-0/closed"), 0o755) })
	cmd := exec.Command("/proc/self/exe")
	if _, err := os.Stat("/proc/self/exe"); err != nil {
		exe, err := os.Executable()
		check(t, err)
		cmd = exec.Command(exe)
	}
	cmd.Env = append(os.Environ(), "LINT_AS_USER="+root)
	if os.Geteuid() == 0 { // nothing is unreadable for root
		for dir := root; len(dir) > len(os.TempDir()); dir = filepath.Dir(dir) {
			check(t, os.Chmod(dir, 0o755))
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got := string(out)
	for _, want := range []string{"WX101 a 1", "unreadable\n", `read "shop/prod/shop-0/closed"`, `read "shop/prod/shop-1/x.yaml"`, "permission denied"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

// Archives that lie, lead out of themselves or hold what is no file.
func TestLyingArchives(t *testing.T) {
	tarOf := func(headers ...*tar.Header) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for i := range 2 {
			check(t, w.WriteHeader(&tar.Header{Name: fmt.Sprintf("shop/prod/shop-%d/a.yaml", i), Size: 5, Mode: 0o644}))
			_, err := w.Write([]byte("a: 1\n"))
			check(t, err)
		}
		for _, h := range headers {
			check(t, w.WriteHeader(h))
		}
		check(t, w.Flush())
		return b.Bytes()
	}
	escape := tarOf(&tar.Header{Name: "../../etc/cron.d/x.yaml", Mode: 0o644}, &tar.Header{Name: "/shop/../../x.yaml", Mode: 0o644}, &tar.Header{Name: "shop/prod/shop-1/l.yaml", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, &tar.Header{Name: "shop/prod/shop-1/d.yaml", Typeflag: tar.TypeChar})
	long := tarOf()
	{ // a header that promises 8 GiB, and nothing after it
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		check(t, w.WriteHeader(&tar.Header{Name: "shop/prod/shop-0/b.yaml", Size: 8 << 30, Mode: 0o644}))
		long = append(long, b.Bytes()...)
	}
	zipped := func(method uint16) []byte {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for i := range 3 {
			f, err := w.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("shop/prod/shop-%d/a.yaml", i), Method: method})
			check(t, err)
			_, err = f.Write(bytes.Repeat([]byte("a: 1\n"), 1000))
			check(t, err)
		}
		check(t, w.Close())
		return b.Bytes()
	}
	sizes := zipped(zip.Deflate)
	at := bytes.LastIndex(sizes, []byte("PK\x01\x02")) // the entry of the last file in the list at the end
	binary.LittleEndian.PutUint32(sizes[at+24:], 1<<31)
	sum := zipped(zip.Store)
	at = bytes.LastIndex(sum, []byte("PK\x01\x02"))
	binary.LittleEndian.PutUint32(sum[at+16:], 12345)
	for _, c := range []struct {
		name       string
		b          []byte
		want       string
		unreadable int
	}{
		{"paths that lead out", escape, "WX505  1\nWX505  1", 0},
		{"size beyond the end", long, "WX502  1", 1},
		{"size in a zip", sizes, "", 1},
		{"checksum in a zip", sum, "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := within(t, lint.Stream("x", bytes.NewReader(c.b)), lint.Options{})
			check(t, err)
			if len(r.Unreadable) != c.unreadable {
				t.Errorf("unreadable: %v", r.Unreadable)
			}
			for _, f := range r.Findings {
				for _, p := range f.Paths {
					if strings.Contains(p, "etc/") || strings.Contains(p, "..") {
						t.Errorf("%s is out of the archive", p)
					}
				}
			}
			if got := brief(r); got != c.want && c.unreadable == 0 {
				t.Errorf("found\n%s\nwant\n%s", got, c.want)
			}
			if r.Summary.Groups == 0 {
				t.Error("nothing was compared")
			}
		})
	}
}

func TestSeveralLinksAreOneFinding(t *testing.T) {
	root := fleet(t, 1)
	for _, name := range []string{"svca/prod/svca-0/conf/app.yaml", "svca/prod/svca-1/conf/app.yaml"} {
		check(t, os.Remove(filepath.Join(root, name)))
		check(t, os.Symlink("log.json", filepath.Join(root, name)))
	}
	r := run(t, lint.Dir(root), lint.Options{})
	const want = "conf/app.yaml: 2 of 6 instances of svca@1.0.0 are symbolic links (prod/svca-0, prod/svca-1), which were not opened"
	if len(r.Findings) != 1 || r.Findings[0].Message != want {
		t.Errorf("found %+v, want %q", r.Findings, want)
	}
}
