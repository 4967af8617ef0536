#!/bin/sh
# Prints the cluster's join token. It is a secret: to standard output only, which is the SSH connection.
set -eu

exec cat /var/lib/rancher/k3s/server/token
