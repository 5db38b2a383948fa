package vmtest

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// A guest with a Script is a Debian with systemd as its init; a service of it
// runs the script. Its root is a tar archive in the cache folder, which
// .ci/run root makes; WXOPS_VM_ROOT names another one.

// debian returns the path of that archive.
func debian() (string, error) {
	if r := os.Getenv("WXOPS_VM_ROOT"); r != "" {
		return r, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrMissing, err)
	}
	r := filepath.Join(cache, "wxops-vm", "systemd.tar")
	if _, err := os.Stat(r); err != nil {
		return "", fmt.Errorf("%w: no Debian for systemd: %w", ErrMissing, err)
	}
	return r, nil
}

// systemdOf is what makes systemd mount a layout, kernel-command-line(7); since
// release 256 it mounts v2 only.
var systemdOf = map[string]string{
	"v2":     "systemd.unified_cgroup_hierarchy=1",
	"hybrid": "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=0",
	"v1":     "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1",
}

const (
	guestUnit = `[Unit]
After=dbus.socket
[Service]
Type=oneshot
ExecStart=/bin/bash /guest.run
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
`
	guestRun = `bash /guest.script
echo "` + exitMark + `$?"
systemctl reboot -ff
`
)

// without are the units that a throw-away guest would wait for.
var without = []string{
	"systemd-journal-flush.service", "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service", "systemd-logind.service",
	"apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer", "getty.target", "e2scrub_reap.service",
}

// addDebian writes the root of a guest with systemd.
func (a *archive) addDebian(g Guest) error {
	root, err := debian()
	if err != nil {
		return err
	}
	f, err := os.Open(root)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := a.addTar(tar.NewReader(f)); err != nil {
		return fmt.Errorf("read %s: %w", root, err)
	}
	binary, err := os.ReadFile(g.Binary)
	if err != nil {
		return err
	}
	a.add(path.Join("usr/bin", filepath.Base(g.Binary)), 0o100755, 0, 0, binary)
	a.add("guest.script", 0o100644, 0, 0, []byte(g.Script))
	a.add("guest.run", 0o100644, 0, 0, []byte(guestRun))
	const units = "etc/systemd/system/"
	a.add(units+"guest.service", 0o100644, 0, 0, []byte(guestUnit))
	a.add(units+"multi-user.target.wants/guest.service", 0o120777, 0, 0, []byte("../guest.service"))
	a.add(units+"default.target", 0o120777, 0, 0, []byte("/lib/systemd/system/multi-user.target"))
	for _, u := range without {
		a.add(units+u, 0o120777, 0, 0, []byte("/dev/null"))
	}
	a.add("init", 0o120777, 0, 0, []byte("sbin/init"))
	return nil
}

// addTar copies the folders, files and links of a tar archive, without devices.
func (a *archive) addTar(t *tar.Reader) error {
	files := map[string][]byte{} // a hard link becomes a copy
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Clean(h.Name)
		if name == "." || strings.HasPrefix(name, "dev/") || strings.HasPrefix(name, "var/cache/") {
			continue
		}
		mode := int(h.Mode & 0o7777)
		switch h.Typeflag {
		case tar.TypeDir:
			a.add(name, 0o040000|mode, 0, 0, nil)
		case tar.TypeReg:
			if files[name], err = io.ReadAll(t); err != nil {
				return err
			}
			a.add(name, 0o100000|mode, 0, 0, files[name])
		case tar.TypeLink:
			a.add(name, 0o100000|mode, 0, 0, files[path.Clean(h.Linkname)])
		case tar.TypeSymlink:
			a.add(name, 0o120777, 0, 0, []byte(h.Linkname))
		}
	}
}
