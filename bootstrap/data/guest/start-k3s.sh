#!/bin/sh
# Enables the k3s unit and starts it, without waiting: a unit whose server refuses it stays `activating` for ever.
# Prints time=... first, by this machine's clock: from when on the journal and the node show this start. Of a unit that
# systemd has started already that is its own start. And before a restart before=..., the run (InvocationID) that it ends.
# Environment: UNIT     k3s or k3s-agent
#              RESTART  1 to restart it where it runs (new settings), else 0
set -eu

if [ "$UNIT" = k3s ] && [ -e /var/lib/rancher/k3s/server/homelab-k8s-restore ]; then
    echo "a restore was begun on this cluster and has not ended: run the same homelab-k8s restore again" >&2
    exit 1
fi
# Passwords on this disk that are newer than those in the cluster's data, such as the agents' after a change of their
# token, keep k3s from starting ("newer than datastore"). Where the file is not there it comes out of the data, and what
# the unit's environment says is put into it (k3s: pkg/cluster/bootstrap.go, pkg/daemons/control/deps). One that is up
# needs it there.
state=$(systemctl show --property SubState --value "$UNIT.service")
if [ "$UNIT" = k3s ]; then
    case $state in
        dead | failed | auto-restart) down=1 ;;
        *) down=0 ;;
    esac
    if [ "$RESTART" = 1 ] || [ "$down" = 1 ]; then
        rm -f /var/lib/rancher/k3s/server/cred/passwd
    fi
fi
began=$(date +%s)
if [ "$RESTART" != 1 ] && { [ "$state" = running ] || [ "$state" = start ]; }; then
    at=$(TZ=UTC systemctl show --property ExecMainStartTimestamp --value "$UNIT.service")
    case $at in
        '' | n/a) ;;
        *) began=$(date -d "$at" +%s) ;;
    esac
fi
echo "time=$began"
systemctl daemon-reload
systemctl enable --quiet "$UNIT.service"
systemctl reset-failed "$UNIT.service" 2>/dev/null || :
if [ "$RESTART" = 1 ]; then
    echo "before=$(systemctl show --property InvocationID --value "$UNIT.service")"
    systemctl restart --no-block "$UNIT.service"
else
    systemctl start --no-block "$UNIT.service"
fi
