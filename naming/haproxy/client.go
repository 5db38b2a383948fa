package haproxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"time"

	"github.com/wxops/wxops/naming"
)

// maxAnswer bounds an answer of the server: 64 MiB hold statistics of a hundred
// thousand servers.
const maxAnswer = 64 << 20

// dialTimeout bounds a connection to the socket; a local one takes under a
// millisecond, a reload leaves it unanswered for a moment.
const dialTimeout = 2 * time.Second

// A client speaks the runtime API (management guide, section 9.3): one
// connection a call, so that a restart of HAProxy is noticed by the next call
// and nothing has to be reopened.
type client struct{ network, address string }

// exchange sends a line and returns all that the server says until it closes.
func (c client) exchange(ctx context.Context, line string) (string, error) {
	conn, stop, err := c.dial(ctx)
	if err != nil {
		return "", err
	}
	defer stop()
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		return "", c.failed(ctx, err)
	}
	answer, err := io.ReadAll(io.LimitReader(conn, maxAnswer+1))
	switch {
	case err != nil:
		return "", c.failed(ctx, err)
	case len(answer) > maxAnswer:
		return "", c.failed(ctx, fmt.Errorf("an answer of over %d MiB", maxAnswer>>20))
	case len(answer) == 0:
		// A process that ends closes the connection without a word.
		return "", c.failed(ctx, errors.New("the server closed the connection without an answer"))
	}
	return string(answer), nil
}

// batch sends commands of which each answers with at most one line, and returns
// the answers. They are sent as one line, so HAProxy carries them out back to
// back, microseconds apart.
func (c client) batch(ctx context.Context, commands []string) ([]string, error) {
	conn, stop, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	if _, err := io.WriteString(conn, strings.Join(commands, ";")+"\n"); err != nil {
		return nil, c.failed(ctx, err)
	}
	// Every answer ends with an empty line.
	r := bufio.NewReader(io.LimitReader(conn, maxAnswer))
	answers := make([]string, 0, len(commands))
	var text strings.Builder
	for len(answers) < len(commands) {
		line, err := r.ReadString('\n')
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("the server closed the connection after %d of %d answers", len(answers), len(commands))
			}
			return answers, c.failed(ctx, err)
		}
		if line == "\n" {
			answers = append(answers, strings.TrimSpace(text.String()))
			text.Reset()
			continue
		}
		text.WriteString(line)
	}
	return answers, nil
}

func (c client) dial(ctx context.Context) (net.Conn, func(), error) {
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, c.network, c.address)
	if err != nil {
		return nil, nil, c.failed(ctx, err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	} else {
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second)) // a stopped HAProxy never answers
	}
	unwatch := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return conn, func() { unwatch(); conn.Close() }, nil
}

func (c client) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	kind := naming.ErrUnreachable
	if errors.Is(err, fs.ErrPermission) {
		kind = naming.ErrDenied
	}
	return fmt.Errorf("haproxy at %s:%s: %w: %w", c.network, c.address, kind, err)
}
