# shellcheck shell=sh
# For scripts that put k3s's settings in place, which source this: registries.yaml, and its removal where none was sent.
# A file that this program did not write is never changed.
# Beside those scripts: registries.yaml (secret), if there is to be one.

REGISTRIES=/etc/rancher/k3s/registries.yaml

# registries_kind: prints what is there: ours, foreign or none.
registries_kind() {
    if [ ! -e "$REGISTRIES" ] && [ ! -L "$REGISTRIES" ]; then
        echo none
    elif [ -f "$REGISTRIES" ] && [ ! -L "$REGISTRIES" ] && head -n 1 "$REGISTRIES" | grep -q '^# Written by homelab-k8s'; then
        echo ours
    else
        echo foreign
    fi
}

# check_registries: end where a file of another's is in the place of ours.
check_registries() {
    if [ -f ./registries.yaml ] && [ "$(registries_kind)" = foreign ]; then
        echo "$REGISTRIES was not written by homelab-k8s and is not overwritten: take its content into k3s.registries" \
            "of the inventory, then move it away" >&2
        exit 1
    fi
}

# registries_differ: whether put_registries changes what k3s reads.
registries_differ() {
    if [ -f ./registries.yaml ]; then
        ! cmp -s ./registries.yaml "$REGISTRIES"
    else
        [ "$(registries_kind)" = ours ]
    fi
}

put_registries() {
    if [ -f ./registries.yaml ]; then
        if registries_differ || [ "$(stat -c %a:%u:%g "$REGISTRIES")" != 600:0:0 ]; then
            install -m 600 -o root -g root ./registries.yaml "$REGISTRIES.new"
            mv -f "$REGISTRIES.new" "$REGISTRIES"
        fi
    elif [ "$(registries_kind)" = ours ]; then
        rm -f "$REGISTRIES"
    fi
}
