//go:build linux

// Package oracle compares cgroupctl with another library: the same wish through
// both must leave the same values in every control file. It is a module of its
// own, so that wxops links nothing of that library.
package oracle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs"
	"github.com/opencontainers/cgroups/fs2"

	"github.com/wxops/wxops/cgroupctl"
	"github.com/wxops/wxops/internal/realpart"
	"github.com/wxops/wxops/internal/vmtest"
)

func TestMain(m *testing.M) {
	vmtest.Init()
	os.Exit(m.Run())
}

// moving are files that count, or name the group, rather than hold a wish.
var moving = []string{"stat", "usage", "procs", "tasks", "events", "pressure", "peak", "current", "failcnt", "slabinfo", "numa", "threads", "event_control", "kill", "force_empty", "reclaim", "recursive", "serviced", "service_bytes", "shown_ram", "hugetlb", "rdma", "misc", "cgroup.controllers"}

// wishes reads every control file of a folder that holds a wish.
func wishes(t *testing.T, folder string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
next:
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		for _, m := range moving {
			if strings.Contains(e.Name(), m) {
				continue next
			}
		}
		if b, err := os.ReadFile(filepath.Join(folder, e.Name())); err == nil {
			out[e.Name()] = strings.TrimSpace(string(b))
		}
	}
	return out
}

func ptr[T any](v T) *T { return &v }

func lastCore() string { return fmt.Sprint(runtime.NumCPU() - 1) }

// disks limits every disk to 50 MiB per second.
func disks(t *testing.T) []*cgroups.ThrottleDevice {
	t.Helper()
	files, err := filepath.Glob("/sys/block/*/dev")
	if err != nil {
		t.Fatal(err)
	}
	var out []*cgroups.ThrottleDevice
	for _, f := range files {
		if name := filepath.Base(filepath.Dir(f)); strings.HasPrefix(name, "loop") || strings.HasPrefix(name, "ram") || strings.HasPrefix(name, "zram") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var major, minor int64
		if _, err := fmt.Sscanf(string(b), "%d:%d", &major, &minor); err != nil {
			t.Fatal(err)
		}
		out = append(out, cgroups.NewThrottleDevice(major, minor, 50<<20))
	}
	return out
}

