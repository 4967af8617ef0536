#!/bin/sh
# Removes k3s and its data from this machine. Installed as k3s-uninstall.sh on servers and as k3s-agent-uninstall.sh
# on agents, as upstream names them; its name says which unit it is for.
# The Kubernetes node object stays (delete it with kubectl), and so does /etc/rancher/node, which holds the password
# that lets this machine join again under its name.
set -eu

[ "$(id -u)" = 0 ] || exec sudo "$0" "$@"

case ${0##*/} in
    k3s-agent-uninstall.sh) unit=k3s-agent ;;
    *) unit=k3s ;;
esac

if [ -x /usr/local/bin/k3s-killall.sh ]; then
    /usr/local/bin/k3s-killall.sh
fi
systemctl disable --quiet "$unit.service" || :
rm -f "/etc/systemd/system/$unit.service" "/etc/systemd/system/$unit.service.env"
rm -f /etc/systemd/system/systemd-networkd-wait-online.service.d/homelab-k8s.conf
rm -f /etc/systemd/system/k3s.service.d/homelab-k8s-hardening.conf
systemctl daemon-reload
systemctl reset-failed "$unit.service" 2>/dev/null || :

for command in kubectl crictl ctr; do
    if [ "$(readlink "/usr/local/bin/$command" 2>/dev/null)" = k3s ]; then
        rm -f "/usr/local/bin/$command"
    fi
done
# Empties a directory. It stays where a file system is mounted on it (a disk that the machine has for k3s's data); one
# that is mounted below it, such as a volume that could not be unmounted, is a user's data and is not entered.
clear() {
    if [ -e "$1" ]; then
        find "$1" -xdev -depth ! -type d -delete
        find "$1" -xdev -depth -type d -empty ! -exec mountpoint -q {} ';' -delete
    fi
}
clear /var/lib/rancher/k3s/agent/containerd
for place in /etc/rancher/k3s /run/k3s /run/flannel /var/lib/rancher/k3s /var/lib/kubelet; do
    clear "$place"
done
rm -f /usr/local/bin/k3s /usr/local/bin/k3s-killall.sh "/usr/local/bin/$unit-uninstall.sh"
