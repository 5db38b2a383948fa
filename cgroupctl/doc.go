// Package cgroupctl gives running processes fixed shares of a machine by plain
// kernel control groups: no daemon, no container, nothing restarted or renamed.
//
// A [Spec] (slices.yaml) says which slices a machine carries. [Open] joins it to
// a [Host], found by [Detect]; the resulting [Tree] compares the wish with the
// kernel's files ([Tree.Plan]), makes it so ([Tree.Apply]), moves processes with
// all their children ([Tree.Attach]), says what has strayed ([Tree.Drift]) and
// takes it away again ([Tree.Remove]). Offline work lives in one more slice of
// the lowest priority, whose quota a [Controller] steers by window and load.
//
//	host, err := cgroupctl.Detect()
//	spec, err := cgroupctl.ReadSpec(file)
//	tree, err := cgroupctl.Open(host, spec)
//	plan, err := tree.Apply(cgroupctl.ApplyOptions{})
//
// It works on cgroup v1 (separate and joint mounts), v2 and hybrid trees. It
// keeps no state of its own: ownership, the hash of the wish and the lease of the
// controller are extended attributes on the group's folder, gone with it. It never
// edits a group that it did not make, and on v1 never touches name=systemd or the
// unified tree. Where systemd manages a v2 tree, slices are its units and all
// changes go over its bus.
package cgroupctl

import "fmt"

// An Error is a refusal or a failure that a person can act on.
type Error struct {
	Input bool   // the input is unusable; otherwise it could not be done here
	What  string // what failed, with the value refused
	Err   error  // why; may be nil
	Hint  string // the next thing to do; may be empty
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.What
	}
	return e.What + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func badInput(format string, args ...any) *Error {
	return &Error{Input: true, What: fmt.Sprintf(format, args...)}
}

func refuse(format string, args ...any) *Error {
	return &Error{What: fmt.Sprintf(format, args...)}
}

func (e *Error) because(err error) *Error { e.Err = err; return e }

func (e *Error) hint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}
