#!/bin/sh
# Puts the token that the machine joins with into the unit's environment file, in the form that the file has it in, long
# or short, and on a server the agents' as well.
# Prints restart=1 where the unit has to be restarted for it, until `DONE=1` says that it was.
# Environment: UNIT  k3s or k3s-agent
#              DONE  1: the unit runs with the token
# Beside this script, without DONE=1: token (secret; removed in any case), in its long form; and on a server agent-token
# (likewise), in its short form, if the cluster has one.
set -eu
umask 077

ENVIRONMENT=/etc/systemd/system/$UNIT.service.env
PENDING=/etc/rancher/k3s/.homelab-k8s-restart

trap 'rm -f ./token ./agent-token "$ENVIRONMENT.new"' EXIT

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
names=K3S_TOKEN
[ ! -f ./agent-token ] || names="K3S_TOKEN|K3S_AGENT_TOKEN"
{
    grep -v -E "^($names)=" "$ENVIRONMENT" || :
    printf "K3S_TOKEN='%s'\n" "$wanted"
    if [ -f ./agent-token ]; then
        read -r agents <./agent-token
        printf "K3S_AGENT_TOKEN='%s'\n" "$agents"
    fi
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
