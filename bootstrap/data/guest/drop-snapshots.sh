#!/bin/sh
# Removes snapshots that we took, from this server's disk and from the bucket. One that is gone already is no error.
# Environment: NAMES   the snapshots' names, separated by spaces
#              BUCKET  yes: from the bucket as well
# Beside this script: snapshot.yaml (secret; removed in any case): k3s settings of the bucket. Without it they are those
# of this server.
set -eu
umask 077

K3S=/usr/local/bin/k3s
SNAPSHOTS=/var/lib/rancher/k3s/server/db/snapshots
LIMIT_S=90

trap 'rm -f ./snapshot.yaml ./snapshot.log' EXIT

etcd=''
for name in $NAMES; do
    case $name in
        *.sqlite) rm -f "$SNAPSHOTS/$name" ;;
        *) etcd="$etcd $name" ;;
    esac
done
[ -n "$etcd" ] || exit 0

set -- etcd-snapshot delete
if [ "$BUCKET" != yes ]; then
    set -- "$@" --etcd-s3=false
elif [ -f ./snapshot.yaml ]; then
    set -- "$@" --config ./snapshot.yaml
fi
# shellcheck disable=SC2086 # names of snapshots have no spaces
if ! timeout "$LIMIT_S" "$K3S" "$@" $etcd >./snapshot.log 2>&1; then
    tail -n 5 ./snapshot.log >&2
    exit 1
fi
