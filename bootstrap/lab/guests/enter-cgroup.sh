#!/bin/sh
# Usage: enter-cgroup.sh DIRECTORY COMMAND...
# Becomes COMMAND inside the cgroup v2 DIRECTORY, so that COMMAND and its children are there from the start.
set -eu
echo "$$" >"$1/cgroup.procs"
shift
exec "$@"
