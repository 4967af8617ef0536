# shellcheck shell=sh
# For scripts that install packages, which source this: the package manager's proxies, by its environment, which only
# root can read.
# Beside those scripts: proxies (NAME='VALUE', a line each; secret), if there are any. They make sure that it is removed.

if [ -f ./proxies ]; then
    set -a
    # shellcheck source=/dev/null
    . ./proxies
    set +a
fi
