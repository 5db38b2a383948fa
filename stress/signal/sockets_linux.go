package signal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// endpoint is an address on which somebody may listen.
type endpoint struct {
	addrs []netip.Addr
	port  uint16
}

func resolveEndpoint(ctx context.Context, address string) (endpoint, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return endpoint{}, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port == 0 {
		return endpoint{}, fmt.Errorf("port %q is outside 1..65535", service)
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return endpoint{}, err
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return endpoint{addrs, uint16(port)}, nil
}

// takes reports whether a listening socket takes connections to the endpoint.
func (e endpoint) takes(listener netip.Addr) bool {
	return listener.IsUnspecified() || slices.Contains(e.addrs, listener.Unmap())
}

// split keeps the sockets of the endpoint.
func (e endpoint) split(listening, established []socket) ([]socket, []socket) {
	foreign := func(s socket) bool { return !e.takes(s.local.Addr()) }
	return slices.DeleteFunc(listening, foreign), slices.DeleteFunc(established, foreign)
}

// openSocketTable opens sock_diag, in the network namespace of pid if that is
// another one, or falls back to /proc/PID/net/tcp.
func openSocketTable(ctx context.Context, address string, pid int) (socketTable, error) {
	e, err := resolveEndpoint(ctx, address)
	if err != nil {
		return nil, err
	}
	proc := "/proc/self"
	if pid > 0 {
		proc = "/proc/" + strconv.Itoa(pid)
	}
	fd, err := diagSocket(proc)
	if err != nil {
		return procTable{e, proc}, nil // seccomp, an old kernel, or not our namespace
	}
	t := &diagTable{endpoint: e, fd: fd, buffer: make([]byte, 1<<16)}
	listening, _, err := t.look()
	if err != nil {
		_ = t.close()
		return procTable{e, proc}, nil
	}
	// Connections are in the table of the address family that listens.
	t.families = nil
	for _, l := range listening {
		family := byte(unix.AF_INET6)
		if l.v4 {
			family = unix.AF_INET
		}
		if !slices.Contains(t.families, family) {
			t.families = append(t.families, family)
		}
	}
	if len(listening) == 0 {
		t.families = []byte{unix.AF_INET, unix.AF_INET6}
	}
	return t, nil
}

// diagSocket opens a netlink socket in the network namespace of proc.
func diagSocket(proc string) (int, error) {
	open := func() (int, error) {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
		if err != nil {
			return -1, err
		}
		timeout := unix.NsecToTimeval(int64(time.Second))
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
			_ = unix.Close(fd)
			return -1, err
		}
		return fd, nil
	}
	theirs, err := os.Readlink(proc + "/ns/net")
	if err != nil {
		return -1, err
	}
	if ours, err := os.Readlink("/proc/self/ns/net"); err != nil || ours == theirs {
		return open()
	}
	namespace, err := os.Open(proc + "/ns/net")
	if err != nil {
		return -1, err
	}
	defer namespace.Close()
	fd, result := -1, make(chan error)
	go func() {
		// The thread that changes its namespace ends with this goroutine,
		// because it is locked and never unlocked.
		runtime.LockOSThread()
		err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET)
		if err == nil {
			fd, err = open()
		}
		result <- err
	}()
	return fd, <-result
}

// diagTable asks the kernel by sock_diag(7).
type diagTable struct {
	endpoint
	fd       int
	families []byte
	seq      uint32
	buffer   []byte
}

func (t *diagTable) close() error { return unix.Close(t.fd) }

func (t *diagTable) look() (listening, established []socket, err error) {
	families := t.families
	if families == nil {
		families = []byte{unix.AF_INET, unix.AF_INET6}
	}
	for _, family := range families {
		l, e, err := t.dump(family)
		if err != nil {
			return nil, nil, err
		}
		listening, established = append(listening, l...), append(established, e...)
	}
	listening, established = t.split(listening, established)
	return listening, established, nil
}

// dump lists the sockets of one address family on the port.
func (t *diagTable) dump(family byte) (listening, established []socket, err error) {
	t.seq++
	ne := binary.NativeEndian
	b := make([]byte, 16+56) // struct nlmsghdr, struct inet_diag_req_v2
	ne.PutUint32(b[0:], uint32(len(b)))
	ne.PutUint16(b[4:], unix.SOCK_DIAG_BY_FAMILY)
	ne.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	ne.PutUint32(b[8:], t.seq)
	b[16], b[17], b[18] = family, unix.IPPROTO_TCP, 1<<(inetDiagInfo-1)
	ne.PutUint32(b[20:], 1<<tcpEstablished|1<<tcpListen)
	binary.BigEndian.PutUint16(b[24:], t.port) // only sockets with this local port
	if err := unix.Sendto(t.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, nil, fmt.Errorf("sock_diag: %w", err)
	}
	for {
		n, _, err := unix.Recvfrom(t.fd, t.buffer, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("sock_diag: %w", err)
		}
		for rest := t.buffer[:n]; len(rest) >= 16; {
			length, kind, seq := int(ne.Uint32(rest)), ne.Uint16(rest[4:]), ne.Uint32(rest[8:])
			if length < 16 || length > len(rest) {
				return nil, nil, fmt.Errorf("sock_diag: message of %d bytes in %d", length, len(rest))
			}
			payload := rest[16:length]
			rest = rest[min(len(rest), (length+3)&^3):]
			switch {
			case seq != t.seq: // of a dump that was given up
			case kind == unix.NLMSG_DONE:
				return listening, established, nil
			case kind == unix.NLMSG_ERROR:
				errno := unix.EIO
				if len(payload) >= 4 {
					errno = unix.Errno(-int32(ne.Uint32(payload)))
				}
				return nil, nil, fmt.Errorf("sock_diag: %w", errno)
			default:
				s, state, err := parseDiag(payload)
				if err != nil {
					return nil, nil, fmt.Errorf("sock_diag: %w", err)
				}
				s.v4 = family == unix.AF_INET
				if state == tcpListen {
					listening = append(listening, s)
				} else {
					established = append(established, s)
				}
			}
		}
	}
}

// procTable reads /proc/PID/net/tcp and tcp6.
type procTable struct {
	endpoint
	proc string
}

func (procTable) close() error { return nil }

func (t procTable) look() (listening, established []socket, err error) {
	for _, file := range []string{"/net/tcp", "/net/tcp6"} {
		b, err := os.ReadFile(t.proc + file)
		if errors.Is(err, os.ErrNotExist) && file == "/net/tcp6" {
			continue // IPv6 is off
		}
		if err != nil {
			return nil, nil, err
		}
		l, e, err := parseProcTCP(bytes.NewReader(b), t.port)
		if err != nil {
			return nil, nil, fmt.Errorf("%s%s: %w", t.proc, file, err)
		}
		listening, established = append(listening, l...), append(established, e...)
	}
	listening, established = t.split(listening, established)
	return listening, established, nil
}
