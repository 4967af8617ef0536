"""How far the Proxmox nodes may be filled."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SizingSpec:
    """How far the Proxmox nodes may be filled.

    Attributes:
        cpu_overcommit: Sum of all guests' vCPUs over the Proxmox node's cores, at the most.
        memory_reserve_mib: RAM left to each Proxmox node itself.
        storage_reserve_gib: Space left free on each storage.
    """

    cpu_overcommit: float = 4.0
    memory_reserve_mib: int = 1024
    storage_reserve_gib: int = 5
