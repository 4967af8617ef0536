#!/bin/sh
# Makes sure that a VM that is to become a template holds what machines need, and boots without what they do not.
# Starts nothing. Prints changed=0 or changed=1, and warning=... for what it could not get.
# Environment: SHA256  of the k3s binary, lower-case hex
#              LOCK_S  how many seconds to wait for another apt or dpkg
# Beside this script: k3s.bin (if it was sent), images/ (air-gap archives, if any were sent); proxies (NAME='VALUE', a line
# each; secret), if apt-get is to use some.
# needs: put-k3s.sh use-proxies.sh bake-sysctl.conf bake-modules.conf wait-online.conf bake-cloud.cfg
set -eu
umask 022
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

WAIT_ONLINE=/etc/systemd/system/systemd-networkd-wait-online.service.d
changed=0

trap 'rm -f ./k3s.bin /usr/local/bin/.k3s.new /usr/local/bin/k3s.new ./apt.log ./proxies' EXIT

# shellcheck source=/dev/null
. ./put-k3s.sh
# shellcheck source=/dev/null
. ./use-proxies.sh

# put SOURCE TARGET: copy where the content differs; others see the old file or the new one, never a part.
put() {
    if [ -f "$2" ] && cmp -s "$1" "$2"; then
        return
    fi
    mkdir -p "$(dirname "$2")"
    install -m 644 -o root -g root "$1" "$2.new"
    mv -f "$2.new" "$2"
    changed=1
}

# A k3s that is called as one of its tools unpacks what it carries, which else costs a machine's first start seconds.
unpack() {
    timeout 120 "$BIN/k3s" crictl --version >/dev/null 2>&1 || :
}

# want PACKAGE COMMAND...: install a package unless one of its commands is there; a warning where that cannot be.
want() {
    package=$1
    shift
    for command in "$@"; do
        if command -v "$command" >/dev/null 2>&1 || [ -x "$command" ]; then
            return
        fi
    done
    if apt_get install --yes --no-install-recommends "$package"; then
        changed=1
        return
    fi
    if apt_get update && apt_get install --yes --no-install-recommends "$package"; then
        changed=1
        return
    fi
    echo "warning=$package cannot be installed: $(grep -m 1 '^E: ' ./apt.log || tail -n 1 ./apt.log)"
}

apt_get() {
    command -v apt-get >/dev/null 2>&1 || {
        echo 'E: there is no apt-get here' >./apt.log
        return 1
    }
    apt-get --quiet --option "DPkg::Lock::Timeout=$LOCK_S" --option APT::Update::Error-Mode=any "$@" >./apt.log 2>&1
}

# off UNIT...: keep units from starting at boot; missing ones need nothing.
off() {
    for unit in "$@"; do
        if [ "$(systemctl is-enabled "$unit" 2>/dev/null)" = enabled ]; then
            systemctl disable --quiet "$unit"
            changed=1
        fi
    done
}

put_binary
put_images
unpack
want keepalived keepalived # without it, machines that need it install it themselves
# Machines that need keepalived start it with a configuration of its own.
off keepalived.service
want systemd-timesyncd chronyd ntpd /usr/lib/systemd/systemd-timesyncd /lib/systemd/systemd-timesyncd
put ./bake-sysctl.conf /etc/sysctl.d/90-homelab-k8s.conf
put ./bake-modules.conf /etc/modules-load.d/homelab-k8s.conf
put ./bake-cloud.cfg /etc/cloud/cloud.cfg.d/99-homelab-k8s.cfg
if [ -x /usr/lib/systemd/systemd-networkd-wait-online ]; then
    put ./wait-online.conf "$WAIT_ONLINE/homelab-k8s.conf"
fi
off apt-daily.timer apt-daily-upgrade.timer man-db.timer snapd.service snapd.socket snapd.seeded.service
echo "changed=$changed"
