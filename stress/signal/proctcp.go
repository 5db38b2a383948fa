package signal

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// States of a TCP socket in the kernel's numbering (include/net/tcp_states.h).
const (
	tcpEstablished = 1
	tcpListen      = 10
)

// parseProcTCP reads /proc/net/tcp or tcp6 (Documentation/networking/proc_net_tcp.rst
// of the kernel) and returns the sockets on port in the two states. The table
// tells neither times nor segments.
func parseProcTCP(r io.Reader, port uint16) (listening, established []socket, err error) {
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		f := strings.Fields(lines.Text())
		if n == 1 || len(f) == 0 {
			continue
		}
		if len(f) < 10 {
			return nil, nil, fmt.Errorf("line %d: %d fields, want 10", n, len(f))
		}
		local, err := parseProcAddr(f[1])
		if err != nil {
			return nil, nil, fmt.Errorf("line %d: %w", n, err)
		}
		if local.Port() != port {
			continue
		}
		remote, err := parseProcAddr(f[2])
		if err != nil {
			return nil, nil, fmt.Errorf("line %d: %w", n, err)
		}
		state, err := strconv.ParseUint(f[3], 16, 8)
		if err != nil {
			return nil, nil, fmt.Errorf("line %d: state: %w", n, err)
		}
		_, queue, _ := strings.Cut(f[4], ":")
		queued, err := strconv.ParseUint(queue, 16, 32)
		if err != nil {
			return nil, nil, fmt.Errorf("line %d: receive queue: %w", n, err)
		}
		inode, err := strconv.ParseUint(f[9], 10, 32)
		if err != nil {
			return nil, nil, fmt.Errorf("line %d: inode: %w", n, err)
		}
		s := socket{
			local: local, id: uint64(remote.Port()), inode: uint32(inode), queued: uint32(queued),
			received: -1, sent: -1, segmentsIn: -1, segmentsOut: -1,
		}
		switch state {
		case tcpListen:
			listening = append(listening, s)
		case tcpEstablished:
			established = append(established, s)
		}
	}
	return listening, established, lines.Err()
}

// parseProcAddr reads "0100007F:1F90": the address in 32-bit words of the
// host's byte order, then the port.
func parseProcAddr(s string) (netip.AddrPort, error) {
	words, port, ok := strings.Cut(s, ":")
	b, err := hex.DecodeString(words)
	p, perr := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || perr != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, fmt.Errorf("address %q", s)
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	addr, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(addr.Unmap(), uint16(p)), nil
}

// parseDiag reads one answer of sock_diag, the payload of a netlink message:
// struct inet_diag_msg and its attributes (include/uapi/linux/inet_diag.h).
func parseDiag(b []byte) (s socket, state byte, err error) {
	const size = 72
	if len(b) < size {
		return s, 0, fmt.Errorf("inet_diag_msg of %d bytes, want %d", len(b), size)
	}
	ne := binary.NativeEndian
	addr := netip.AddrFrom4([4]byte(b[8:12]))
	if b[0] == 10 { // AF_INET6
		addr = netip.AddrFrom16([16]byte(b[8:24])).Unmap()
	}
	s = socket{
		local:    netip.AddrPortFrom(addr, binary.BigEndian.Uint16(b[4:])),
		id:       uint64(ne.Uint32(b[44:])) | uint64(ne.Uint32(b[48:]))<<32,
		queued:   ne.Uint32(b[56:]),
		inode:    ne.Uint32(b[68:]),
		received: -1, sent: -1, segmentsIn: -1, segmentsOut: -1,
	}
	for rest := b[size:]; len(rest) >= 4; {
		n, kind := int(ne.Uint16(rest)), ne.Uint16(rest[2:])
		if n < 4 || n > len(rest) {
			return s, 0, fmt.Errorf("attribute of %d bytes in %d", n, len(rest))
		}
		// struct tcp_info, include/uapi/linux/tcp.h: offsets of
		// tcpi_last_data_sent and _recv, tcpi_data_segs_in and _out (4.6 and
		// later).
		if info := rest[4:n]; kind == inetDiagInfo && len(info) >= 160 {
			s.sent, s.received = int64(ne.Uint32(info[44:])), int64(ne.Uint32(info[52:]))
			s.segmentsIn, s.segmentsOut = int64(ne.Uint32(info[152:])), int64(ne.Uint32(info[156:]))
		}
		rest = rest[min(len(rest), (n+3)&^3):]
	}
	return s, b[1], nil
}

// inetDiagInfo is INET_DIAG_INFO: the attribute with struct tcp_info.
const inetDiagInfo = 2
