#!/bin/sh
# Makes sure that keepalived is installed and, where keepalived.conf was sent, runs with it. Prints changed=0 or
# changed=1.
# Environment: LOCK_S  how many seconds to wait for another apt or dpkg
# Beside this script: keepalived.conf, if it is to run, and proxies (NAME='VALUE', a line each; secret), if apt-get is to
# use some (moved away or removed in any case)
# needs: vip-check.sh use-proxies.sh
set -eu
umask 022
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

ETC=/etc/keepalived
MARK='# Written by homelab-k8s'
# There from before a change until keepalived has taken it in, so that the next run does what a killed one did not.
PENDING=/run/homelab-k8s-vip-pending
changed=0

trap 'rm -f ./keepalived.conf ./apt.log ./proxies' EXIT

# shellcheck source=/dev/null
. ./use-proxies.sh

fail() {
    echo "$1" >&2
    exit 1
}

# put MODE SOURCE TARGET: copy where content or mode differ; others see the old file or the new one, never a part.
put() {
    if [ -f "$3" ] && [ ! -L "$3" ] && cmp -s "$2" "$3" && [ "$(stat -c %a:%u "$3")" = "$1:0" ]; then
        return
    fi
    install -m "$1" -o root -g root "$2" "$3.new"
    mv -f "$3.new" "$3"
    changed=1
}

# apt ARGUMENT...: apt-get, waiting for others. Its own lock timeout does not count for the lists, which the daily
# update of a machine's first boot holds.
apt() {
    until apt-get --quiet --option "DPkg::Lock::Timeout=$LOCK_S" "$@" >./apt.log 2>&1; do
        if [ "$waited" -ge "$LOCK_S" ] || ! grep -q 'Could not get lock' ./apt.log; then
            return 1
        fi
        sleep 2
        waited=$((waited + 2))
    done
}

install_packages() {
    packages=
    command -v keepalived >/dev/null 2>&1 || packages=keepalived
    command -v curl >/dev/null 2>&1 || packages="${packages:+$packages }curl"
    [ -n "$packages" ] || return 0
    command -v apt-get >/dev/null 2>&1 || fail "$packages cannot be installed: there is no apt-get here"
    waited=0
    # Words, of our own.
    # shellcheck disable=SC2086
    set -- install --yes --no-install-recommends $packages
    # A fresh cloud image knows no packages; where they are known an update would be the slower half.
    apt "$@" || { apt --option APT::Update::Error-Mode=any update && apt "$@"; } ||
        fail "apt-get cannot install $packages: $(grep -m 1 '^E: ' ./apt.log || tail -n 1 ./apt.log)"
    changed=1
}

# serve: have the unit enabled and running with the settings that are there now.
serve() {
    if ! systemctl is-enabled --quiet keepalived.service; then
        systemctl enable --quiet keepalived.service
        changed=1
    fi
    if ! systemctl is-active --quiet keepalived.service; then
        systemctl reset-failed keepalived.service 2>/dev/null || :
        systemctl restart keepalived.service
        changed=1
    elif [ -e "$PENDING" ]; then
        # A server that has the VIP keeps it through a reload.
        systemctl reload keepalived.service
        changed=1
    fi
    rm -f "$PENDING"
}

install_packages
put 755 ./vip-check.sh "$ETC/check-k3s-api"
if [ -f ./keepalived.conf ]; then
    there=$ETC/keepalived.conf
    if [ -s "$there" ] && [ "$(head -n 1 "$there" | cut -c "1-${#MARK}")" != "$MARK" ]; then
        fail "$there is not ours: it does not begin with '$MARK'"
    fi
    told=$(keepalived --config-test --use-file ./keepalived.conf 2>&1) ||
        fail "keepalived refuses its settings: $(echo "$told" | tail -n 1)"
    if ! cmp -s ./keepalived.conf "$there"; then
        : >"$PENDING"
    fi
    put 600 ./keepalived.conf "$there"
    serve
fi
echo "changed=$changed"
