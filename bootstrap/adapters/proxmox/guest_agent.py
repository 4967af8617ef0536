"""What the QEMU guest agent answers through Proxmox VE. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Any

from bootstrap.errors import AgentNotRunningError
from bootstrap.ports import GuestInterface


def parse_interfaces(answer: Any, *, what: str) -> tuple[GuestInterface, ...]:  # noqa: ANN401 - JSON of any shape
    """The interfaces of a `network-get-interfaces` answer: `{"result": [...]}`.

    An interface without addresses has no `ip-addresses` at all, and one without hardware (`tun0`) no MAC.

    Raises:
        AgentNotRunningError: The guest agent answered with an error of its own.
    """
    rows = answer.get("result") if isinstance(answer, Mapping) else None
    if not isinstance(rows, list):
        raise AgentNotRunningError(f"cannot {what}", details=str(answer))
    return tuple(
        GuestInterface(
            name=str(row.get("name", "")),
            mac=str(row.get("hardware-address") or "").upper(),
            addresses=tuple(address for part in row.get("ip-addresses") or () for address in _ipv4(part)),
            addresses6=tuple(address for part in row.get("ip-addresses") or () for address in _ipv6(part)),
        )
        for row in rows
    )


def _ipv4(part: Mapping[str, Any]) -> tuple[IPv4Address, ...]:
    if part.get("ip-address-type") != "ipv4":
        return ()
    try:
        return (IPv4Address(str(part.get("ip-address"))),)
    except AddressValueError:
        return ()


def _ipv6(part: Mapping[str, Any]) -> tuple[IPv6Address, ...]:
    if part.get("ip-address-type") != "ipv6":
        return ()
    try:
        return (IPv6Address(str(part.get("ip-address")).partition("%")[0]),)
    except AddressValueError:
        return ()


def parse_file(answer: Any, *, what: str) -> str:  # noqa: ANN401 - JSON of any shape
    """The text of a `file-read` answer.

    Raises:
        AgentNotRunningError: There is none in it.
    """
    content = answer.get("content") if isinstance(answer, Mapping) else None
    if not isinstance(content, str):
        raise AgentNotRunningError(f"cannot {what}", details=str(answer))
    return content
