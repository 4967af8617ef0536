#!/bin/sh
# Prints facts about this machine, one KEY=value a line. A value is empty where there is none.
# Environment: UNIT  the k3s unit to look at (k3s or k3s-agent); may be empty or unset.
set -eu

K3S=/usr/local/bin/k3s

arch() {
    machine=$(uname -m)
    case $machine in
        x86_64) echo amd64 ;;
        aarch64 | arm64) echo arm64 ;;
        *) echo "$machine" ;;
    esac
}

disk_free_mib() {
    # -P keeps each file system on one line, whatever its name's length.
    df -Pk /var/lib | {
        read -r _
        read -r _ _ _ free_kib _
        echo $((free_kib / 1024))
    }
}

default_route() {
    while read -r interface destination _; do
        if [ "$destination" = 00000000 ] && [ "$interface" != '*' ] && [ "$interface" != lo ]; then
            echo "$interface"
            return
        fi
    done </proc/net/route
}

unit_property() {
    [ -n "${UNIT:-}" ] || return 0
    [ "$(systemctl show --property LoadState --value "$UNIT.service")" != not-found ] || return 0
    systemctl show --property "$1" --value "$UNIT.service"
}

# What SELinux does here; empty where the kernel has none, or has it off.
selinux() {
    [ -r /sys/fs/selinux/enforce ] || return 0
    read -r enforces </sys/fs/selinux/enforce || :
    if [ "$enforces" = 1 ]; then echo enforcing; else echo permissive; fi
}

# The policies that k3s needs under SELinux, of those that are not there, by their packages' names. A package's own module
# is looked for as well, since a policy may have been built by hand.
selinux_lacks() {
    [ -n "$(selinux)" ] || return 0
    for module in container k3s; do
        if command -v rpm >/dev/null 2>&1 && rpm -q --quiet "$module-selinux" 2>/dev/null; then
            continue
        fi
        set -- /var/lib/selinux/*/active/modules/*/"$module"
        [ -e "$1" ] || printf '%s ' "$module-selinux"
    done
}

# Another word after each boot. A container has its host's boot_id; its first process is another one.
boot() {
    boot_id=
    read -r boot_id </proc/sys/kernel/random/boot_id || :
    stat=$(cat /proc/1/stat)
    # What follows the name in brackets begins with the third field; the start is the 22nd (proc_pid_stat(5)).
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    echo "$boot_id-${20:-}"
}

k3s_sha256=
k3s_version=
if [ -f "$K3S" ]; then
    k3s_sha256=$(sha256sum "$K3S")
    k3s_sha256=${k3s_sha256%% *}
    # A damaged binary is no reason to know nothing else of the machine.
    k3s_version=$("$K3S" --version 2>/dev/null | sed -n 's/^k3s version \([^ ]*\).*/\1/p') || k3s_version=
fi

machine_id=
if [ -r /etc/machine-id ]; then
    read -r machine_id </etc/machine-id || :
fi

cat <<FACTS
arch=$(arch)
machine_id=$machine_id
hostname=$(uname -n)
disk_free_mib=$(disk_free_mib)
k3s_sha256=$k3s_sha256
k3s_version=$k3s_version
active_state=$(unit_property ActiveState)
sub_state=$(unit_property SubState)
restarts=$(unit_property NRestarts)
time=$(date +%s)
boot=$(boot)
default_route=$(default_route)
selinux=$(selinux)
selinux_lacks=$(selinux_lacks)
swap=$(sed -n 's/^SwapTotal: *\([0-9]*\).*/\1/p' /proc/meminfo)
FACTS
