"""What the QEMU guest agent answers through Proxmox VE. Pure.

Anyone who is root in a guest decides what its agent answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from bootstrap.errors import AgentNotRunningError
from bootstrap.model.observed import GuestInterface
from bootstrap.model.reading import Reading, shown
from bootstrap.proxmox.reading.answers import answer

_WHO = "the answer of the guest agent"
_MOST = 1000
"""Interfaces of a machine, and addresses of each."""


def parse_interfaces(told: object, *, what: str) -> tuple[GuestInterface, ...]:
    """The interfaces of a `network-get-interfaces` answer: `{"result": [...]}`.

    An interface without addresses has no `ip-addresses` at all, and one without hardware (`tun0`) no MAC.

    Raises:
        AgentNotRunningError: The guest agent answered with an error of its own.
        UnreadableAnswerError: It is no such answer.
    """
    whole = answer(told, what=what, who=_WHO)
    result = whole.at("result")
    if isinstance(result.value, Mapping):
        raise AgentNotRunningError(f"cannot {what}", details=shown(told))
    rows = result.items()
    if len(rows) > _MOST:
        raise result.wrong(f"at most {_MOST} interfaces")
    return tuple(map(_interface, rows))


def _interface(row: Reading) -> GuestInterface:
    parts = row.at("ip-addresses").items(optional=True)
    if len(parts) > _MOST:
        raise row.wrong(f"an interface of at most {_MOST} addresses")
    return GuestInterface(
        name=row.at("name").text(""),
        mac=row.at("hardware-address").text("").upper(),
        addresses=tuple(address for part in parts for address in _ipv4(part)),
        lone=frozenset(address for part in parts if part.at("prefix").value == 32 for address in _ipv4(part)),
        addresses6=tuple(address for part in parts for address in _ipv6(part)),
    )


def _ipv4(part: Reading) -> Iterator[IPv4Address]:
    if part.at("ip-address-type").value == "ipv4":
        with suppress(AddressValueError):
            yield IPv4Address(part.at("ip-address").text(""))


def _ipv6(part: Reading) -> Iterator[IPv6Address]:
    if part.at("ip-address-type").value == "ipv6":
        with suppress(AddressValueError):
            yield IPv6Address(part.at("ip-address").text("").partition("%")[0])


def parse_file(told: object, *, what: str) -> str:
    """The text of a `file-read` answer.

    Raises:
        UnreadableAnswerError: There is none in it, or only the beginning.
    """
    whole = answer(told, what=what, who=_WHO)
    if whole.at("truncated").flag(default=False):
        raise whole.at("truncated").wrong("a whole file")
    return whole.at("content").text()
