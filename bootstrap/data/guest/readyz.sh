#!/bin/sh
# Asks this server's own Kubernetes API whether it is ready: prints ok, or fails with what it said.
set -eu

exec /usr/local/bin/k3s kubectl get --raw /readyz
