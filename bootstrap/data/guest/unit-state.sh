#!/bin/sh
# Prints a unit's state: active_state, sub_state, restarts, result, in systemd's words; time, and since: when its process
# was started, both in Unix seconds by this machine's clock (since is empty where it was not); address, once for each IPv4
# address that the machine has; prepared=1 where prepare-system.sh has left something.
# Environment: UNIT      such as k3s
#              WITHIN_S  look again for as many seconds while it is activating; once only, if not given
set -eu

state() {
    systemctl show --property ActiveState --property SubState --property NRestarts --property Result "$UNIT.service"
}

started() {
    at=$(TZ=UTC systemctl show --property ExecMainStartTimestamp --value "$UNIT.service")
    case $at in
        '' | n/a) ;;
        *) date -d "$at" +%s ;;
    esac
}

looks=$((${WITHIN_S:-0} * 4))
told=$(state)
while [ "$looks" -gt 0 ] && echo "$told" | grep -qx ActiveState=activating; do
    sleep 0.25
    looks=$((looks - 1))
    told=$(state)
done
echo "$told" |
    sed -e 's/^ActiveState=/active_state=/' -e 's/^SubState=/sub_state=/' \
        -e 's/^NRestarts=/restarts=/' -e 's/^Result=/result=/'
echo "since=$(started)"
echo "time=$(date +%s)"
ip -o -4 address show 2>/dev/null | while read -r _ _ _ address _; do
    echo "address=${address%%/*}"
done
for left in /var/lib/homelab-k8s/files /var/lib/homelab-k8s/packages /etc/sysctl.d/91-homelab-k8s.conf \
    /etc/modules-load.d/91-homelab-k8s.conf; do
    if [ -s "$left" ]; then
        echo prepared=1
        break
    fi
done
