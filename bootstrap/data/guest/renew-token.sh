#!/bin/sh
# Puts the cluster's token into the unit's environment file, in the form that the file has it in, long or short.
# Prints restart=1 where the unit has to be restarted for it, until `DONE=1` says that it was.
# Environment: UNIT  k3s or k3s-agent
#              DONE  1: the unit runs with the token
# Beside this script, without DONE=1: token (secret; removed in any case), in its long form.
set -eu
umask 077

ENVIRONMENT=/etc/systemd/system/$UNIT.service.env
PENDING=/etc/rancher/k3s/.homelab-k8s-restart

trap 'rm -f ./token "$ENVIRONMENT.new"' EXIT

if [ "$DONE" = 1 ]; then
    rm -f "$PENDING"
    exit 0
fi
read -r token <./token
if grep -q "^K3S_TOKEN='\{0,1\}K10" "$ENVIRONMENT"; then
    wanted=$token
else
    wanted=${token##*:}
fi
{
    grep -v '^K3S_TOKEN=' "$ENVIRONMENT" || :
    printf "K3S_TOKEN='%s'\n" "$wanted"
} >"$ENVIRONMENT.new"
if ! cmp -s "$ENVIRONMENT.new" "$ENVIRONMENT"; then
    # First, so that a file that is new is never taken for one that the unit has read.
    touch "$PENDING"
    mv -f "$ENVIRONMENT.new" "$ENVIRONMENT"
fi
if [ -e "$PENDING" ]; then
    echo restart=1
else
    echo restart=0
fi
