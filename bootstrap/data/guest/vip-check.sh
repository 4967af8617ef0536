#!/bin/sh
# keepalived's health check on a server, every second: succeeds while this machine's own Kubernetes API is ready.
# etcd is left out: it is the servers' common affair. Where it has no leader no server is better off than another, and
# a VIP that went away then would cost clients the answers that the API still has.
set -eu

TLS=/var/lib/rancher/k3s/server/tls

# The API answers /readyz only with a certificate. curl takes 10 ms of CPU for this; python3 takes 40, and
# `k3s kubectl` more.
exec curl --silent --fail --output /dev/null --max-time 1.5 \
    --cacert "$TLS/server-ca.crt" --cert "$TLS/client-admin.crt" --key "$TLS/client-admin.key" \
    'https://127.0.0.1:6443/readyz?exclude=etcd&exclude=etcd-readiness'
