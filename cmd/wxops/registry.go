package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/naming"
	"github.com/wxops/wxops/naming/file"
	"github.com/wxops/wxops/naming/haproxy"
)

// namesForms is shown wherever an address of a registry is refused.
const namesForms = `file:names.yaml, 'haproxy:unix:/run/haproxy.sock?backend=checkout' or 'haproxy:tcp:127.0.0.1:9999?backend=checkout'`

// A registryURL is the value of --names, taken apart.
type registryURL struct {
	scheme  string // file or haproxy
	path    string // of the file
	haproxy haproxy.Config
}

// parseRegistry takes the value of --names apart.
func parseRegistry(address string) (registryURL, error) {
	scheme, rest, ok := strings.Cut(address, ":")
	if !ok || rest == "" {
		return registryURL{}, fmt.Errorf("registry %q has no scheme; known are file and haproxy", address)
	}
	switch scheme {
	case "file":
		return registryURL{scheme: scheme, path: rest}, nil
	case "haproxy":
		c, err := parseHAProxy(rest)
		if err != nil {
			return registryURL{}, fmt.Errorf("registry %q: %w", address, err)
		}
		return registryURL{scheme: scheme, haproxy: c}, nil
	}
	return registryURL{}, fmt.Errorf("registry %q: scheme %q is not file or haproxy", address, scheme)
}

func parseHAProxy(rest string) (haproxy.Config, error) {
	where, query, _ := strings.Cut(rest, "?")
	network, at, ok := strings.Cut(where, ":")
	if !ok || at == "" || network != "unix" && network != "tcp" {
		return haproxy.Config{}, errors.New("after haproxy: comes unix:PATH or tcp:HOST:PORT")
	}
	c := haproxy.Config{Network: network, Address: at}
	values, err := url.ParseQuery(query)
	if err != nil {
		return c, err
	}
	for key, list := range values {
		switch key {
		case "backend":
			c.Backends = list
		case "layer":
			if c.Layer, err = naming.ParseLayer(list[0]); err != nil {
				return c, err
			}
		default:
			return c, fmt.Errorf("unknown parameter %q; it knows backend and layer", key)
		}
	}
	return c, nil
}

// meantRegistry returns the address that was probably meant by one that
// parseRegistry refuses: the forms of a URL, of a bare path and of HOST:PORT.
// It is "" where there is nothing to go by.
func meantRegistry(address string) string {
	where := strings.TrimPrefix(address, "haproxy:")
	where = strings.TrimPrefix(where, "unix:")
	where = strings.TrimPrefix(where, "tcp:")
	if after, ok := strings.CutPrefix(where, "//"); ok {
		where = after
	}
	path, _, _ := strings.Cut(where, "?")
	meant := ""
	_, port, err := net.SplitHostPort(path)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	switch {
	case strings.Contains(address, ".yaml") && !strings.Contains(path, ":"):
		meant = "file:" + where
	case strings.HasPrefix(path, "/"), strings.HasSuffix(path, ".sock"):
		meant = "haproxy:unix:" + where
	case err == nil:
		meant = "haproxy:tcp:" + where
	}
	if _, err := parseRegistry(meant); err != nil {
		return ""
	}
	return meant
}

// openRegistry opens the registry at an address, as given by a person or as a
// backend's Address returns it. It is the naming.Opener of the whole program.
func openRegistry(ctx context.Context, address string) (naming.Registry, error) {
	u, err := parseRegistry(address)
	if err != nil {
		refused := cli.Usagef("%s", err)
		if meant := meantRegistry(address); meant != "" {
			return nil, refused.WithHint("--names '%s'", meant)
		}
		return nil, refused.WithHint("--names takes %s", namesForms)
	}
	if u.scheme == "file" {
		return asRegistry(file.Open(u.path))
	}
	return asRegistry(haproxy.Open(ctx, u.haproxy))
}

// asRegistry keeps a nil pointer from becoming a Registry that is not nil.
func asRegistry[R naming.Registry](r R, err error) (naming.Registry, error) {
	if err != nil {
		return nil, err
	}
	return r, nil
}

