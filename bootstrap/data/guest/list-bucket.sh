#!/bin/sh
# Prints what k3s finds in a bucket, as a List of ETCDSnapshotFile in JSON; this server's own snapshots are in it as well.
# Beside this script: bucket.yaml (secret; removed in any case): k3s settings of the bucket.
set -eu
umask 077

K3S=/usr/local/bin/k3s
# k3s asks the bucket about each object, and itself waits 7 minutes for one that does not answer.
LIMIT_S=60

trap 'rm -f ./bucket.yaml ./bucket.log' EXIT

status=0
timeout "$LIMIT_S" "$K3S" etcd-snapshot ls -o json --config ./bucket.yaml 2>./bucket.log || status=$?
if [ "$status" = 124 ]; then
    echo "no answer within $LIMIT_S s" >&2
elif [ "$status" != 0 ]; then
    sed -n 's/.*level=fatal msg="\(.*\)".*/\1/p' ./bucket.log | tail -n 1 >&2
fi
exit "$status"
