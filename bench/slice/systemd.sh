#!/usr/bin/env bash
# How slices live beside systemd: a guest with Debian's systemd as init, on
# cgroup v2 (default) or hybrid, in which wxops applies a file, attaches a
# service, and is then disturbed by daemon-reload and set-property.
#
#   bench/slice/systemd.sh [v2|hybrid]
#
# On v2 slices are units: limits are properties, members sit in scopes, and no
# control file is written. On hybrid they are folders beside those of systemd.
#
# Needs root, QEMU and the kernel of .ci/run (install, kernel), and mmdebstrap
# once to build the root file system (150 MB in the cache folder, 90 s). Not a
# part of .ci/run. Exit status 0 says that every line below held.
set -euo pipefail
cd "$(dirname "$0")/../.."
layout=${1:-v2}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/wxops-vm
case $layout in
v2) hierarchy=systemd.unified_cgroup_hierarchy=1 ;;
hybrid) hierarchy="systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=0" ;;
*) echo "layout $layout is not one of v2, hybrid" >&2; exit 2 ;;
esac
kernel=$(ls "$cache"/boot/vmlinuz-* | tail -1)
if [ ! -s "$cache/systemd.tar" ]; then
	mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,dbus bookworm "$cache/systemd.tar.part"
	mv "$cache/systemd.tar.part" "$cache/systemd.tar"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/root"
tar -C "$work/root" -xf "$cache/systemd.tar" --exclude='./dev/*' --exclude='./var/cache/*' --exclude='./usr/share/*doc*'
CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o "$work/root/usr/bin/wxops" ./cmd/wxops

cat >"$work/root/check" <<'CHECK'
f=/slices.yaml
say() { printf '%-62s %s\n' "$1" "$2"; }
bad=0
ok() { local name=$1 want=$2 got; shift 2; "$@" >/tmp/out 2>&1; got=$?; if [ $got = "$want" ]; then say "$name" ok; else say "$name" "FAILED: exit $got, want $want"; cat /tmp/out; bad=1; fi; }
cat >$f <<'Y'
version: 1
timezone: UTC
online:
  - {name: web, shape: 500m256M, ceiling: 1.0, match: '^/bin/sleep 4711'}
offline: {name: offline, memory: 128M}
Y
systemd-run --quiet --unit=web --property=CPUAccounting=yes --property=MemoryAccounting=yes /bin/sleep 4711
ok "apply" 0 wxops slice apply -f $f
ok "drift names the service outside" 1 wxops slice drift -f $f
ok "second apply: 0 writes" 0 sh -c "wxops slice apply -f $f | grep '^0 writes'"
ok "attach --unit web" 0 wxops slice attach -f $f web --unit web
if [ ! -d /sys/fs/cgroup/blkio ]; then # cgroup v2: slices are units
	unit=wxops-web.slice
	main=$(systemctl show -p MainPID --value web)
	is() { ok "$1" 0 sh -c "test \"\$($2)\" = \"$3\" || { $2; false; }"; }
	is "the limit is a property of the unit" "systemctl show -p CPUQuotaPerSecUSec --value $unit" 500ms
	is "the service's process is in a scope of the slice" "cut -d/ -f1-3 /proc/$main/cgroup" "0::/wxops.slice/$unit"
	is "offline work is idle" "cat /sys/fs/cgroup/wxops.slice/wxops-offline.slice/cpu.idle" 1
	ok "no folder beside systemd's" 1 test -d /sys/fs/cgroup/wxops
	ok "run passes the exit status on" 7 wxops slice run -f $f web -- sh -c 'grep -q wxops-web.slice /proc/self/cgroup && exit 7'
	systemctl set-property --runtime $unit MemoryMax=1G
	ok "drift names a limit that set-property changed" 1 wxops slice drift -f $f
	wxops slice drift -f $f | grep -q memory.max || { say "drift names memory.max" FAILED; bad=1; }
	ok "apply sets it again" 0 wxops slice apply -f $f
	systemd-run --quiet --slice=taken-web.slice --unit=taken /bin/sleep 4712
	sed 's/^version: 1/&\nparent: taken/' $f >/taken.yaml
	ok "another's unit is refused" 3 wxops slice apply -f /taken.yaml
	systemctl stop taken
	wxops slice offline run -f $f >/tmp/offline 2>&1 &
	steer=$!
	for i in $(seq 100); do grep -q cores: /tmp/offline && break; sleep 0.2; done
	ok "the controller sets the limit" 0 sh -c "systemctl show -p CPUQuotaPerSecUSec --value wxops-offline.slice | grep -q ms"
	kill $steer; wait $steer
	ok "apply after the controller" 0 wxops slice apply -f $f
