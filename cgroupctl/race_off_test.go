//go:build !race

package cgroupctl

const raceDetector = false
