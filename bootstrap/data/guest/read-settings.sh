#!/bin/sh
# Prints k3s's settings files of this machine: file=PATH BASE64, one a line, and pending=1 where something was written
# that k3s has not been restarted with, else pending=0; and where keepalived has our settings, vrid=NUMBER and
# vip=ADDRESS. Of registries.yaml and the files that it names the checksum alone: registries=SHA256, or
# registries=exposed where it is ours and not root's alone, or registries=foreign; hardening= says the same of psa.yaml
# and audit.yaml together, and environment=NAME SHA256 of each of the inventory's variables of the unit. They hold
# secrets: to standard output only, which is the SSH connection.
# needs: put-registries.sh put-environment.sh put-hardening.sh
set -eu

CONFIG=/etc/rancher/k3s/config.yaml
KEEPALIVED=/etc/keepalived/keepalived.conf

tell() {
    if [ -f "$1" ]; then
        echo "file=$1 $(base64 <"$1" | tr -d '\n')"
    fi
}

tell "$CONFIG"
for file in "$CONFIG.d"/*.yaml "$CONFIG.d"/*.yml "$CONFIG.d"/*.YAML "$CONFIG.d"/*.YML; do
    tell "$file"
done
if [ -f "$KEEPALIVED" ] && head -n 1 "$KEEPALIVED" | grep -q '^# Written by homelab-k8s'; then
    sed -n -e 's/^ *virtual_router_id \([0-9]\{1,3\}\)$/vrid=\1/p' -e 's/^ *\([0-9.]\{7,15\}\)\/32$/vip=\1/p' "$KEEPALIVED"
fi
# shellcheck source=/dev/null
. ./put-registries.sh
case $(kind_of "$REGISTRIES") in
    ours)
        if registries_exposed; then
            echo registries=exposed
        else
            echo "registries=$(sum_of "$REGISTRIES" "$REGISTRY_TLS")"
        fi
        ;;
    foreign) echo registries=foreign ;;
esac
# shellcheck source=/dev/null
. ./put-hardening.sh
case $(hardening_kind) in
    ours)
        modes=$(stat -c %a:%u:%g "$HARDENED/psa.yaml" "$HARDENED/audit.yaml" 2>/dev/null | sort -u)
        if [ "$modes" = 600:0:0 ] && [ -f "$HARDENING" ]; then
            sum=$(cat "$HARDENED/psa.yaml" "$HARDENED/audit.yaml" 2>/dev/null | sha256sum)
            echo "hardening=${sum%% *}"
        else
            echo hardening=exposed
        fi
        ;;
    foreign) echo hardening=foreign ;;
esac
# shellcheck source=/dev/null
. ./put-environment.sh
environment=$(environment_file)
[ -z "$environment" ] || tell_environment "$environment"
if [ -e /etc/rancher/k3s/.homelab-k8s-restart ]; then
    echo pending=1
else
    echo pending=0
fi
