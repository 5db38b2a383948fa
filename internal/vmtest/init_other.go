//go:build !linux

package vmtest

// Init makes the guest where this process is a guest's init; elsewhere, and
// anywhere but on Linux, it returns at once.
func Init() {}
