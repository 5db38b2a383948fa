//go:build race

package cgroupctl

const raceDetector = true
