package signal

import "testing"

// Every conventional histogram is found alone and with a namespace in front.
func TestConventionalNamesAreFoundWithAndWithoutANamespace(t *testing.T) {
	others := []string{"go_gc_duration_seconds", "db_query_duration_seconds", "promhttp_metric_handler_requests_total"}
	for _, want := range latencyNames {
		for _, name := range []string{want, "shop_" + want} {
			if got := conventional(append(others, name), latencyNames); len(got) != 1 || got[0] != name {
				t.Errorf("%s: found %q", name, got)
			}
		}
	}
	if got := conventional(others, latencyNames); got != nil {
		t.Errorf("found %q among names that are no convention", got)
	}
	// The instance's own name goes before one of a library with a namespace.
	both := []string{"etcd_request_duration_seconds", "http_request_duration_seconds"}
	if got := conventional(both, latencyNames); len(got) != 1 || got[0] != both[1] {
		t.Errorf("found %q of %q", got, both)
	}
}

// Oracle: the documents that define each unit and code.
func TestUnitsAndOutcomes(t *testing.T) {
	for name, want := range map[string]float64{
		"http_request_duration_seconds": 1, "http_server_duration_milliseconds": 1e-3, "http_request_duration_ms": 1e-3,
		"envoy_http_downstream_rq_time": 1e-3, "queue_wait_us": 1e-6, "process_cpu_time_ns_total": 1e-9, "wait": 1,
	} {
		if got := unitOf(name); got != want {
			t.Errorf("unit of %s is %g s, want %g", name, got, want)
		}
	}
	for _, c := range []struct {
		label, value string
		want         outcome
	}{
		{"code", "200", served},
		{"code", "404", served},
		{"code", "500", failed},
		{"code", "502", failed},
		{"code", "503", refused},
		{"status", "429", refused},
		{"status", "5xx", failed},
		{"status", "2xx", served},
		{"outcome", "SERVER_ERROR", failed},
		{"grpc_code", "OK", served},
		{"grpc_code", "NotFound", served},
		{"grpc_code", "Unavailable", refused},
		{"grpc_code", "RESOURCE_EXHAUSTED", refused},
		{"grpc_code", "DeadlineExceeded", failed},
		{"rpc_grpc_status_code", "0", served},
		{"rpc_grpc_status_code", "14", refused},
		{"rpc_grpc_status_code", "13", failed},
		{"rpc_grpc_status_code", "99", failed},
	} {
		if got := classify(c.label, c.value); got != c.want {
			t.Errorf("%s=%q is %d, want %d", c.label, c.value, got, c.want)
		}
	}
}
