#!/bin/sh
# Has this server's cluster take another token. Asks the server over its own API, as `k3s token rotate` does, since
# that command takes the new token on its command line only.
# Beside this script: new-token (secret; removed in any case), in its short form.
# needs: rotate_token.py
set -eu

trap 'rm -f ./new-token' EXIT
command -v python3 >/dev/null 2>&1 || {
    echo "this needs python3 on the server, which cloud-init brings: install it" >&2
    exit 1
}
python3 ./rotate_token.py ./new-token
