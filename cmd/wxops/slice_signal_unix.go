//go:build unix

package main

import (
	"os"
	"syscall"
)

// deathSignal returns the number of the signal that ended a process.
func deathSignal(p *os.ProcessState) int {
	if w, ok := p.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return int(w.Signal())
	}
	return 0
}
