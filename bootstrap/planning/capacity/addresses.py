"""Which of the addresses a guest agent tells is the machine's own."""

from __future__ import annotations

from collections.abc import Collection, Iterable
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
    link-local ones, no loopback ones unless `subnet` lies there, and only those in `subnet` where that is given.
    Never one of `besides`: the API's own address wanders from server to server. An address that is a network of its own
    (/32) comes last: keepalived gives a VIP so, and the inventory may have another one now, or none.
    """
    seen = tuple(interfaces)
    own = [interface for interface in seen if mac is None or interface.mac.upper() == mac.upper()]
    if not own:
        names = ", ".join(f"{interface.name} {interface.mac}" for interface in seen) or "none"
        return f"no interface has net0's MAC address {mac}; interfaces: {names}"
    addresses = (address for interface in own for address in interface.addresses)
    addresses = (address for interface in own for address in interface.addresses)
    usable = [address for address in addresses if address not in besides and not _is_local(address, subnet)]
    if not usable:
        return f"{own[0].name} has no address yet"
    fitting = [address for address in usable if subnet is None or address in subnet]
    if not fitting:
        return f"{own[0].name} has {', '.join(map(str, usable))}, none of which is in {subnet}"
    lone = {address for interface in own for address in interface.lone}
    return min(fitting, key=lambda address: address in lone)


def _is_local(address: IPv4Address, subnet: IPv4Network | None) -> bool:
    """Whether nobody else reaches a machine by an address."""
    return address.is_link_local or (address.is_loopback and not (subnet is not None and subnet.is_loopback))
