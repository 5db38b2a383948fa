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

// An address in the form of a URL, of a path or of HOST:PORT is refused with
// the one that was meant; nothing is guessed from a name.
func TestRefusedRegistryNamesTheOneMeant(t *testing.T) {
	for address, want := range map[string]string{
		"haproxy:///run/h.sock":         "haproxy:unix:/run/h.sock",
		"haproxy:/run/h.sock?backend=a": "haproxy:unix:/run/h.sock?backend=a",
		"/run/h.sock":                   "haproxy:unix:/run/h.sock",
		"unix:/run/h.sock":              "haproxy:unix:/run/h.sock",
		"haproxy://127.0.0.1:9999":      "haproxy:tcp:127.0.0.1:9999",
		"tcp:[::1]:9999":                "haproxy:tcp:[::1]:9999",
		"names.yaml":                    "file:names.yaml",
		"/etc/wxops/names.yaml":         "file:/etc/wxops/names.yaml",
		"etcd:x":                        "",
		"consul://agent":                "",
		"checkout":                      "",
		"":                              "",
	} {
		if _, err := parseRegistry(address); err == nil {
			t.Errorf("%q is accepted", address)
		}
		if got := meantRegistry(address); got != want {
			t.Errorf("%q: meant %q, want %q", address, got, want)
		}
	}
}
