package vmtest

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Init makes the guest and never returns where this process is a guest's init;
// anywhere else it returns at once.
func Init() {
	if os.Getpid() != 1 {
		return
	}
	layout, err := os.ReadFile("/guest.layout")
	if err != nil {
		return // the init of a container, not of a guest
	}
	status := 125
	if err := mountAll(string(layout)); err != nil {
		fmt.Println("guest:", err)
	} else if status, err = runChild(string(layout)); err != nil {
		fmt.Println("guest:", err)
	}
	fmt.Printf("%s%d\n", exitMark, status)
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	select {}
}

func mountAll(layout string) error {
	type mount struct{ kind, at, data string }
	list := []mount{{"proc", "/proc", ""}, {"sysfs", "/sys", ""}, {"devtmpfs", "/dev", ""}, {"tmpfs", "/tmp", ""}, {"tmpfs", "/run", ""}}
	switch layout {
	case "v2":
		list = append(list, mount{"cgroup2", "/sys/fs/cgroup", ""})
	case "v1", "hybrid":
		list = append(list, mount{"tmpfs", "/sys/fs/cgroup", "mode=755"})
		for _, c := range []string{"cpu,cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "none,name=systemd"} {
			list = append(list, mount{"cgroup", "/sys/fs/cgroup/" + strings.TrimPrefix(c, "none,name="), c})
		}
		if layout == "hybrid" {
			list = append(list, mount{"cgroup2", "/sys/fs/cgroup/unified", ""})
		}
	default:
		return fmt.Errorf("layout %q is not one of v1, v2, hybrid", layout)
	}
	for _, m := range list {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, m.data); err != nil {
			return fmt.Errorf("mount %s (%s) on %s: %w", m.kind, m.data, m.at, err)
		}
	}
	return loopback()
}

// loopback brings lo up.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

// runChild runs the binary with the guest's arguments, and reaps everything
// that is orphaned meanwhile, as an init must.
func runChild(layout string) (int, error) {
	lines := func(path string) []string {
		b, err := os.ReadFile(path)
		if err != nil || len(b) == 0 {
			return nil
		}
		return strings.Split(string(b), "\n")
	}
	env := append([]string{"HOME=/root", "PATH=/", "TMPDIR=/tmp", "WXOPS_GUEST=" + layout}, lines("/guest.env")...)
	child, err := syscall.ForkExec("/init", append([]string{"/init"}, lines("/guest.args")...), &syscall.ProcAttr{
		Dir: "/root", Env: env, Files: []uintptr{0, 1, 2},
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 125, err
	}
	for {
		var w syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &w, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 125, err
		case pid == child && w.Signaled():
			return 128 + int(w.Signal()), nil
		case pid == child:
			return w.ExitStatus(), nil
		}
	}
}
