//go:build !linux

package naming

import (
	"os"
	"syscall"
)

// tellDeath has nothing to ask for: only Linux tells a process of the death of
// the one that started it. The end of the pipe between them is what counts.
func tellDeath(*syscall.SysProcAttr) {}

// deathTold never delivers.
func deathTold() <-chan os.Signal { return nil }