func TestSameWishSameFiles(t *testing.T) {
	host, err := cgroupctl.Detect()
	if err != nil {
		realpart.Missing(t, err.Error(), "run on Linux with cgroups mounted")
	}
	for _, c := range []struct {
		name, online   string
		v1, v2         *cgroups.Resources
		offlineRequest bool
	}{
		{
			name:   "limit",
			online: "{name: a, shape: 500m256M, mode: shared, ceiling: 1.0, burst: 0.2}",
			v1:     &cgroups.Resources{CpuShares: 5120, CpuQuota: 50000, CpuPeriod: 100000, CpuBurst: ptr(uint64(10000)), Memory: 256 << 20},
			v2:     &cgroups.Resources{CpuWeight: 500, CpuQuota: 50000, CpuPeriod: 100000, CpuBurst: ptr(uint64(10000)), Memory: 256 << 20},
		},
		{
			name:   "weight only",
			online: "{name: a, shape: 250m64M, mode: shared}",
			v1:     &cgroups.Resources{CpuShares: 2560, Memory: 64 << 20},
			v2:     &cgroups.Resources{CpuWeight: 250, Memory: 64 << 20},
		},
		{
			name:   "protected",
			online: "{name: a, shape: 100m32M, ceiling: 3.5}",
			v1:     &cgroups.Resources{CpuShares: 1024, CpuQuota: 35000, CpuPeriod: 100000, Memory: 32 << 20},
			v2:     &cgroups.Resources{CpuWeight: 100, CpuQuota: 35000, CpuPeriod: 100000, Memory: 32 << 20, MemoryReservation: 32 << 20},
		},
		{
			name:   "pinned",
			online: "{name: a, shape: 1C32M, pin: cores}",
			v1:     &cgroups.Resources{CpuShares: 10240, Memory: 32 << 20, CpusetCpus: lastCore()},
			v2:     &cgroups.Resources{CpuWeight: 1000, Memory: 32 << 20, MemoryReservation: 32 << 20, CpusetCpus: lastCore()},
		},
		{
			name: "offline", offlineRequest: true,
			v1: &cgroups.Resources{CpuShares: 2, CPUIdle: ptr(int64(1)), Memory: 64 << 20, BlkioThrottleReadBpsDevice: disks(t), BlkioThrottleWriteBpsDevice: disks(t)},
			v2: &cgroups.Resources{CPUIdle: ptr(int64(1)), Memory: 64 << 20, Unified: map[string]string{"memory.high": fmt.Sprint(60 << 20), "memory.oom.group": "1"}, BlkioThrottleReadBpsDevice: disks(t), BlkioThrottleWriteBpsDevice: disks(t)},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			own, other := fmt.Sprintf("wxopsoracle-%d", os.Getpid()), fmt.Sprintf("wxopsoracle-%d-other", os.Getpid())
			text := "version: 1\nparent: " + own + "\nmachine: {reserve: {memory_min: 64MiB}}\n"
			if c.offlineRequest {
				text += "offline: {name: a, memory: 64M, io: 50M}\n"
			} else {
				text += "online: [" + c.online + "]\n"
			}
			spec, err := cgroupctl.ReadSpec(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			tree, err := cgroupctl.Open(host, spec)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tree.Apply(context.Background(), cgroupctl.ApplyOptions{}); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if _, err := tree.Remove(context.Background(), nil, cgroupctl.RemoveOptions{}); err != nil {
					t.Error(err)
				}
			}()
			compared := 0
			compare := func(h cgroupctl.Hierarchy) {
				mine, theirs := wishes(t, filepath.Join(h.Path, own, "a")), wishes(t, filepath.Join(h.Path, other, "a"))
				for file, want := range theirs {
					compared++
					if mine[file] != want {
						t.Errorf("%s: cgroupctl leaves %q, the oracle %q", filepath.Join(h.Path, "...", file), mine[file], want)
					}
				}
			}
			if host.Layout == cgroupctl.V2 {
				h := host.Hierarchies[0]
				c.v2.SkipDevices = true
				m, err := fs2.NewManager(&cgroups.Cgroup{Resources: c.v2}, filepath.Join(h.Path, other, "a"))
				if err == nil {
					err = m.Apply(-1)
				}
				if _, missing := os.Stat(filepath.Join(h.Path, other, "a", "io.weight")); missing == nil && c.offlineRequest {
					c.v2.Unified["io.weight"] = "default 1"
				}
				if err == nil {
					err = m.Set(c.v2)
				}
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = os.Remove(filepath.Join(h.Path, other, "a")); _ = os.Remove(filepath.Join(h.Path, other)) }()
				compare(h)
			} else {
				c.v1.SkipDevices = true
				paths := map[string]string{}
				for _, h := range host.Hierarchies {
					folder := filepath.Join(h.Path, other, "a")
					// The library leaves an empty cpuset's parent to its caller.
					if err := os.MkdirAll(folder, 0o755); err != nil {
						t.Fatal(err)
					}
					defer func() { _ = os.Remove(folder); _ = os.Remove(filepath.Dir(folder)) }()
					if _, missing := os.Stat(filepath.Join(folder, "blkio.bfq.weight")); missing == nil && c.offlineRequest {
						c.v1.BlkioWeight = 1
					}
					for _, k := range h.Controllers {
						paths[k] = folder
					}
				}
				m, err := fs.NewManager(&cgroups.Cgroup{Resources: c.v1}, paths)
				if err == nil {
					err = m.Apply(-1) // nobody joins; it fills the cpuset
				}
				if err == nil {
					err = m.Set(c.v1)
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, h := range host.Hierarchies {
					compare(h)
				}
			}
			if compared < 10 {
				t.Errorf("only %d files were compared", compared)
			}
			t.Logf("%d files compared", compared)
		})
	}
}

// TestInGuests compares on the layouts that this machine does not have.
func TestInGuests(t *testing.T) {
	if os.Getenv("WXOPS_GUEST") != "" {
		return
	}
	bin := filepath.Join(t.TempDir(), "oracle.test")
	build := exec.Command("go", "test", "-c", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, layout := range []string{"v2", "hybrid"} {
		t.Run(layout, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			r, err := vmtest.Boot(ctx, vmtest.Guest{Binary: bin, Layout: layout, Args: []string{"-test.v", "-test.run=TestSameWish"}})
			if errors.Is(err, vmtest.ErrMissing) {
				realpart.Missing(t, err.Error(), vmtest.Install)
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("\n%s", r.Console)
			if r.Exit != 0 {
				t.Fatalf("exit status %d in the guest", r.Exit)
			}
		})
	}
}
