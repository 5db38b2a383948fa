// Package silence keeps bubbletea from asking the terminal for its background
// colour when the program starts.
//
// bubbletea v1 asks in its init function, so every command of a program that
// links it would write an escape sequence to the terminal and wait for the
// answer, up to five seconds where none comes. It does not ask where CI is set
// in the environment. Importing this package sets CI before bubbletea is
// initialized: this package needs only os, and Go initializes packages that are
// ready in the order of their import paths, while bubbletea still waits for
// packages that come later. [End] puts the environment back; the importer of
// bubbletea calls it in its own init.
package silence

import "os"

const variable = "CI"

var begun = begin()

func begin() bool {
	if os.Getenv(variable) != "" {
		return false
	}
	return os.Setenv(variable, "true") == nil
}

// End puts the environment back as the program got it.
func End() {
	if begun {
		os.Unsetenv(variable)
	}
	begun = false
}
