package load

import (
	"bytes"
	"net"
	"os"
	"runtime"
	"strconv"
)

// A cpuTotal is what all processors of this machine have done since it booted,
// in ticks; the zero value where that is not known.
type cpuTotal struct{ all, idle float64 }

// readCPUTotal reads the first line of /proc/stat (proc_stat(5)): user, nice,
// system, idle, iowait, irq, softirq, steal. Waiting for a disk is idle.
func readCPUTotal() (t cpuTotal) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil || !bytes.HasPrefix(b, []byte("cpu ")) {
		return cpuTotal{}
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	for i, field := range bytes.Fields(line)[1:] {
		v, err := strconv.ParseFloat(string(field), 64)
		if err != nil || i > 7 {
			break // the times of guests are in user and nice already
		}
		t.all += v
		if i == 3 || i == 4 {
			t.idle += v
		}
	}
	return t
}

// idleSince is the share of the machine's CPU time that nobody used since t was
// read; 1 if it is not known.
func (t cpuTotal) idleSince() float64 {
	now := readCPUTotal()
	if t.all == 0 || now.all <= t.all {
		return 1
	}
	return (now.idle - t.idle) / (now.all - t.all)
}

// onThisMachine says whether the service is where the generator is.
func onThisMachine(addresses []address) bool {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addresses {
		if a.ip.IsLoopback() {
			return true
		}
		for _, o := range own {
			if n, ok := o.(*net.IPNet); ok && n.IP.Equal(a.ip) {
				return true
			}
		}
	}
	return false
}

// ownShare is the share of the machine's CPU time that the workers used.
func (r *Result) ownShare() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return r.CPUSeconds / r.Elapsed.Seconds() / float64(runtime.NumCPU())
}
