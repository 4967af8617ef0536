#!/bin/sh
# For prepare-system.sh, which sources this: the inventory's files, and the removal of those that it no longer has.
# Environment: LOOK  1 to look only
# Beside that script, where any are asked for: files (SHA256 MODE CONTENT PATH, a line each) and, unless it only looks,
# each CONTENT in base64, which may be secret.

# What was written, SHA256 PATH, a line each: a file that is not as it says is not removed.
WRITTEN=/var/lib/homelab-k8s/files
part=

# files_end: remove what was sent, in any case.
files_end() {
    rm -f ./files ./content-* ./written ./written.new
    [ -z "$part" ] || rm -f "$part"
}

sha256() {
    sum=$(sha256sum <"$1")
    echo "${sum%% *}"
}

# as_asked SHA256 MODE PATH
as_asked() {
    [ ! -L "$3" ] && [ -f "$3" ] && [ "$(stat -c %a:%u:%g "$3")" = "$(printf %o "$2"):0:0" ] &&
        [ "$(sha256 "$3")" = "$1" ]
}

# Prints why nothing may be written or removed at a path; nothing where all directories above it are root's alone. Else
# who owns one could lead root's hand to any other file.
obstacle() {
    at='' rest=${1#/}
    while [ "$rest" != "${rest#*/}" ]; do
        at=$at/${rest%%/*} rest=${rest#*/}
        if [ -L "$at" ]; then
            echo "$at is a symbolic link: write the path of what it leads to, $(readlink -f "$at")"
            return
        fi
        [ -e "$at" ] || return 0
        if [ ! -d "$at" ]; then
            echo "$at is not a directory"
            return
        fi
        case $(stat -c '%u %A' "$at") in
            '0 '????????-*) ;;
            *)
                echo "others than root may write to the directory $at"
                return
                ;;
        esac
    done
    if [ -d "$1" ] && [ ! -L "$1" ]; then
        echo "$1 is a directory"
    fi
}

# put_file SHA256 MODE CONTENT PATH
put_file() {
    why=$(obstacle "$4")
    [ -z "$why" ] || fail "the file $4 cannot be written: $why"
    mkdir -p "${4%/*}"
    # In the same directory, so that it takes the place in one step.
    part=${4%/*}/.${4##*/}.homelab-k8s
    rm -f "$part"
    (umask 077 && base64 -d <"./$3" >"$part")
    [ "$(sha256 "$part")" = "$1" ] || fail "the content of the file $4 has not arrived"
    chown 0:0 "$part"
    chmod "$2" "$part"
    mv -f "$part" "$4"
    part=
    ! command -v restorecon >/dev/null 2>&1 || restorecon "$4" 2>/dev/null || :
}

# asked PATH: whether the inventory has it.
asked() {
    [ -f ./files ] || return 1
    while read -r _ _ _ wanted; do
        [ "$wanted" != "$1" ] || return 0
    done <./files
    return 1
}

# ours PATH: whether it is as it was written.
ours() {
    [ ! -L "$1" ] && [ -f "$1" ] && [ -z "$(obstacle "$1")" ] && grep -qxF -e "$(sha256 "$1") $1" "$WRITTEN"
}

# Files that were written and are no longer asked for. Those that stay go to ./written.
obsolete() {
    [ -f "$WRITTEN" ] || return 0
    cut -d ' ' -f 2- "$WRITTEN" | sort -u >./written.new
    while read -r path; do
        if asked "$path" || { [ ! -e "$path" ] && [ ! -L "$path" ]; }; then
            continue
        fi
        if ours "$path"; then
            differs "obsolete $path"
            if [ "$LOOK" != 1 ]; then
                rm -f "$path"
                continue
            fi
        else
            echo "kept=$path"
        fi
        grep -e '^[0-9a-f]* '"$(echo "$path" | sed 's/[.]/[.]/g')"'$' "$WRITTEN" >>./written
    done <./written.new
}

# note: keep what is in ./written as what was written.
note() {
    if [ -s ./written ] || [ -f "$WRITTEN" ]; then
        mkdir -p "${WRITTEN%/*}"
        (umask 077 && sort -u ./written >"$WRITTEN.new")
        mv -f "$WRITTEN.new" "$WRITTEN"
    fi
}

files() {
    : >./written
    obsolete
    if [ "$LOOK" != 1 ] && [ -f ./files ]; then
        # First, with what was there: after a kill, either is known to be ours.
        cp ./written ./written.new
        [ ! -f "$WRITTEN" ] || cat "$WRITTEN" >>./written
        while read -r sum _ _ path; do
            echo "$sum $path"
        done <./files >>./written
        note
        mv -f ./written.new ./written
    fi
    if [ -f ./files ]; then
        while read -r sum mode content path; do
            if ! as_asked "$sum" "$mode" "$path"; then
                differs "file $path"
                [ "$LOOK" = 1 ] || put_file "$sum" "$mode" "$content" "$path"
            fi
            echo "$sum $path" >>./written
        done <./files
    fi
    [ "$LOOK" = 1 ] || note
}
