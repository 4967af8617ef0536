"""Reads what guest scripts print: `key=value` lines."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from bootstrap.execution.findings import GuestFacts

WITHIN_S = "2"
"""Scripts that tell a state look again and again for as long on the guest itself: one command in place of many.

Not for longer, since Ctrl-C is to end a run within 5 s and a command is not cut short.
"""


def parse_lines(text: str) -> dict[str, list[str]]:
    """Every key with its values in order; lines without `=` are passed over."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            found.setdefault(key.strip(), []).append(value.strip())
    return found


def parse_facts(text: str, *, address: IPv4Address, address6: IPv6Address | None = None) -> GuestFacts:
    """What `facts.sh` printed."""
    lines = parse_lines(text)

    def one(key: str) -> str:
        return next(iter(lines.get(key, [])), "")

    return GuestFacts(
        address=address,
        address6=address6,
        arch=one("arch"),
        machine_id=one("machine_id"),
        k3s_sha256=one("k3s_sha256"),
        k3s_version=one("k3s_version"),
        active_state=one("active_state"),
        sub_state=one("sub_state"),
        restarts=int(one("restarts") or 0),
    )
