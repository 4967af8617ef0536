#!/bin/sh
# Takes a snapshot of the cluster's data on this server, which is serving.
# Prints name, kind (etcd or sqlite), size in bytes, sha256, time in Unix seconds, version of k3s, and the ca hash;
# and of the bucket: sent, failed (with bucket_problem) or none.
# Environment: NAME    what the snapshot's name begins with
#              NODE    this server's Kubernetes node name
#              FETCH   1 to leave a copy beside this script, as snapshot.out, that the login user may read
#              BUCKET  must: into the bucket as well; try: likewise, but trouble there is only reported; no: on this disk alone
# Beside this script: snapshot.yaml (secret; removed in any case): k3s settings of the bucket. Without it they are those
# of this server.
# needs: sqlite_snapshot.py
set -eu
umask 077

K3S=/usr/local/bin/k3s
SERVER=/var/lib/rancher/k3s/server
SNAPSHOTS=$SERVER/db/snapshots
SETTINGS=/etc/rancher/k3s/config.yaml
# k3s itself waits 7 minutes for a bucket that does not answer.
MUST_S=360
TRY_S=120

trap 'rm -rf ./snapshot.yaml ./snapshot.yaml.d ./snapshot.log "$SNAPSHOTS/.sqlite.new"' EXIT
rm -f ./snapshot.out

fail() {
    echo "$1" >&2
    exit 1
}

# The newest file of our name that was written since a moment; k3s adds the node's name and the second to the name.
newest_since() {
    found='' best=$1
    for file in "$SNAPSHOTS/$NAME-$NODE-"*; do
        [ -f "$file" ] || continue
        written=$(stat -c %Y "$file")
        if [ "$written" -ge "$best" ]; then
            found=$file best=$written
        fi
    done
    echo "$found"
}

# k3s's settings for a snapshot in the bucket: snapshot.yaml and what the user has in config.yaml.d. Fails without a bucket.
bucket_settings() {
    if [ ! -f ./snapshot.yaml ]; then
        grep -q '^etcd-s3: true' "$SETTINGS" || return 1
        cp "$SETTINGS" ./snapshot.yaml
    fi
    mkdir ./snapshot.yaml.d
    for part in "$SETTINGS.d"/*.yaml; do
        [ ! -f "$part" ] || cp "$part" ./snapshot.yaml.d/
    done
    # With the server's own retention k3s would prune by a snapshot's name alone, other clusters' of that name too.
    echo 'etcd-s3-retention: 0' >./snapshot.yaml.d/zz-homelab-k8s.yaml
}

last_error() {
    sed -n 's/.*level=fatal msg="\(.*\)".*/\1/p' ./snapshot.log | tail -n 1
}

# Sets file, unless there is none since k3s did not even begin, and sent.
take_with_bucket() {
    sent=failed
    if ! bucket_settings; then
        problem="the settings of this server name no bucket, and the bucket's keys were not sent"
        return
    fi
    limit_s=$TRY_S
    [ "$BUCKET" != must ] || limit_s=$MUST_S
    status=0
    timeout "$limit_s" "$K3S" etcd-snapshot save --name "$NAME" --config ./snapshot.yaml >./snapshot.log 2>&1 ||
        status=$?
    file=$(newest_since "$1")
    # The exit code is 0 where the upload was denied. k3s then says "saved." once, for the disk, and twice where all went
    # well (k3s: pkg/etcd/snapshot.go); before 1.30 or so it says so never, and names the error instead.
    saved=$(grep -c 'msg="Snapshot [^ ]* saved\."' ./snapshot.log || true)
    if [ "$status" = 124 ]; then
        problem="no answer within $limit_s s"
    elif [ "$status" != 0 ]; then
        problem=$(last_error)
    elif [ "$saved" = 1 ]; then
        problem="k3s gives no reason here"
    elif grep -q -i -e 'error.*S3' -e 'unable.*S3' ./snapshot.log; then
        problem=$(grep -i -e 'error.*S3' -e 'unable.*S3' ./snapshot.log | tail -n 1)
    else
        sent=sent
    fi
}

take_etcd() {
    began=$(date +%s)
    [ "$BUCKET" = no ] || take_with_bucket "$began"
    if [ -z "$file" ] && [ "$BUCKET" = must ]; then
        tail -n 20 ./snapshot.log >&2
        fail "k3s could not take the snapshot for the bucket: ${problem:-no reason given}"
    fi
    if [ -z "$file" ]; then
        # With a bucket in its settings that does not answer, k3s would take none at all.
        if ! "$K3S" etcd-snapshot save --name "$NAME" --etcd-s3=false >./snapshot.log 2>&1; then
            tail -n 20 ./snapshot.log >&2
            fail "k3s could not take the snapshot"
        fi
        file=$(newest_since "$began")
    fi
    if [ -z "$file" ]; then
        tail -n 20 ./snapshot.log >&2
        fail "k3s says that it took a snapshot, but there is no new $SNAPSHOTS/$NAME-$NODE-*"
    fi
}

take_sqlite() {
    [ "$BUCKET" != must ] || fail "this server keeps its data in sqlite: k3s sends only etcd's snapshots to buckets"
    command -v python3 >/dev/null 2>&1 ||
        fail "a consistent copy of sqlite needs python3 on the server, which cloud-init brings: install it"
    mkdir -p "$SNAPSHOTS"
    file=$SNAPSHOTS/$NAME-$NODE-$(date +%s).sqlite
    python3 ./sqlite_snapshot.py "$SERVER/db/state.db" "$SNAPSHOTS/.sqlite.new"
    mv -f "$SNAPSHOTS/.sqlite.new" "$file"
}

file='' sent=none problem=''
if [ -d "$SERVER/db/etcd" ]; then
    kind=etcd
    take_etcd
elif [ -f "$SERVER/db/state.db" ]; then
    kind=sqlite
    take_sqlite
else
    fail "there is no data of a cluster in $SERVER/db"
fi

sum=$(sha256sum "$file")
ca=$(sha256sum "$SERVER/tls/server-ca.crt")
cat <<TOLD
name=${file##*/}
kind=$kind
size=$(stat -c %s "$file")
sha256=${sum%% *}
time=$(stat -c %Y "$file")
version=$("$K3S" --version | sed -n 's/^k3s version \([^ ]*\).*/\1/p')
ca=${ca%% *}
bucket=$sent
TOLD
[ "$sent" != failed ] || echo "bucket_problem=${problem:-no reason given}"
if [ "$FETCH" = 1 ]; then
    cp "$file" ./snapshot.out
    chown "${SUDO_UID:-0}:${SUDO_GID:-0}" ./snapshot.out
fi
