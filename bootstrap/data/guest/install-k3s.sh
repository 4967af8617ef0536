#!/bin/sh
# Makes sure that k3s is installed as asked for; starts nothing. Prints changed=0 or changed=1.
# Environment: ROLE    server or agent
#              SHA256  of the k3s binary that is to be installed, lower-case hex
# Beside this script: k3s.bin (if it was sent), config.yaml, registries.yaml with registry-*.pem, psa.yaml, audit.yaml,
# service.env and environment (secret; moved away or removed in any case), images/ (air-gap archives, if any were sent).
# Where config.yaml was sent and one of the others was not, ours is removed. Where service.env was sent and environment
# was not, no variables of the inventory stay in the unit's environment file; other lines there are the user's and do.
# needs: put-k3s.sh put-registries.sh put-environment.sh put-hardening.sh hardening.conf k3s.service k3s-agent.service
# needs: k3s-killall.sh k3s-uninstall.sh wait-online.conf
set -eu
umask 077

# shellcheck source=/dev/null
. ./put-environment.sh

WAIT_ONLINE=$UNITS/systemd-networkd-wait-online.service.d
changed=0

# shellcheck source=/dev/null
. ./put-registries.sh
# shellcheck source=/dev/null
. ./put-hardening.sh

# What we are done with must not stay, least of all the secrets, however this ends.
trap 'remove_sent_registries; rm -f ./config.yaml ./psa.yaml ./audit.yaml ./service.env ./environment ./k3s.bin \
    /usr/local/bin/.k3s.new "$UNITS"/k3s*.service.env.new' EXIT

# shellcheck source=/dev/null
. ./put-k3s.sh

# put MODE SOURCE TARGET: copy where content or mode differ; others see the old file or the new one, never a part.
put() {
    if [ -f "$3" ] && [ ! -L "$3" ] && cmp -s "$2" "$3" && [ "$(stat -c %a:%u "$3")" = "$1:0" ]; then
        return
    fi
    install -m "$1" -o root -g root "$2" "$3.new"
    mv -f "$3.new" "$3"
    changed=1
}

put_links() {
    for command in kubectl crictl ctr; do
        # A command of another origin stays what the user has; upstream's installer leaves it alone, too.
        if [ ! -e "$BIN/$command" ] && [ ! -L "$BIN/$command" ] && ! command -v "$command" >/dev/null 2>&1; then
            ln -s k3s "$BIN/$command"
            changed=1
        fi
    done
}

# In a container Proxmox VE writes the network for ifupdown (Debian 13), so networkd has no interface to manage, and its
# wait-online holds network-online.target, and k3s with it, for two minutes at each start.
put_wait_online() {
    if systemd-detect-virt --quiet --container 2>/dev/null &&
        systemctl cat systemd-networkd-wait-online.service >/dev/null 2>&1; then
        in_reach "$WAIT_ONLINE"
        put 644 ./wait-online.conf "$WAIT_ONLINE/homelab-k8s.conf"
    fi
}

case $ROLE in
    server) unit=k3s other=k3s-agent uninstall=k3s-uninstall.sh ;;
    agent) unit=k3s-agent other=k3s uninstall=k3s-agent-uninstall.sh ;;
    *) fail "ROLE is '$ROLE', which is neither server nor agent" ;;
esac
if [ -e "$UNITS/$other.service" ]; then
    fail "this machine is installed as the other role: $UNITS/$other.service is there"
fi

check_registries
check_hardening
for directory in "$BIN" "$UNITS" /etc/rancher/k3s; do
    in_reach "$directory"
done
put_binary
put_links
put_images
put_wait_online
put 755 ./k3s-killall.sh "$BIN/k3s-killall.sh"
put 755 ./k3s-uninstall.sh "$BIN/$uninstall"
put 644 "./$unit.service" "$UNITS/$unit.service"
if [ -f ./service.env ]; then
    environment=$UNITS/$unit.service.env
    if environment_differs "$environment" || [ "$(stat -c %a:%u:%g "$environment")" != 600:0:0 ]; then
        changed=1
    fi
    put_environment "$environment"
fi
if [ -f ./config.yaml ]; then
    ! registries_differ || changed=1
    put_registries
    ! hardening_differs || changed=1
    put_hardening
    put 600 ./config.yaml /etc/rancher/k3s/config.yaml
    drop_hardening
fi
echo "changed=$changed"
