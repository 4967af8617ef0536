#!/bin/sh
# Prints the last lines of a unit's journal, messages only.
# Environment: UNIT   such as k3s
#              LINES  how many
#              SINCE  leave out what is older, in seconds since the epoch; may be unset
set -eu

exec journalctl --quiet --no-pager --output cat --unit "$UNIT.service" --lines "$LINES" --since "@${SINCE:-0}"
