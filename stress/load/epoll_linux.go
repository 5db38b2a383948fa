package load

import (
	"errors"
	"net"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// epollDriver moves bytes of plain TCP connections with non-blocking sockets
// and one edge-triggered epoll instance on a locked thread: two system calls a
// request when busy. The Go netpoller needs four and a switch of goroutines.
type epollDriver struct {
	w      *worker
	fd     int
	events []unix.EpollEvent
	buffer []byte
	coarse bool // the kernel has no epoll_pwait2 (before 5.11)
	turn   int  // position in the addresses

	// The kernel's receive stamps, in an open loop only. With them it does not
	// matter when an answer is read, so that the thread need not wake for each.
	stamped bool
	message unix.Msghdr
	vector  unix.Iovec
	control [64]byte
	offset  int64 // what the wall clock is ahead of the clock of the run
	checked int64 // when offset was taken
	busy    int64 // until when bodies are taken to be on their way
}

// nap is how close the next due request must be for the thread to sleep until
// then whatever arrives: from 500 requests per second on there is one awakening
// for a request, not two. Answers are read late by that much, not stamped late.
const nap = 2 * time.Millisecond

// bodies is how long no nap is taken after a body that did not fit one read or
// one write: it would wait for us.
const bodies = int64(10 * time.Millisecond)

// fastEngine says that plain HTTP/1.1 and h2c may use the epoll driver.
const fastEngine = true

func newEpollDriver(w *worker) (driver, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	runtime.LockOSThread()
	// The default slack of 50 µs would be the larger part of our lateness.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	shortenSlice()
	d := &epollDriver{w: w, fd: fd, events: make([]unix.EpollEvent, 256), buffer: make([]byte, 64<<10), stamped: w.cfg.open}
	d.vector.Base = unsafe.SliceData(d.buffer)
	d.vector.SetLen(len(d.buffer))
	d.message.Iov = &d.vector
	d.message.SetIovlen(1)
	d.message.Control = &d.control[0]
	return d, nil
}

// slice is the time that the scheduler shall give the thread at a stretch, which
// is also what it works for between two sleeps.
const slice = 100 * time.Microsecond

// shortenSlice asks for short slices. In return a thread that wakes goes before
// those of longer ones at once (EEVDF, from Linux 6.12 on; older kernels take no
// notice), which is what a request that falls due needs beside other work on the
// same processor, our own collector included. It gets no larger share for it.
func shortenSlice() {
	a, err := unix.SchedGetAttr(0, 0)
	if err != nil || a.Policy != unix.SCHED_NORMAL {
		return // the user has chosen another policy
	}
	a.Runtime = uint64(slice)
	_ = unix.SchedSetAttr(0, a, 0)
}

// close leaves the thread locked: it ends with the goroutine of the worker, and
// nothing else gets a thread with its timers and slices.
func (d *epollDriver) close() { unix.Close(d.fd) }

func (d *epollDriver) dial(c *conn) error {
	a := d.w.cfg.addresses[d.turn%len(d.w.cfg.addresses)]
	d.turn++
	family, sockaddr := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: a.port})
	if ip4 := a.ip.To4(); ip4 != nil {
		copy(sockaddr.(*unix.SockaddrInet4).Addr[:], ip4)
	} else {
		six := &unix.SockaddrInet6{Port: a.port, ZoneId: zoneID(a.zone)}
		copy(six.Addr[:], a.ip)
		family, sockaddr = unix.AF_INET6, six
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	c.link.fd = fd
	c.link.generation++
	c.link.unsent = c.link.unsent[:0]
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if d.stamped && unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) != nil {
		d.stamped = false
	}
	if err := unix.Connect(fd, sockaddr); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return err
	}
	return unix.EpollCtl(d.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET,
		Fd:     int32(c.slot), Pad: c.link.generation,
	})
}

func (d *epollDriver) hangup(c *conn) {
	if c.link.fd > 0 {
		unix.Close(c.link.fd)
		c.link.fd = -1
		c.link.generation++
	}
}

func (d *epollDriver) send(c *conn, b []byte) Failure {
	if len(c.link.unsent) > 0 {
		c.link.unsent = append(c.link.unsent, b...)
		return none
	}
	n, failure := writeSome(c.link.fd, b)
	if failure == none && n < len(b) {
		c.link.unsent = append(c.link.unsent[:0], b[n:]...)
		d.busy = d.w.clock() + bodies
	}
	return failure
}

// writeSome writes what the kernel takes. The raw system call does not tell
// the Go scheduler, which is right for a call that never blocks; sendto spares
// the layer of files that write goes through.
func writeSome(fd int, b []byte) (int, Failure) {
	for {
		n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
		switch e {
		case 0:
			return int(n), none
		case unix.EAGAIN:
			return 0, none
		case unix.EINTR:
		default:
			return 0, Closed
		}
	}
}

