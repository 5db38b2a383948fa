# Run as root in a guest with systemd (cmd/wxops/slice_systemd_linux_test.go): the
# real wxops beside the real systemd, disturbed by daemon-reload, daemon-reexec
# and set-property. Each line is a claim; exit status 0 says that all of them hold.
f=/slices.yaml
bad=0
say() { printf '%-66s %s\n' "$1" "$2"; }
failed() { say "$1" "FAILED: $2"; bad=1; }
# ok NAME STATUS COMMAND...: the command ends with the status.
ok() {
	local name=$1 want=$2 got
	shift 2
	"$@" >/tmp/out 2>&1
	got=$?
	if [ $got = "$want" ]; then say "$name" ok; else failed "$name" "exit $got, want $want"; cat /tmp/out; fi
}
# is NAME TEXT COMMAND...: the command prints the text.
is() {
	local name=$1 want=$2 got
	shift 2
	got=$("$@" 2>&1)
	if [ "$got" = "$want" ]; then say "$name" ok; else failed "$name" "\"$got\", want \"$want\""; fi
}
# pid_of PATTERN: a process whose command line matches; 1 when there is none. It
# starts no process: under emulation those would take seconds.
pid_of() {
	local p words
	for p in /proc/[0-9]*; do
		mapfile -d '' -t words 2>/dev/null <"$p/cmdline" || continue
		if [[ "${words[*]}" =~ $1 ]]; then echo "${p#/proc/}"; return 0; fi
	done 2>/dev/null
	return 1
}
wait_for() { for _ in $(seq 200); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done; failed "$*" "not within 20 s"; }

units=yes # cgroup v2: slices are units; else they are folders beside the units
[ -d /sys/fs/cgroup/memory ] && units=no

cat >$f <<'Y'
version: 1
timezone: UTC
online:
  - {name: web, shape: 500m256M, ceiling: 1.0, burst: 0.2, match: '^/bin/sleep 4711'}
  - {name: data-base, shape: 200m64M, mode: shared}
offline: {name: offline, memory: 96M}
windows: [{name: all, from: "00:00", to: "24:00", rule: throttled}]
Y
systemd-run --quiet --unit=web /bin/sleep 4711
main=$(systemctl show -p MainPID --value web)
ok "plan finds differences" 1 wxops slice plan -f $f
ok "apply" 0 wxops slice apply -f $f
ok "drift names the service outside" 1 wxops slice drift -f $f
ok "second apply: 0 writes" 0 sh -c "wxops slice apply -f $f | grep '^0 writes'"
ok "attach refuses what is not a unit" 3 wxops slice attach -f $f web --unit nothing
ok "attach --unit web" 0 wxops slice attach -f $f web --unit web
ok "no drift" 0 wxops slice drift -f $f
ok "the service is active" 0 systemctl is-active web
is "its process is the same" "$main" systemctl show -p MainPID --value web
ok "run passes the exit status on" 7 wxops slice run -f $f data-base -- sh -c 'grep -q data /proc/self/cgroup && exit 7'
ok "ls" 0 wxops slice ls -f $f
ok "show" 0 sh -c "wxops slice show -f $f web | grep -q '^cpu limit *0.50 cores'"

if [ $units = yes ]; then
	slice=/sys/fs/cgroup/wxops.slice
	ok "what systemd cannot express is said" 0 sh -c "wxops slice plan -f $f | grep -q 'warning: .*cpu.max.burst'"
	is "the limit is a property of the unit" 500ms systemctl show -p CPUQuotaPerSecUSec --value wxops-web.slice
	is "the service's process is in a scope of the slice" "0::/wxops.slice/wxops-web.slice" cut -d/ -f1-3 "/proc/$main/cgroup"
	is "offline work is idle" 1 cat $slice/wxops-offline.slice/cpu.idle
	ok "no folder beside systemd's" 1 test -d /sys/fs/cgroup/wxops
	ok "a user sees the same" 0 setpriv --reuid nobody --clear-groups wxops slice plan -f $f
	ok "and may change nothing" 3 setpriv --reuid nobody --clear-groups wxops slice rm -f $f data-base
	systemctl set-property --runtime wxops-web.slice MemoryMax=1G
	ok "drift names a limit that set-property changed" 0 sh -c "wxops slice drift -f $f | grep -q memory.max"
	ok "apply sets it again" 0 wxops slice apply -f $f
	systemd-run --quiet --slice=taken-web.slice --unit=taken /bin/sleep 4712
	sed 's/^version: 1/&\nparent: taken/' $f >/taken.yaml
	ok "another's unit is refused" 3 wxops slice apply -f /taken.yaml
	systemctl stop taken
	# Memory runs out: the job that needs it dies as a whole, another one stays.
	wxops slice offline run -f $f -- sleep 4713 >/tmp/other 2>&1 &
	other=$!
	wait_for pid_of '^sleep 4713'
	wxops slice offline run -f $f -- sh -c 'sleep 4714 & head -c 300m /dev/zero | tail; wait' >/tmp/job 2>&1 &
	job=$!
	wait_for pid_of '^sleep 4714'
	systemctl daemon-reload
	wait $job
	is "a job that runs out of memory is killed" 137 echo $?
	ok "with all of its processes" 1 pid_of '^sleep 4714'
	ok "and the other job runs on" 0 pid_of '^sleep 4713'
	ok "drift minds no job" 0 wxops slice drift -f $f
	kill "$(pid_of '^sleep 4713')"
	wait $other
