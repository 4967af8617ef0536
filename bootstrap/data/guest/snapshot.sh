#!/bin/sh
# Takes a snapshot of the cluster's data on this server, which is serving.
# Prints name, kind (etcd or sqlite), size in bytes, sha256, time in Unix seconds, version of k3s, and the ca hash.
# Environment: NAME   what the snapshot's name begins with
#              NODE   this server's Kubernetes node name
#              FETCH  1 to leave a copy beside this script, as snapshot.out, that the login user may read
# Beside this script: snapshot.yaml (secret; removed in any case): k3s settings of the bucket it goes to, if to one.
# needs: sqlite_snapshot.py
set -eu
umask 077

K3S=/usr/local/bin/k3s
SERVER=/var/lib/rancher/k3s/server
SNAPSHOTS=$SERVER/db/snapshots

trap 'rm -f ./snapshot.yaml ./snapshot.log "$SNAPSHOTS/.sqlite.new"' EXIT
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

take_etcd() {
    began=$(date +%s)
    set -- etcd-snapshot save --name "$NAME"
    [ ! -f ./snapshot.yaml ] || set -- "$@" --config ./snapshot.yaml
    if ! "$K3S" "$@" >./snapshot.log 2>&1; then
        tail -n 20 ./snapshot.log >&2
        fail "k3s could not take the snapshot"
    fi
    # A snapshot that could not be sent to its bucket is no error to some versions of k3s.
    if [ -f ./snapshot.yaml ] && grep -i -e 'error.*S3' -e 'unable.*S3' ./snapshot.log >&2; then
        fail "k3s took the snapshot, but could not send it to the bucket"
    fi
    file=$(newest_since "$began")
    if [ -z "$file" ]; then
        tail -n 20 ./snapshot.log >&2
        fail "k3s says that it took a snapshot, but there is no new $SNAPSHOTS/$NAME-$NODE-*"
    fi
}

take_sqlite() {
    [ ! -f ./snapshot.yaml ] || fail "this server keeps its data in sqlite: k3s sends only etcd's snapshots to buckets"
    command -v python3 >/dev/null 2>&1 ||
        fail "a consistent copy of sqlite needs python3 on the server, which cloud-init brings: install it"
    mkdir -p "$SNAPSHOTS"
    file=$SNAPSHOTS/$NAME-$NODE-$(date +%s).sqlite
    python3 ./sqlite_snapshot.py "$SERVER/db/state.db" "$SNAPSHOTS/.sqlite.new"
    mv -f "$SNAPSHOTS/.sqlite.new" "$file"
}

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
TOLD
if [ "$FETCH" = 1 ]; then
    cp "$file" ./snapshot.out
    chown "${SUDO_UID:-0}:${SUDO_GID:-0}" ./snapshot.out
fi
