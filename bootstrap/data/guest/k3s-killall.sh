#!/bin/sh
# Stops k3s and every pod of this machine, and takes down what they have mounted, linked and routed.
# Data of the cluster stays: starting the unit again brings all of it back.
set -u

[ "$(id -u)" = 0 ] || exec sudo "$0" "$@"

# The machine's own tools first; what it lacks (iptables, ip, umount) k3s brings along.
for bin in /var/lib/rancher/k3s/data/*/bin; do
    if [ -d "$bin" ]; then
        PATH=$PATH:$bin:$bin/aux
    fi
done
export PATH

stop_units() {
    for unit in k3s.service k3s-agent.service; do
        if [ -e "/etc/systemd/system/$unit" ]; then
            systemctl stop "$unit"
        fi
    done
}

# Prints a process and all that descend from it. The machine's other containers are never among them, since the
# walk begins at shims that run from k3s's own directory.
family() {
    echo "$1"
    cat "/proc/$1/task/"*/children 2>/dev/null | tr -s ' ' '\n' | while read -r child; do
        family "$child"
    done
}

kill_pods() {
    for process in /proc/[0-9]*; do
        case $(readlink "$process/exe" 2>/dev/null) in
            /var/lib/rancher/k3s/data/*/bin/containerd-shim*) family "${process#/proc/}" ;;
        esac
    done | while read -r pid; do
        kill -9 "$pid" 2>/dev/null
    done
}

# The deepest first: reversed order of names has children before their parents.
unmount_below() {
    while read -r _ target _; do
        case $target in
            "$1" | "$1"/*) printf '%b\n' "$target" ;;
        esac
    done </proc/self/mounts | sort -r | while read -r target; do
        umount -f "$target" 2>/dev/null || umount -l "$target"
        if [ "$2" = remove ]; then
            rmdir "$target" 2>/dev/null
        fi
    done
}

delete_links() {
    ip netns list 2>/dev/null | while read -r namespace _; do
        case $namespace in
            cni-*) ip netns delete "$namespace" ;;
        esac
    done
    for interface in cni0 flannel.1 flannel-v6.1 flannel-wg flannel-wg-v6 kube-ipvs0 nodelocaldns; do
        if [ -e "/sys/class/net/$interface" ]; then
            ip link delete "$interface"
        fi
    done
    rm -rf /var/lib/cni
}

flush_rules() {
    for version in iptables ip6tables; do
        if command -v "$version-save" >/dev/null 2>&1; then
            "$version-save" | grep -v -i -e KUBE- -e CNI- -e flannel | "$version-restore"
        fi
    done
}

stop_units
kill_pods
unmount_below /run/k3s keep
unmount_below /var/lib/kubelet/pods remove
unmount_below /var/lib/kubelet/plugins remove
delete_links
flush_rules
