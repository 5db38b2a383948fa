#!/usr/bin/env bash
# Requests per client CPU-second of wxops and its peers on one server, in turn.
#
# Method: the server has CPU 0, the client CPU 1, both on loopback. Each row runs
# RUNS times (3), the peers between each other, and the median of the quotients
# (requests answered) / (user + system time of the client) counts: wall time says
# little on a shared machine. Peers are skipped where they are not installed:
#   apt-get install wrk nghttp2-client
#   go install github.com/bojand/ghz/cmd/ghz@latest   (outside of this module)
set -euo pipefail
cd "$(dirname "$0")/../.."
dir=$(mktemp -d)
trap 'kill "$server" 2>/dev/null; rm -rf "$dir"' EXIT
go build -o "$dir/wxops" ./cmd/wxops
go build -o "$dir/server" ./bench/load/server
taskset -c 0 "$dir/server" >"$dir/addr" &
server=$!
until [ "$(wc -l <"$dir/addr")" = 2 ]; do sleep 0.02; done
url=http://$(sed -n 1p "$dir/addr")/
calls=$(sed -n 2p "$dir/addr")
method=grpc.health.v1.Health/Check
seconds=${SECONDS_EACH:-3}

# row NAME PATTERN command...: PATTERN is an expression whose group is the number
# of requests in the output.
row() {
	local name=$1 pattern=$2 cpu n
	shift 2
	command -v "$1" >/dev/null || return 0
	TIMEFORMAT='%U %S'
	cpu=$({ time taskset -c 1 "$@" >"$dir/out" 2>/dev/null || true; } 2>&1)
	n=$(sed -nE "s/$pattern/\1/p" "$dir/out" | head -1)
	echo "$name $n $cpu" | awk '{printf "%s %.0f\n", $1, $2 / ($3 + $4)}' >>"$dir/rows"
}

for _ in $(seq "${RUNS:-3}"); do
	row wxops-http1 '.*"requests": ([0-9]+),.*' "$dir/wxops" stress load "$url" -c 64 -d "${seconds}s" -o json
	row wrk-http1 '.* ([0-9]+) requests in .*' wrk -t1 -c64 -d"${seconds}s" "$url"
	row wxops-h2c '.*"requests": ([0-9]+),.*' "$dir/wxops" stress load "$url" --http2 -c 4 --streams 32 -d "${seconds}s" -o json
	row h2load-h2c '.*requests: ([0-9]+) total.*' h2load -t1 -c4 -m32 -D "$seconds" "$url"
	row wxops-grpc '.*"requests": ([0-9]+),.*' "$dir/wxops" stress load "grpc://$calls/$method" -b '{}' -c 4 --streams 32 -d "${seconds}s" -o json
	row ghz-grpc ' *Count:[^0-9]*([0-9]+).*' ghz --insecure --call "$method" -d '{}' -c 128 --connections 4 -z "${seconds}s" "$calls"
done
sort "$dir/rows" | awk '{v[$1] = v[$1] " " $2} END {for (k in v) {n = split(v[k], x, " "); asort(x); print k, x[int((n + 1) / 2)]}}' 2>/dev/null ||
	sort -k1,1 -k2,2n "$dir/rows"