func (d *epollDriver) poll(now, until int64) {
	wait := until - now
	if d.stamped && wait > 0 && wait < int64(nap) && now >= d.busy && d.w.exhaustion == 0 && d.w.dialing == 0 {
		ts := unix.NsecToTimespec(wait)
		unix.RawSyscall6(unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_MONOTONIC, 0, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
		wait = 0
	}
	n, err := d.wait(max(wait, 0))
	d.w.woke()
	if err != 0 || n == 0 {
		return
	}
	if d.stamped && now-d.checked > int64(10*time.Millisecond) {
		d.synchronize()
	}
	for i := range n {
		e := &d.events[i]
		c := d.w.conns[e.Fd]
		if c.link.generation == e.Pad {
			d.handle(c, e.Events)
		}
	}
}

// wait waits for events, at most for so many nanoseconds and never
// longer than longestWait. The Go scheduler is not told: a wait that it knows of
// makes its monitor look every 20 µs, which doubles the CPU time of a run. A
// signal ends the wait when the garbage collector needs the thread.
func (d *epollDriver) wait(nanos int64) (int, syscall.Errno) {
	events := uintptr(unsafe.Pointer(unsafe.SliceData(d.events)))
	if nanos == 0 || d.coarse {
		millis := int(min(nanos/int64(time.Millisecond), 1000)) // shorter than asked: the rest is polled
		n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(d.fd), events, uintptr(len(d.events)), uintptr(millis), 0, 0)
		return int(n), e
	}
	ts := unix.NsecToTimespec(min(nanos, int64(time.Second)))
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(d.fd), events, uintptr(len(d.events)), uintptr(unsafe.Pointer(&ts)), 0, 0)
	if e == unix.ENOSYS {
		d.coarse = true
		return 0, 0
	}
	return int(n), e
}

func (d *epollDriver) handle(c *conn, events uint32) {
	if c.state == connDialing {
		code, err := unix.GetsockoptInt(c.link.fd, unix.SOL_SOCKET, unix.SO_ERROR)
		switch {
		case err != nil:
			d.w.onConnect(c, err)
			return
		case code != 0:
			d.w.onConnect(c, unix.Errno(code))
			return
		case events&unix.EPOLLOUT == 0:
			return
		}
		d.w.onConnect(c, nil)
		if c.state != connOpen {
			return
		}
	}
	if events&unix.EPOLLOUT != 0 && len(c.link.unsent) > 0 {
		n, failure := writeSome(c.link.fd, c.link.unsent)
		if failure != none {
			d.w.lose(c, failure)
			return
		}
		c.link.unsent = c.link.unsent[:copy(c.link.unsent, c.link.unsent[n:])]
	}
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
		return
	}
	generation := c.link.generation
	for c.state == connOpen && c.link.generation == generation {
		n, at, e := d.read(c.link.fd)
		switch {
		case e == unix.EAGAIN:
			return
		case e == unix.EINTR:
			continue
		case e != 0 || n == 0:
			d.w.onEOF(c)
			return
		}
		d.w.onData(c, d.buffer[:n], at)
		// A short read has drained the socket; the end of the connection, if it
		// is already there, makes an event of its own or is in this one.
		if n < len(d.buffer) && events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
			return
		}
		d.busy = d.w.clock() + bodies
	}
}

// read fills the buffer. at is when its last byte came, on the clock of the
// run; 0 if the kernel did not say.
func (d *epollDriver) read(fd int) (n int, at int64, e syscall.Errno) {
	if !d.stamped {
		r, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(d.vector.Base)), uintptr(len(d.buffer)), 0, 0, 0)
		return int(r), 0, e
	}
	d.message.SetControllen(len(d.control))
	r, _, e := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&d.message)), 0)
	if e != 0 {
		return 0, 0, e
	}
	head := (*unix.Cmsghdr)(unsafe.Pointer(&d.control[0]))
	if d.message.Controllen >= unix.SizeofCmsghdr && head.Level == unix.SOL_SOCKET && head.Type == unix.SO_TIMESTAMPNS {
		stamp := (*unix.Timespec)(unsafe.Pointer(&d.control[unix.CmsgLen(0)]))
		at = stamp.Nano() - d.offset
	}
	return int(r), at, 0
}

// synchronize compares the clock of the stamps with the clock of the run, often
// enough for a wall clock that is being slewed.
func (d *epollDriver) synchronize() {
	now := time.Now()
	d.checked = int64(now.Sub(d.w.cfg.epoch))
	d.offset = now.UnixNano() - d.checked
}

// cpuClock reads what the thread of a worker used of its CPU, and how long it
// waited for one although it had work.
type cpuClock struct {
	busy, delay int64
}

func (c *cpuClock) start() { c.lap() }

func (c *cpuClock) lap() (busy, delay int64) {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_THREAD, &usage) != nil {
		return 0, 0
	}
	b := usage.Utime.Nano() + usage.Stime.Nano()
	d := runDelay()
	busy, delay = b-c.busy, d-c.delay
	c.busy, c.delay = b, d
	return busy, delay
}

// runDelay is the second field of schedstat: nanoseconds runnable and waiting.
func runDelay() int64 {
	fd, err := unix.Open("/proc/thread-self/schedstat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	var b [96]byte
	n, err := unix.Read(fd, b[:])
	if err != nil {
		return 0
	}
	field, v := 0, int64(0)
	for _, ch := range b[:n] {
		switch {
		case ch == ' ' || ch == '\n':
			if field == 1 {
				return v
			}
			field, v = field+1, 0
		case ch >= '0' && ch <= '9':
			v = v*10 + int64(ch-'0')
		}
	}
	return 0
}

// zoneID is the interface that the zone of a link-local address names.
func zoneID(zone string) uint32 {
	if zone == "" {
		return 0
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return 0
	}
	return uint32(i.Index)
}

// descriptors is the limit of open files, 0 if it is not known.
func descriptors() int {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return 0
	}
	return int(min(r.Cur, 1<<30))
}
