#!/bin/sh
# Runs one container guest, in network and mount namespaces made for it (unshare --net --mount), so that
# whatever is mounted here goes away with the guest.
#   GUEST_DIR       the guest's directory: upper/ work/ root/ run-lab/ config.json
#   LOWER_DIRS      the template's layers, as overlayfs takes them
#   HIERARCHIES     the guest's cgroups in v1 hierarchies, if this machine has any: NAME=DIRECTORY ...
#   CGROUP_MANAGER  crun's: cgroupfs where it moves the guest into a cgroup v2 of its own, else disabled
# Protocol with the lab: says "ready" on stdout, then waits for a line on stdin, before which the lab has put
# eth0 into the network namespace. End of file instead of a line: the lab died.
set -eu

echo ready
read -r _
exec </dev/null >>"$GUEST_DIR/console.log" 2>&1

ip link set dev lo up
mount -t overlay overlay \
    -o "lowerdir=$LOWER_DIRS,upperdir=$GUEST_DIR/upper,workdir=$GUEST_DIR/work" "$GUEST_DIR/root"
for hierarchy in $HIERARCHIES; do
    mkdir -p "$GUEST_DIR/cgroup/${hierarchy%%=*}"
    mount --bind "${hierarchy#*=}" "$GUEST_DIR/cgroup/${hierarchy%%=*}"
done
# crun refuses hybrid cgroup mounts; in this namespace the unified hierarchy is the only one.
[ "$(stat --file-system --format=%T /sys/fs/cgroup)" = cgroup2fs ] || mount -t cgroup2 cgroup2 /sys/fs/cgroup

while :; do
    crun --root "$GUEST_DIR/crun" --cgroup-manager="$CGROUP_MANAGER" delete --force guest 2>/dev/null || :
    status=0
    crun --root "$GUEST_DIR/crun" --cgroup-manager="$CGROUP_MANAGER" run \
        --bundle "$GUEST_DIR" --pid-file "$GUEST_DIR/pid" guest || status=$?
    # A guest that reboots ends with SIGHUP, one that powers off with SIGINT (pid_namespaces(7)).
    [ "$status" -eq 129 ] || exit "$status"
    # eth0 stays, as a machine's network card does; its addresses are the next boot's business.
    ip address flush dev eth0
    ip link set dev eth0 down
done
