"""The IPv6 side of the machines' network. IPv4 comes first everywhere: machines join by it, and we log in by it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Network


class IPv6Method(StrEnum):
    """Where machines have their IPv6 address from; the words are Proxmox's, in `ip6=` of ipconfig0."""

    AUTO = "auto"
    """From the network's router advertisements (SLAAC)."""
    DHCP = "dhcp"
    """From DHCPv6."""


@dataclass(frozen=True, kw_only=True)
class StaticAddresses6:
    """Fixed IPv6 addresses; a machine has the one at the place that its own has in the IPv4 range.

    Attributes:
        first, last: Both ends belong to us.
        subnet: The network they are in; its prefix length goes to the guests.
        gateway: Default route, a link-local address perhaps, or None: router advertisements give it.
    """

    first: IPv6Address
    last: IPv6Address
    subnet: IPv6Network
    gateway: IPv6Address | None = None


@dataclass(frozen=True, kw_only=True)
class IPv6Spec:
    """How machines get IPv6 addresses besides their IPv4 ones.

    Attributes:
        method: Where from, unless there are fixed addresses.
        subnet: Only addresses in here count as a machine's own; None accepts any of net0's but link-local ones.
        addresses: Fixed addresses, or None.
    """

    method: IPv6Method = IPv6Method.AUTO
    subnet: IPv6Network | None = None
    addresses: StaticAddresses6 | None = None
