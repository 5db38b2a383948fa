//go:build !unix

package cgroupctl

func isReadOnly(error) bool    { return false }
func isBusy(error) bool        { return false }
func isGone(error) bool        { return false }
func isUnsupported(error) bool { return false }
