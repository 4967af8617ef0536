#!/bin/sh
# Prints how long single synced writes take where etcd writes its log: one `write_s=SECONDS` a line.
# Nothing is left behind, and what is written fits into one page of etcd's own log.
set -eu
export LC_ALL=C

DB=/var/lib/rancher/k3s/server/db
WRITES=15
BYTES=2300 # the mean size of etcd's log entries, as its own disk benchmark takes it

if [ ! -d "$DB" ]; then
    echo "there is no $DB" >&2
    exit 1
fi
file=$(mktemp "$DB/.fsync.XXXXXX")
trap 'rm -f "$file"' EXIT
count=0
while [ "$count" -lt "$WRITES" ]; do
    dd if=/dev/zero of="$file" bs="$BYTES" count=1 oflag=dsync conv=notrunc 2>&1 |
        sed -n 's/.* copied, \([0-9.e-]*\) s.*/write_s=\1/p'
    count=$((count + 1))
done
