//go:build !linux

package cgroupctl

// Exec enters a slice and becomes the command. It returns only when that fails.
func (t *Tree) Exec(string, []string) error { return refuse("control groups need Linux") }
