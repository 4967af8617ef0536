#!/bin/sh
# Prints what hardening asks of this machine, and changes nothing: sysctl=NAME VALUE for each that the kubelet checks;
# checked=COUNT, how many of k3s's files and directories were looked at; loose=MODE:UID:GID PATH for each of them that
# others than root can use, 20 at the most; audited=1 where the API server has written an audit log, else audited=0.
set -eu

SERVER=/var/lib/rancher/k3s/server
AGENT=/var/lib/rancher/k3s/agent
CONFIG=/etc/rancher/k3s

for name in vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys \
    kernel.keys.root_maxbytes; do
    file=/proc/sys/$(echo "$name" | tr . /)
    if [ -r "$file" ]; then
        echo "sysctl=$name $(cat "$file")"
    fi
done

checked=0
loose=0
for path in "$CONFIG/config.yaml" "$CONFIG/k3s.yaml" "$CONFIG/registries.yaml" "$SERVER" "$SERVER"/*.yaml "$SERVER/logs" "$SERVER"/logs/* "$SERVER/db/etcd" \
    "$SERVER"/cred/*.kubeconfig "$SERVER"/tls/*.crt "$SERVER"/tls/*.key "$SERVER"/tls/etcd/*.key \
    "$AGENT"/*.kubeconfig "$AGENT"/*.key "$AGENT/client-ca.crt"; do
    [ -e "$path" ] || continue
    checked=$((checked + 1))
    mode=$(stat -L -c %a:%u:%g "$path")
    case $mode in
        *00:0:0 | 0:0:0) continue ;;
    esac
    loose=$((loose + 1))
    if [ "$loose" -le 20 ]; then
        echo "loose=$mode $path"
    fi
done
echo "checked=$checked"
if [ -s "$SERVER/logs/audit.log" ]; then
    echo audited=1
else
    echo audited=0
fi