else
	is "the limit is in the slice's folder" 50000 cat /sys/fs/cgroup/cpu/wxops/web/cpu.cfs_quota_us
	is "so is the burst" 10000 cat /sys/fs/cgroup/cpu/wxops/web/cpu.cfs_burst_us
	ok "the tree that systemd keeps for itself is left alone" 0 sh -c "! find /sys/fs/cgroup/systemd /sys/fs/cgroup/unified -name 'wxops*' 2>/dev/null | grep ."
	is "systemd still finds the service's process" web.service sh -c "systemctl show -p Id --value web"
fi

wxops slice offline run -f $f >/tmp/offline 2>&1 &
steer=$!
wait_for grep -q cores: /tmp/offline
ok "the controller runs" 0 sh -c "wxops slice offline status -f $f | grep -q '^controller *running'"
[ $units = no ] || ok "and sets the limit by the unit" 0 sh -c "systemctl show -p CPUQuotaPerSecUSec --value wxops-offline.slice | grep -q ms"
kill -9 $steer
wait $steer 2>/dev/null
ok "after its death offline work is idle still" 0 sh -c "grep -hqx 1 /sys/fs/cgroup/wxops.slice/wxops-offline.slice/cpu.idle /sys/fs/cgroup/cpu/wxops/offline/cpu.idle 2>/dev/null"
# The wall clock has no part in the lease: it ends when it ends.
date -s '+2 hours' >/dev/null
ok "a step of the clock forward does not end its lease" 0 sh -c "wxops slice offline status -f $f | grep -q '^controller *running'"
date -s '-4 hours' >/dev/null
sleep 16
ok "a step back does not prolong it" 0 sh -c "wxops slice offline status -f $f | grep -q '^controller *gone'"
ok "apply gives the quota back to the window" 0 sh -c "wxops slice apply -f $f | grep -q lease"
ok "no drift" 0 wxops slice drift -f $f

# On v1 and hybrid systemd takes away empty folders of controllers that it does
# not use itself; what holds a process stays.
again() { [ $units = yes ] || ok "what systemd took away is made again" 0 wxops slice apply -f $f; }
systemctl daemon-reload
again
ok "after daemon-reload the limits stand" 0 wxops slice plan -f $f
ok "after daemon-reload the members stand" 0 wxops slice drift -f $f
systemctl set-property --runtime web CPUWeight=50 MemoryMax=1G
# On v1 and hybrid it pulls the service back; a scope on v2 keeps it.
if [ $units = no ]; then
	ok "set-property pulls the service back, and drift names it" 0 sh -c "wxops slice drift -f $f | grep -q 'PID $main .*outside'"
	ok "attach again" 0 wxops slice attach -f $f web --match '^/bin/sleep 4711'
fi
again
ok "after set-property no drift" 0 wxops slice drift -f $f
ok "daemon-reexec" 0 systemctl daemon-reexec
again
ok "after daemon-reexec the limits stand" 0 wxops slice plan -f $f
ok "no folder of wxops inside of a unit" 1 sh -c "find /sys/fs/cgroup -type d -path '*/system.slice/*' -name 'wxops*' | grep ."
ok "rm refuses the busy slice" 3 wxops slice rm -f $f
ok "rm --evacuate" 0 wxops slice rm -f $f --evacuate
ok "the service is active still" 0 systemctl is-active web
ok "nothing is left" 1 sh -c "find /sys/fs/cgroup -type d -name 'wxops*' | grep ."
exit $bad
