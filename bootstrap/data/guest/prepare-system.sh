#!/bin/sh
# Makes sure that the inventory's files are there, its packages are installed, and its kernel settings apply, now and
# after a boot; or only looks. Removes no package. Prints differs=..., once for each thing that was not as asked for:
# package NAME, module NAME, sysctl NAME, file PATH, obsolete PATH for a file to be removed, and while it looks before_k3s
# NAME and after_ready NAME for hooks that have not run; left=NAME for each package of before that is no longer asked for
# and is still there, with manager= and the command that removes it; kept=PATH for each such file that is not as it was written; and changed=0 or changed=1.
# Environment: LOOK      1 to look only
#              PACKAGES  names, with spaces between
#              LOCK_S    how many seconds to wait for another package manager
# Beside this script, where any are asked for: sysctls (NAME = VALUE, a line each) and modules (NAME, a line each), whose
# lines with a hash sign first are comments; files and content-N (see put-files.sh); while it looks hooks (TIME KEY NAME,
# a line each); proxies (NAME='VALUE', a line each; secret), if the package manager is to use some.
# needs: put-files.sh use-proxies.sh
set -eu
umask 022
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
# needrestart restarts services after an installation, k3s too.
export NEEDRESTART_MODE=l

# Read after the files of packages and after that of our templates, 90-homelab-k8s.conf.
SYSCTLS=/etc/sysctl.d/91-homelab-k8s.conf
# homelab-k8s.conf is that of our templates, whose modules are still needed.
MODULES=/etc/modules-load.d/91-homelab-k8s.conf
# The packages that were asked for so far: nothing else says which of a machine's are the inventory's.
ASKED=/var/lib/homelab-k8s/packages
changed=0

# The hooks that have run here: run-hook.sh.
RAN=/var/lib/homelab-k8s/hooks

trap 'rm -f ./sysctls ./modules ./packages ./packages.log ./unknown ./hooks ./proxies; files_end' EXIT

fail() {
    echo "$1" >&2
    exit 1
}

differs() {
    echo "differs=$1"
    changed=1
}

# shellcheck source=/dev/null
. ./put-files.sh

manager() {
    for command in apt-get dnf zypper; do
        if command -v "$command" >/dev/null 2>&1; then
            echo "$command"
            return
        fi
    done
}

installed() {
    # dpkg is also a package of Fedora's.
    if command -v apt-get >/dev/null 2>&1; then
        # A line for each architecture.
        dpkg-query --show --showformat='${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
    else
        command -v rpm >/dev/null 2>&1 && rpm -q --quiet "$1" 2>/dev/null
    fi
}

# Prints those of the words given that are packages which are not installed.
lacking() {
    for package in "$@"; do
        installed "$package" || printf '%s ' "$package"
    done
}

# apt ARGUMENT...: apt-get, waiting for others. Its own lock timeout does not count for the lists, which the daily update
# of a machine's first boot holds.
apt() {
    until apt-get --quiet --option "DPkg::Lock::Timeout=$LOCK_S" "$@" >./packages.log 2>&1; do
        if [ "$waited" -ge "$LOCK_S" ] || ! grep -q 'Could not get lock' ./packages.log; then
            return 1
        fi
        sleep 2
        waited=$((waited + 2))
    done
}

# Whether apt knows all of these names. Else it would take one with a dot for a regular expression, and install what fits.
known() {
    for package in "$@"; do
        if ! apt-cache pkgnames "$package" | grep -qxF -e "$package"; then
            echo "E: Unable to locate package $package" >./unknown
            return 1
        fi
    done
    rm -f ./unknown
}

# A file of the inventory's may be there before its package, which would ask whose is to be kept.
apt_install() {
    apt --option Dpkg::Options::=--force-confold install --yes --no-install-recommends "$@"
}

by_apt() {
    waited=0
    # A fresh cloud image knows no packages; where they are known an update would be the slower half.
    if known "$@" && apt_install "$@"; then
        return
    fi
    apt --option APT::Update::Error-Mode=any update || return 1
    if ! known "$@"; then
        mv ./unknown ./packages.log
        return 1
    fi
    apt_install "$@"
}

# dnf itself waits for others, without end.
by_dnf() {
    timeout "$((LOCK_S + 480))" dnf --assumeyes --setopt=install_weak_deps=False install "$@" >./packages.log 2>&1
}

by_zypper() {
    ZYPP_LOCK_TIMEOUT=$LOCK_S zypper --non-interactive install --no-recommends --name "$@" >./packages.log 2>&1
}

