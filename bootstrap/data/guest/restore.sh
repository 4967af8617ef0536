#!/bin/sh
# Puts a snapshot's data in place of this server's, whose k3s is stopped; the server is then etcd's only member.
# Starts nothing. May be run again after it was killed at any moment.
# Environment: NAME  the snapshot's file name; *.sqlite is a copy of sqlite's database, anything else is etcd's
#              FROM  disk (among this server's snapshots), sent (beside this script, as snapshot.in) or s3
#              FOLDER  with s3: where in the bucket it lies; empty for its top. Not needed otherwise
#              CA    sha256 of the server CA's file when the snapshot was taken, or empty for the one that is here
# Beside this script: restore-token (secret; removed in any case), the token in its short form as it was then.
set -eu
umask 077

K3S=/usr/local/bin/k3s
SERVER=/var/lib/rancher/k3s/server
DB=$SERVER/db
SETTINGS=/etc/rancher/k3s/config.yaml
RESET_S=360

trap 'rm -f ./restore-token ./snapshot.in ./restore.log' EXIT

fail() {
    echo "$1" >&2
    exit 1
}

case $(systemctl show --property ActiveState --value k3s.service) in
    inactive | failed) ;;
    *) fail "k3s still runs here: stop it first" ;;
esac
mkdir -p "$DB/snapshots"
date +%s >"$SERVER/homelab-k8s-restore"
now=$(date +%s)

if [ "$FROM" = sent ]; then
    [ -f ./snapshot.in ] || fail "the snapshot $NAME was not sent"
    chown root:root ./snapshot.in
    mv -f ./snapshot.in "$DB/snapshots/$NAME"
fi
file=$DB/snapshots/$NAME
[ "$FROM" = s3 ] || [ -f "$file" ] || fail "there is no $file"

# Keys and certificates are kept under another name, never removed: where no server has those of the data any more,
# they are the only ones.
keep_aside() {
    for part in "$@"; do
        if [ -e "$SERVER/$part" ]; then
            mv "$SERVER/$part" "$SERVER/$part-old-$now"
        fi
    done
}

# Another cluster's certificates: those of the snapshot come out of its data where none are here.
if [ -n "$CA" ] && [ -f "$SERVER/tls/server-ca.crt" ]; then
    here=$(sha256sum "$SERVER/tls/server-ca.crt")
    [ "${here%% *}" = "$CA" ] || keep_aside tls cred token
fi

# What was here is kept, once: of several restores only the last one's.
put_aside() {
    rm -rf "$DB"/sqlite-old-*
    mkdir "$DB/sqlite-old-$now"
    for part in "$DB"/state.db "$DB"/state.db-*; do
        [ ! -e "$part" ] || mv "$part" "$DB/sqlite-old-$now/"
    done
}

restore_sqlite() {
    [ "$(head -c 15 "$file")" = "SQLite format 3" ] || fail "$NAME is no sqlite database"
    # With the settings' cluster-init k3s would make new CAs and keys, and move data to etcd that they cannot read.
    ! grep -q '^cluster-init:' "$SETTINGS" || fail "the settings name cluster-init: sqlite's data must serve first"
    put_aside
    if [ -d "$DB/etcd" ]; then
        rm -rf "$DB"/etcd-old-*
        mv "$DB/etcd" "$DB/etcd-old-$now"
    fi
    # A token or an encryption key that was rotated since is newer here than in the data, and k3s then refuses to start
    # ("newer than datastore"). Where neither directory is there, it writes all of it from the data.
    keep_aside tls cred
    cp "$file" "$DB/.state.db.new"
    mv -f "$DB/.state.db.new" "$DB/state.db"
}

restore_etcd() {
    # k3s refuses a second reset while its flag is there; a normal start would remove it.
    rm -f "$DB/reset-flag"
    [ ! -f "$DB/state.db" ] || put_aside
    set -- server --cluster-reset
    if [ "$FROM" = s3 ]; then
        grep -q '^etcd-s3: true' "$SETTINGS" || fail "the server's settings name no bucket"
        # Given in any case: a snapshot of before may lie in another folder than those to come.
        set -- "$@" "--cluster-reset-restore-path=$NAME" "--etcd-s3-folder=$FOLDER"
    else
        set -- "$@" "--cluster-reset-restore-path=$file"
        # With a bucket in its settings k3s would look for the snapshot there and nowhere else.
        ! grep -q '^etcd-s3:' "$SETTINGS" || set -- "$@" --etcd-s3=false
    fi
    # Each reset puts the data before it aside; only the last one's is kept.
    for old in "$DB"/etcd-old-*; do
        [ ! -e "$old" ] || mv "$old" "$DB/.before-${old##*/}"
    done
    # In the environment of the reset alone, which ends by itself.
    code=0
    K3S_TOKEN=$(cat ./restore-token) timeout "$RESET_S" "$K3S" "$@" >./restore.log 2>&1 || code=$?
    # The words count, not the exit code alone: k3s ends the same way when it is stopped in the middle.
    if [ "$code" != 0 ] || ! grep -q 'cluster membership has been reset' ./restore.log; then
        # Between etcd's own lines, hundreds of them, the ones in which k3s says why.
        grep -e 'level=fatal' -e 'level=error' ./restore.log | tail -n 10 >&2 || :
        tail -n 5 ./restore.log >&2
        fail "k3s could not restore $NAME (exit code $code)"
    fi
    rm -rf "$DB"/.before-etcd-old-*
}

[ -s ./restore-token ] || fail "the cluster's token was not sent"
case $NAME in
    *.sqlite) restore_sqlite ;;
    *) restore_etcd ;;
esac
rm -f /etc/systemd/system/k3s.service.d/homelab-k8s-restore.conf
rm -f "$SERVER/homelab-k8s-restore"
