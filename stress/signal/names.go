package signal

import (
	"slices"
	"strconv"
	"strings"
)

// Conventional names, most specific first. A metric whose name ends in one of
// them after a namespace ("shop_http_request_duration_seconds") counts too.
var (
	latencyNames = []string{
		"http_server_request_duration_seconds", // OpenTelemetry semantic conventions 1.23 and later
		"http_server_requests_seconds",         // Spring Boot (Micrometer)
		"http_server_duration_milliseconds",    // OpenTelemetry before 1.23
		"http_request_duration_seconds",
		"http_request_duration_milliseconds",
		"http_request_duration_ms",
		"http_requests_duration_seconds",
		"http_request_latency_seconds",
		"http_response_time_seconds",
		"grpc_server_handling_seconds", // go-grpc-prometheus
		"rpc_server_call_duration_seconds",
		"rpc_server_duration_seconds",
		"rpc_server_duration_milliseconds",
		"service_request_duration_seconds", // Traefik
		"request_duration_seconds",
		"request_duration_milliseconds",
		"http_downstream_rq_time", // Envoy, in milliseconds
	}
	requestNames = []string{
		"http_server_requests_total", "http_requests_total", "http_responses_total",
		"grpc_server_handled_total", "http_request_total", "requests_total",
	}
	inFlightNames = []string{
		"http_server_active_requests", "http_requests_in_flight", "http_requests_inflight",
		"http_requests_in_progress", "http_in_flight_requests", "requests_in_flight",
	}
	cpuNames      = []string{"process_cpu_seconds_total", "process_cpu_time_seconds_total", "process_cpu_time_ns_total"}
	cpuLimitNames = []string{"go_sched_gomaxprocs_threads", "system_cpu_count"}
	statusLabels  = []string{
		"code", "status", "status_code", "http_status_code", "http_response_status_code",
		"response_code", "statusCode", "grpc_code", "grpc_status", "rpc_grpc_status_code",
	}
	pathLabels = []string{"path", "uri", "route", "http_route", "handler", "endpoint", "url"}
)

// unitOf returns how many seconds the unit in a metric's name is; a name
// without a unit is in seconds, except the one of Envoy.
func unitOf(name string) float64 {
	name = strings.TrimSuffix(name, "_total")
	for unit, suffixes := range map[float64][]string{
		1e-3: {"_milliseconds", "_ms", "_millis", "_rq_time"},
		1e-6: {"_microseconds", "_us", "_micros"},
		1e-9: {"_nanoseconds", "_ns", "_nanos"},
	} {
		if slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(name, s) }) {
			return unit
		}
	}
	return 1
}

// outcome is the class of a response.
type outcome int

const (
	served  outcome = iota
	failed          // answered with an error
	refused         // fast reject: an error too
)

// classify reads the value of a status label: an HTTP status ("503", "5xx"), a
// gRPC code as a word or, in labels that name gRPC, as a number. Client errors
// count as served: the instance did its work. 503, 429, Unavailable and
// ResourceExhausted are fast rejects.
func classify(label, value string) outcome {
	v := strings.ToLower(strings.ReplaceAll(value, "_", ""))
	n, err := strconv.Atoi(v)
	switch {
	case err == nil && strings.Contains(label, "grpc"):
		if n < 0 || n >= len(grpcCodes) {
			return failed
		}
		v = grpcCodes[n]
	case err == nil && (n == 503 || n == 429):
		return refused
	case err == nil && n >= 500, v == "5xx", v == "servererror":
		return failed
	case err == nil:
		return served
	}
	switch v {
	case "unavailable", "resourceexhausted":
		return refused
	case "unknown", "deadlineexceeded", "internal", "dataloss":
		return failed
	}
	return served
}

// grpcCodes are the codes of gRPC by number (grpc.github.io/grpc/core/md_doc_statuscodes.html).
var grpcCodes = []string{
	"ok", "canceled", "unknown", "invalidargument", "deadlineexceeded", "notfound", "alreadyexists",
	"permissiondenied", "resourceexhausted", "failedprecondition", "aborted", "outofrange",
	"unimplemented", "internal", "unavailable", "dataloss", "unauthenticated",
}

// conventional returns the members of names that are, or end in, the first of
// the conventions that any of them meets.
func conventional(names, conventions []string) []string {
	for _, c := range conventions {
		if slices.Contains(names, c) {
			return []string{c}
		}
	}
	for _, c := range conventions {
		var found []string
		for _, n := range names {
			if strings.HasSuffix(n, "_"+c) {
				found = append(found, n)
			}
		}
		if len(found) > 0 {
			slices.Sort(found)
			return found
		}
	}
	return nil
}

// nearest returns up to three of names that are most like name: by the number
// of pairs of letters they have in common.
func nearest(name string, names []string) []string {
	pairs := func(s string) map[string]int {
		m := map[string]int{}
		for i := 0; i+2 <= len(s); i++ {
			m[s[i:i+2]]++
		}
		return m
	}
	want := pairs(name)
	score := func(s string) float64 {
		common := 0
		for p, n := range pairs(s) {
			common += min(n, want[p])
		}
		return 2 * float64(common) / float64(max(1, len(s)+len(name)-2))
	}
	out := slices.Clone(names)
	slices.SortFunc(out, func(a, b string) int {
		switch d := score(b) - score(a); {
		case d > 0:
			return 1
		case d < 0:
			return -1
		}
		return strings.Compare(a, b)
	})
	return out[:min(3, len(out))]
}