fi
ok "no drift" 0 wxops slice drift -f $f
ok "the unit is active" 0 systemctl is-active web
systemctl daemon-reload
# On hybrid systemd takes away empty folders of controllers that it does not use.
if [ -d /sys/fs/cgroup/blkio ]; then
	wxops slice drift -f $f >/tmp/out 2>&1
	say "after daemon-reload drift says: $(sed -n 2p /tmp/out)" "exit $?"
	ok "apply again" 0 wxops slice apply -f $f
fi
ok "after daemon-reload the limits stand" 0 wxops slice plan -f $f
ok "after daemon-reload the members stand" 0 wxops slice drift -f $f
systemctl set-property --runtime web CPUWeight=50 MemoryMax=1G
# On hybrid it pulls the service back in some controllers; a scope on v2 keeps it.
wxops slice drift -f $f >/tmp/out 2>&1
drifted=$?
say "after set-property drift says: $(sed -n 2p /tmp/out)" "exit $drifted"
[ $drifted = 0 ] || ok "attach again" 0 wxops slice attach -f $f web --match '^/bin/sleep 4711'
ok "no drift" 0 wxops slice drift -f $f
ok "daemon-reexec" 0 systemctl daemon-reexec
ok "after daemon-reexec the limits stand" 0 wxops slice plan -f $f
for u in system.slice init.scope; do
	find /sys/fs/cgroup -type d -path "*/$u*" -name 'wxops*' | grep -q . && { say "a folder inside of $u" FAILED; bad=1; }
done
ok "rm refuses the busy slice" 3 wxops slice rm -f $f
ok "rm --evacuate" 0 wxops slice rm -f $f --evacuate
ok "the unit is active still" 0 systemctl is-active web
find /sys/fs/cgroup -type d -name 'wxops*' | grep . && bad=1
exit $bad
CHECK
cat >"$work/root/guest-run" <<'RUN'
bash /check
echo "WXOPS-GUEST-EXIT $?"
systemctl reboot -ff
RUN
units=$work/root/etc/systemd/system
mkdir -p "$units/multi-user.target.wants"
cat >"$units/check.service" <<'UNIT'
[Unit]
After=dbus.socket
[Service]
Type=oneshot
ExecStart=/bin/bash /guest-run
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
UNIT
ln -sf ../check.service "$units/multi-user.target.wants/check.service"
ln -sf /lib/systemd/system/multi-user.target "$units/default.target"
for u in systemd-journal-flush.service systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-logind.service apt-daily.timer apt-daily-upgrade.timer getty.target; do
	ln -sf /dev/null "$units/$u"
done
ln -sf sbin/init "$work/root/init"
(cd "$work/root" && find . -print0 | cpio -0 -o -H newc --quiet | gzip -1) >"$work/initrd"
timeout 600 qemu-system-x86_64 -M pc -cpu max -accel tcg,thread=multi -m 2048 -smp 2 -nodefaults -no-user-config -display none \
	-serial stdio -no-reboot -kernel "$kernel" -initrd "$work/initrd" \
	-append "console=ttyS0 quiet panic=-1 loglevel=3 systemd.show_status=0 psi=1 $hierarchy" </dev/null | tr -d '\r' | tee "$work/console"
grep -q 'WXOPS-GUEST-EXIT 0' "$work/console"
