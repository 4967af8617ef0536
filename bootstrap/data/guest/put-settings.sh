#!/bin/sh
# Puts our settings of k3s in place; starts nothing, and files in config.yaml.d stay. Prints restart=1 where the unit
# has to be restarted for it, until `DONE=1` says that it was.
# Environment: DONE  1: the unit runs with the settings
# Beside this script, without DONE=1: config.yaml, registries.yaml with registry-*.pem, psa.yaml, audit.yaml and
# environment, each if there is to be one (secret; moved away or removed in any case)
# needs: put-registries.sh put-environment.sh put-hardening.sh hardening.conf
set -eu
umask 077

CONFIG=/etc/rancher/k3s/config.yaml
PENDING=/etc/rancher/k3s/.homelab-k8s-restart

# shellcheck source=/dev/null
. ./put-registries.sh
# shellcheck source=/dev/null
. ./put-hardening.sh
# shellcheck source=/dev/null
. ./put-environment.sh

trap 'remove_sent_registries; rm -f ./config.yaml ./psa.yaml ./audit.yaml ./environment "$CONFIG.new" \
    "$UNITS"/k3s*.service.env.new' EXIT

if [ "$DONE" = 1 ]; then
    rm -f "$PENDING"
    exit 0
fi
check_registries
check_hardening
if registries_differ || hardening_differs; then
    touch "$PENDING"
fi
put_registries
put_hardening
environment=$(environment_file)
if [ -n "$environment" ] && environment_differs "$environment"; then
    touch "$PENDING"
fi
[ -z "$environment" ] || put_environment "$environment"
if ! cmp -s ./config.yaml "$CONFIG"; then
    # First, so that a file that is new is never taken for one that the unit has read.
    touch "$PENDING"
    put_secret ./config.yaml "$CONFIG"
fi
drop_hardening
if [ -e "$PENDING" ]; then
    echo restart=1
else
    echo restart=0
fi
