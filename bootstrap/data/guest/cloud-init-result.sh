#!/bin/sh
# Tells whether cloud-init is done with this boot, and how it went.
# Prints done=0, or done=1 with status=done|error|degraded|disabled and lines error=... and warning=...
# needs: cloud_init_errors.py
set -eu

RUN=/run/cloud-init

if [ -e "$RUN/result.json" ]; then
    echo done=1
    if command -v python3 >/dev/null 2>&1; then
        python3 ./cloud_init_errors.py "$RUN/result.json" "$RUN/status.json"
    elif grep -q '"errors": *\[ *\]' "$RUN/result.json"; then
        echo status=done
    else
        echo status=error
        echo "error=$(tr '\n' ' ' <"$RUN/result.json")"
    fi
elif [ -e "$RUN/disabled" ] || ! command -v cloud-init >/dev/null 2>&1; then
    printf 'done=1\nstatus=disabled\n'
elif systemctl is-failed --quiet cloud-final.service; then
    # The stage that writes result.json died, so that file never comes.
    printf 'done=1\nstatus=error\nerror=cloud-final.service failed before it could tell a result\n'
else
    echo done=0
fi
