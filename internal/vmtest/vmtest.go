// Package vmtest runs a static test binary in a throw-away guest, so that every
// layout of control groups is tested on a machine that mounts only one.
//
// [Boot] starts a stock Debian cloud kernel in QEMU with an initial file system
// that holds nothing but the binary. The binary is the guest's init: its TestMain
// calls [Init], which mounts what the layout needs, runs the binary again as an
// ordinary process with the arguments asked for, and reports its exit status.
//
//	func TestMain(m *testing.M) { vmtest.Init(); os.Exit(m.Run()) }
//	result, err := vmtest.Boot(ctx, vmtest.Guest{Binary: bin, Layout: "v2", Args: args})
//
// Emulation is enough: a boot takes 4 to 10 s. With Deterministic the guest's
// clock counts instructions, so that a busy host cannot disturb what it measures.
package vmtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A Guest is one machine to boot.
type Guest struct {
	Binary        string // static, for linux/amd64
	Layout        string // v1, v2 or hybrid
	Script        string // for bash, with Binary on its PATH, in a guest with systemd; without it Binary is the init
	Args          []string
	Env           []string // K=V
	Deterministic bool     // one processor in place of two, and a clock that counts instructions
}

// A Result is what a guest printed, and the exit status of the binary.
type Result struct {
	Console string
	Exit    int
}

// ErrMissing is what Boot returns where QEMU or the kernel is not there.
var ErrMissing = errors.New("no guest can be booted")

// Install is the command that brings what Boot needs.
const Install = ".ci/run install kernel root"

// kernelImage returns the newest kernel image below the cache folder, where
// .ci/run kernel unpacks it; WXOPS_VM_KERNEL names another one.
func kernelImage() (string, error) {
	if k := os.Getenv("WXOPS_VM_KERNEL"); k != "" {
		return k, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrMissing, err)
	}
	found, err := filepath.Glob(filepath.Join(cache, "wxops-vm", "boot", "vmlinuz-*"))
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("%w: no kernel in %s", ErrMissing, filepath.Join(cache, "wxops-vm"))
	}
	return found[len(found)-1], nil
}

const exitMark = "WXOPS-GUEST-EXIT "

// Boot runs a guest to its end. An error says that there was no result: the
// guest could not be booted or died.
func Boot(ctx context.Context, g Guest) (*Result, error) {
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMissing, err)
	}
	kernel, err := kernelImage()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "wxops-vm")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	initrd := filepath.Join(dir, "initrd")
	if err := writeInitrd(initrd, g); err != nil {
		return nil, err
	}
	kernelArgs := "console=ttyS0 quiet panic=-1 reboot=t psi=1 loglevel=3"
	memory := "1024" // MiB
	if g.Script != "" {
		kernelArgs += " systemd.show_status=0 " + systemdOf[g.Layout]
		memory = "2048" // its root lies in memory
	}
	accel, cpus := []string{"-accel", "tcg,thread=multi"}, "2"
	if g.Deterministic {
		// 8 ns for an instruction is a slow machine whose system calls take a
		// plausible time; idle time is skipped.
		accel, cpus = []string{"-accel", "tcg,thread=single", "-icount", "shift=3,sleep=off"}, "1"
	}
	args := append([]string{"-M", "pc", "-cpu", "max"}, accel...)
	args = append(args,
		"-m", memory, "-smp", cpus, "-nodefaults", "-no-user-config", "-display", "none",
		"-serial", "stdio", "-no-reboot", "-kernel", kernel, "-initrd", initrd,
		"-append", kernelArgs)
	c := exec.CommandContext(ctx, qemu, args...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	runErr := c.Run()
	text := strings.ReplaceAll(out.String(), "\r", "")
	r := &Result{Console: text}
	i := strings.LastIndex(text, exitMark)
	if i < 0 {
		return r, fmt.Errorf("the guest ended without a result (%v)", errors.Join(runErr, ctx.Err()))
	}
	if _, err := fmt.Sscan(text[i+len(exitMark):], &r.Exit); err != nil {
		return r, fmt.Errorf("the guest's result cannot be read: %w", err)
	}
	return r, nil
}

// writeInitrd writes the initial file system: a cpio archive of format newc,
// Documentation/driver-api/early-userspace/buffer-format.rst.
func writeInitrd(path string, g Guest) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	a := archive{w: w}
	if g.Script != "" {
		err = a.addDebian(g)
	} else {
		err = a.addInit(g)
	}
	a.add("TRAILER!!!", 0, 0, 0, nil)
	return errors.Join(err, a.err, w.Flush(), f.Close())
}

// addInit writes a root in which the binary is the init.
func (a *archive) addInit(g Guest) error {
	binary, err := os.ReadFile(g.Binary)
	if err != nil {
		return err
	}
	for _, dir := range []string{"dev", "proc", "sys", "tmp", "run", "etc", "root"} {
		a.add(dir, 0o040755, 0, 0, nil)
	}
	a.add("dev/console", 0o020600, 5, 1, nil)
	a.add("init", 0o100755, 0, 0, binary)
	a.add("guest.layout", 0o100644, 0, 0, []byte(g.Layout))
	a.add("guest.args", 0o100644, 0, 0, []byte(strings.Join(g.Args, "\n")))
	a.add("guest.env", 0o100644, 0, 0, []byte(strings.Join(g.Env, "\n")))
	return nil
}

type archive struct {
	w   io.Writer
	n   int
	err error
}

func (a *archive) add(name string, mode, major, minor int, data []byte) {
	a.n++
	head := fmt.Sprintf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		a.n, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name)+1, 0, name)
	for _, part := range [][]byte{[]byte(head), data} {
		if a.err == nil {
			_, a.err = a.w.Write(append(part[:len(part):len(part)], make([]byte, (4-len(part)%4)%4)...))
		}
	}
}
