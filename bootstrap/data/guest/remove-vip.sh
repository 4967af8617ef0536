#!/bin/sh
# Ends keepalived where its settings are ours, and takes them away; the package stays. Prints changed=0 or changed=1.
set -eu

ETC=/etc/keepalived
MARK='# Written by homelab-k8s'
there=$ETC/keepalived.conf

if [ ! -f "$there" ] || [ "$(head -n 1 "$there" | cut -c "1-${#MARK}")" != "$MARK" ]; then
    echo changed=0
    exit
fi
systemctl disable --quiet --now keepalived.service
# keepalived takes the address away when it ends; one that was killed before could not.
vip=$(sed -n 's/^ *\([0-9.]\{7,15\}\)\/32$/\1/p' "$there")
ip -4 -oneline address show to "$vip/32" | while read -r _ name _; do
    ip address delete "$vip/32" dev "$name"
done
rm -f "$ETC/check-k3s-api" /run/homelab-k8s-vip-pending
# Last: a run that is killed before does all of it again.
rm -f "$there"
echo changed=1
