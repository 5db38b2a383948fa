package forecast

import "time"

// A Calendar gives the holiday that a date belongs to.
type Calendar interface {
	// Kind returns a name for days that are alike and differ from others, as
	// "spring-festival+1"; "" for a day like any other.
	Kind(day time.Time) string
}
