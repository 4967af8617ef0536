# shellcheck shell=sh
# For scripts that put k3s's settings in place, which source this after put-registries.sh: the files of a hardened server,
# and their removal where none were sent. Files that this program did not write are never changed.
# Beside those scripts: psa.yaml and audit.yaml if there are to be any, and hardening.conf, a part of k3s's unit.

HARDENED=/var/lib/rancher/k3s/server
HARDENING=/etc/systemd/system/k3s.service.d/homelab-k8s-hardening.conf

# hardening_kind: prints the same of both files together, where a foreign one counts.
hardening_kind() {
    case $(kind_of "$HARDENED/psa.yaml")-$(kind_of "$HARDENED/audit.yaml") in
        *foreign*) echo foreign ;;
        *ours*) echo ours ;;
        *) echo none ;;
    esac
}

# check_hardening: end where a file of another's is in the place of ours.
check_hardening() {
    if [ -f ./psa.yaml ] && [ "$(hardening_kind)" = foreign ]; then
        echo "psa.yaml or audit.yaml in $HARDENED was not written by homelab-k8s and is not overwritten: move it away" >&2
        exit 1
    fi
}

# hardening_differs: whether put_hardening or drop_hardening changes what k3s reads.
hardening_differs() {
    if [ -f ./psa.yaml ]; then
        ! cmp -s ./psa.yaml "$HARDENED/psa.yaml" || ! cmp -s ./audit.yaml "$HARDENED/audit.yaml" ||
            ! cmp -s ./hardening.conf "$HARDENING"
    else
        [ "$(hardening_kind)" = ours ] || [ -e "$HARDENING" ]
    fi
}

# put_hardening: before the settings that name these files.
put_hardening() {
    [ -f ./psa.yaml ] || return 0
    (
        umask 022
        mkdir -p "${HARDENED%/*}" "${HARDENING%/*}"
    )
    mkdir -p "$HARDENED/logs"
    chmod 700 "$HARDENED" "$HARDENED/logs"
    for name in psa.yaml audit.yaml; do
        put_secret "./$name" "$HARDENED/$name"
    done
    install -m 644 -o root -g root ./hardening.conf "$HARDENING.new"
    mv -f "$HARDENING.new" "$HARDENING"
}

# drop_hardening: after the settings that named these files.
drop_hardening() {
    [ ! -f ./psa.yaml ] || return 0
    for name in psa.yaml audit.yaml; do
        [ "$(kind_of "$HARDENED/$name")" != ours ] || rm -f "$HARDENED/$name"
    done
    rm -f "$HARDENING"
}
