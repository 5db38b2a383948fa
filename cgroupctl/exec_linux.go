package cgroupctl

import (
	"os"
	"os/exec"
	"syscall"
)

// oomFirst makes the kernel take offline work first when memory is short.
const oomFirst = "1000"

// Exec enters a slice and becomes the command. It returns only when that fails.
func (t *Tree) Exec(slice string, command []string) error {
	if err := t.ready(slice); err != nil {
		return err
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return refuse("find the command %q", command[0]).because(err)
	}
	if err := t.Enter(slice); err != nil {
		return err
	}
	if t.spec.Offline != nil && slice == t.spec.Offline.Name {
		if err := t.host.FS.WriteFile("/proc/self/oom_score_adj", oomFirst); err != nil {
			return refuse("mark the job for the kernel's memory killer").because(err)
		}
	}
	if err := syscall.Exec(path, command, os.Environ()); err != nil { //nolint:gosec // running it is the purpose
		return refuse("run %q", path).because(err)
	}
	return nil
}
