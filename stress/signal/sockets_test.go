package signal

import (
	"strings"
	"testing"
)

// Oracle: a hand calculation per row.
func TestSocketOwesAnAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		before conn
		now    socket
		want   bool
	}{
		"new connection, nothing came":            {conn{known: true}, socket{received: 5, sent: 5}, false},
		"first request, no response yet":          {conn{known: true}, socket{received: 5, sent: 5, segmentsIn: 1}, true},
		"request after the last response":         {conn{}, socket{received: 5, sent: 9, segmentsIn: 7, segmentsOut: 6}, true},
		"response after the last request":         {conn{}, socket{received: 9, sent: 5, segmentsIn: 7, segmentsOut: 7}, false},
		"same tick, one segment more than before": {conn{known: true}, socket{received: 4, sent: 4, segmentsIn: 8, segmentsOut: 7}, true},
		"same tick, as many segments as before":   {conn{known: true}, socket{received: 4, sent: 4, segmentsIn: 8, segmentsOut: 8}, false},
		"same tick, nothing known":                {conn{}, socket{received: 4, sent: 4, segmentsIn: 8, segmentsOut: 7}, false},
	} {
		if got := c.before.owes(c.now); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestProcTCPTable(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 507 1 0000 100 0 0 10 0
   1: 0100007F:1F90 0100007F:D6AC 01 00000000:0000004D 00:00000000 00000000     0        0 991 1 0000 20 4 30 10 -1
   2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 508 1 0000 100 0 0 10 0
   3: 0100007F:1F90 0100007F:D6AD 06 00000000:00000000 03:00000F4C 00000000     0        0 0 3 0000
`
	listening, established, err := parseProcTCP(strings.NewReader(table), 8080)
	if err != nil || len(listening) != 1 || len(established) != 1 {
		t.Fatalf("%v, %v, %v", listening, established, err)
	}
	if l := listening[0]; l.local.String() != "127.0.0.1:8080" || l.queued != 3 || l.inode != 507 {
		t.Errorf("listening %+v", l)
	}
	if e := established[0]; e.queued != 77 || e.inode != 991 || e.id != 0xD6AC || e.received != -1 {
		t.Errorf("established %+v", e)
	}
}

func FuzzProcTCP(f *testing.F) {
	f.Add("h\n0: 0100007F:1F90 00000000:0000 0A 0:3 0 0 0 0 507\n")
	f.Add("h\n0: 00000000000000000000000001000000:1F90 :0000 0A 0:3 0 0 0 0 507\n")
	f.Fuzz(func(t *testing.T, text string) {
		listening, established, err := parseProcTCP(strings.NewReader(text), 8080)
		for _, s := range append(listening, established...) {
			if s.local.Port() != 8080 || err != nil {
				t.Errorf("%+v, %v", s, err)
			}
		}
	})
}

func FuzzDiag(f *testing.F) {
	f.Add(make([]byte, 72))
	f.Add(append(make([]byte, 72), 8, 0, 2, 0, 1, 2, 3, 4))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, _, err := parseDiag(b); err == nil && !s.local.IsValid() {
			t.Errorf("%+v", s)
		}
	})
}

func FuzzSchedstat(f *testing.F) {
	f.Add("12 34 5\n")
	f.Add("-1 2")
	f.Fuzz(func(t *testing.T, text string) {
		if v, err := parseSchedstat(text); err == nil && !(v >= 0) {
			t.Errorf("%q gives %g", text, v)
		}
		if q := parseQuota(text); !(q >= 0) {
			t.Errorf("%q gives %g cores", text, q)
		}
	})
}
