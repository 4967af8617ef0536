#!/bin/sh
# Prints the cluster's join token, and on a second line the one that agents join with: the same where there is no other.
# They are secrets: to standard output only, which is the SSH connection.
set -eu

SERVER=/var/lib/rancher/k3s/server
cat "$SERVER/token"
[ ! -e "$SERVER/agent-token" ] || cat "$SERVER/agent-token"
