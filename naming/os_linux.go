package naming

import (
	"os"
	"os/signal"
	"syscall"
)

// deathSignal reaches the watchdog when the owner's thread that started it
// dies (prctl(2), PR_SET_PDEATHSIG). The pipe between them ends later: only when
// the last thread is gone, and one that waits for a busy disk outlives SIGKILL
// by as long as the disk takes.
const deathSignal = syscall.SIGUSR1

func tellDeath(attr *syscall.SysProcAttr) { attr.Pdeathsig = deathSignal }

// deathTold delivers when the owner has died.
func deathTold() <-chan os.Signal {
	told := make(chan os.Signal, 1)
	signal.Notify(told, deathSignal)
	return told
}
