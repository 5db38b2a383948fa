//go:build unix

package cgroupctl

import (
	"errors"
	"syscall"
)

func isReadOnly(err error) bool    { return errors.Is(err, syscall.EROFS) }
func isBusy(err error) bool        { return errors.Is(err, syscall.EBUSY) }
func isGone(err error) bool        { return errors.Is(err, syscall.ESRCH) }
func isUnsupported(err error) bool { return errors.Is(err, syscall.EOPNOTSUPP) }
