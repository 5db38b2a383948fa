package load

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strconv"
	"syscall"
)

// An address is one of the host under test.
type address struct {
	ip   net.IP
	zone string
	port int
}

func (a address) String() string {
	ip := net.IPAddr{IP: a.ip, Zone: a.zone}
	return net.JoinHostPort(ip.String(), strconv.Itoa(a.port))
}

var errDialTimeout = errors.New("no connection within the timeout")

// resolve finds the addresses of a host before the run starts, so that a slow
// name server does not show in any response time.
func resolve(ctx context.Context, host, port string) ([]address, error) {
	number, err := net.DefaultResolver.LookupPort(ctx, "tcp", port)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return nil, err
	}
	var four, six []address
	for _, ip := range ips {
		a := address{ip.IP, ip.Zone, number}
		if ip.IP.To4() != nil {
			four = append(four, a)
		} else {
			six = append(six, a)
		}
	}
	// One family only: a host whose IPv6 is broken would fail half of the requests.
	if len(four) > 0 {
		return four, nil
	}
	return six, nil
}

// The limits of this machine that a dial may meet.
const (
	localNone = iota
	localDescriptors
	localPorts
)

// dialFailure sorts the error of a dial: a failure of the request that waited
// for it, or a limit of this machine, which fails no request.
func dialFailure(err error) (kind Failure, local int) {
	switch {
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOBUFS):
		return Unsent, localDescriptors
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return Unsent, localPorts
	}
	var (
		record  tls.RecordHeaderError
		alert   tls.AlertError
		verify  *tls.CertificateVerificationError
		host    x509.HostnameError
		unknown x509.UnknownAuthorityError
		name    *net.DNSError
	)
	switch {
	case errors.As(err, &record), errors.As(err, &alert), errors.As(err, &verify), errors.As(err, &host), errors.As(err, &unknown), errors.Is(err, errHandshake):
		return TLS, localNone
	case errors.As(err, &name):
		return DNS, localNone
	case errors.Is(err, errDialTimeout), errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return Timeout, localNone
	}
	return Refused, localNone
}

// errHandshake marks a failed TLS handshake whose own error has no type.
var errHandshake = errors.New("TLS handshake")
