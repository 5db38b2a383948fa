//go:build !linux

package cgroupctl

import "runtime"

// Detect returns the control groups and the size of the running machine.
func Detect() (*Host, error) {
	return nil, refuse("control groups need Linux; this is %s", runtime.GOOS).hint("run the command on a Linux machine")
}

func urgent() (end func()) { return func() {} }
