#!/bin/sh
# Prints the cluster's CAs and the key that signs its service accounts' tokens, as a base64 tar. They are secrets: to
# standard output only, which is the SSH connection.
# The files are the ones that k3s takes for its own where they are there before its first start (its documentation,
# "Using Custom CA Certificates").
set -eu

cd /var/lib/rancher/k3s/server/tls
# Those of etcd are made by every server, with sqlite too.
for file in server-ca client-ca request-header-ca etcd/server-ca etcd/peer-ca; do
    set -- "$@" "$file.crt" "$file.key"
done
set -- "$@" service.key
for file; do
    if [ ! -s "$file" ]; then
        echo "there is no $(pwd)/$file" >&2
        exit 1
    fi
done
tar -cf - "$@" | base64 -w 0
