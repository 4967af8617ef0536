#!/bin/sh
# Runs a script of the user's as root, unless it has run here before. Prints changed=0 where it has; else changed=1, status=
# with how it ended and output= with the end of what it printed, in base64. Only one that ends with 0 has run.
# Environment: KEY        what it is known by, a checksum
#              NAME       for its file, which messages of a shell name
#              TIMEOUT_S  how long it may take
#              LOCK_S     how many seconds to wait for one that runs already
#              MACHINE ROLE POOL CLUSTER ADDRESS K3S_VERSION TIME  its parameters, with HOMELAB_K8S_ before their names
# Beside this script, both may be secret: hook, in base64, and hook.env, its further parameters: NAME BASE64, a line each.
set -eu
umask 022

# The checksums of those that have run.
RAN=/var/lib/homelab-k8s/hooks
directory=

trap 'rm -f ./hook ./hook.env; [ -z "$directory" ] || rm -rf "$directory"' EXIT

mkdir -p "${RAN%/*}"
exec 9>"$RAN.lock"
if ! flock -w "$LOCK_S" 9; then
    echo "another hook is still running here, of a run that was interrupted" >&2
    exit 1
fi
if grep -qsxF -e "$KEY" "$RAN"; then
    echo changed=0
    exit
fi

# Not in /tmp or /run, where programs often may not run.
directory=$(mktemp -d "${RAN%/*}/hook.XXXXXX")
base64 -d <./hook >"$directory/$NAME"
chmod 700 "$directory/$NAME"
: >>./hook.env

# In a shell of its own, without the lock, which what it leaves running would keep. Its parameters come last: PATH may be
# among them. None is on a command line, which all users can read.
run() (
    exec 9>&- </dev/null
    set -- "$(command -v timeout)" "$TIMEOUT_S" "$directory/$NAME" "$PWD/hook.env" "$(command -v base64)"
    export HOMELAB_K8S_MACHINE="$MACHINE" HOMELAB_K8S_ROLE="$ROLE" HOMELAB_K8S_POOL="$POOL"
    export HOMELAB_K8S_CLUSTER="$CLUSTER" HOMELAB_K8S_ADDRESS="$ADDRESS" HOMELAB_K8S_K3S_VERSION="$K3S_VERSION"
    export HOMELAB_K8S_HOOK="$TIME"
    unset KEY NAME TIMEOUT_S LOCK_S MACHINE ROLE POOL CLUSTER ADDRESS K3S_VERSION TIME
    cd /
    while read -r homelab_k8s_name homelab_k8s_value; do
        export "$homelab_k8s_name=$(echo "$homelab_k8s_value" | "$5" -d)"
    done <"$4"
    exec "$1" --kill-after=10 "$2" "$3"
)

status=0
run >"$directory/output" 2>&1 || status=$?
if [ "$status" = 0 ]; then
    cp "$RAN" "$RAN.new" 2>/dev/null || : >"$RAN.new"
    echo "$KEY" >>"$RAN.new"
    mv -f "$RAN.new" "$RAN"
fi
echo changed=1
echo "status=$status"
echo "output=$(tail -c 16384 "$directory/output" | base64 -w 0)"
