# shellcheck shell=sh
# For scripts that put k3s in place, which source this: the binary, and archives of images. Sets changed=1 where it did.
# Environment: SHA256  of the k3s binary that is to be installed, lower-case hex
# Beside those scripts: k3s.bin (if it was sent), images/ (air-gap archives, if any were sent).

BIN=/usr/local/bin
NEW=$BIN/.k3s.new
IMAGES=/var/lib/rancher/k3s/agent/images

fail() {
    echo "$1" >&2
    exit 1
}

sha256_of() {
    sum=$(sha256sum "$1")
    echo "${sum%% *}"
}

# in_reach DIRECTORY: make a directory that all may read.
in_reach() {
    (
        umask 022
        mkdir -p "$1"
    )
}

put_binary() {
    if [ -f "$BIN/k3s" ] && [ "$(sha256_of "$BIN/k3s")" = "$SHA256" ]; then
        return
    fi
    [ -f ./k3s.bin ] || fail "the k3s binary was not sent and $BIN/k3s is not the one wanted ($SHA256)"
    in_reach "$BIN"
    # A rename where both are on one file system, else a copy. Checked there, so that what is checked is what is used.
    mv -f ./k3s.bin "$NEW"
    found=$(sha256_of "$NEW")
    [ "$found" = "$SHA256" ] || fail "the k3s binary arrived damaged: sha256 is $found, not $SHA256"
    chown root:root "$NEW"
    chmod 0755 "$NEW"
    mv -f "$NEW" "$BIN/k3s"
    if command -v restorecon >/dev/null 2>&1; then
        restorecon "$BIN/k3s"
    fi
    changed=1
}

put_images() {
    for image in ./images/*; do
        [ -f "$image" ] || continue
        in_reach "$IMAGES"
        chown root:root "$image"
        chmod 0644 "$image"
        mv -f "$image" "$IMAGES/"
        # shellcheck disable=SC2034 # those scripts print it
        changed=1
    done
}
