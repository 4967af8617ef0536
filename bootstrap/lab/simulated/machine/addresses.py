"""Addresses of simulated guests: a part of 127.64.0.0/10 that no other lab of this machine has."""

from __future__ import annotations

import errno
import re
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Interface
from typing import Any

import yaml

from bootstrap.lab.guests.base import GuestError, GuestSpec

WHOLE = IPv4Network("127.64.0.0/10")
"""The part of loopback for simulated guests; Linux answers on each of its addresses without configuration."""

SSH_PORT = 2222
"""Where guests' sshd listens: an unprivileged port, not used by this machine's sshd."""

_FIRST_SLOT, _LAST_SLOT = 100, 127
_VMIDS = 65_000
_NOT_CONFIGURED = (
    "this system has only 127.0.0.1 of the addresses 127.*.*.*, as macOS; to add those of 32 guests until it restarts: "
    "for i in 0.0 27.{{89..120}} 255.250; do sudo ifconfig lo0 alias 127.{}.$i; done"
)
"""The slot's own address, those of VMIDs from 7000 on, and the jump host's."""
_JUMP = 65_530


class AddressSlot:
    """127.N.0.0/16 for one lab, held by a socket that the kernel closes with the process."""

    def __init__(self) -> None:
        self._holder: socket.socket | None = None
        self.network = WHOLE

    def take(self) -> None:
        """Take the first free slot.

        Raises:
            GuestError: All are taken.
        """
        for second in range(_FIRST_SLOT, _LAST_SLOT + 1):
            holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                holder.bind((f"127.{second}.0.0", SSH_PORT))
                holder.listen(1)
            except OSError as error:
                holder.close()
                if error.errno == errno.EADDRNOTAVAIL:
                    raise GuestError(_NOT_CONFIGURED.format(second)) from error
                if error.errno != errno.EADDRINUSE:
                    raise GuestError(f"cannot use 127.{second}.0.0/16 for guests: {error}") from error
                continue
            self._holder, self.network = holder, IPv4Network(f"127.{second}.0.0/16")
            return
        raise GuestError(f"{_LAST_SLOT - _FIRST_SLOT + 1} labs with simulated guests run already; stop one of them")

    def drop(self) -> None:
        """Give the slot back."""
        if self._holder is not None:
            self._holder.close()
            self._holder = None

    @property
    def jump(self) -> IPv4Address:
        """The address of the jump host, which no guest gets."""
        return self.network[_JUMP]

    def of(self, spec: GuestSpec) -> IPv4Address:
        """The address a guest gets: the static one of its seed, else one that follows from its vmid.

        Raises:
            GuestError: The static one is not in the slot, so sshd could not listen there.
        """
        static = static_address(spec)
        if static is None:
            return self.network[spec.vmid % _VMIDS + 1]
        if static not in self.network:
            raise GuestError(f"{static} cannot be a simulated guest's address: this lab's range is {self.network}")
        return static


def static_address(spec: GuestSpec) -> IPv4Address | None:
    """net0's static IPv4 address in a seed's network config; None: DHCP, or no seed.

    Further network devices are only in the config: a simulated guest listens at one address.
    """
    if spec.setup is not None and spec.setup.address is not None:
        return spec.setup.address.ip
    for subnet in _subnets(spec):
        found = re.match(r"\d+(?:\.\d+){3}", str(subnet.get("address", "")))
        if subnet.get("type") == "static" and found:
            return IPv4Address(found[0])
    return None


def addresses6(spec: GuestSpec) -> tuple[IPv6Interface, ...]:
    """net0's IPv6 addresses by a seed's network config: link-local first, as the kernel lists them; none without.

    They are only reported: nothing listens there.
    """
    static = [subnet for subnet in _subnets(spec) if subnet.get("type") == "static6"]
    link_local = IPv6Interface("fe80::1234:56ff:fe78:9abc/64")
    return (link_local, *(IPv6Interface(str(subnet.get("address"))) for subnet in static)) if static else ()


def _subnets(spec: GuestSpec) -> list[dict[str, Any]]:
    """The subnets of net0 in a seed's network config; empty without a seed."""
    entries = (yaml.safe_load(spec.seed.network_config) or {}).get("config") or () if spec.seed else ()
    own = [entry for entry in entries if str(entry.get("mac_address", "")).upper() == spec.mac]
    return [subnet for entry in own for subnet in entry.get("subnets") or ()]
