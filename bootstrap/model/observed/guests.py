"""What is seen inside machines: network interfaces, and k3s's settings on their disks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from bootstrap.model.ids import MachineName

Settings = Mapping[str, tuple[str, ...]]
"""Names of k3s's settings without dashes, each with its values as k3s writes them; `NAME+` adds values."""


@dataclass(frozen=True, kw_only=True)
class GuestInterface:
    """A network interface as the guest agent reports it; `mac` is upper case.

    `lone` are those of `addresses` that are a network of their own (/32), as keepalived gives a VIP.
    """

    name: str
    mac: str
    addresses: tuple[IPv4Address, ...]
    lone: frozenset[IPv4Address] = frozenset()
    addresses6: tuple[IPv6Address, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SettingsFile:
    """A settings file; its values may be secrets, so no text shows them.

    Attributes:
        name: Its path.
        settings: What it sets; None where it is no YAML mapping, with which k3s does not start.
    """

    name: str
    settings: Settings | None = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class GuestSettings:
    """What k3s of a machine would start with.

    Attributes:
        ours: Of `/etc/rancher/k3s/config.yaml`.
        others: The files of config.yaml.d, in k3s's order.
        pending: Whether settings or a token were written that k3s has not been restarted with.
        router_id: The one that our keepalived serves a VIP with; 0 where it is not set up.
        vip: That VIP; None where it is not set up.
        registries: SHA-256 of our registries.yaml; `foreign` for one that is not ours, `exposed` for one of ours that
            others can read, empty for none.
        hardening: The same of the files that hardened servers have, together.
        environment: Variables of the unit that an inventory gave it, each with the SHA-256 of its line, or `exposed`
            where others can read the file.
    """

    machine: MachineName
    ours: Settings = field(repr=False)
    others: tuple[SettingsFile, ...] = ()
    pending: bool = False
    router_id: int = 0
    vip: IPv4Address | None = None
    registries: str = field(default="", repr=False)
    hardening: str = ""
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
