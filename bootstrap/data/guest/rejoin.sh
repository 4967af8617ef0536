#!/bin/sh
# Drops this server's own copy of the cluster's data, so that it joins again with its next start; its settings name the
# server to join. Snapshots stay. Starts nothing.
set -eu

SERVER=/var/lib/rancher/k3s/server

case $(systemctl show --property ActiveState --value k3s.service) in
    inactive | failed) ;;
    *)
        echo "k3s still runs here: stop it first" >&2
        exit 1
        ;;
esac
grep -q '^server: ' /etc/rancher/k3s/config.yaml || {
    echo "the settings name no server to join: this one would begin a cluster of its own" >&2
    exit 1
}
rm -rf "$SERVER/db/etcd" "$SERVER"/db/etcd-old-* "$SERVER"/db/sqlite-old-*
rm -f "$SERVER"/db/state.db* "$SERVER/db/reset-flag"
# Made under another token or CA they would be held against those of the server it joins.
rm -rf "$SERVER/cred" "$SERVER/tls"
rm -f /etc/systemd/system/k3s.service.d/homelab-k8s-restore.conf
rm -f "$SERVER/token" "$SERVER/homelab-k8s-restore"