// openNames opens the registry of --names for a command.
func openNames(ctx context.Context, address string) (naming.Registry, error) {
	if address == "" {
		return nil, cli.Usagef("--names is missing").WithHint("--names takes %s; WXOPS_NAMES or wxops.yaml may give it once for all", namesForms)
	}
	reg, err := openRegistry(ctx, address)
	var path *fs.PathError
	switch {
	case err == nil:
		return reg, nil
	case errors.Is(err, file.ErrSyntax):
		return nil, cli.Usagef("open %s", address).WithCause(err).WithHint("docs/formats.md has the format of a names file")
	case strings.HasPrefix(address, "file:") && !errors.Is(err, naming.ErrDenied) && errors.As(err, &path):
		return nil, cli.Unreadable(strings.TrimPrefix(address, "file:"), path).WithHint("--names takes %s", namesForms)
	}
	return nil, namesError("open "+address, address, err)
}

// namesError gives an error of a registry or a shift its exit code and hint.
func namesError(what, address string, err error) error {
	var shown *cli.Error
	if err == nil || errors.As(err, &shown) || errors.Is(err, context.Canceled) {
		return err
	}
	var unknown *naming.UnknownError
	var busy *naming.BusyError
	var state *fs.PathError // nothing else is read or written by path
	failed := cli.Failf("%s", what).WithCause(err)
	switch {
	case errors.As(err, &unknown):
		e := cli.Usagef("%s", what).WithCause(err)
		if near := cli.Closest(unknown.Name, unknown.Known, 3); len(near) > 0 {
			return e.WithHint("did you mean %s? (wxops names ls --names '%s' lists all)", strings.Join(near, " or "), address)
		}
		return e.WithHint("wxops names ls --names '%s'", address)
	case errors.As(err, &busy):
		return failed.WithHint("wait for process %d, or stop it: kill -INT %d (it restores before it ends)", busy.PID, busy.PID)
	case errors.Is(err, naming.ErrUnsuitable):
		return cli.Usagef("%s", what).WithCause(err).WithHint("wxops names ls --names '%s' shows weights and health; a peer that is out on purpose does not count with weight 0", address)
	case errors.Is(err, naming.ErrDenied):
		return failed.WithHint("run as a user who may write there; for HAProxy: stats socket PATH level admin mode 660")
	case errors.Is(err, naming.ErrVersion):
		return failed.WithHint("HAProxy 2.4 or later is needed; haproxy -v tells what is installed")
	case errors.Is(err, naming.ErrConflict):
		return failed.WithHint("look at it with wxops names ls --names '%s', and try again", address)
	case errors.Is(err, naming.ErrUnreachable):
		return failed.WithHint("is it running and is the path right? --names takes %s", namesForms)
	case errors.As(err, &state):
		return failed.WithHint("journals, locks and run logs need room in a folder that you may write to; XDG_STATE_HOME names another one")
	}
	return failed
}

// shiftOptions are the options of every weight change of this program: its
// watchdog is this binary, started again with the hidden command.
func shiftOptions(s *cli.IO) (naming.Options, error) {
	dir, err := stateDir(s)
	if err != nil {
		return naming.Options{}, cli.Failf("find the state folder").WithCause(err).WithHint("set XDG_STATE_HOME to a folder you may write to")
	}
	self, err := os.Executable()
	if err != nil {
		return naming.Options{}, cli.Failf("find this program for the watchdog").WithCause(err)
	}
	return naming.Options{StateDir: dir, Watchdog: func(journal string) *exec.Cmd {
		return exec.Command(self, watchdogName, journal)
	}}, nil
}

const watchdogName = "watchdog"

// newWatchdog is the hidden command that restores weights when the process
// that changed them dies or stops.
func newWatchdog(s *cli.IO) *cobra.Command {
	return &cobra.Command{
		Use:    watchdogName + " JOURNAL",
		Short:  "Restore the weights of a journal when the owner dies; started by wxops itself",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := naming.Watchdog(cmd.Context(), args[0], s.In, s.Out, openRegistry); err != nil {
				return cli.Failf("watchdog of %s", args[0]).WithCause(err)
			}
			return nil
		},
	}
}
