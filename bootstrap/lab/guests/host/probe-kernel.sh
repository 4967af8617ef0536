#!/bin/sh
# Tries what k3s does on a machine, in network and mount namespaces made for it (unshare --net --mount), so that all
# of it goes away again.
#   WORK  an empty directory, where the disks of guests are
#   ROOT  the guests' root file system, whose iptables is tried; empty: it is not built yet
# Prints a line for each thing: its name, a tab, and `ok` or what was said.
set -u

try() {
    name=$1
    shift
    if said=$("$@" 2>&1); then
        said=ok
    elif [ -z "$said" ]; then
        said=missing
    fi
    printf '%s\t%s\n' "$name" "$(printf %s "$said" | tr '\n\t' '  ')"
}

overlay() {
    mkdir "$WORK/lower" "$WORK/upper" "$WORK/work" "$WORK/root" &&
        mount -t overlay overlay -o "lowerdir=$WORK/lower,upperdir=$WORK/upper,workdir=$WORK/work" "$WORK/root" &&
        umount "$WORK/root"
}

rules() {
    chroot "$ROOT" iptables -w -t nat -A POSTROUTING -m comment --comment probe -m mark --mark 1 -j MASQUERADE &&
        chroot "$ROOT" iptables -w -A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT &&
        chroot "$ROOT" iptables -w -t nat -A PREROUTING -m addrtype --dst-type LOCAL -m statistic --mode random --probability 0.5 \
            -j RETURN
}

try overlay overlay
try bridge ip link add probe0 type bridge
try veth ip link add probe1 type veth peer name probe2
try vxlan ip link add probe3 type vxlan id 1 dstport 8472
try br_netfilter test -e /proc/sys/net/bridge/bridge-nf-call-iptables
if [ -n "$ROOT" ]; then
    try iptables rules
fi
