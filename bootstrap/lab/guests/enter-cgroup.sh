#!/bin/sh
# Usage: enter-cgroup.sh DIRECTORY... -- COMMAND...
# Becomes COMMAND inside the cgroups, one of each hierarchy, so that COMMAND and its children are there from the start.
set -eu
while [ "$1" != -- ]; do
    echo "$$" >"$1/cgroup.procs"
    shift
done
shift
exec "$@"
