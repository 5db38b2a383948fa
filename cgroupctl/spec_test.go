package cgroupctl

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"
)

func TestReadSpecFillsTheDefaults(t *testing.T) {
	f, err := os.Open("testdata/slices.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := ReadSpec(f)
	if err != nil {
		t.Fatal(err)
	}
	if s.Parent != "wxops" || s.Location.String() != "Asia/Shanghai" || s.Reserve != DefaultReserve || s.Promise != (Overcommit{1, 1}) {
		t.Errorf("spec is %+v", s)
	}
	o := s.Online[0]
	if o.Name != "checkout" || o.Service != "checkout" || o.Instance != "checkout/1" || o.Shape.String() != "500m512M" || o.Mode != Guaranteed || o.LimitMilliCPU() != 500 || o.Match.String() != "regex" {
		t.Errorf("slice is %+v", o)
	}
	if s.Offline.Name != "offline" || s.Offline.MemoryBytes != 4<<30 || len(s.Windows) != 1 || s.Windows[0].Rule != Unrestricted {
		t.Errorf("offline is %+v, windows %+v", s.Offline, s.Windows)
	}
}

func TestReadSpecRefuses(t *testing.T) {
	online := func(s string) string { return "version: 1\nonline: [{" + s + "}]" }
	for _, c := range []struct{ text, want string }{
		{"", "is empty"},
		{"version: 1\n---\nversion: 1", "more than one document"},
		{"version: [", "not valid"},
		{"version: 1\nonlyne: []", `unknown key "onlyne"; accepted here are version, parent, timezone, machine, online, offline, windows$`},
		{"version: 1\nonline: [{name: a, shap: 1C1G}]", `line 2: unknown key "shap"; accepted here are name, service, instance, shape, mode, pin, ceiling, burst, match$`},
		{"version: 1\nmachine: {reserve: {cpus: 5%}}", `unknown key "cpus"; accepted here are cpu, memory, memory_min$`},
		{"version: 1\noffline: {nam: o}\nwindows: [{form: '01:00'}]", `accepted here are name, memory, io`},
		{"parent: x", "has no version"},
		{"version: 1\nonline: [{name: a, shape: [1]}]", "line 2: a list is not of the kind"},
		{online("shape: 1C1G"), "online[0] has no name"},
		{"version: one", "is not of the kind"},
		{"version: 1\nversion: 1", "already defined"},
		{"version: 3", "version 3"},
		{"version: 1\nparent: a/b", "has a slash"},
		{"version: 1\nparent: ..", "is not a folder name"},
		{"version: 1\nparent: cpu.max", "is not a folder name"},
		{"version: 1\ntimezone: Mars/Base", `timezone "Mars/Base" is unknown`},
		{"version: 1\nmachine: {reserve: {cpu: 100%}}", "is not a share"},
		{"version: 1\nmachine: {reserve: {memory_min: 5X}}", "is not a size"},
		{"version: 1\nmachine: {overcommit: {cpu: 0.5}}", "outside [1, 100]"},
		{online("name: tasks, shape: 1C1G"), "is not a folder name"},
		{online("name: a, shape: 1C"), "2C4G|1C1G"},
		{online("name: a"), "slice a has no shape"},
		{online("name: a, shape: 1C1G, mode: both"), "not one of guaranteed, shared"},
		{online("name: a, shape: 500m1G, pin: cores"), "whole cores"},
		{online("name: a, shape: 1C1G, mode: shared, pin: cores"), "needs mode guaranteed"},
		{online("name: a, shape: 1C1G, ceiling: -1"), "ceiling -1"},
		{online("name: a, shape: 1C1G, ceiling: 0.001"), "less than 10m"},
		{online("name: a, shape: 1C1G, burst: 1"), "needs one"},
		{online("name: a, shape: 1C1G, match: '('"), "match"},
		{online("name: offline, shape: 1C1G") + "\noffline: {memory: 1G}", "is used by an online slice"},
		{"version: 1\noffline: {name: o}", `offline has no memory`},
		{"version: 1\nwindows: [{from: '1:00', to: '02:00', rule: floor}]", "is not a time of day"},
		{"version: 1\nwindows: [{from: '01:00', to: '01:00', rule: floor}]", "is no span"},
		{"version: 1\nwindows: [{from: '01:00', to: '25:00', rule: floor}]", "is not a time of day"},
		{"version: 1\nwindows: [{from: '01:00', to: '02:00', rule: fast}]", "not one of unrestricted"},
		{"version: 1\nwindows: [{from: '01:00', to: '02:00', rule: throttled, target: 2}]", "outside (0, 1]"},
		{"version: 1\nwindows: [{name: a, from: '22:00', to: '02:00', rule: floor}, {name: b, from: '01:00', to: '03:00', rule: floor}]", `windows "a" and "b" overlap`},
		{"version: 1\nwindows: [{from: '22:00', to: '02:00', rule: floor}, {from: '01:00', to: '03:00', rule: floor}]", `windows "windows[1]" and "windows[0]" overlap from 01:00|windows "windows[0]" and "windows[1]" overlap from 01:00`},
	} {
		_, err := ReadSpec(strings.NewReader(c.text))
		var e *Error
		if !errors.As(err, &e) || !e.Input {
			t.Errorf("%q: %v, want unusable input", c.text, err)
			continue
		}
		found := false
		for w := range strings.SplitSeq(c.want, "|") {
			found = found || strings.Contains(err.Error()+"$", w) // $ is the end
		}
		if !found {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
	}
}

func TestFitsChecksTheSums(t *testing.T) {
	m := Machine{MilliCPU: 4000, MemoryBytes: 8 << 30} // beside the reserve 3800m and 7372 MiB
	for _, c := range []struct {
		text string
		want string
	}{
		{"online: [{name: a, shape: 3C4G}, {name: b, shape: 800m1G}]", ""},
		{"online: [{name: a, shape: 3C4G}, {name: b, shape: 801m1G}]", "guaranteed slices need 3801m of CPU, 3800m are left"},
		{"online: [{name: a, shape: 3C4G}, {name: b, shape: 2C1G, mode: shared}]", "online slices need 5000m"},
		{"machine: {overcommit: {cpu: 1.5}}\nonline: [{name: a, shape: 3C4G}, {name: b, shape: 2C1G, mode: shared}]", ""},
		{"online: [{name: a, shape: 1C7G}]\noffline: {memory: 1G}", "8192 MiB of memory, 7372 MiB are left"},
		{"machine: {overcommit: {memory: 2.0}}\nonline: [{name: a, shape: 1C7G}]\noffline: {memory: 1G}", ""},
		{"machine: {reserve: {cpu: 0%}}\nonline: [{name: a, shape: 4C1G, pin: cores}]", "pinned slices take 4 cores of 4"},
	} {
		s, err := ReadSpec(strings.NewReader("version: 1\n" + c.text))
		if err != nil {
			t.Fatalf("%s: %v", c.text, err)
		}
		err = s.fits(m)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
	r := DefaultReserve
	if got := r.Allocatable(Machine{MilliCPU: 1000, MemoryBytes: 1 << 30}); got != (Machine{950, 768 << 20}) {
		t.Errorf("small machine: %+v; the reserve is at least 256 MiB", got)
	}
}

func windows(t *testing.T, zone, list string) *Spec {
	t.Helper()
	s, err := ReadSpec(strings.NewReader("version: 1\ntimezone: " + zone + "\n" + list))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDefaultWindowsOverADay(t *testing.T) {
	s := windows(t, "Asia/Shanghai", "")
	for _, c := range []struct {
		clock string
		name  string
		admit bool
	}{
		{"00:59", "evening", false},
		{"01:00", "night", true},
		{"07:59", "night", true},
		{"08:00", "day", true},
		{"19:29", "day", true},
		{"19:30", "day", false},
		{"19:59", "day", false},
		{"20:00", "evening", false},
		{"23:59", "evening", false},
	} {
		now, err := time.ParseInLocation("2006-01-02 15:04", "2026-03-08 "+c.clock, s.Location)
		if err != nil {
			t.Fatal(err)
		}
		if w, admit := s.windowAt(now.UTC()); w.Name != c.name || admit != c.admit {
			t.Errorf("%s: %s, admits %v; want %s, %v", c.clock, w.Name, admit, c.name, c.admit)
		}
	}
}

// New York skips 02:00-03:00 on 2026-03-08 and repeats 01:00-02:00 on 2026-11-01.
func TestWindowsInTheHoursOfDaylightSaving(t *testing.T) {
	s := windows(t, "America/New_York", `windows: [{name: gap, from: "02:30", to: "03:30", rule: frozen}, {name: twice, from: "01:15", to: "01:45", rule: throttled}]`)
	for _, c := range []struct{ utc, want string }{
		{"2026-03-08T06:59:00Z", "outside windows"}, // 01:59 EST
		{"2026-03-08T07:00:00Z", "gap"},             // 03:00 EDT, the clock jumped past 02:30
		{"2026-03-08T07:30:00Z", "outside windows"}, // 03:30 EDT
		{"2026-11-01T05:20:00Z", "twice"},           // 01:20 EDT
		{"2026-11-01T05:50:00Z", "outside windows"}, // 01:50 EDT
		{"2026-11-01T06:20:00Z", "twice"},           // 01:20 EST
	} {
		now, err := time.Parse(time.RFC3339, c.utc)
		if err != nil {
			t.Fatal(err)
		}
		if w, _ := s.windowAt(now); w.Name != c.want {
			t.Errorf("%s: window %q, want %q", c.utc, w.Name, c.want)
		}
	}
	begin := time.Date(2026, 3, 8, 6, 50, 20, 0, time.UTC)
	if end := s.windowEnd(begin); !end.Equal(time.Date(2026, 3, 8, 7, 0, 0, 0, time.UTC)) {
		t.Errorf("the window ends at %s, want when the clock jumps", end.UTC())
	}
	if end := windows(t, "UTC", `windows: [{name: all, from: "00:00", to: "24:00", rule: throttled}]`).windowEnd(begin); !end.IsZero() {
		t.Errorf("a window of the whole day ends at %s", end)
	}
}

func TestCutsLeaveTheLeast(t *testing.T) {
	// By hand: 7600m and 14745 MiB; three 2C4G and one 1C1G leave 600m and 1433 MiB.
	p := Cuts(Machine{MilliCPU: 8000, MemoryBytes: 16 << 30}, DefaultReserve)
	if p.Seeds.Counts[0] != (Count{"1C1G", 1}) || p.Seeds.Counts[1] != (Count{"2C4G", 3}) || p.Seeds.LeftMilliCPU != 600 {
		t.Errorf("seeds are %+v", p.Seeds)
	}
	for _, c := range p.Single {
		s := mustShape(c.Counts[0].Shape)
		n := c.Counts[0].N
		fits := n*s.MilliCPU <= p.AllocatableMilliCPU && n*s.MemoryBytes <= p.AllocatableBytes
		more := (n+1)*s.MilliCPU <= p.AllocatableMilliCPU && (n+1)*s.MemoryBytes <= p.AllocatableBytes
		if !fits || more || c.LeftMilliCPU != p.AllocatableMilliCPU-n*s.MilliCPU {
			t.Errorf("%+v is not the most that fits", c)
		}
	}
}

func FuzzReadSpec(f *testing.F) {
	b, err := os.ReadFile("testdata/slices.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(b))
	f.Add("version: 1\nwindows: [{from: '23:00', to: '01:00', rule: floor, no_new_jobs: 1h}]")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ReadSpec(strings.NewReader(text))
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || !e.Input {
				t.Fatalf("%v is not an error of the input", err)
			}
			return
		}
		if s.Location == nil || nameForm.FindString(s.Parent) == "" {
			t.Fatalf("accepted %+v", s)
		}
		_ = s.fits(Machine{4000, 8 << 30})
		s.windowAt(time.Unix(1e9, 0))
	})
}

func FuzzParse(f *testing.F) {
	f.Add("4711 (a) b) S 1 4711 4711 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 12345 6 7")
	f.Add("31 23 0:27 / /sys/fs/cgroup/a\\040b rw - cgroup cgroup rw,cpu,cpuacct")
	f.Add("0-3,8,9-\n")
	f.Add("some avg10=1.36 avg60=2.78 avg300=2.53 total=17780379")
	f.Add("until=1 pid=2 rule=floor")
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := parseStat([]byte(text)); err == nil && p.alive != 0 && p.alive != p.pid {
			t.Fatalf("%+v", p)
		}
		for _, m := range parseMounts([]byte(text)) {
			if m.Version != 1 && m.Version != 2 {
				t.Fatalf("%+v", m)
			}
		}
		if c, err := parseCPUs(text); err == nil {
			if again, err := parseCPUs(formatCPUs(c)); err != nil || len(again) != len(c) {
				t.Fatalf("%v is written as %q", c, formatCPUs(c))
			}
		}
		pressure(text)
		keyed(text)
		busy([]byte(text))
		if l, err := parseLease(text); err == nil {
			if again, err := parseLease(l.String()); err != nil || again != l {
				t.Fatalf("%+v is written as %q", l, l)
			}
		}
	})
}
