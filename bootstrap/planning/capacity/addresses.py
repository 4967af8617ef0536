"""Which of the addresses that a guest agent reports is the machine's own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network

from bootstrap.model.observed import GuestInterface


def choose_address(
    interfaces: Iterable[GuestInterface],
    *,
    mac: str | None,
    subnet: IPv4Network | None,
    besides: Collection[IPv4Address] = (),
) -> IPv4Address | str:
    """The address of the interface with net0's MAC address, or why there is none, in one line.

    Bridges, tunnels and pods' interfaces have addresses too (docker0, cni0, flannel.1): only net0's count, no
    link-local ones, no loopback ones unless `subnet` is there, and only addresses in `subnet` where that is given.
    Never one of `besides`: the API's own address wanders from server to server. An address that is a network of its own
    (/32) comes last: keepalived gives a VIP so, and the inventory may have another one now, or none.
    """
    seen = tuple(interfaces)
    own = [interface for interface in seen if mac is None or interface.mac.upper() == mac.upper()]
    if not own:
        names = ", ".join(f"{interface.name} {interface.mac}" for interface in seen) or "none"
        return f"no interface has net0's MAC address {mac}; interfaces: {names}"
    return _best([address for address in _usable(own, subnet) if address not in besides], own, subnet)


def _usable(own: Iterable[GuestInterface], subnet: IPv4Network | None) -> Iterator[IPv4Address]:
    """The addresses by which others may reach a machine."""
    loops = subnet is not None and subnet.is_loopback
    for address in (address for interface in own for address in interface.addresses):
        if not address.is_link_local and (loops or not address.is_loopback):
            yield address


def _best(
    usable: Sequence[IPv4Address], own: Sequence[GuestInterface], subnet: IPv4Network | None
) -> IPv4Address | str:
    if not usable:
        return f"{own[0].name} has no address yet"
    fitting = [address for address in usable if subnet is None or address in subnet]
    if not fitting:
        return f"{own[0].name} has {', '.join(map(str, usable))}, none of which is in {subnet}"
    lone = {address for interface in own for address in interface.lone}
    return min(fitting, key=lambda address: address in lone)
