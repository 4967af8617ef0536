#!/bin/sh
# Prints how this server stands to the VIP: interface=NAME, the one that has its own address; active_state=STATE of
# keepalived in systemd's words, empty where it is not installed; configured=1 where its settings are for this VIP, else
# 0; holder=1 where it has the VIP now, else 0.
# Environment: ADDRESS  this machine's own address
#              VIP      the address that moves
set -eu

# Prints the interface that has an address, if one has.
interface_of() {
    ip -4 -oneline address show to "$1/32" | {
        read -r _ name _ || :
        echo "${name:-}"
    }
}

holder=0
[ -z "$(interface_of "$VIP")" ] || holder=1
active_state=
if command -v keepalived >/dev/null 2>&1; then
    active_state=$(systemctl show --property ActiveState --value keepalived.service)
fi
configured=0
if grep -qsF " $VIP/32" /etc/keepalived/keepalived.conf; then
    configured=1
fi
cat <<STATE
interface=$(interface_of "$ADDRESS")
active_state=$active_state
configured=$configured
holder=$holder
STATE
