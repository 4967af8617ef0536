#!/bin/sh
# Keeps an IPv6 default route that routers advertise, on a machine that k3s is about to turn into a forwarding one.
# Environment: ADDRESS  the machine's own IPv6 address: its network device is the one meant.
# Prints changed=1 where something was set, else changed=0.
#
# A kernel that forwards passes router advertisements over (accept_ra=1), so the route would go once it expires
# (k3s documentation, known issue of IPv6); 2 takes them all the same. systemd-networkd takes them itself and has the
# kernel's taking off (0), which is left so.
set -eu

KEPT=/etc/sysctl.d/60-homelab-k8s-ipv6.conf

device=$(ip -6 -oneline address show to "$ADDRESS/128" | awk '{ print $2; exit }')
setting=/proc/sys/net/ipv6/conf/$device/accept_ra
if [ -z "$device" ] || [ ! -e "$setting" ] || [ "$(cat "$setting")" != 1 ]; then
    echo changed=0
    exit 0
fi
mkdir -p "${KEPT%/*}"
# A dot in a device's name (eth0.30) is a slash to sysctl.
echo "net.ipv6.conf.$(echo "$device" | tr . /).accept_ra = 2" >"$KEPT"
echo 2 >"$setting"
echo changed=1
