#!/bin/sh
# Tells a unit's state: active_state, sub_state, restarts, result, in systemd's words.
# Environment: UNIT  such as k3s
set -eu

systemctl show --property ActiveState --property SubState --property NRestarts --property Result "$UNIT.service" |
    sed -e 's/^ActiveState=/active_state=/' -e 's/^SubState=/sub_state=/' \
        -e 's/^NRestarts=/restarts=/' -e 's/^Result=/result=/'
