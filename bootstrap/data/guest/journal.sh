#!/bin/sh
# Prints what k3s itself has said in the last two runs of its unit, the older one first, each after a line
# `-- run ID ended` or `-- run ID goes on`. systemd's own lines are left out: it writes two for every process that an
# earlier run has left (containerd-shim) at each start, and the end of a journal may be nothing else.
# Environment: UNIT    such as k3s
#              LINES   how many of each run, the last ones
#              SINCE   leave out what is older, in seconds since the epoch; may be unset
#              BESIDES a run that does not count (its InvocationID): the one before a restart; may be unset
set -eu

show() { systemctl show --property "$1" --value "$UNIT.service"; }

# Matches by the process that wrote it; --unit would have systemd's lines, too.
said() { journalctl --quiet --no-pager --since "@${SINCE:-0}" --lines "$LINES" "$@" "_SYSTEMD_UNIT=$UNIT.service"; }

case $(show SubState) in
    dead | failed | auto-restart*) current= ;;
    *) current=$(show InvocationID) ;;
esac
said --output json --output-fields _SYSTEMD_INVOCATION_ID |
    sed -n 's/.*"_SYSTEMD_INVOCATION_ID" *: *"\([0-9a-f]*\)".*/\1/p' | uniq | grep -vx "${BESIDES:-none}" | tail -n 2 |
    while read -r run; do
        ended=ended
        [ "$run" != "$current" ] || ended='goes on'
        echo "-- run $run $ended"
        said --output cat "_SYSTEMD_INVOCATION_ID=$run"
    done