# install_packages NAME...
install_packages() {
    by=$(manager)
    case $by in
        apt-get) by_apt "$@" || refused "$by" "$@" ;;
        dnf) by_dnf "$@" || refused "$by" "$@" ;;
        zypper) by_zypper "$@" || refused "$by" "$@" ;;
        *) fail "$* cannot be installed: there is no apt-get, dnf or zypper here" ;;
    esac
    still=$(lacking "$@")
    [ -z "$still" ] || fail "$by has installed $* under another name: no package is called $still"
}

refused() {
    by=$1
    shift
    # Of several machines' failures only the first line is shown.
    cause=$(grep -m 1 -e '^E: ' -e '^Error' ./packages.log || tail -n 1 ./packages.log)
    echo "$by cannot install $*: $cause" >&2
    tail -n 8 ./packages.log >&2
    exit 1
}

packages() {
    # Words.
    # shellcheck disable=SC2046,SC2086
    set -- $(lacking $PACKAGES)
    for package in "$@"; do
        differs "package $package"
    done
    left=
    if [ -f "$ASKED" ]; then
        while read -r package; do
            case " $PACKAGES " in
                *" $package "*) continue ;;
            esac
            ! installed "$package" || left="$left $package"
        done <"$ASKED"
    fi
    for package in $left; do
        echo "left=$package"
    done
    [ -z "$left" ] || echo "manager=$(manager)"
    [ "$LOOK" != 1 ] || return 0
    for package in $PACKAGES $left; do
        echo "$package"
    done >./packages
    # First: after a killed installation they are known to be ours.
    if [ -s ./packages ] || [ -f "$ASKED" ]; then
        mkdir -p "${ASKED%/*}"
        cp ./packages "$ASKED.new"
        mv -f "$ASKED.new" "$ASKED"
    fi
    [ $# = 0 ] || install_packages "$@"
}

# put SOURCE TARGET: have the same content there, or nothing where there is no source.
put() {
    if [ -s "$1" ]; then
        ! cmp -s "$1" "$2" || return 0
        differs "file $2"
        [ "$LOOK" != 1 ] || return 0
        mkdir -p "${2%/*}"
        install -m 644 -o root -g root "$1" "$2.new"
        mv -f "$2.new" "$2"
    elif [ -e "$2" ]; then
        differs "file $2"
        [ "$LOOK" = 1 ] || rm -f "$2"
    fi
}

loaded() {
    [ ! -d "/sys/module/$1" ] || return 0
    # A built-in one without parameters is not there.
    name=$(echo "$1" | sed 's/_/[_-]/g')
    grep -qs "/$name\.ko" "/lib/modules/$(uname -r)/modules.builtin"
}

modules() {
    [ -f ./modules ] || return 0
    while read -r module; do
        [ "${module#\#}" = "$module" ] || continue
        ! loaded "$module" || continue
        differs "module $module"
        [ "$LOOK" != 1 ] || continue
        told=$(modprobe "$module" 2>&1) || fail "the kernel module $module cannot be loaded: $told"
        loaded "$module" || fail "$module is another name of a kernel module: write the one that lsmod shows"
    done <./modules
}

# As the kernel shows them some have tabs between their parts.
value() {
    tr -s '[:space:]' ' ' 2>/dev/null <"$1" | sed 's/ $//'
}

sysctls() {
    [ -f ./sysctls ] || return 0
    while read -r name _ wanted; do
        [ "$name" != '#' ] || continue
        # As in sysctl(8): a dot in a device's name is a slash.
        file=/proc/sys/$(echo "$name" | tr ./ /.)
        [ "$(value "$file" || :)" != "$wanted" ] || continue
        differs "sysctl $name"
        [ "$LOOK" != 1 ] || continue
        [ -e "$file" ] || fail "the kernel has no sysctl $name: is it one of a module that is not loaded?"
        told=$({ echo "$wanted" >"$file"; } 2>&1) || fail "the kernel refuses the sysctl $name = $wanted: ${told##*: }"
        there=$(value "$file" || :)
        [ "$there" = "$wanted" ] || fail "the kernel makes '$there' of the sysctl $name = $wanted"
    done <./sysctls
}

# Those that were not run yet.
hooks() {
    [ -f ./hooks ] || return 0
    while read -r time key name; do
        grep -qsxF -e "$key" "$RAN" || differs "$time $name"
    done <./hooks
}

# Before packages: some are the package manager's settings.
files
# shellcheck source=/dev/null
. ./use-proxies.sh
packages
# A package may have brought its own file of that name.
[ "$LOOK" = 1 ] || [ ! -f ./packages.log ] || files
# Modules first: some sysctls are theirs.
modules
sysctls
# Last: what the kernel refuses is not left for the next boot.
put ./modules "$MODULES"
put ./sysctls "$SYSCTLS"
hooks
echo "changed=$changed"
