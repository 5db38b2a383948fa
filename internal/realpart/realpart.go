// Package realpart finds the real servers and tools that tests run against.
//
// A test that needs HAProxy asks for it with [Binary]. On a machine without it
// the test is skipped with the reason and the install command in the message;
// with WXOPS_CI=1, as in .ci/run, the same is a failure, so that nothing that
// was to run is silently left out.
//
//	haproxy := realpart.Binary(t, "haproxy", "apt-get install haproxy")
package realpart

import (
	"os"
	"os/exec"
	"testing"
)

// Missing ends the test: it is skipped with the reason and the command that
// would install the part, or fails where WXOPS_CI=1 says that nothing may be
// missing.
func Missing(t testing.TB, reason, install string) {
	t.Helper()
	if os.Getenv("WXOPS_CI") == "1" {
		t.Fatalf("%s, and WXOPS_CI=1 lets no test be skipped; install it: %s", reason, install)
	}
	t.Skipf("%s; install it: %s", reason, install)
}

// Binary returns the path of the program called name, or ends the test as
// [Missing] does. It looks in /usr/sbin and /sbin too, which an ordinary
// user's PATH lacks.
func Binary(t testing.TB, name, install string) string {
	t.Helper()
	for _, candidate := range []string{name, "/usr/sbin/" + name, "/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	Missing(t, "no "+name+" on the PATH", install)
	return ""
}
