"""How machines are reached: the jump host, and its key."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from bootstrap.inventory.problems import shown
from bootstrap.inventory.values.scalars import RefusedError, Text
from bootstrap.model.access.endpoint import JumpHost

_USER: Final = r"[A-Za-z_][A-Za-z0-9_.-]{0,63}\$?"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_HOST: Final = rf"{_LABEL}(?:\.{_LABEL})*\.?"
_FORM: Final = re.compile(rf"(?P<user>{_USER})@(?P<host>{_HOST}|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{{1,5}}))?")


def _jump_host(text: str) -> JumpHost:
    found = _FORM.fullmatch(text)
    if found is None:  # the kind has matched the same form
        raise RefusedError(f"{shown(text)} is no jump host", "such as root@192.168.1.10")
    host, port = found["host"].strip("[]"), int(found["port"] or 22)
    try:
        if found["host"].startswith("["):
            IPv6Address(host)
        elif re.fullmatch(r"[0-9.]+", host):
            IPv4Address(host)
    except AddressValueError:
        raise RefusedError(
            f"{shown(text)} has no valid address", "such as root@192.168.1.10 or root@[2001:db8::10]"
        ) from None
    if not 1 <= port <= 65535:
        raise RefusedError(f"{shown(text)} has a port out of range", "sshd listens on 22")
    return JumpHost(user=found["user"], host=host, port=port)


def _jump_hint(text: str) -> str:
    if text.startswith("ssh://"):
        return f"write {text.removeprefix('ssh://').rstrip('/')}"
    if "," in text:
        return "for several hops use a ProxyJump in ~/.ssh/config, and omit ssh.jump"
    if "@" not in text:
        return f"with the user: root@{text}"
    user, _, host = text.rpartition("@")
    return f"an IPv6 address is in brackets: {user}@[{host}]" if host.count(":") > 1 and "[" not in host else ""


def _fingerprint_hint(text: str) -> str:
    if text.startswith(("ssh-", "ecdsa-")):
        return "this is the key itself: `ssh-keygen -lf FILE` prints its fingerprint"
    return "on the jump host: `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`"


JUMP_HOST: Final = Text(
    label="a jump host as user@host or user@host:port", pattern=_FORM.pattern, parse=_jump_host, explain=_jump_hint
)
HOST_KEY: Final = Text(
    label="an SSH fingerprint: SHA256: and 43 characters",
    pattern=r"SHA256:[A-Za-z0-9+/]{43}=?",
    parse=lambda text: text.rstrip("="),
    explain=_fingerprint_hint,
)
