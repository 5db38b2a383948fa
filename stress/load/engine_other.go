//go:build !linux

package load

import "errors"

// fastEngine says that plain connections may use the epoll driver.
const fastEngine = false

func newEpollDriver(*worker) (driver, error) { return nil, errors.ErrUnsupported }

// cpuClock knows nothing here: saturation shows as send lag.
type cpuClock struct{}

func (*cpuClock) start() {}

func (*cpuClock) lap() (busy, delay int64) { return 0, 0 }

// descriptors is the limit of open files, 0 if it is not known.
func descriptors() int { return 0 }
