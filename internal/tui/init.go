package tui

import "github.com/wxops/wxops/internal/tui/silence"

// Bubbletea is initialized by now; see the package silence.
func init() { silence.End() }
