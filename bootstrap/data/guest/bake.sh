#!/bin/sh
# Makes sure that a VM that is to become a template holds what machines need, and boots without what they do not.
# Starts nothing. Prints changed=0 or changed=1, and warning=... for what it could not get.
# Environment: SHA256  of the k3s binary, lower-case hex
#              LOCK_S  how many seconds to wait for another apt or dpkg
# Beside this script: k3s.bin (if it was sent), images/ (air-gap archives, if any were sent).
# needs: bake-sysctl.conf bake-modules.conf wait-online.conf bake-cloud.cfg
set -eu
umask 022
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

K3S=/usr/local/bin/k3s
IMAGES=/var/lib/rancher/k3s/agent/images
WAIT_ONLINE=/etc/systemd/system/systemd-networkd-wait-online.service.d
changed=0

trap 'rm -f ./k3s.bin "$K3S.new" ./apt.log' EXIT

fail() {
    echo "$1" >&2
    exit 1
}

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

sha256_of() {
    sum=$(sha256sum "$1")
    echo "${sum%% *}"
}

put_binary() {
    if [ -f "$K3S" ] && [ "$(sha256_of "$K3S")" = "$SHA256" ]; then
        return
    fi
    [ -f ./k3s.bin ] || fail "the k3s binary was not sent and $K3S is not the one wanted ($SHA256)"
    mkdir -p "$(dirname "$K3S")"
    # Checked there, so that what is checked is what is used.
    mv -f ./k3s.bin "$K3S.new"
    found=$(sha256_of "$K3S.new")
    [ "$found" = "$SHA256" ] || fail "the k3s binary arrived damaged: sha256 is $found, not $SHA256"
    chown root:root "$K3S.new"
    chmod 755 "$K3S.new"
    mv -f "$K3S.new" "$K3S"
    changed=1
}

put_images() {
    for image in ./images/*; do
        [ -f "$image" ] || continue
        mkdir -p "$IMAGES"
        chown root:root "$image"
        chmod 644 "$image"
        mv -f "$image" "$IMAGES/"
        changed=1
    done
}

# A k3s that is called as one of its tools unpacks what it carries, which else costs a machine's first start seconds.
unpack() {
    timeout 120 "$K3S" crictl --version >/dev/null 2>&1 || :
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

# off UNIT...: keep units from starting at boot; those that are not there need nothing.
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
# Whoever needs keepalived starts it with a configuration of its own.
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
