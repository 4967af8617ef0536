#!/bin/sh
# Prints whether Kubernetes secrets are encrypted in the cluster's data, in k3s's own words.
set -eu

exec /usr/local/bin/k3s secrets-encrypt status
