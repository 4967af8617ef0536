#!/bin/sh
# Unpacks packages that are laid over the root file system, without installing them there.
#   ROOT     the template's root file system, whose package state decides what is still needed
#   SOURCES  apt sources, one-line format
#   WORK     an empty directory; the unpacked tree is WORK/tree
#   PACKAGES names, separated by blanks
set -eu
mkdir -p "$WORK/apt/lists/partial" "$WORK/apt/archives/partial" "$WORK/tree"
cp "$ROOT/var/lib/dpkg/status" "$WORK/apt/status"
fetch() {
    apt-get -q -y --no-install-recommends \
        -o Dir::Etc::SourceList="$SOURCES" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State="$WORK/apt" -o Dir::State::status="$WORK/apt/status" -o Dir::State::Lists="$WORK/apt/lists" \
        -o Dir::Cache="$WORK/apt" -o Dir::Cache::archives="$WORK/apt/archives" \
        -o APT::Sandbox::User=root "$@"
}
fetch update
# shellcheck disable=SC2086 # a list of names
fetch --download-only install $PACKAGES
for package in "$WORK"/apt/archives/linux-image-*.deb "$WORK"/apt/archives/busybox-static_*.deb; do
    dpkg-deb --extract "$package" "$WORK/tree"
done
rm -rf "$WORK/apt"
