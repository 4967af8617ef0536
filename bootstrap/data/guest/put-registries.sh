# shellcheck shell=sh
# For scripts that put k3s's settings in place, which source this: registries.yaml, and its removal where none was sent.
# A file that this program did not write is never changed.
# Beside those scripts: registries.yaml (secret), if there is to be one, and registry-*.pem (secret), the certificates and
# keys that it names. Their names change with their content.

REGISTRIES=/etc/rancher/k3s/registries.yaml
REGISTRY_TLS=/etc/rancher/k3s/registries.tls

# remove_sent_registries: for the end of those scripts.
remove_sent_registries() {
    rm -f ./registries.yaml ./registry-*.pem "$REGISTRIES.new" "$REGISTRY_TLS"/*.new
}

# kind_of FILE: prints what is there: ours, foreign or none.
kind_of() {
    if [ ! -e "$1" ] && [ ! -L "$1" ]; then
        echo none
    elif [ -f "$1" ] && [ ! -L "$1" ] && head -n 1 "$1" | grep -q '^# Written by homelab-k8s'; then
        echo ours
    else
        echo foreign
    fi
}

# check_registries: end where a file of another's is in the place of ours.
check_registries() {
    if [ -f ./registries.yaml ] && [ "$(kind_of "$REGISTRIES")" = foreign ]; then
        echo "$REGISTRIES was not written by homelab-k8s and is not overwritten: take its content into k3s.registries" \
            "of the inventory, then move it away" >&2
        exit 1
    fi
}

# whole_registries FILE DIRECTORY: prints what k3s and containerd read.
whole_registries() {
    cat "$1"
    for pem in "$2"/registry-*.pem; do
        [ ! -f "$pem" ] || cat "$pem"
    done
}

# registries_differ: whether put_registries changes what k3s and containerd read.
registries_differ() {
    if [ -f ./registries.yaml ]; then
        [ ! -f "$REGISTRIES" ] || [ "$(sum_of ./registries.yaml .)" != "$(sum_of "$REGISTRIES" "$REGISTRY_TLS")" ]
    else
        [ "$(kind_of "$REGISTRIES")" = ours ]
    fi
}

# sum_of FILE DIRECTORY: prints a checksum of both.
sum_of() {
    whole=$(whole_registries "$1" "$2" | sha256sum)
    echo "${whole%% *}"
}

# registries_exposed: whether others than root can read them.
registries_exposed() {
    for each in "$REGISTRIES" "$REGISTRY_TLS"/registry-*.pem; do
        [ ! -e "$each" ] || [ "$(stat -c %a:%u:%g "$each")" = 600:0:0 ] || return 0
    done
    return 1
}

# put_secret SOURCE TARGET
put_secret() {
    install -m 600 -o root -g root "$1" "$2.new"
    mv -f "$2.new" "$2"
}

put_registries() {
    if [ -f ./registries.yaml ]; then
        if registries_differ || registries_exposed; then
            put_registry_tls
            put_secret ./registries.yaml "$REGISTRIES"
            remove_old_tls
        fi
    elif [ "$(kind_of "$REGISTRIES")" = ours ]; then
        rm -f "$REGISTRIES"
        rm -rf "$REGISTRY_TLS"
    fi
}

# First: a k3s that starts just now finds what the file names, old or new.
put_registry_tls() {
    for pem in ./registry-*.pem; do
        [ -f "$pem" ] || continue
        (umask 077 && mkdir -p "$REGISTRY_TLS")
        put_secret "$pem" "$REGISTRY_TLS/${pem#./}"
    done
}

remove_old_tls() {
    for pem in "$REGISTRY_TLS"/*; do
        [ -f "./${pem##*/}" ] || rm -f "$pem"
    done
    rmdir "$REGISTRY_TLS" 2>/dev/null || :
}
