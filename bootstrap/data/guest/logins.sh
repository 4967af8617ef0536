#!/bin/sh
# Prints who could log in by SSH with a password: known=1, and user=NAME for each; known=0 where sshd does not show its
# settings (on some systems it does while it runs alone).
set -eu
export LC_ALL=C

sshd=$(command -v sshd || echo /usr/sbin/sshd)
# What counts for everybody; blocks of Match are left out.
settings=$("$sshd" -T 2>/dev/null) || settings=

setting() {
    printf '%s\n' "$settings" | sed -n "s/^$1 //p" | head -n 1
}

if [ -z "$settings" ]; then
    echo known=0
    exit 0
fi
echo known=1

passwords=$(setting passwordauthentication)
# PAM asks for the same password in another way; the second name is that of OpenSSH before 8.7.
for name in kbdinteractiveauthentication challengeresponseauthentication; do
    if [ "$(setting usepam)" = yes ] && [ "$(setting "$name")" = yes ]; then
        passwords=yes
    fi
done
[ "$passwords" = yes ] || exit 0

root=$(setting permitrootlogin)
empty=$(setting permitemptypasswords)
# A hash that begins with ! or * is no password (shadow(5)).
getent shadow | while IFS=: read -r user hash _; do
    case $hash in
        '!'* | '*'*) continue ;;
        '') [ "$empty" = yes ] || continue ;;
    esac
    [ "$user" != root ] || [ "$root" = yes ] || continue
    echo "user=$user"
done
