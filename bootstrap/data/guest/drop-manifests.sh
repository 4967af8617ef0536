#!/bin/sh
# Removes manifests of ours from k3s's folder: what they made stays in the cluster, and is kept by `up` from now on.
# k3s would apply an old file again at each of its starts (k3s: pkg/deploy/controller.go). Prints changed=0 or changed=1.
# NAMES: words; the files are homelab-k8s-NAME.yaml.
set -eu

MANIFESTS=/var/lib/rancher/k3s/server/manifests
changed=0
for name in $NAMES; do
    file=$MANIFESTS/homelab-k8s-$name.yaml
    if [ -e "$file" ] || [ -L "$file" ]; then
        rm -f "$file"
        changed=1
    fi
done
echo "changed=$changed"
