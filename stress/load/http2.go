package load

type http2 struct{}

func newHTTP2(int) *http2                                    { return nil }
func (*http2) preface() []byte                               { return nil }
func (*http2) room() bool                                    { return false }
func (*http2) slot(*conn) *request                           { return nil }
func (*http2) begin(*worker, *conn, *request, *wire) Failure { return none }
func (*http2) cancel(*worker, *conn, *request) Failure       { return none }
func (*http2) lost(*worker, Failure)                         {}
func (*http2) feed(*worker, *conn, []byte) Failure           { return none }
func (t Target) http2(bool) wire                             { return wire{} }

type (
	recorded  struct{}
	Recording struct{}
)

func (*recorded) over() bool    { return true }
func (*recorded) target() int32 { return 0 }
func (*recorded) due() int64    { return 0 }
func (*recorded) advance()      {}
