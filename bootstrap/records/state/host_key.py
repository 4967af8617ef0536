"""A machine's SSH host key as the state directory keeps it: a line of OpenSSH's own format, which `ssh` reads too.

    demo-cp-1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5...

The format and its changes are OpenSSH's (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT), so it has no version here.
"""

from __future__ import annotations


def known_hosts_name(host: str, port: int) -> str:
    """What a host is filed under: `host`, or `[host]:port` where sshd does not listen on port 22."""
    return host if port == 22 else f"[{host}]:{port}"


def render_host_key(name: str, host_key: str) -> str:
    """The item's text for a key (`ssh-ed25519 AAAA...`) under the machine's name."""
    return f"{name} {host_key}\n"


def parse_host_key(text: str | None) -> str | None:
    """The key; None where there is none (earlier releases left OpenSSH an empty file)."""
    fields = (text or "").partition("\n")[0].split()
    return " ".join(fields[1:3]) if len(fields) > 2 else None


def parse_named_host_key(text: str | None, name: str) -> str | None:
    """The key, if it is filed under this name."""
    return parse_host_key(text) if text and text.split(maxsplit=1)[:1] == [name] else None
