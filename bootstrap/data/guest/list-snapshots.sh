#!/bin/sh
# Prints the snapshots on this server's disk: snapshot=SIZE TIME NAME, bytes and Unix seconds; and etcd=1 or etcd=0.
set -eu

DB=/var/lib/rancher/k3s/server/db

if [ -d "$DB/etcd" ]; then
    echo etcd=1
else
    echo etcd=0
fi
for file in "$DB"/snapshots/*; do
    [ -f "$file" ] || continue
    echo "snapshot=$(stat -c '%s %Y' "$file") ${file##*/}"
done
