package main

import "testing"

// FuzzParseRegistry holds that no address makes the parser panic, and that what
// it accepts names a place.
func FuzzParseRegistry(f *testing.F) {
	for _, s := range []string{"file:names.yaml", "haproxy:unix:/run/h.sock?backend=checkout", "haproxy:tcp:127.0.0.1:9999?layer=logic", "haproxy:unix:?", "etcd:x", "haproxy:unix:/s?%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, address string) {
		u, err := parseRegistry(address)
		if err == nil && u.path == "" && u.haproxy.Address == "" {
			t.Fatalf("%q was accepted and names no place: %+v", address, u)
		}
	})
}
