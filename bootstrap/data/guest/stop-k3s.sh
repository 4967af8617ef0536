#!/bin/sh
# Stops k3s on this machine; its pods go on running. It stays stopped over a restart of the machine, too, until
# something starts it. Prints changed=0 or changed=1.
# Environment: UNIT  k3s or k3s-agent
#              MARK  1 to mark this server's data as given up: it must not serve again before it was replaced
# needs: k3s-given-up.conf
set -eu

DATA=/var/lib/rancher/k3s/server
REFUSAL=/etc/systemd/system/k3s.service.d
changed=0

# First, so that there is no moment at which a killed restore would leave old data free to start.
if [ "$MARK" = 1 ] && [ -d "$DATA" ] && [ ! -e "$DATA/homelab-k8s-restore" ]; then
    date +%s >"$DATA/homelab-k8s-restore"
    changed=1
fi
if [ "$MARK" = 1 ] && [ -d "$DATA" ]; then
    # It does not start, by hand or with the machine, as long as the mark is there.
    (
        umask 022
        mkdir -p "$REFUSAL"
    )
    install -m 644 ./k3s-given-up.conf "$REFUSAL/homelab-k8s-restore.conf"
    systemctl daemon-reload
fi
if [ -e "/etc/systemd/system/$UNIT.service" ]; then
    case $(systemctl show --property ActiveState --value "$UNIT.service") in
        inactive | failed) ;;
        *) changed=1 ;;
    esac
    systemctl disable --quiet "$UNIT.service"
    systemctl stop "$UNIT.service"
fi
echo "changed=$changed"
