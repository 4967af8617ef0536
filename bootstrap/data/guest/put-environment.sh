# shellcheck shell=sh
# For scripts that put k3s's settings in place, which source this: the environment file of k3s's unit, NAME=VALUE a line.
# Ours are the lines that were sent, each in place of those of its name, and those that the last one of ours names, which
# go once they are not sent any more. All other lines are the user's and stay.
# Beside those scripts: service.env (the tokens, if they are to be written) and environment (the inventory's variables, if
# there are any), both secret. They are read by built-in commands and from files: none gets onto a command line.

UNITS=/etc/systemd/system
ENVIRONMENT_MARK='# From the inventory of homelab-k8s, which overwrites changes: '

# environment_file: prints the path for the unit that is installed; nothing without one.
environment_file() {
    for installed in k3s k3s-agent; do
        [ ! -e "$UNITS/$installed.service" ] || echo "$UNITS/$installed.service.env"
    done
}

# names_in FILE: prints the names of its variables, with spaces between; FILE need not be there.
names_in() {
    [ -f "$1" ] || return 0
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
            *=*) printf '%s ' "${line%%=*}" ;;
        esac
    done <"$1"
}

# marked_in FILE: prints the names that came from the inventory, likewise.
marked_in() {
    [ ! -f "$1" ] || sed -n "s/^$ENVIRONMENT_MARK//p" "$1" | tr '\n' ' '
}

# whole_environment FILE: prints what FILE is to contain.
whole_environment() {
    names=" $(names_in ./service.env)$(names_in ./environment)$(marked_in "$1")"
    if [ -f "$1" ]; then
        while IFS= read -r line || [ -n "$line" ]; do
            case $line in
                "$ENVIRONMENT_MARK"*) continue ;;
                *=*)
                    case $names in
                        *" ${line%%=*} "*) continue ;;
                    esac
                    ;;
            esac
            printf '%s\n' "$line"
        done <"$1"
    fi
    [ ! -f ./service.env ] || cat ./service.env
    if [ -f ./environment ]; then
        printf '%s%s\n' "$ENVIRONMENT_MARK" "$(names_in ./environment)"
        cat ./environment
    fi
}

# environment_differs FILE: whether put_environment changes what k3s gets. Lines in another order say the same.
environment_differs() {
    [ "$([ ! -f "$1" ] || sort "$1")" != "$(whole_environment "$1" | sort)" ]
}

# put_environment FILE: others see the old file or the new one, never a part, and nobody but root sees either.
put_environment() {
    if environment_differs "$1"; then
        (umask 077 && whole_environment "$1" >"$1.new")
        mv -f "$1.new" "$1"
    elif [ -f "$1" ] && [ "$(stat -c %a:%u:%g "$1")" != 600:0:0 ]; then
        chown root:root "$1"
        chmod 600 "$1"
    fi
}

# tell_environment FILE: prints environment=NAME SHA256 for each line of a variable that came from the inventory, in place
# of the checksum `exposed` where others can read the file.
tell_environment() {
    names=" $(marked_in "$1")"
    [ "$names" != " " ] || return 0
    mode=$(stat -c %a:%u:%g "$1")
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
            *=*)
                case $names in
                    *" ${line%%=*} "*)
                        if [ "$mode" = 600:0:0 ]; then
                            sum=$(printf '%s' "$line" | sha256sum)
                            echo "environment=${line%%=*} ${sum%% *}"
                        else
                            echo "environment=${line%%=*} exposed"
                        fi
                        ;;
                esac
                ;;
        esac
    done <"$1"
}
