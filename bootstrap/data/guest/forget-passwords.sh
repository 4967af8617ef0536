#!/bin/sh
# Has Kubernetes forget the passwords of nodes, as restored data may hold old ones: a machine's next word is then
# taken for its password. Nodes, and what runs on them, stay.
# Environment: NODES  Kubernetes node names, with blanks between
set -eu

for node in $NODES; do
    /usr/local/bin/k3s kubectl --namespace kube-system delete secret "$node.node-password.k3s" --ignore-not-found
done
