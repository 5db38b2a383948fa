//go:build !linux

package signal

import "context"

func openSocketTable(context.Context, string, int) (socketTable, error) { return nil, ErrUnsupported }

func findProcesses(context.Context, string) ([]int, error) { return nil, ErrUnsupported }

func runDelay(int) (map[int]float64, error) { return nil, ErrUnsupported }

func cpuQuota(int) float64 { return 0 }
