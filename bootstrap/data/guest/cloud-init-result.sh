#!/bin/sh
# Prints whether cloud-init is done with this boot, and how it went.
# Prints done=0, or done=1 with status=done|error|degraded|disabled and lines error=... and warning=...
# Environment: WITHIN_S  look again for as many seconds while it is not done; once only, if not given
# needs: cloud_init_errors.py
set -eu

RUN=/run/cloud-init

is_off() {
    [ -e "$RUN/disabled" ] || ! command -v cloud-init >/dev/null 2>&1
}

# The stage that writes result.json died, so that file never comes.
is_dead() {
    systemctl is-failed --quiet cloud-final.service
}

looks=$((${WITHIN_S:-0} * 4))
until [ -e "$RUN/result.json" ] || [ "$looks" -le 0 ] || is_off || is_dead; do
    sleep 0.25
    looks=$((looks - 1))
done

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
elif is_off; then
    printf 'done=1\nstatus=disabled\n'
elif is_dead; then
    printf 'done=1\nstatus=error\nerror=cloud-final.service failed before it could report a result\n'
else
    echo done=0
fi
