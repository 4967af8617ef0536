#!/bin/sh
# Puts manifests where k3s applies them at a cluster's first start. A server that has data keeps what lies there: its
# cluster is made already. Prints changed=0 or changed=1.
# Beside this script: homelab-k8s-NAME.yaml, any number (secret; moved away or removed in any case). Others of such a
# name are removed from the folder: an earlier run, which was cut off before the first start, has left them.
set -eu
umask 077

SERVER=/var/lib/rancher/k3s/server
MANIFESTS=$SERVER/manifests
changed=0

trap 'rm -f ./homelab-k8s-*.yaml "$MANIFESTS"/.homelab-k8s-*.new' EXIT

if [ -e "$SERVER/db" ]; then
    echo changed=0
    exit 0
fi
for there in "$MANIFESTS"/homelab-k8s-*.yaml; do
    if { [ -e "$there" ] || [ -L "$there" ]; } && [ ! -e "./${there##*/}" ]; then
        rm -f "$there"
        changed=1
    fi
done
for sent in ./homelab-k8s-*.yaml; do
    [ -e "$sent" ] || continue
    name=${sent##*/}
    mkdir -p "$MANIFESTS"
    if [ ! -f "$MANIFESTS/$name" ] || [ -L "$MANIFESTS/$name" ] || ! cmp -s "$sent" "$MANIFESTS/$name" ||
        [ "$(stat -c %a:%u "$MANIFESTS/$name")" != 600:0 ]; then
        # k3s passes over names that begin with a dot.
        install -m 600 -o root -g root "$sent" "$MANIFESTS/.$name.new"
        mv -f "$MANIFESTS/.$name.new" "$MANIFESTS/$name"
        changed=1
    fi
done
echo "changed=$changed"
