package load

// A Recording yields requests with instants of their own, as a log has them.
type Recording struct{}

type recorded struct{}

func (*recorded) over() bool    { return true }
func (*recorded) target() int32 { return 0 }
func (*recorded) due() int64    { return never }
func (*recorded) advance()      {}
