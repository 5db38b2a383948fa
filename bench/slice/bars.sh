#!/usr/bin/env bash
# What slices promise, measured on this machine: each line is a figure of a test
# of cgroupctl and what it must reach. The same tests run in guests whose clock
# counts instructions as a part of .ci/run; here they meet the real scheduler.
#
#   bench/slice/bars.sh
#
# Needs root, writable control groups, and a machine that does nothing else for
# two minutes: a limit of all cores cannot be used up beside other work, and a
# quantile of response times sees whatever runs. Method, by line:
#
#   limits    a busy slice, CPU used over 5 s against the limit
#   memory    a process that grows past the limit; peak and kills by the kernel
#   attach    100 trees of 25 processes that fork without end, each with a client
#             that sends requests all the while; stragglers by command line
#   soak      a service of 8 ms requests at 30 per second, alone, beside offline
#             work and beside the same work at equal weight on every core (a
#             group's weight is divided among its cores), 5 rounds interleaved;
#             medians of the rounds' quantiles; soaked of what all others leave idle
#   yield     offline work under its controller until it holds the target after
#             an online burst, over two quota periods, looked at each period
#   cost      CPU of the controller per second with 100 slices
#   kills     kill -9 of 200 runs at random points, then apply
#
# Exit status 0 says that every test passed.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
CGO_ENABLED=0 go test -c -o "$work/test" ./cgroupctl
printf '%s, %s cores, Linux %s\n' "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)" "$(nproc)" "$(uname -r)"
status=0
# Each alone: what one measures the next must not feel.
for t in TestLiveLimitsAreNeverPassed TestClockLimitsAreExact TestLiveMemoryNeverPassesTheCap \
	TestLiveAttachOfAForkingTreeLeavesNobodyOutside TestClockOfflineSoaksWithoutHarm \
	TestClockOfflineYieldsWithinASecond TestLiveControllerCost TestLiveKilledRunsConverge; do
	WXOPS_CLOCK=1 "$work/test" -test.v -test.run "^$t\$" >"$work/out" 2>&1 || { status=1; echo "FAILED $t"; }
	sed -n 's/^ *[a-z_]*_test.go:[0-9]*: /  /p' "$work/out"
done
exit $status
