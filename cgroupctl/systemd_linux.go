package cgroupctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"sync"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// busWait is how long systemd may take to answer: a daemon-reload of a large
// machine holds it up for seconds.
const busWait = 25 * time.Second

// bus is the systemd of this machine, reached when it is first needed.
type bus struct {
	once sync.Once
	conn *systemd.Conn
	err  error
}

func (b *bus) call(f func(ctx context.Context, c *systemd.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), busWait)
	defer cancel()
	b.once.Do(func() {
		// The connection outlives this call.
		if b.conn, b.err = systemd.NewWithContext(context.WithoutCancel(ctx)); b.err != nil {
			b.err = fmt.Errorf("reach systemd: %w", b.err)
		}
	})
	if b.err != nil {
		return b.err
	}
	err := f(ctx, b.conn)
	var answer dbus.Error
	if errors.As(err, &answer) {
		switch answer.Name {
		case "org.freedesktop.systemd1.NoSuchUnit":
			return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
		case "org.freedesktop.DBus.Error.AccessDenied", "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired":
			return fmt.Errorf("%w: %w", fs.ErrPermission, err)
		}
	}
	return err
}

func (b *bus) Description(unit string) (string, error) {
	text := ""
	err := b.call(func(ctx context.Context, c *systemd.Conn) error {
		p, err := c.GetUnitPropertiesContext(ctx, unit)
		if state, _ := p["ActiveState"].(string); err == nil && state == "active" {
			text, _ = p[descriptionProperty].(string)
		}
		return err
	})
	return text, err
}

func (b *bus) Slice(unit, description string) error {
	return b.start(unit, []property{{descriptionProperty, description}})
}

func (b *bus) Scope(unit, slice, description string, pid int, delegated bool) error {
	return b.start(unit, []property{
		{descriptionProperty, description},
		{"Slice", slice},
		{"PIDs", []uint32{uint32(pid)}}, //nolint:gosec // a PID is below 2^22
		{"Delegate", delegated},
		{"TasksMax", uint64(math.MaxUint64)},   // systemd's default is for services
		{"CollectMode", "inactive-or-failed"},  // a scope that the kernel killed does not stay
		{"TimeoutStopUSec", uint64(5_000_000)}, // at shutdown, before it is killed
	})
}

// start starts a transient unit. One of the same name that has just ended is
// loaded for a moment longer; then systemd is asked again.
func (b *bus) start(unit string, list []property) error {
	deadline := time.Now().Add(2 * time.Second)
	for {
		err := b.job(func(ctx context.Context, c *systemd.Conn, done chan<- string) error {
			_, err := c.StartTransientUnitContext(ctx, unit, "fail", variants(list), done)
			return err
		})
		var answer dbus.Error
		if !errors.As(err, &answer) || answer.Name != "org.freedesktop.systemd1.UnitExists" || time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// job queues a job and waits for its end.
func (b *bus) job(f func(ctx context.Context, c *systemd.Conn, done chan<- string) error) error {
	return b.call(func(ctx context.Context, c *systemd.Conn) error {
		done := make(chan string, 1)
		if err := f(ctx, c, done); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case result := <-done:
			if result != "done" {
				return fmt.Errorf("systemd's job ended as %q", result)
			}
			return nil
		}
	})
}

func (b *bus) Attach(unit, below string, pid int) error {
	return b.call(func(ctx context.Context, c *systemd.Conn) error {
		return c.AttachProcessesToUnit(ctx, unit, below, []uint32{uint32(pid)}) //nolint:gosec // a PID is below 2^22
	})
}

func (b *bus) Set(unit string, list []property) error {
	return b.call(func(ctx context.Context, c *systemd.Conn) error {
		return c.SetUnitPropertiesContext(ctx, unit, true, variants(list)...)
	})
}

func (b *bus) Freeze(unit string, frozen bool) error {
	return b.call(func(ctx context.Context, c *systemd.Conn) error {
		if frozen {
			return c.FreezeUnit(ctx, unit)
		}
		return c.ThawUnit(ctx, unit)
	})
}

func (b *bus) Stop(unit string) error {
	return b.job(func(ctx context.Context, c *systemd.Conn, done chan<- string) error {
		_, err := c.StopUnitContext(ctx, unit, "replace", done)
		return err
	})
}

func variants(list []property) []systemd.Property {
	out := make([]systemd.Property, 0, len(list))
	for _, p := range list {
		out = append(out, systemd.Property{Name: p.name, Value: dbus.MakeVariant(p.value)})
	}
	return out
}
