#!/bin/sh
# Gives a server that has never run the CAs of an earlier cluster, before its first start; one that has its own keeps
# them. Prints changed=0 or changed=1.
# Beside this script: identity (secret; removed in any case), what read-identity.sh printed.
set -eu
umask 077

SERVER=/var/lib/rancher/k3s/server

trap 'rm -rf ./identity "$SERVER/.tls.new"' EXIT

if [ -e "$SERVER/tls" ] || [ -e "$SERVER/db/etcd" ] || [ -e "$SERVER/db/state.db" ]; then
    echo changed=0
    exit 0
fi
rm -rf "$SERVER/.tls.new"
mkdir -p "$SERVER/.tls.new"
base64 -d ./identity | tar -xf - -C "$SERVER/.tls.new" --no-same-owner
[ -s "$SERVER/.tls.new/server-ca.key" ]
# All of it or nothing: a part would make k3s invent the rest.
mv "$SERVER/.tls.new" "$SERVER/tls"
echo changed=1
