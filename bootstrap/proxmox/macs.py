"""MAC addresses that follow from names, so that a DHCP server can be set up before machines exist. Pure."""

from __future__ import annotations

import hashlib

from bootstrap.model.cluster import ClusterSpec, MacPolicy
from bootstrap.model.ids import ClusterName, MachineName

_LOCAL_PREFIX = "02"
"""Locally administered, unicast (IEEE 802). Proxmox's own BC:24:11 leaves 24 bits, too few for hashes of names."""
_HASHED_BYTES = 5


def stable_mac(cluster: ClusterName, machine: MachineName, *, nic: int = 0) -> str:
    """The MAC address that a machine's network device `netN` has in every life, in upper case.

    It is a hash of the two names, so a machine that is built again under its name has it again.
    """
    named = f"{cluster}/{machine}/net{nic}".encode()
    digest = hashlib.sha256(named).hexdigest().upper()
    return ":".join([_LOCAL_PREFIX, *(digest[i : i + 2] for i in range(0, 2 * _HASHED_BYTES, 2))])


def wanted_mac(spec: ClusterSpec, machine: MachineName, *, nic: int = 0) -> str | None:
    """The MAC address a new machine's network device `netN` is to have, or None where Proxmox makes one up."""
    return stable_mac(spec.name, machine, nic=nic) if spec.network.macs is MacPolicy.STABLE else None
